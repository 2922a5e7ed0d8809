//! Handing images to the workers, in an order that is fair to clients.
//!
//! The stream of work is short: workers take its images in their order, so whoever comes later waits behind all of them. A
//! gateway publishes an image only while fewer than twice the workers' slots are there and not started, and then that of the
//! client with the fewest images in flight. All gateways see the same jobs, and choose the same images; each publishes those of
//! the jobs that it accepted, and after a pause also those of others, whose gateway may have ended. Two may do so at once: the
//! servers store none twice.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use futures_util::{StreamExt, TryStreamExt};
use parking_lot::Mutex;

use super::connection::Connection;
use super::message::{ImageTask, RequestMessage, encode};
use super::publish::{Outgoing, publish_within};
use super::shared::{PATIENCE, Shared};
use crate::engine::{JobId, NextImages, Request};

/// The smallest number of images of a model that are kept in the stream: a worker may start at any time.
const MIN_TARGET: usize = 16;
/// The number of images that are kept in the stream for each slot of a worker.
const PER_SLOT: usize = 2;
/// The longest time between two rounds.
const ROUND: Duration = Duration::from_millis(200);
/// The pause after each round, in which further events are read.
const PAUSE: Duration = Duration::from_millis(5);
/// The pause after a failure to publish.
const RETRY: Duration = Duration::from_millis(250);
/// The time between two readings of what is in the stream.
const LISTING: Duration = Duration::from_secs(5);
/// After this time an image that is due and that its gateway hasn't published is published by others.
const ADOPT_AFTER: Duration = Duration::from_secs(2);

/// The index of a model, a job and one of its images.
type Image = (usize, JobId, u32);

/// What a gateway knows of the stream of work.
#[derive(Default)]
pub(super) struct Dispatch {
    /// The images in the stream, with the time when this gateway heard of them. Some may be started or finished already.
    queued: Mutex<HashMap<Image, Instant>>,
    /// By model index, how many images can be published at once: not 0 only where none waits.
    spare: Mutex<Vec<usize>>,
}

impl Dispatch {
    /// Takes up to `count` of the images that can be published at once, and returns how many.
    pub fn take_spare(&self, model: usize, count: u32) -> u32 {
        let mut spare = self.spare.lock();
        let Some(spare) = spare.get_mut(model) else { return 0 };
        let taken = (*spare).min(count as usize);
        *spare -= taken;
        taken as u32
    }
}

/// Publishes images until it is dropped.
pub(super) async fn run(shared: &Shared, connection: &Connection) {
    tokio::join!(hear_of_images(shared, connection), dispatch(shared, connection));
}

