//! A model that an engine serves, looked up once.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::model::ModelInfo;

/// A model that an engine serves, as [`Engine::model`](super::Engine::model) returns it. It dereferences to the model's
/// description and is cheap to clone. Two handles are equal if they are of the same model of the same engine.
#[derive(Clone)]
pub struct ModelHandle {
    index: usize,
    info: Arc<ModelInfo>,
}

impl ModelHandle {
    /// The handle of the engine's model number `index`.
    pub(super) fn new(index: usize, info: Arc<ModelInfo>) -> Self {
        Self { index, info }
    }

    /// The model's index in [`Engine::models`](super::Engine::models).
    pub fn index(&self) -> usize {
        self.index
    }

    /// The description, shared.
    pub(super) fn shared_info(&self) -> Arc<ModelInfo> {
        Arc::clone(&self.info)
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.info.config.name
    }

    /// T, the number of steps in which an image is sampled.
    pub fn steps(&self) -> usize {
        self.info.config.steps()
    }
}

impl Deref for ModelHandle {
    type Target = ModelInfo;

    fn deref(&self) -> &ModelInfo {
        &self.info
    }
}

impl fmt::Debug for ModelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ModelHandle").field(&self.name()).finish()
    }
}

impl PartialEq for ModelHandle {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && Arc::ptr_eq(&self.info, &other.info)
    }
}

impl Eq for ModelHandle {}
