//! Shutdown ends every job.

use std::sync::Arc;
use std::time::Duration;

use rdpm::engine::{Event, JobId, Options, Status, SubmitError};

use super::common::{fake_engine, options, request, with_timeout};
use super::final_status;

#[tokio::test]
async fn shutdown_ends_every_job() {
    let (engine, script) = fake_engine(Options { max_batch: 2, ..options() });
    script.pause();
    let ids: Vec<JobId> = (0..4).map(|seed| engine.submit(request(&engine, seed, 1)).unwrap()).collect();
    script.run_steps(1);
    let shutdown = tokio::task::spawn_blocking({
        let engine = Arc::clone(&engine);
        move || engine.shutdown(Duration::from_millis(20))
    });
    // Jobs end although a step hangs.
    for &id in &ids {
        assert_eq!(final_status(&engine, id).await, Status::Failed);
    }
    assert_eq!(engine.submit(request(&engine, 9, 1)), Err(SubmitError::ShuttingDown));
    assert_eq!(engine.ready(), Err(SubmitError::ShuttingDown));
    script.resume();
    with_timeout(shutdown).await.unwrap();
    assert!(!engine.is_alive());
    engine.shutdown(Duration::ZERO);
}

#[tokio::test]
async fn shutdown_lets_jobs_complete_during_the_drain() {
    let (engine, _) = fake_engine(Options { max_batch: 2, ..options() });
    let ids: Vec<JobId> = (0..20).map(|seed| engine.submit(request(&engine, seed, 2)).unwrap()).collect();
    let draining = Arc::clone(&engine);
    with_timeout(tokio::task::spawn_blocking(move || draining.shutdown(Duration::from_secs(50))))
        .await
        .unwrap();
    for id in ids {
        assert_eq!(final_status(&engine, id).await, Status::Completed);
    }
}

#[tokio::test]
async fn dropping_the_engine_ends_its_jobs() {
    let (engine, script) = fake_engine(options());
    script.pause();
    let id = engine.submit(request(&engine, 1, 1)).unwrap();
    let mut subscription = engine.subscribe(id, 0).unwrap();
    drop(engine);
    let mut last = None;
    while let Some((_, event)) = with_timeout(subscription.next()).await {
        last = Some(event);
    }
    assert!(matches!(*last.unwrap(), Event::Failed { .. }));
    script.resume();
}
