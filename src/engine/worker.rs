//! The thread that owns the device.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use image::{DynamicImage, ImageFormat};

use super::job::{End, Job, Progress, StepImage};
use super::recovery::{Fault, guarded};
use super::shared::Shared;
use super::{Backend, JobId, ModelInfo};
use crate::model::{ModelError, Step};

/// For the client of a job that was in a batch that failed.
const FAULT: &str = "A fault in the server interrupted the drawing. It has been logged; the same request may well work again.";

/// Draws until told to end. `F` makes the model, at the start and after each fault.
pub(super) struct Worker<B: Backend, F> {
    pub(super) shared: Arc<Shared>,
    pub(super) factory: F,
    pub(super) info: ModelInfo,
    /// Faults since the last turn that went well.
    pub(super) failures: u32,
    slots: Vec<Slot<B::Drawing>>,
}

/// A place in the batch.
struct Slot<D> {
    job: Arc<Job>,
    index: u32,
    /// `None` until its first step: starting a drawing may fail like a step.
    drawing: Option<D>,
}

/// What a turn did to the image in one slot.
struct Frame {
    step: Step,
    noisy: Bytes,
    clean: Bytes,
    /// The finished image after the last step.
    image: Option<Bytes>,
}

impl<B, F> Worker<B, F>
where
    B: Backend,
    F: FnMut() -> Result<B, ModelError>,
{
    pub fn load(shared: Arc<Shared>, mut factory: F) -> Result<(Self, B, ModelInfo), Fault> {
        let started = Instant::now();
        let (backend, info) = super::recovery::load(&mut factory)?;
        tracing::info!(
            model = info.config.name,
            device = info.device,
            parameters = info.parameters,
            ms = started.elapsed().as_millis(),
            "model loaded"
        );
        let worker = Self { shared, factory, info: info.clone(), failures: 0, slots: Vec::new() };
        Ok((worker, backend, info))
    }

    pub fn run(mut self, mut backend: B) {
        while self.fill_slots() {
            let started = Instant::now();
            let last = self.info.config.steps();
            let slots = &mut self.slots;
            match guarded(|| advance(&backend, slots, last)) {
                Ok(frames) => {
                    self.failures = 0;
                    self.publish(frames);
                    self.shared.turn_took(started.elapsed(), last);
                }
                Err(fault) => {
                    self.fail_batch(&fault);
                    match self.recover(backend) {
                        Some(fresh) => backend = fresh,
                        None => return,
                    }
                }
            }
        }
    }

    /// Drops the images of ended jobs and lets waiting ones join; waits where there is nothing to draw. Returns false
    /// where the worker must end.
    fn fill_slots(&mut self) -> bool {
        loop {
            self.slots.retain(|slot| slot.job.is_live());
            let mut in_flight: HashMap<JobId, usize> = HashMap::new();
            for slot in &self.slots {
                *in_flight.entry(slot.job.id).or_default() += 1;
            }
            let free = self.shared.options.max_batch.saturating_sub(self.slots.len());
            let Some(joining) = self.shared.next_images(free, in_flight) else { return false };
            for (job, index) in joining {
                job.start();
                self.slots.push(Slot { job, index, drawing: None });
            }
            if !self.slots.is_empty() {
                return true;
            }
        }
    }

    /// Logs what happened, an event for each job and timestep, and lets finished images leave.
    fn publish(&mut self, frames: Vec<Frame>) {
        let mut events: Vec<(Arc<Job>, Progress)> = Vec::new();
        let mut finished = Vec::new();
        for (slot, frame) in self.slots.iter().zip(frames) {
            let step = frame.step.step;
            let image = StepImage {
                index: slot.index,
                tokens: frame.step.tokens,
                entropy: frame.step.entropy,
                probability: frame.step.probability,
                noisy: frame.noisy,
                clean: frame.clean,
            };
            let same =
                |(job, progress): &&mut (Arc<Job>, Progress)| job.id == slot.job.id && progress.step == step;
            match events.iter_mut().find(same) {
                Some((_, progress)) => progress.images.push(image),
                None => events.push((Arc::clone(&slot.job), Progress { step, images: vec![image] })),
            }
            if let Some(png) = frame.image {
                finished.push((Arc::clone(&slot.job), slot.index, png));
            }
        }
        for (job, progress) in events {
            job.step(progress);
        }
        for (job, index, png) in finished {
            self.slots.retain(|slot| slot.job.id != job.id || slot.index != index);
            if job.finish_image(index, png) {
                self.shared.end(&job, End::Completed);
            }
        }
    }

    /// Ends the jobs whose images were in the failed batch.
    fn fail_batch(&mut self, fault: &Fault) {
        let slots = std::mem::take(&mut self.slots);
        tracing::error!(images = slots.len(), %fault, "a step failed");
        for slot in &slots {
            self.shared.end(&slot.job, End::Failed(FAULT));
        }
    }
}

/// One step of all slots, with what clients get to see of it; in the slots' order.
fn advance<B: Backend>(
    backend: &B,
    slots: &mut [Slot<B::Drawing>],
    last: usize,
) -> Result<Vec<Frame>, Fault> {
    let mut drawings: Vec<&mut B::Drawing> = slots
        .iter_mut()
        .map(|slot| {
            let request = &slot.job.request;
            slot.drawing.get_or_insert_with(|| backend.start(request.settings(), request.seed(), slot.index))
        })
        .collect();
    let steps = backend.step(&mut drawings)?;
    expect("step", steps.len(), drawings.len())?;

    // After the last step there is no noise left to show or to take out (beta_T = 0), so both previews are the image.
    let pick = |finished: bool| {
        let of_kind = |(step, _): &(&Step, _)| (step.step >= last) == finished;
        steps.iter().zip(&drawings).filter(of_kind).map(|(_, drawing)| &**drawing).collect::<Vec<_>>()
    };
    let (done, open) = (pick(true), pick(false));
    let images = if done.is_empty() { Vec::new() } else { backend.images(&done)? };
    expect("images", images.len(), done.len())?;
    let previews = if open.is_empty() { Vec::new() } else { backend.previews(&open)? };
    expect("previews", previews.len(), open.len())?;

    let (mut images, mut previews) = (images.into_iter(), previews.into_iter());
    let mut frames = Vec::with_capacity(steps.len());
    for step in steps {
        let next = if step.step >= last { images.next().map(|image| (image, None)) } else { None };
        let next = next.or_else(|| previews.next().map(|preview| (preview.noisy, Some(preview.clean))));
        let Some((noisy, clean)) = next else {
            return Err(Fault::Contract("fewer pictures than steps".into()));
        };
        let noisy = png(&noisy)?;
        frames.push(match clean {
            Some(clean) => Frame { step, noisy, clean: png(&clean)?, image: None },
            None => Frame { step, clean: noisy.clone(), image: Some(noisy.clone()), noisy },
        });
    }
    Ok(frames)
}

fn expect(what: &str, found: usize, expected: usize) -> Result<(), Fault> {
    if found == expected {
        return Ok(());
    }
    Err(Fault::Contract(format!("{what} returned {found} results for {expected} drawings")))
}

fn png(image: &DynamicImage) -> Result<Bytes, Fault> {
    let mut file = Cursor::new(Vec::new());
    image
        .write_to(&mut file, ImageFormat::Png)
        .map_err(|error| Fault::Contract(format!("a picture can't be a PNG: {error}")))?;
    Ok(file.into_inner().into())
}
