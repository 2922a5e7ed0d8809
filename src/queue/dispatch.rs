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

use super::connection::Connection;
use super::queued_images::Image;
use super::shared::Shared;
use crate::engine::{JobId, NextImages};

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
                    shared.queued_images.known.lock().entry(image).or_insert_with(Instant::now);
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
    let mut queued = shared.queued_images.known.lock();
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
        let queued = shared.queued_images.known.lock();
        shared.replica.next_images(|model, id, image| queued.contains_key(&(model, id, image)), targets)
    };
    *shared.queued_images.spare.lock() = spare;
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
        shared.publish_images(connection, id, &request, images).await
    });
    futures_util::future::join_all(published).await.into_iter().all(|all| all)
}
