//! `model.safetensors`: read whole, and every tensor held to the configuration.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Error, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use super::ModelError;
use super::config::CONFIG_FILE;

/// The file's name in a weights folder.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// The model folder that `weights` names: itself, where it has a `config.json`, or one of its sub-folders that have: the
/// one called `model`, or the first by name.
///
/// # Errors
/// [`ModelError::Config`] where there is none; `reason` lists the models that are there.
pub fn find_model(weights: &Path, model: Option<&str>) -> std::result::Result<PathBuf, ModelError> {
    if weights.join(CONFIG_FILE).is_file() {
        return Ok(weights.into());
    }
    let read = |source| ModelError::Read { path: weights.into(), source };
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(weights).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.join(CONFIG_FILE).is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    let name = |folder: &PathBuf| folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let found = match model {
        Some(model) => folders.iter().find(|folder| name(folder).as_deref() == Some(model)),
        None => folders.first(),
    };
    found.cloned().ok_or_else(|| {
        let names: Vec<String> = folders.iter().filter_map(name).collect();
        let there = if names.is_empty() { "none".into() } else { names.join(", ") };
        let wanted = model.map_or("no model".into(), |model| format!("no model {model:?}"));
        ModelError::Config {
            path: weights.into(),
            reason: format!("{wanted} in this folder; there: {there}"),
        }
    })
}

/// The tensors of a file, and which of them the networks have asked for.
pub struct Weights {
    path: PathBuf,
    device: Device,
    tensors: Arc<Tensors>,
}

impl Weights {
    /// Reads `FOLDER/model.safetensors` onto a device.
    ///
    /// # Errors
    /// [`ModelError::Read`] where it can't be read, [`ModelError::Weights`] where it is truncated or no such file.
    pub fn read(folder: &Path, device: &Device) -> std::result::Result<Self, ModelError> {
        let path = folder.join(WEIGHTS_FILE);
        let bytes = std::fs::read(&path).map_err(|source| ModelError::Read { path: path.clone(), source })?;
        match candle_core::safetensors::load_buffer(&bytes, device) {
            Ok(tensors) => {
                Ok(Self { path, device: device.clone(), tensors: Arc::new(Tensors::new(tensors)) })
            }
            Err(error) => {
                let reason = format!("truncated, or no safetensors file ({error})");
                Err(ModelError::Weights { path, reason })
            }
        }
    }

    /// Hands out the tensors by name and shape.
    pub fn var_builder(&self) -> VarBuilder<'static> {
        let tensors: Box<dyn SimpleBackend> = Box::new(Handle(self.tensors.clone()));
        VarBuilder::from_backend(tensors, DType::F32, self.device.clone())
    }

    /// A tensor that is missing or misshapen, as this layer's error.
    pub fn fault(&self, error: Error) -> ModelError {
        ModelError::Weights { path: self.path.clone(), reason: error.to_string() }
    }

    /// Number of parameters, once all networks are built.
    ///
    /// # Errors
    /// [`ModelError::Weights`] naming a tensor that the configuration has no place for.
    pub fn finish(self) -> std::result::Result<usize, ModelError> {
        let tensors = self.tensors.lock();
        let mut unused: Vec<_> = tensors.iter().filter(|(_, (_, used))| !used).collect();
        unused.sort_by_key(|(name, _)| *name);
        if let Some((name, (tensor, _))) = unused.first() {
            let reason = format!("{}: tensor {name} {:?} has no place there", CONFIG_FILE, tensor.dims());
            return Err(ModelError::Weights {
                path: self.path.clone(),
                reason: format!("disagrees with {reason}"),
            });
        }
        Ok(tensors.values().map(|(tensor, _)| tensor.elem_count()).sum())
    }
}

/// Tensors by name, each with whether it was asked for.
struct Tensors(Mutex<HashMap<String, (Tensor, bool)>>);

impl Tensors {
    fn new(tensors: HashMap<String, Tensor>) -> Self {
        Self(Mutex::new(tensors.into_iter().map(|(name, tensor)| (name, (tensor, false))).collect()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Tensor, bool)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Handle(Arc<Tensors>);

impl SimpleBackend for Handle {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        if tensor.shape() != &shape {
            let msg = format!("tensor {name} disagrees with {}", CONFIG_FILE);
            return Err(Error::UnexpectedShape { msg, expected: shape, got: tensor.shape().clone() });
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let mut tensors = self.0.lock();
        let Some((tensor, used)) = tensors.get_mut(name) else {
            return Err(Error::CannotFindTensor { path: name.into() });
        };
        *used = true;
        tensor.to_device(device)?.to_dtype(dtype)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.lock().contains_key(name)
    }
}
