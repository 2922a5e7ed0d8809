//! The publisher: a thread beside each worker that encodes images and logs events while the device takes the next step.
//!
//! A worker sends everything that concerns jobs through its publisher, so that events are logged in the order in which
//! they happened: for example a job's failure after the steps before it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use image::DynamicImage;
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;
use tokio::sync::oneshot;

use super::batch_step::{Decoded, SampledStep};
use super::error::TokenizeError;
use super::event::{FinishedImage, Progress, StepImage, StepPreview};
use super::fault::{Fault, catch_panic};
use super::job::{End, Job};
use super::recovery::INTERRUPTED;
use super::scheduler::{Scheduler, ThreadGuard};
use super::supervision::{IDLE_ROUND, ThreadStatus};
use super::tokenize::{Tokenized, TokenizedStep};
use crate::model::Tokenization;
use crate::picture::{Provenance, encode_png};

/// The number of messages that may wait. A worker blocks when there are more, so that images don't pile up in memory.
const CHANNEL_CAPACITY: usize = 2;

/// What a worker sends.
pub(super) enum Message {
    /// One step of the images of some jobs.
    Steps(Vec<PublishedStep>),
    Tokenized(Box<Tokenization>, oneshot::Sender<Result<Tokenized, TokenizeError>>),
    /// These jobs have failed; the text is for their clients.
    Failed(Vec<Arc<Job>>, &'static str),
}

/// A step of one image, to be published.
pub(super) struct PublishedStep {
    pub job: Arc<Job>,
    pub index: u32,
    pub sampled: SampledStep,
}

/// A worker's handle to its publisher. Dropping it waits until all messages are handled.
pub(super) struct Publisher {
    messages: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    /// Starts the publisher of worker number `worker`.
    pub fn start(scheduler: &Arc<Scheduler>, worker: usize) -> std::io::Result<Self> {
        let (messages, received) = sync_channel(CHANNEL_CAPACITY);
        // A thread pool of its own: in the common pool, encoding would wait until the networks pause, a whole step later.
        let pool = ThreadPoolBuilder::new().thread_name(|_| "rdpm-encoder".into()).build();
        let pool = pool.map_err(std::io::Error::other)?;
        let name = format!("rdpm-publisher-{worker}");
        let guard = ThreadGuard::new(scheduler, name.as_str());
        let thread = std::thread::Builder::new().name(name);
        let thread = thread.spawn(move || {
            let (scheduler, status) = (&guard.scheduler, &guard.status);
            pool.install(move || run(scheduler, &received, status));
        })?;
        Ok(Self { messages: Some(messages), thread: Some(thread) })
    }

    pub fn send(&self, message: Message) {
        // Fails if the thread has ended by a bug. Then its guard has stopped the scheduler, and so failed all jobs.
        let _ = self.messages.as_ref().map(|messages| messages.send(message));
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.messages = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a publisher thread panicked");
        }
    }
}

fn run(scheduler: &Scheduler, messages: &Receiver<Message>, status: &ThreadStatus) {
    loop {
        status.wait_for(IDLE_ROUND);
        let message = match messages.recv_timeout(IDLE_ROUND) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        status.begin("publishing a step");
        match message {
            Message::Steps(steps) => {
                let jobs: Vec<Arc<Job>> = steps.iter().map(|step| Arc::clone(&step.job)).collect();
                if let Err(fault) = catch_panic(|| publish_steps(scheduler, steps)) {
                    tracing::error!(%fault, "a step could not be published");
                    scheduler.fail_jobs(&jobs, INTERRUPTED);
                }
            }
            Message::Tokenized(tokenization, reply) => {
                let tokenized = catch_panic(|| encode_tokenization(*tokenization)).map_err(|fault| {
                    tracing::error!(%fault, "a tokenized image could not be encoded");
                    TokenizeError::Failed
                });
                // Fails if the client has disconnected.
                let _ = reply.send(tokenized);
            }
            Message::Failed(jobs, detail) => scheduler.fail_jobs(&jobs, detail),
        }
    }
}

/// Logs an event for each job and timestep, keeps finished images, and ends the jobs whose images are all finished.
fn publish_steps(scheduler: &Scheduler, steps: Vec<PublishedStep>) -> Result<(), Fault> {
    let encoded: Result<Vec<_>, Fault> = steps.into_par_iter().map(encode_step).collect();
    let mut events: Vec<(Arc<Job>, Progress)> = Vec::new();
    let mut finished: Vec<(Arc<Job>, FinishedImage)> = Vec::new();
    for EncodedStep { job, step, image, finished_image } in encoded? {
        finished.extend(finished_image.map(|image| (Arc::clone(&job), image)));
        let is_same =
            |(other, progress): &&mut (Arc<Job>, Progress)| other.id == job.id && progress.step == step;
        match events.iter_mut().find(is_same) {
            Some((_, progress)) => progress.images.push(image),
            None => events.push((job, Progress { step, images: vec![image] })),
        }
    }
    for (job, mut progress) in events {
        progress.images.sort_by_key(|image| image.index);
        if job.publish_step(progress) {
            scheduler.metrics.record_first_step(&job);
        }
    }
    for (job, image) in finished {
        if job.store_image(image) {
            scheduler.end_job(&job, End::Completed);
        }
    }
    Ok(())
}

/// A step of one image, with its PNG files.
struct EncodedStep {
    job: Arc<Job>,
    /// 1..=T.
    step: usize,
    image: StepImage,
    /// After the last step.
    finished_image: Option<FinishedImage>,
}

/// Encodes the previews of a step or the finished image, whose file records what it was made from.
fn encode_step(published: PublishedStep) -> Result<EncodedStep, Fault> {
    let PublishedStep { job, index, sampled: SampledStep { step, decoded } } = published;
    let (preview, finished_image) = match decoded {
        Decoded::Nothing => (None, None),
        Decoded::Preview(preview) => {
            (Some(StepPreview { noisy: png(&preview.noisy, None)?, clean: png(&preview.clean, None)? }), None)
        }
        Decoded::Image(image, tokens) => {
            let provenance = job.request.provenance(index, tokens.as_deref());
            let image = png(&image, Some(&provenance))?;
            let preview = || StepPreview { noisy: image.clone(), clean: image.clone() };
            let finished = FinishedImage { index, png: image.clone(), tokens: tokens.map(Arc::from) };
            (job.request.previews().then(preview), Some(finished))
        }
    };
    let image = StepImage {
        index,
        tokens: step.tokens,
        entropy: step.entropy,
        probability: step.probability,
        alternatives: step.alternatives,
        given: step.given,
        preview,
    };
    Ok(EncodedStep { job, step: step.step, image, finished_image })
}

fn encode_tokenization(tokenization: Tokenization) -> Result<Tokenized, Fault> {
    let Tokenization { input, resized_from, tokens, previews, caption } = tokenization;
    let steps: Result<Vec<_>, Fault> = tokens
        .into_par_iter()
        .zip(previews)
        .map(|(tokens, preview)| {
            let preview =
                StepPreview { noisy: png(&preview.noisy, None)?, clean: png(&preview.clean, None)? };
            Ok(TokenizedStep { tokens, preview })
        })
        .collect();
    Ok(Tokenized { input: png(&input, None)?, resized_from, steps: steps?, caption })
}

/// An image as a PNG file, which records what the image was made from if that is given.
fn png(image: &DynamicImage, provenance: Option<&Provenance>) -> Result<Bytes, Fault> {
    let file = encode_png(image, provenance).map(Bytes::from);
    file.map_err(|error| Fault::InvalidBackendOutput(format!("an image can't be encoded as PNG: {error}")))
}
