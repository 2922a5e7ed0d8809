//! `model.safetensors` and `one-pass.safetensors`: maps a file into memory and checks every tensor against the configuration.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Error, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use super::config::CONFIG_FILE;
use super::error::ModelError;

/// The file's name in a weights folder.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// The name of the file with the weights of a denoiser that computes guided logits in one pass.
pub const ONE_PASS_FILE: &str = "one-pass.safetensors";

/// The tensors of a weights file.
pub struct Weights {
    path: PathBuf,
    device: Device,
    tensors: Arc<Tensors>,
}

impl Weights {
    /// Opens `model.safetensors` or `one-pass.safetensors` of a folder. A tensor is copied to the device when a network requests it, so that at most one
    /// is in memory besides the networks.
    ///
    /// # Errors
    /// [`ModelError::Read`] if it can't be read; [`ModelError::Weights`] if it is truncated or not a safetensors file.
    pub fn open(folder: &Path, name: &str, device: &Device) -> std::result::Result<Self, ModelError> {
        let path = folder.join(name);
        File::open(&path).map_err(|source| ModelError::Read { path: path.clone(), source })?;
        // SAFETY: the mapped file must not change. It is mapped only while a model is being loaded, and whoever updates
        // a weights folder must replace the file instead of writing into it, as `export` and package managers do.
        match unsafe { MmapedSafetensors::new(&path) } {
            Ok(file) => {
                let tensors = Tensors { file, requested: Mutex::default() };
                Ok(Self { path, device: device.clone(), tensors: Arc::new(tensors) })
            }
            Err(error) => {
                let reason = format!("truncated or not a safetensors file ({error})");
                Err(ModelError::Weights { path, reason })
            }
        }
    }

    /// A builder that gives networks their tensors by name and shape.
    pub fn var_builder(&self) -> VarBuilder<'static> {
        let tensors: Box<dyn SimpleBackend> = Box::new(CheckedTensors(self.tensors.clone()));
        VarBuilder::from_backend(tensors, DType::F32, self.device.clone())
    }

    /// Converts an error about a missing tensor, a wrong shape or a value that isn't finite.
    pub fn error(&self, error: Error) -> ModelError {
        ModelError::Weights { path: self.path.clone(), reason: error.to_string() }
    }

    /// Number of rows of a tensor; 0 if the file doesn't have it.
    pub fn rows(&self, name: &str) -> usize {
        self.tensors.file.get(name).ok().and_then(|tensor| tensor.shape().first().copied()).unwrap_or(0)
    }

    /// Number of weights in the file.
    pub fn weight_count(&self) -> usize {
        let tensors = self.tensors.file.tensors();
        tensors.iter().map(|(_, tensor)| tensor.shape().iter().product::<usize>()).sum()
    }

    /// Checks that the networks have used every tensor. Call it when all are built. Returns the number of weights.
    ///
    /// # Errors
    /// [`ModelError::Weights`] that names an unused tensor.
    pub fn finish(self) -> std::result::Result<usize, ModelError> {
        let requested = self.tensors.requested();
        let mut tensors = self.tensors.file.tensors();
        tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
        if let Some((name, tensor)) = tensors.iter().find(|(name, _)| !requested.contains(name)) {
            let reason = format!(
                "tensor {name} {:?} isn't part of the model that {CONFIG_FILE} describes",
                tensor.shape()
            );
            return Err(ModelError::Weights { path: self.path.clone(), reason });
        }
        Ok(self.weight_count())
    }
}

/// Loads a tensor of this name and shape as numbers in host memory, row by row.
pub(super) fn load_values<S: Into<Shape>>(vb: &VarBuilder, shape: S, name: &str) -> Result<Vec<f32>> {
    vb.get(shape, name)?.flatten_all()?.to_vec1()
}

/// A mapped file, and the names of the tensors that networks have requested.
struct Tensors {
    file: MmapedSafetensors,
    requested: Mutex<HashSet<String>>,
}

impl Tensors {
    fn requested(&self) -> MutexGuard<'_, HashSet<String>> {
        self.requested.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The source of a [`VarBuilder`], which refuses tensors of a wrong shape and values that aren't finite.
struct CheckedTensors(Arc<Tensors>);

impl SimpleBackend for CheckedTensors {
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
        self.0.requested().insert(name.into());
        let tensor = self.0.file.load(name, &Device::Cpu)?;
        // One NaN spreads to every logit, and the sampler would pick code 0 everywhere.
        let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::msg(format!(
                "tensor {name} has the value {} at index {index}",
                values[index]
            )));
        }
        tensor.to_dtype(dtype)?.to_device(device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.file.get(name).is_ok()
    }
}
