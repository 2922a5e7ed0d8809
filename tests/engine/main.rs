//! The engine with a fake backend, whose steps a test can pause and let fail, and in `shipped_weights` with the shipped
//! model.

#[path = "../common/mod.rs"]
mod common;

mod batching;
mod devices;
mod eviction;
mod jobs;
mod metrics;
mod models;
mod recovery;
mod serialized_request;
mod shipped_weights;
mod shutdown;
mod subscriptions;
mod tokenize;

use std::sync::Arc;
use std::time::Duration;

use common::{events, with_timeout};
use rdpm::engine::{Engine, Event, JobId, Status};

fn event_names(events: &[(u64, Arc<Event>)]) -> Vec<String> {
    let name = |event: &Event| match event {
        Event::Queued(queued) => format!("queued {}", queued.position),
        Event::Started => "started".into(),
        Event::Step(progress) => {
            let images: Vec<String> = progress.images.iter().map(|image| image.index.to_string()).collect();
            format!("step {} of {}", progress.step, images.join(" "))
        }
        Event::Completed => "completed".into(),
        Event::Failed { .. } => "failed".into(),
        Event::Canceled => "canceled".into(),
        Event::Redrawn(steps) => format!("redrawn {} from {} to {}", steps.index, steps.first, steps.last),
    };
    events.iter().map(|(_, event)| name(event)).collect()
}

/// Waits until a condition holds.
async fn wait_until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    with_timeout(wait).await;
}

async fn final_status(engine: &Engine, id: JobId) -> Status {
    let events = events(engine, id).await;
    let is_end = |event: &Event| matches!(event, Event::Completed | Event::Failed { .. } | Event::Canceled);
    let ends = events.iter().filter(|(_, event)| is_end(event)).count();
    assert_eq!(ends, 1, "{:?}", event_names(&events));
    assert!(is_end(&events.last().unwrap().1), "{:?}", event_names(&events));
    engine.get(id).unwrap().status
}

fn tokens(events: &[(u64, Arc<Event>)], index: u32) -> Vec<Vec<u32>> {
    let of_image = |event: &Event| match event {
        Event::Step(progress) => {
            progress.images.iter().find(|image| image.index == index).map(|image| image.tokens.clone())
        }
        _ => None,
    };
    events.iter().filter_map(|(_, event)| of_image(event)).collect()
}
