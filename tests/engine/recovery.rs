//! Recovery from errors, panics, invalid results and lack of memory of the backend.

use std::sync::Arc;
use std::time::Duration;

use rdpm::engine::{Options, StartError, Status, SubmitError};

use super::common::{Fault, STEPS, Script, config, engine_with, fake_engine, options, request, with_timeout};
use super::{final_status, wait_until};

#[tokio::test]
async fn a_fault_fails_only_the_jobs_in_its_batch() {
    for fault in [Fault::Error, Fault::Panic, Fault::TooFewResults] {
        let (engine, script) = fake_engine(Options { max_batch: 2, ..options() });
        script.pause();
        script.fail_steps([None, None, Some(fault)]);
        let first = engine.submit(request(&engine, 1, 1)).unwrap();
        script.run_steps(1);
        // Has one image in the failing batch, and one that waits.
        let second = engine.submit(request(&engine, 3, 2)).unwrap();
        script.resume();
        assert_eq!(final_status(&engine, first).await, Status::Failed);
        assert_eq!(final_status(&engine, second).await, Status::Failed);
        let after = engine.submit(request(&engine, 4, 3)).unwrap();
        assert_eq!(final_status(&engine, after).await, Status::Completed);
        assert_eq!(script.load_attempts(), 2);
        engine.ready().unwrap();
        let detail = engine.get(first).unwrap().detail.unwrap();
        assert!(!detail.contains("secret"), "{detail}");
    }
}

#[tokio::test]
async fn repeated_failures_make_the_engine_not_ready_until_the_model_loads_again() {
    let (engine, script) = fake_engine(options());
    script.fail_steps([Some(Fault::Error)]);
    script.fail_loads([Fault::Error, Fault::Panic].into_iter().cycle().map(Some).take(100_000));
    let mut was_not_ready = false;
    let id = engine.submit(request(&engine, 1, 1)).unwrap();
    assert_eq!(final_status(&engine, id).await, Status::Failed);
    let recover = async {
        loop {
            match engine.submit(request(&engine, 2, 1)) {
                Err(SubmitError::NotReady { retry_after }) => {
                    assert!(retry_after >= Duration::from_secs(1));
                    assert!(was_not_ready || matches!(engine.ready(), Err(SubmitError::NotReady { .. })));
                    was_not_ready = true;
                    script.clear_faults();
                }
                Err(other) => panic!("{other}"),
                Ok(id) => match final_status(&engine, id).await {
                    Status::Completed => break,
                    status => assert_eq!(status, Status::Failed),
                },
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    with_timeout(recover).await;
    assert!(was_not_ready);
    engine.ready().unwrap();
    // The load at the start, two or more that failed, and the last one.
    assert!(script.load_attempts() >= 4);
}

#[tokio::test]
async fn three_failed_batches_in_a_row_make_the_engine_not_ready() {
    let (engine, script) = fake_engine(options());
    script.fail_steps([Some(Fault::Panic), Some(Fault::Panic), Some(Fault::Panic)]);
    // After the third fault the model can't be loaded until the faults are cleared.
    script.fail_loads([None, None].into_iter().chain(std::iter::repeat_n(Some(Fault::Error), 100_000)));
    for seed in 0..3 {
        let id = engine.submit(request(&engine, seed, 1)).unwrap();
        assert_eq!(final_status(&engine, id).await, Status::Failed);
    }
    wait_until(|| engine.ready().is_err()).await;
    script.clear_faults();
    wait_until(|| engine.ready().is_ok()).await;
    let id = engine.submit(request(&engine, 4, 1)).unwrap();
    assert_eq!(final_status(&engine, id).await, Status::Completed);
}

#[test]
fn an_engine_without_a_usable_model_does_not_start() {
    let start = |fault: Fault| {
        let script = Arc::new(Script::default());
        script.fail_loads([Some(fault)]);
        engine_with(Options::default(), vec![(config(), script)])
    };
    assert!(matches!(start(Fault::Error), Err(StartError::Model(_))));
    let Err(StartError::Panicked(message)) = start(Fault::Panic) else { panic!() };
    assert_eq!(message, "the fake backend panics while it is loaded");
    let script = Arc::new(Script::default());
    let options = Options { max_batch: 0, ..Options::default() };
    assert!(matches!(
        engine_with(options, vec![(config(), script)]),
        Err(StartError::Option { option: "max_batch", .. })
    ));
}

#[tokio::test]
async fn running_out_of_memory_halves_the_batch() {
    let (engine, script) = fake_engine(options());
    script.pause();
    script.fail_steps([None, Some(Fault::OutOfMemory)]);
    let id = engine.submit(request(&engine, 1, 5)).unwrap();
    script.resume();
    assert_eq!(final_status(&engine, id).await, Status::Completed);
    assert_eq!(script.load_attempts(), 1);
    // Five images at first, then the five that were too many, then parts of three and two.
    let sizes: Vec<usize> = script.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes[..4], [5, 5, 3, 2]);
    assert_eq!(sizes[4..], [3, 2].repeat(STEPS - 2));
}

#[tokio::test]
async fn running_out_of_memory_again_after_halving_is_a_fault() {
    let (engine, script) = fake_engine(options());
    script.fail_steps([Some(Fault::OutOfMemory), Some(Fault::OutOfMemory)]);
    let id = engine.submit(request(&engine, 1, 4)).unwrap();
    assert_eq!(final_status(&engine, id).await, Status::Failed);
    // One image can't be halved.
    script.fail_steps([Some(Fault::OutOfMemory)]);
    let id = engine.submit(request(&engine, 2, 1)).unwrap();
    assert_eq!(final_status(&engine, id).await, Status::Failed);
    let after = engine.submit(request(&engine, 3, 4)).unwrap();
    assert_eq!(final_status(&engine, after).await, Status::Completed);
}
