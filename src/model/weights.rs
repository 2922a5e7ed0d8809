//! `model.safetensors`: mapped into memory, and every tensor held to the configuration.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Error, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use super::ModelError;
use super::config::CONFIG_FILE;

/// The file's name in a weights folder.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// The tensors of a file, and which of them the networks have asked for.
pub struct Weights {
    path: PathBuf,
    device: Device,
    tensors: Arc<Tensors>,
}

impl Weights {
    /// Opens `FOLDER/model.safetensors`. Each tensor is copied to the device when it is asked for, so that no more than
    /// one is in memory beside what the networks make of them.
    ///
    /// # Errors
    /// [`ModelError::Read`] where it can't be read, [`ModelError::Weights`] where it is truncated or no such file.
    pub fn open(folder: &Path, device: &Device) -> std::result::Result<Self, ModelError> {
        let path = folder.join(WEIGHTS_FILE);
        File::open(&path).map_err(|source| ModelError::Read { path: path.clone(), source })?;
        // SAFETY: the mapped file must not change. It is mapped only while a model is loaded; who writes a weights
        // folder that is being served puts a new file in the old one's place, as `export` and every package manager do.
        match unsafe { MmapedSafetensors::new(&path) } {
            Ok(file) => {
                let tensors = Tensors { file, used: Mutex::default() };
                Ok(Self { path, device: device.clone(), tensors: Arc::new(tensors) })
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

    /// Number of parameters.
    pub fn weight_count(&self) -> usize {
        let tensors = self.tensors.file.tensors();
        tensors.iter().map(|(_, tensor)| tensor.shape().iter().product::<usize>()).sum()
    }

    /// Number of parameters, once all networks are built.
    ///
    /// # Errors
    /// [`ModelError::Weights`] naming a tensor that the configuration has no place for.
    pub fn finish(self) -> std::result::Result<usize, ModelError> {
        let used = self.tensors.used();
        let mut tensors = self.tensors.file.tensors();
        tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
        if let Some((name, tensor)) = tensors.iter().find(|(name, _)| !used.contains(name)) {
            let reason = format!(
                "disagrees with {CONFIG_FILE}: tensor {name} {:?} has no place there",
                tensor.shape()
            );
            return Err(ModelError::Weights { path: self.path.clone(), reason });
        }
        Ok(self.weight_count())
    }
}

/// A mapped file, and the names of the tensors that were asked for.
struct Tensors {
    file: MmapedSafetensors,
    used: Mutex<HashSet<String>>,
}

impl Tensors {
    fn used(&self) -> MutexGuard<'_, HashSet<String>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
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
        if !self.contains_tensor(name) {
            return Err(Error::CannotFindTensor { path: name.into() });
        }
        self.0.used().insert(name.into());
        self.0.file.load(name, device)?.to_dtype(dtype)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.file.get(name).is_ok()
    }
}
