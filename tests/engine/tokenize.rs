//! Tokenizing images between the steps of jobs.

use std::sync::Arc;
use std::time::Duration;

use image::DynamicImage;
use rdpm::engine::{Status, SubmitError, TokenizeError};

use super::common::{Fault, STEPS, config, fake_engine, options, request, with_timeout};
use super::final_status;

fn image() -> DynamicImage {
    DynamicImage::new_rgb8(30, 20)
}

#[tokio::test]
async fn images_are_tokenized_between_two_steps() {
    let (engine, script) = fake_engine(options());
    script.pause();
    let job = engine.submit(request(&engine, 1, 1)).unwrap();
    script.run_steps(1);
    let tokenized = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { engine.tokenize(engine.model("toy").unwrap(), image(), 3).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    script.run_steps(2);
    let done = with_timeout(tokenized).await.unwrap().unwrap();
    assert_eq!(engine.get(job).unwrap().status, Status::Running);
    assert_eq!((done.steps.len(), done.resized_from), (STEPS, Some((30, 20))));
    assert_eq!(done.steps[1].tokens, [2; 9]);
    assert_eq!(image::load_from_memory(&done.input).unwrap().width(), config().image.size as u32);
    script.resume();
    assert_eq!(final_status(&engine, job).await, Status::Completed);
}

#[tokio::test]
async fn a_fault_while_tokenizing_is_returned_and_recovered_from() {
    for fault in [Fault::Error, Fault::Panic] {
        let (engine, script) = fake_engine(options());
        script.fail_tokenizations([Some(fault)]);
        assert_eq!(
            with_timeout(engine.tokenize(engine.model("toy").unwrap(), image(), 1)).await,
            Err(TokenizeError::Failed)
        );
        with_timeout(engine.tokenize(engine.model("toy").unwrap(), image(), 1)).await.unwrap();
        assert_eq!(script.load_attempts(), 2);
        let job = engine.submit(request(&engine, 1, 1)).unwrap();
        assert_eq!(final_status(&engine, job).await, Status::Completed);
    }
}

#[tokio::test]
async fn too_many_tokenize_requests_are_refused_and_shutdown_ends_the_others() {
    let (engine, script) = fake_engine(options());
    script.pause();
    engine.submit(request(&engine, 1, 1)).unwrap();
    // The worker is in a step when the first request arrives.
    while !script.is_step_waiting() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let tokenize = || {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move { engine.tokenize(engine.model("toy").unwrap(), image(), 1).await })
    };
    let requests: Vec<_> = (0..33).map(|_| tokenize()).collect();
    tokio::task::yield_now().await;
    let refused = with_timeout(tokenize()).await.unwrap();
    assert!(
        matches!(refused, Err(TokenizeError::Refused(SubmitError::Full { waiting: 32, .. }))),
        "{refused:?}"
    );
    let stop = tokio::task::spawn_blocking({
        let engine = Arc::clone(&engine);
        move || engine.shutdown(Duration::ZERO)
    });
    let mut stopped = 0;
    for request in requests {
        match with_timeout(request).await.unwrap() {
            Err(TokenizeError::Refused(SubmitError::ShuttingDown)) => stopped += 1,
            Err(TokenizeError::Refused(SubmitError::Full { .. })) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stopped, 32);
    script.resume();
    with_timeout(stop).await.unwrap();
}
