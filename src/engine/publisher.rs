//! The thread that makes files of what a worker has drawn and logs what happened, while the device takes the next step.
//!
//! Each worker has one, and all that a worker has to tell goes through it, so that everything is told in the order in
//! which it happened: a job's failure after the steps before it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use image::DynamicImage;
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;
use tokio::sync::oneshot;

use super::errand::{TokenizeError, Tokenized, TokenizedStep};
use super::event::{Progress, StepImage, StepPreview};
use super::fault::{Fault, guarded};
use super::job::{End, Job};
use super::shared::Shared;
use super::turn::{Drawn, Pictures};
use crate::model::Tokenization;
use crate::picture::{Provenance, encode_png};

/// For the client of a job that was in a batch that failed.
pub(super) const FAULT: &str = "A fault in the server interrupted the drawing. It has been logged; the same request may well work again.";

/// Messages that may wait. A worker that is further ahead waits too, so that pictures don't pile up.
const AHEAD: usize = 2;

/// What a worker has to tell.
pub(super) enum Message {
    /// What a turn did to the images of some jobs.
    Turn(Vec<Shown>),
    /// An image was tokenized.
    Tokenized(Box<Tokenization>, oneshot::Sender<Result<Tokenized, TokenizeError>>),
    /// These jobs have failed; the text is for their clients.
    Failed(Vec<Arc<Job>>, &'static str),
}

/// What a turn did to one image.
pub(super) struct Shown {
    pub job: Arc<Job>,
    pub index: u32,
    pub drawn: Drawn,
}

/// A worker's handle to its publisher. Dropping it waits until all is told.
pub(super) struct Publisher {
    messages: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    pub fn start(shared: Arc<Shared>, worker: usize) -> std::io::Result<Self> {
        let (messages, received) = sync_channel(AHEAD);
        // Threads of its own: in the common pool files would wait for the networks' next pause, which is a whole step.
        let pool = ThreadPoolBuilder::new().thread_name(|_| "rdpm-files".into()).build();
        let pool = pool.map_err(std::io::Error::other)?;
        let tell = move || pool.install(move || run(&shared, &received));
        let thread = super::spawn(format!("rdpm-publisher-{worker}"), tell)?;
        Ok(Self { messages: Some(messages), thread: Some(thread) })
    }

    /// Tells it, in its time.
    pub fn tell(&self, message: Message) {
        // The thread ends with this handle only: `run` survives whatever a message does.
        let sent = self.messages.as_ref().map(|messages| messages.send(message));
        debug_assert!(matches!(sent, Some(Ok(()))));
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.messages = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a publisher had panicked");
        }
    }
}

fn run(shared: &Shared, messages: &Receiver<Message>) {
    for message in messages {
        match message {
            Message::Turn(shown) => {
                let jobs: Vec<Arc<Job>> = shown.iter().map(|shown| Arc::clone(&shown.job)).collect();
                if let Err(fault) = guarded(|| publish(shared, shown)) {
                    tracing::error!(%fault, "what was drawn can't be published");
                    fail(shared, &jobs, FAULT);
                }
            }
            Message::Tokenized(done, reply) => {
                let tokenized = guarded(|| tokenized(*done)).map_err(|fault| {
                    tracing::error!(%fault, "what was tokenized can't be published");
                    TokenizeError::Failed
                });
                // Who asked may have left; what they don't hear is lost on nobody.
                let _ = reply.send(tokenized);
            }
            Message::Failed(jobs, detail) => fail(shared, &jobs, detail),
        }
    }
}

fn fail(shared: &Shared, jobs: &[Arc<Job>], detail: &'static str) {
    for job in jobs {
        shared.end(job, End::Failed(detail));
    }
}

/// An event for each job and timestep; finished images are kept, and with their last one jobs end.
fn publish(shared: &Shared, turn: Vec<Shown>) -> Result<(), Fault> {
    let filed: Result<Vec<_>, Fault> = turn.into_par_iter().map(file).collect();
    let mut events: Vec<(Arc<Job>, Progress)> = Vec::new();
    let mut finished: Vec<(Arc<Job>, u32, Bytes)> = Vec::new();
    for (job, step, image, png) in filed? {
        finished.extend(png.map(|png| (Arc::clone(&job), image.index, png)));
        let same =
            |(other, progress): &&mut (Arc<Job>, Progress)| other.id == job.id && progress.step == step;
        match events.iter_mut().find(same) {
            Some((_, progress)) => progress.images.push(image),
            None => events.push((job, Progress { step, images: vec![image] })),
        }
    }
    for (job, mut progress) in events {
        progress.images.sort_by_key(|image| image.index);
        if job.step(progress) {
            shared.metrics.first_step(&job);
        }
    }
    for (job, index, png) in finished {
        if job.finish_image(index, png) {
            shared.end(&job, End::Completed);
        }
    }
    Ok(())
}

/// Writes an image's files: its previews and, if it is finished, itself, which tells what made it.
fn file(shown: Shown) -> Result<(Arc<Job>, usize, StepImage, Option<Bytes>), Fault> {
    let Shown { job, index, drawn: Drawn { step, pictures } } = shown;
    let (preview, finished) = match pictures {
        Pictures::None => (None, None),
        Pictures::Preview(preview) => {
            (Some(StepPreview { noisy: png(&preview.noisy, None)?, clean: png(&preview.clean, None)? }), None)
        }
        Pictures::Image(image) => {
            let parameters = job.request.parameters(&job.info.config, index);
            let image = png(&image, Some(&parameters))?;
            let preview = || StepPreview { noisy: image.clone(), clean: image.clone() };
            (job.request.previews().then(preview), Some(image))
        }
    };
    let image = StepImage {
        index,
        tokens: step.tokens,
        entropy: step.entropy,
        probability: step.probability,
        alternatives: step.alternatives,
        preview,
    };
    Ok((job, step.step, image, finished))
}

fn tokenized(done: Tokenization) -> Result<Tokenized, Fault> {
    let steps: Result<Vec<_>, Fault> = done
        .tokens
        .into_par_iter()
        .zip(done.previews)
        .map(|(tokens, preview)| {
            let preview =
                StepPreview { noisy: png(&preview.noisy, None)?, clean: png(&preview.clean, None)? };
            Ok(TokenizedStep { tokens, preview })
        })
        .collect();
    Ok(Tokenized { input: png(&done.input, None)?, resized_from: done.resized_from, steps: steps? })
}

/// A picture as a PNG file, which tells what made it where that is known.
fn png(image: &DynamicImage, parameters: Option<&Provenance>) -> Result<Bytes, Fault> {
    let file = encode_png(image, parameters);
    file.map(Bytes::from).map_err(|error| Fault::Contract(format!("a picture can't be a PNG: {error}")))
}
