//! Submission, cancellation, time limits and eviction of jobs.

use std::sync::Arc;
use std::time::Duration;

use rdpm::engine::{Engine, Event, JobId, MAX_COUNT, Options, Request, SEED_MAX, Status, SubmitError};
use rdpm::model::SamplingSettings;

use super::common::{STEPS, events, fake_engine, options, request, two_model_engine, with_timeout};
use super::{event_names, final_status, wait_until};

#[tokio::test]
async fn jobs_can_be_canceled_in_every_state() {
    let (engine, script) = fake_engine(Options { max_batch: 1, ..options() });
    script.pause();
    let running = engine.submit(request(&engine, 1, 1)).unwrap();
    script.run_steps(2);
    let queued = engine.submit(request(&engine, 2, 3)).unwrap();
    let other = engine.submit(request(&engine, 3, 1)).unwrap();

    assert_eq!(engine.cancel(queued).unwrap().status, Status::Canceled);
    assert_eq!(event_names(&events(&engine, queued).await), ["queued 1", "canceled"]);
    assert_eq!(engine.get(other).unwrap().queue_position.map(|queued| queued.position), Some(1));

    assert_eq!(engine.cancel(running).unwrap().status, Status::Canceled);
    assert_eq!(final_status(&engine, running).await, Status::Canceled);
    script.resume();
    assert_eq!(final_status(&engine, other).await, Status::Completed);
    // At most the running step was still taken for it, and nothing was logged after the end.
    assert!(script.batches().iter().flatten().filter(|image| image.0 == 1).count() <= 3);
    assert!(script.batches().iter().flatten().all(|image| image.0 != 2));
    assert_eq!(final_status(&engine, running).await, Status::Canceled);

    let ended = engine.cancel(other).unwrap();
    assert_eq!((ended.status, ended.images.len()), (Status::Completed, 1));
    let unknown: JobId = "00000000-0000-4000-8000-000000000000".parse().unwrap();
    assert!(engine.cancel(unknown).is_none() && engine.get(unknown).is_none());
    assert!(engine.subscribe(unknown, 0).is_none());
}

#[tokio::test]
async fn canceled_jobs_keep_their_finished_images() {
    let (engine, script) = fake_engine(Options { max_batch: 1, ..options() });
    script.pause();
    let id = engine.submit(request(&engine, 1, 2)).unwrap();
    script.run_steps(STEPS + 1);
    wait_until(|| engine.get(id).unwrap().images.len() == 1).await;
    assert_eq!(engine.cancel(id).unwrap().images.len(), 1);
    script.resume();
}

#[tokio::test]
async fn a_full_queue_refuses_jobs_with_a_retry_delay() {
    let (engine, script) = fake_engine(Options { max_batch: 2, max_queue: 3, ..options() });
    script.pause();
    let running = engine.submit(request(&engine, 1, 2)).unwrap();
    script.run_steps(1);
    let waiting = engine.submit(request(&engine, 2, 2)).unwrap();
    let Err(SubmitError::Full { waiting: 2, retry_after }) = engine.submit(request(&engine, 3, 2)) else {
        panic!()
    };
    assert!(retry_after >= Duration::from_secs(1));
    let fits = engine.submit(request(&engine, 4, 1)).unwrap();
    engine.cancel(waiting).unwrap();
    let after = engine.submit(request(&engine, 5, 2)).unwrap();
    script.resume();
    for id in [running, fits, after] {
        assert_eq!(final_status(&engine, id).await, Status::Completed);
    }
    // An empty queue accepts any one job.
    let large = engine.submit(request(&engine, 6, 16)).unwrap();
    assert_eq!(final_status(&engine, large).await, Status::Completed);
}