/// Hears of the images that any gateway publishes.
async fn hear_of_images(shared: &Shared, connection: &Connection) {
    loop {
        if let Ok(mut images) = connection.client.subscribe(shared.names.all_work()).await {
            while let Some(message) = images.next().await {
                let models = shared.replica.models();
                if let Some(image) = shared.names.image_of_work(&message.subject, models) {
                    shared.dispatch.queued.lock().entry(image).or_insert_with(Instant::now);
                }
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn dispatch(shared: &Shared, connection: &Connection) {
    let mut applied = shared.applied.subscribe();
    let mut others = OthersJobs::default();
    let (mut listing_due, mut targets_due) = (Instant::now(), Instant::now());
    let mut targets = Vec::new();
    loop {
        let _ = tokio::time::timeout(ROUND, applied.changed()).await;
        tokio::time::sleep(PAUSE).await;
        let has_caught_up = shared.has_caught_up.load(std::sync::atomic::Ordering::Relaxed);
        if connection.client.connection_state() != State::Connected || !has_caught_up {
            listing_due = Instant::now();
            continue;
        }
        if listing_due <= Instant::now() {
            if let Err(error) = list_images(shared, connection).await {
                tracing::warn!(%error, "the images in the queue can't be listed; trying again");
                tokio::time::sleep(RETRY).await;
                continue;
            }
            listing_due = Instant::now() + LISTING;
            others.adopted.retain(|&id| shared.replica.contains(id) && !shared.replica.has_ended(id));
        }
        if targets_due <= Instant::now() {
            targets_due = Instant::now() + ROUND;
            targets = self::targets(shared);
        }
        if !publish_next(shared, connection, &targets, &mut others).await {
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// By model index, how many images that aren't started should be in the stream.
fn targets(shared: &Shared) -> Vec<usize> {
    let workers = shared.fleet.workers();
    let target = |model: &crate::engine::ModelHandle| {
        let draws = workers.iter().filter(|worker| worker.draws(model.name(), &model.version));
        (PER_SLOT * draws.map(|worker| worker.slots as usize).sum::<usize>()).max(MIN_TARGET)
    };
    shared.replica.models().iter().map(target).collect()
}

/// Reads which images are in the stream: messages of other gateways may have been missed, or not stored.
async fn list_images(shared: &Shared, connection: &Connection) -> Result<(), async_nats::Error> {
    let started = Instant::now();
    let subjects = connection.work.info_with_subjects(shared.names.all_work()).await?;
    let subjects: Vec<(String, usize)> = subjects.try_collect().await?;
    let models = shared.replica.models();
    let image = |(subject, _): &(String, usize)| shared.names.image_of_work(subject, models);
    let listed: HashSet<Image> = subjects.iter().filter_map(image).collect();
    let mut queued = shared.dispatch.queued.lock();
    queued.retain(|image, heard| listed.contains(image) || *heard >= started);
    for image in listed {
        queued.entry(image).or_insert(started);
    }
    Ok(())
}

/// Jobs that other gateways accepted.
#[derive(Default)]
struct OthersJobs {
    /// Since when an image is due that isn't published.
    due: HashMap<JobId, Instant>,
    /// Those whose images this gateway publishes, too.
    adopted: HashSet<JobId>,
}

/// Publishes the images that are due. Returns whether that succeeded.
async fn publish_next(
    shared: &Shared,
    connection: &Connection,
    targets: &[usize],
    others: &mut OthersJobs,
) -> bool {
    let NextImages { images, spare } = {
        let queued = shared.dispatch.queued.lock();
        shared.replica.next_images(|model, id, image| queued.contains_key(&(model, id, image)), targets)
    };
    *shared.dispatch.spare.lock() = spare;
    others.due.retain(|id, _| images.iter().any(|(due, _)| due == id));
    let mut jobs: Vec<(JobId, Vec<u32>)> = Vec::new();
    for (id, image) in images {
        match jobs.iter_mut().find(|(job, _)| *job == id) {
            Some((_, images)) => images.push(image),
            None => jobs.push((id, vec![image])),
        }
    }
    let is_mine = |id: JobId| shared.own.lock().contains_key(&id);
    jobs.retain(|&(id, _)| {
        is_mine(id) || others.adopted.contains(&id) || {
            let since = *others.due.entry(id).or_insert_with(Instant::now);
            let is_adopted = since.elapsed() >= ADOPT_AFTER;
            if is_adopted {
                others.adopted.insert(id);
            }
            is_adopted
        }
    });
    let published = jobs.into_iter().map(async |(id, images)| {
        let Some(request) = shared.replica.request(id) else { return true };
        publish_images(shared, connection, id, &request, images).await
    });
    futures_util::future::join_all(published).await.into_iter().all(|all| all)
}

/// Publishes images of a job for the workers, and returns whether all are queued. Those that were published before are ignored
/// by the servers.
pub(super) async fn publish_images(
    shared: &Shared,
    connection: &Connection,
    id: JobId,
    request: &Request,
    images: impl IntoIterator<Item = u32>,
) -> bool {
    let model = request.model().index();
    let published = images.into_iter().map(async |image| {
        let Ok(message) = RequestMessage::new(&request.part(image)) else { return true };
        let task = ImageTask { job: id.to_string(), image, request: message };
        let Ok(payload) = encode(&task, &[]) else { return true };
        let subject = shared.names.work(request.model(), id, image);
        let message = Outgoing { subject, id: Some(format!("{id}/{image}")), payload };
        // Before it is: the next round doesn't choose it again.
        shared.dispatch.queued.lock().insert((model, id, image), Instant::now());
        match publish_within(connection, &message, PATIENCE).await {
            Ok(_) => true,
            Err(error) => {
                shared.dispatch.queued.lock().remove(&(model, id, image));
                tracing::warn!(%error, job = %id, "an image could not be queued; it will be tried again");
                false
            }
        }
    });
    let all_queued = futures_util::future::join_all(published).await.into_iter().all(|is_queued| is_queued);
    // A job that ended meanwhile had its images removed before these came.
    if shared.replica.has_ended(id) {
        remove_images(shared, connection, id).await;
    }
    all_queued
}

/// Removes the images of a job that has ended.
pub(super) async fn remove_images(shared: &Shared, connection: &Connection, id: JobId) {
    let purged = connection.work.purge().filter(shared.names.work_of_job(id)).await;
    if let Err(error) = purged {
        tracing::debug!(%error, job = %id, "the images of an ended job stay queued");
    }
}
