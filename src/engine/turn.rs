//! A turn: one step of every image in a batch, and what is decoded of it for people to see.

use std::sync::Arc;

use image::DynamicImage;

use super::Backend;
use super::fault::Fault;
use super::job::Job;
use crate::model::{Config, ModelError, Preview, Step};

/// A place in the batch.
pub(super) struct Slot<D> {
    pub job: Arc<Job>,
    pub index: u32,
    /// Steps that it has still to take.
    pub remaining: usize,
    /// `None` until its first step: starting a drawing may fail like a step.
    pub drawing: Option<D>,
}

/// What a turn did to the image in one slot.
pub(super) struct Drawn {
    pub step: Step,
    pub pictures: Pictures,
}

/// What was decoded of it.
pub(super) enum Pictures {
    None,
    Preview(Preview),
    /// After the last step: there is no noise left then, and both previews are the image.
    Image(DynamicImage),
}

/// One step of all slots; results in the slots' order. `config` is the model's, `limit` the number of images that the
/// device can work on at once, which gets smaller where its memory turns out to be too small.
pub(super) fn advance<B: Backend>(
    backend: &B,
    slots: &mut [Slot<B::Drawing>],
    config: &Config,
    limit: &mut usize,
) -> Result<Vec<Drawn>, Fault> {
    let mut wants_preview = Vec::with_capacity(slots.len());
    let mut drawings: Vec<&mut B::Drawing> = Vec::with_capacity(slots.len());
    for slot in slots {
        let request = &slot.job.request;
        wants_preview.push(request.previews());
        let drawing = match slot.drawing.take() {
            Some(begun) => begun,
            None => backend.start(request, slot.index)?,
        };
        drawings.push(slot.drawing.insert(drawing));
    }
    let steps = in_parts("step", limit, &mut drawings, |part| backend.step(part))?;

    let finished = |at: usize| steps[at].step >= config.steps();
    let is_shown = |at: usize| wants_preview[at] && !finished(at);
    let select = |wanted: &dyn Fn(usize) -> bool| -> Vec<&B::Drawing> {
        drawings.iter().enumerate().filter(|(at, _)| wanted(*at)).map(|(_, drawing)| &**drawing).collect()
    };
    let (mut done, mut shown) = (select(&finished), select(&is_shown));
    let mut images = in_parts("images", limit, &mut done, |part| backend.images(part))?.into_iter();
    let mut previews = in_parts("previews", limit, &mut shown, |part| backend.previews(part))?.into_iter();
    let pictures: Vec<Pictures> = (0..steps.len())
        .map(|at| {
            let pictures = match (finished(at), is_shown(at)) {
                (true, _) => images.next().map(Pictures::Image),
                (false, true) => previews.next().map(Pictures::Preview),
                (false, false) => None,
            };
            pictures.unwrap_or(Pictures::None)
        })
        .collect();
    Ok(steps.into_iter().zip(pictures).map(|(step, pictures)| Drawn { step, pictures }).collect())
}

/// Calls `work` on all items, at most `limit` at once, and puts the results together. Where the device's memory is too
/// small, the limit is halved and the part is tried again, once in a call.
pub(super) fn in_parts<T, R>(
    what: &str,
    limit: &mut usize,
    items: &mut [T],
    mut work: impl FnMut(&mut [T]) -> Result<Vec<R>, ModelError>,
) -> Result<Vec<R>, Fault> {
    let mut results = Vec::with_capacity(items.len());
    let mut halved = false;
    while results.len() < items.len() {
        let size = (items.len() - results.len()).min(*limit);
        let part = &mut items[results.len()..][..size];
        match work(part) {
            Ok(some) if some.len() == size => results.extend(some),
            Ok(some) => {
                let fault = format!("{what} returned {} results for {size} drawings", some.len());
                return Err(Fault::Contract(fault));
            }
            Err(error) if error.is_out_of_memory() && size > 1 && !halved => {
                halved = true;
                *limit = size.div_ceil(2);
                tracing::warn!(%error, images = size, limit = *limit, "too little memory for the batch");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(results)
}
