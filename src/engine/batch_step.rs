//! One step of a batch: the sampler's step for every image, then previews and finished images.

use std::sync::Arc;

use image::DynamicImage;

use super::backend::Backend;
use super::fault::Fault;
use super::job::Job;
use crate::model::{Config, ModelError, Preview, Step};

/// An image in a batch.
pub(super) struct Slot<S> {
    pub job: Arc<Job>,
    pub index: u32,
    /// The steps left, 1..=T.
    pub remaining_steps: usize,
    /// The steps that others have taken since this one's last.
    pub rounds_waited: usize,
    /// `None` before the first step: making the state may fail like a step.
    pub sampler_state: Option<S>,
}

/// The result of a step for the image in one slot.
pub(super) struct SampledStep {
    pub step: Step,
    pub decoded: Decoded,
}

/// What was decoded after a step.
pub(super) enum Decoded {
    Nothing,
    Preview(Preview),
    /// After the last step, when no noise is left and both previews are the image. With its tokens, if it has any.
    Image(DynamicImage, Option<Vec<Vec<u32>>>),
}

/// Takes one step of all slots; results are in the order of the slots. `config` is the model's. `max_images` is the number
/// of images that fit into the device's memory at once; this reduces it if the device runs out of memory.
pub(super) fn step_batch<B: Backend>(
    backend: &B,
    slots: &mut [Slot<B::SamplerState>],
    config: &Config,
    max_images: &mut usize,
) -> Result<Vec<SampledStep>, Fault> {
    let mut wants_previews = Vec::with_capacity(slots.len());
    let mut states: Vec<&mut B::SamplerState> = Vec::with_capacity(slots.len());
    for slot in slots {
        let request = &slot.job.request;
        wants_previews.push(request.previews());
        let state = match slot.sampler_state.take() {
            Some(state) => state,
            None => backend.start(request, slot.index)?,
        };
        states.push(slot.sampler_state.insert(state));
    }
    let steps = run_in_parts("step", max_images, &mut states, |part| backend.step(part))?;

    let is_finished = |at: usize| steps[at].step >= config.steps();
    let needs_preview = |at: usize| wants_previews[at] && !is_finished(at);
    let select = |wanted: &dyn Fn(usize) -> bool| -> Vec<&B::SamplerState> {
        states.iter().enumerate().filter(|(at, _)| wanted(*at)).map(|(_, state)| &**state).collect()
    };
    let (mut finished, mut previewed) = (select(&is_finished), select(&needs_preview));
    let images = run_in_parts("images", max_images, &mut finished, |part| backend.images(part))?;
    let previews = run_in_parts("previews", max_images, &mut previewed, |part| backend.previews(part))?;
    let (mut images, mut previews) = (images.into_iter(), previews.into_iter());
    let decoded: Vec<Decoded> = (0..steps.len())
        .map(|at| {
            let decoded = match (is_finished(at), needs_preview(at)) {
                (true, _) => images.next().map(|image| Decoded::Image(image, backend.tokens(states[at]))),
                (false, true) => previews.next().map(Decoded::Preview),
                (false, false) => None,
            };
            decoded.unwrap_or(Decoded::Nothing)
        })
        .collect();
    Ok(steps.into_iter().zip(decoded).map(|(step, decoded)| SampledStep { step, decoded }).collect())
}

/// Calls `run` on parts of `items` of at most `max_items` and joins the results. If the device runs out of memory, halves
/// `max_items` and tries the part again, once per call.
pub(super) fn run_in_parts<T, R>(
    method: &str,
    max_items: &mut usize,
    items: &mut [T],
    mut run: impl FnMut(&mut [T]) -> Result<Vec<R>, ModelError>,
) -> Result<Vec<R>, Fault> {
    let mut results = Vec::with_capacity(items.len());
    let mut was_halved = false;
    while results.len() < items.len() {
        let size = (items.len() - results.len()).min(*max_items);
        let part = &mut items[results.len()..][..size];
        match run(part) {
            Ok(part_results) if part_results.len() == size => results.extend(part_results),
            Ok(part_results) => {
                let fault = format!("{method} returned {} results for {size} images", part_results.len());
                return Err(Fault::InvalidBackendOutput(fault));
            }
            Err(error) if error.is_out_of_memory() && size > 1 && !was_halved => {
                was_halved = true;
                *max_items = size.div_ceil(2);
                tracing::warn!(%error, images = size, limit = *max_items, "out of memory: the batch is split");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(results)
}