#[tokio::test]
async fn ended_jobs_are_evicted_by_size_except_the_newest() {
    let (engine, _) = fake_engine(Options { max_finished_bytes: 1, ..options() });
    let first = engine.submit(request(&engine, 1, 1)).unwrap();
    assert_eq!(final_status(&engine, first).await, Status::Completed);
    assert!(engine.get(first).is_some());
    let second = engine.submit(request(&engine, 2, 1)).unwrap();
    let mut subscription = engine.subscribe(second, 0).unwrap();
    while with_timeout(subscription.next()).await.is_some() {}
    let evicted = async {
        while engine.get(first).is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    with_timeout(evicted).await;
    assert!(engine.get(second).is_some());
}

#[tokio::test]
async fn ended_jobs_are_evicted_by_count_and_age() {
    let (engine, _) = fake_engine(Options { max_finished: 2, ..options() });
    let mut ids = Vec::new();
    for seed in 0..3 {
        ids.push(engine.submit(request(&engine, seed, 1)).unwrap());
        let mut subscription = engine.subscribe(ids[seed as usize], 0).unwrap();
        while with_timeout(subscription.next()).await.is_some() {}
    }
    let evicted = async {
        while engine.get(ids[0]).is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    with_timeout(evicted).await;
    assert!(engine.get(ids[1]).is_some() && engine.get(ids[2]).is_some());

    let (engine, _) = fake_engine(Options { retention: Duration::from_millis(50), ..options() });
    let id = engine.submit(request(&engine, 1, 1)).unwrap();
    let mut subscription = engine.subscribe(id, 0).unwrap();
    while with_timeout(subscription.next()).await.is_some() {}
    wait_until(|| engine.get(id).is_none()).await;
}

#[test]
fn requests_out_of_range_are_errors() {
    let (engine, _) = two_model_engine(options());
    let model = engine.default_model();
    let settings = SamplingSettings::new(&model.config, 0).unwrap();
    assert!(Request::new(model, settings.clone(), SEED_MAX + 1).is_err());
    assert!(Request::new(engine.model("other").unwrap(), settings.clone(), SEED_MAX).is_err());
    let request = Request::new(model, settings, SEED_MAX).unwrap();
    assert!(request.clone().with_count(0).is_err());
    assert!(request.clone().with_count(u64::MAX).is_err());
    assert_eq!(request.with_count(16).unwrap().count(), MAX_COUNT);
}

#[tokio::test]
async fn waiting_jobs_get_queue_position_events() {
    let (engine, script) = fake_engine(Options { max_batch: 1, ..options() });
    script.pause();
    let running = engine.submit(request(&engine, 1, 1)).unwrap();
    script.run_steps(1);
    let next = engine.submit(request(&engine, 2, 1)).unwrap();
    let last = engine.submit(request(&engine, 3, 1)).unwrap();
    let queued = |id: JobId| engine.get(id).unwrap().queue_position.unwrap();
    assert_eq!((queued(next).position, queued(last).position), (1, 2));
    // A step was measured, so there are estimates. The second job waits for one image more.
    assert!(queued(next).eta > Duration::ZERO);
    assert!(queued(last).eta >= 2 * queued(next).eta, "{:?} {:?}", queued(next), queued(last));

    script.run_steps(STEPS);
    assert_eq!(final_status(&engine, running).await, Status::Completed);
    let mut subscription = engine.subscribe(last, 1).unwrap();
    let (number, event) = with_timeout(subscription.next()).await.unwrap();
    assert_eq!(number, 2);
    assert!(matches!(&*event, Event::Queued(queued) if queued.position == 1), "{event:?}");
    script.resume();
    assert_eq!(final_status(&engine, last).await, Status::Completed);
    assert_eq!(event_names(&events(&engine, last).await)[..3], ["queued 2", "queued 1", "started"]);
    let job = engine.get(last).unwrap();
    let (created, started, ended) = (job.created, job.started.unwrap(), job.ended.unwrap());
    assert!(created <= started && started <= ended && job.queue_position.is_none());
}

#[tokio::test]
async fn job_timeout_fails_jobs_even_while_a_step_hangs() {
    let limit = Some(Duration::from_secs(1));
    let (engine, script) = fake_engine(Options { max_batch: 1, job_timeout: limit, ..options() });
    script.pause();
    let running = engine.submit(request(&engine, 1, 1)).unwrap();
    let waiting = engine.submit(request(&engine, 2, 1)).unwrap();
    for id in [running, waiting] {
        assert_eq!(final_status(&engine, id).await, Status::Failed);
        assert!(engine.get(id).unwrap().detail.unwrap().contains("longer than this server allows"));
    }
    script.resume();
    // On a slow machine the first ones may time out, too.
    let complete = async {
        while final_status(&engine, engine.submit(request(&engine, 3, 1)).unwrap()).await != Status::Completed
        {
        }
    };
    with_timeout(complete).await;
}

#[tokio::test]
async fn cancel_on_disconnect_cancels_a_job_when_its_last_subscriber_has_left() {
    let (engine, script) = fake_engine(Options { disconnect_grace: Duration::ZERO, ..options() });
    script.pause();
    let canceled = engine.submit(request(&engine, 1, 1).with_cancel_on_disconnect(true)).unwrap();
    let unwatched = engine.submit(request(&engine, 2, 1).with_cancel_on_disconnect(true)).unwrap();
    let kept = engine.submit(request(&engine, 3, 1)).unwrap();
    let (first, second) = (engine.subscribe(canceled, 0), engine.subscribe(canceled, 0));
    drop(first);
    drop(engine.subscribe(kept, 0));
    // Nothing may happen, so wait for two rounds of the janitor.
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(engine.get(canceled).unwrap().status, Status::Running);
    drop(second);
    let cancellation = async {
        while !engine.get(canceled).unwrap().status.is_terminal() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    with_timeout(cancellation).await;
    assert_eq!(engine.get(canceled).unwrap().status, Status::Canceled);
    script.resume();
    assert_eq!(final_status(&engine, unwatched).await, Status::Completed);
    assert_eq!(final_status(&engine, kept).await, Status::Completed);
}

#[tokio::test]
async fn a_subscriber_that_returns_within_the_grace_period_keeps_the_job() {
    let (engine, script) = fake_engine(Options { disconnect_grace: Duration::from_secs(2), ..options() });
    script.pause();
    let id = engine.submit(request(&engine, 1, 1).with_cancel_on_disconnect(true)).unwrap();
    drop(engine.subscribe(id, 0));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let returned = engine.subscribe(id, 0);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(engine.get(id).unwrap().status, Status::Running);
    script.resume();
    assert_eq!(final_status(&engine, id).await, Status::Completed);
    drop(returned);
}

#[tokio::test]
async fn concurrent_cancels_all_return_canceled() {
    let (engine, script) = fake_engine(options());
    script.pause();
    let id = engine.submit(request(&engine, 1, 4)).unwrap();
    let cancel = |engine: Arc<Engine>| move || engine.cancel(id).unwrap().status;
    let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(cancel(Arc::clone(&engine)))).collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == Status::Canceled));
    script.resume();
    assert_eq!(final_status(&engine, id).await, Status::Canceled);
}
