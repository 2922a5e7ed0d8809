//! Opening a device, loading models onto it and warming them up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backend::{Backend, Loader};
use super::batch_step::run_in_parts;
use super::fault::{Fault, catch_panic};
use super::model_handle::ModelHandle;
use super::options::Options;
use super::request::Request;
use crate::model::{ModelInfo, SamplingSettings};

/// A device, with the models that were loaded onto it before the engine started.
pub(super) struct OpenDevice<L: Loader> {
    pub loader: L,
    /// For example `cpu` or `cuda:0`.
    pub name: String,
    /// By model name.
    pub loaded: Vec<(String, LoadedModel<L::Backend>)>,
}

impl<L: Loader> OpenDevice<L> {
    pub fn open(mut loader: L) -> Result<Self, Fault> {
        let name = catch_panic(|| Ok(loader.device()?))?;
        Ok(Self { loader, name, loaded: Vec::new() })
    }

    /// Loads the models and returns, for each, why it could not be loaded.
    pub fn load_all(&mut self, models: &[Arc<ModelInfo>], options: &Options) -> Vec<Option<Fault>> {
        let mut load = |info: &Arc<ModelInfo>| {
            let loaded = load(&mut self.loader, info, &self.name, options.max_batch)?;
            self.loaded.push((info.config.name.clone(), loaded));
            Ok(())
        };
        models.iter().map(|info| load(info).err()).collect()
    }

    /// Takes a model out of the loaded ones.
    pub fn take(&mut self, name: &str) -> Option<LoadedModel<L::Backend>> {
        let at = self.loaded.iter().position(|(loaded, _)| loaded == name)?;
        Some(self.loaded.swap_remove(at).1)
    }
}

/// A model that is loaded and warmed up.
pub(super) struct LoadedModel<B> {
    pub backend: B,
    /// The number of images that fit into the device's memory at once.
    pub max_images: usize,
    /// The time of the warm-up step, the first estimate of a step's time.
    pub step_time: Duration,
}

/// Loads a model and warms it up with one step. On a GPU the step has a whole batch, so that memory and kernels of the
/// largest shapes are allocated before the first request.
pub(super) fn load<L: Loader>(
    loader: &mut L,
    info: &Arc<ModelInfo>,
    device: &str,
    max_batch: usize,
) -> Result<LoadedModel<L::Backend>, Fault> {
    let (started, name, mut max_images) = (Instant::now(), &info.config.name, max_batch);
    let (backend, step_time) = catch_panic(|| {
        let backend = loader.load(name)?;
        if *backend.config() != info.config {
            let fault = "the configuration on disk is not the one being served".into();
            return Err(Fault::InvalidBackendOutput(fault));
        }
        let step_started = Instant::now();
        let count = if device == "cpu" { 1 } else { u32::try_from(max_batch).unwrap_or(1) };
        // The index doesn't matter: the request goes to the backend, not to a scheduler.
        let model = ModelHandle::new(0, Arc::clone(info));
        let request = Request::new(&model, SamplingSettings::new(&info.config, 0)?, 0)?;
        let states: Result<Vec<_>, _> = (0..count).map(|index| backend.start(&request, index)).collect();
        let mut states = states?;
        run_in_parts("step", &mut max_images, &mut states.iter_mut().collect::<Vec<_>>(), |part| {
            backend.step(part)
        })?;
        let mut states: Vec<_> = states.iter().collect();
        run_in_parts("previews", &mut max_images, &mut states, |part| backend.previews(part))?;
        run_in_parts("images", &mut max_images, &mut states, |part| backend.images(part))?;
        Ok((backend, step_started.elapsed()))
    })?;
    let ms = started.elapsed().as_millis() as u64;
    tracing::info!(model = name, device, parameters = info.weight_count, ms, "model loaded");
    Ok(LoadedModel { backend, max_images, step_time })
}
