//! Further names of models, which an operator gives them for clients of the OpenAI-compatible API.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Further names of models, each with the model's own name.
pub(in crate::web) type ModelAliases = BTreeMap<String, String>;

/// A further name of a model, written `NAME=MODEL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelAlias {
    /// The name that clients send.
    pub name: String,
    /// The model's own name.
    pub model: String,
}

/// A text that is not a [`ModelAlias`].
#[derive(Debug, thiserror::Error)]
#[error("not NAME=MODEL")]
pub struct ModelAliasError;

impl FromStr for ModelAlias {
    type Err = ModelAliasError;

    fn from_str(text: &str) -> Result<Self, ModelAliasError> {
        let (name, model) = text.split_once('=').ok_or(ModelAliasError)?;
        let (name, model) = (name.trim(), model.trim());
        if name.is_empty() || model.is_empty() {
            return Err(ModelAliasError);
        }
        Ok(Self { name: name.into(), model: model.into() })
    }
}

impl fmt::Display for ModelAlias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.model)
    }
}

impl Serialize for ModelAlias {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
