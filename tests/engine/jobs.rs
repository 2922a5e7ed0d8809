//! Admission, cancellation, deadlines and how long jobs are remembered.

use std::sync::Arc;
use std::time::Duration;

use rdpm::engine::{Engine, Event, JobId, MAX_COUNT, Options, Request, SEED_MAX, Status, SubmitError};
use rdpm::model::SamplingSettings;

use super::common::{STEPS, config, events, fake_engine, options, request, with_timeout};
use super::{end_of, names, until};

#[tokio::test]
async fn a_job_can_be_canceled_in_each_state() {
    let (engine, script) = fake_engine(Options { max_batch: 1, ..options() });
    script.pause();
    let running = engine.submit(request(1, 1)).unwrap();
    script.run_steps(2);
    let queued = engine.submit(request(2, 3)).unwrap();
    let other = engine.submit(request(3, 1)).unwrap();

    assert_eq!(engine.cancel(queued).unwrap().status, Status::Canceled);
    assert_eq!(names(&events(&engine, queued).await), ["queued 1", "canceled"]);
    assert_eq!(engine.get(other).unwrap().place.map(|place| place.position), Some(1));

    assert_eq!(engine.cancel(running).unwrap().status, Status::Canceled);
    assert_eq!(end_of(&engine, running).await, Status::Canceled);
    script.resume();
    assert_eq!(end_of(&engine, other).await, Status::Completed);
    // At most the step at hand was still taken for it, and nothing was logged after the end.
    assert!(script.batches().iter().flatten().filter(|drawing| drawing.0 == 1).count() <= 3);
    assert!(script.batches().iter().flatten().all(|drawing| drawing.0 != 2));
    assert_eq!(end_of(&engine, running).await, Status::Canceled);

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
    let id = engine.submit(request(1, 2)).unwrap();
    script.run_steps(STEPS + 1);
    until(|| engine.get(id).unwrap().images.len() == 1).await;
    assert_eq!(engine.cancel(id).unwrap().images.len(), 1);
    script.resume();
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let (engine, script) = fake_engine(Options { max_batch: 2, max_queue: 3, ..options() });
    script.pause();
    let running = engine.submit(request(1, 2)).unwrap();
    script.run_steps(1);
    let waiting = engine.submit(request(2, 2)).unwrap();
    let Err(SubmitError::Full { waiting: 2, retry_after }) = engine.submit(request(3, 2)) else { panic!() };
    assert!(retry_after >= Duration::from_secs(1));
    let fits = engine.submit(request(4, 1)).unwrap();
    engine.cancel(waiting).unwrap();
    let after = engine.submit(request(5, 2)).unwrap();
    script.resume();
    for id in [running, fits, after] {
        assert_eq!(end_of(&engine, id).await, Status::Completed);
    }
    // An empty queue takes any one job.
    let large = engine.submit(request(6, 16)).unwrap();
    assert_eq!(end_of(&engine, large).await, Status::Completed);
}

#[tokio::test]
async fn ended_jobs_are_forgotten_by_size_but_for_the_newest() {
    let (engine, _) = fake_engine(Options { max_finished_bytes: 1, ..options() });
    let first = engine.submit(request(1, 1)).unwrap();
    assert_eq!(end_of(&engine, first).await, Status::Completed);
    assert!(engine.get(first).is_some());
    let second = engine.submit(request(2, 1)).unwrap();
    let mut subscription = engine.subscribe(second, 0).unwrap();
    while with_timeout(subscription.next()).await.is_some() {}
    let forgotten = async {
        while engine.get(first).is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    with_timeout(forgotten).await;
    assert!(engine.get(second).is_some());
}

#[tokio::test]
async fn ended_jobs_are_forgotten_by_count_and_age() {
    let (engine, _) = fake_engine(Options { max_finished: 2, ..options() });
    let mut ids = Vec::new();
    for seed in 0..3 {
        ids.push(engine.submit(request(seed, 1)).unwrap());
        let mut subscription = engine.subscribe(ids[seed as usize], 0).unwrap();
        while with_timeout(subscription.next()).await.is_some() {}
    }
    let forgotten = async {
        while engine.get(ids[0]).is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    with_timeout(forgotten).await;
    assert!(engine.get(ids[1]).is_some() && engine.get(ids[2]).is_some());

    let (engine, _) = fake_engine(Options { retention: Duration::from_millis(50), ..options() });
    let id = engine.submit(request(1, 1)).unwrap();
    let mut subscription = engine.subscribe(id, 0).unwrap();
    while with_timeout(subscription.next()).await.is_some() {}
    until(|| engine.get(id).is_none()).await;
}

#[test]
fn a_request_is_checked_when_it_is_made() {
    let settings = SamplingSettings::new(&config(), 0).unwrap();
    assert!(Request::new(settings.clone(), SEED_MAX + 1).is_err());
    let request = Request::new(settings, SEED_MAX).unwrap();
    assert!(request.clone().with_count(0).is_err());
    assert!(request.clone().with_count(u64::MAX).is_err());
    assert_eq!(request.with_count(16).unwrap().count(), MAX_COUNT);
}

#[tokio::test]
async fn waiting_jobs_hear_where_they_stand() {
    let (engine, script) = fake_engine(Options { max_batch: 1, ..options() });
    script.pause();
    let running = engine.submit(request(1, 1)).unwrap();
    script.run_steps(1);
    let next = engine.submit(request(2, 1)).unwrap();
    let last = engine.submit(request(3, 1)).unwrap();
    let place = |id: JobId| engine.get(id).unwrap().place.unwrap();
    assert_eq!((place(next).position, place(last).position), (1, 2));
    // A turn was measured, so the times are known: the second has to wait for a whole image more.
    assert!(place(next).eta > Duration::ZERO);
    assert!(place(last).eta >= 2 * place(next).eta, "{:?} {:?}", place(next), place(last));

    script.run_steps(STEPS);
    assert_eq!(end_of(&engine, running).await, Status::Completed);
    let mut subscription = engine.subscribe(last, 1).unwrap();
    let (number, event) = with_timeout(subscription.next()).await.unwrap();
    assert_eq!(number, 2);
    assert!(matches!(&*event, Event::Queued(place) if place.position == 1), "{event:?}");
    script.resume();
    assert_eq!(end_of(&engine, last).await, Status::Completed);
    assert_eq!(names(&events(&engine, last).await)[..3], ["queued 2", "queued 1", "started"]);
    let job = engine.get(last).unwrap();
    let (created, started, ended) = (job.created, job.started.unwrap(), job.ended.unwrap());
    assert!(created <= started && started <= ended && job.place.is_none());
}

#[tokio::test]
async fn a_job_that_takes_too_long_fails_even_while_a_step_hangs() {
    let limit = Some(Duration::from_secs(1));
    let (engine, script) = fake_engine(Options { max_batch: 1, job_timeout: limit, ..options() });
    script.pause();
    let running = engine.submit(request(1, 1)).unwrap();
    let waiting = engine.submit(request(2, 1)).unwrap();
    for id in [running, waiting] {
        assert_eq!(end_of(&engine, id).await, Status::Failed);
        assert!(engine.get(id).unwrap().detail.unwrap().contains("longer than this server allows"));
    }
    script.resume();
    // The first ones may be late for reasons of the machine's.
    let come_back =
        async { while end_of(&engine, engine.submit(request(3, 1)).unwrap()).await != Status::Completed {} };
    with_timeout(come_back).await;
}

#[tokio::test]
async fn a_job_is_canceled_when_its_readers_have_left_if_it_asked_for_that() {
    let (engine, script) = fake_engine(Options { disconnect_grace: Duration::ZERO, ..options() });
    script.pause();
    let asked = engine.submit(request(1, 1).with_cancel_on_disconnect(true)).unwrap();
    let unwatched = engine.submit(request(2, 1).with_cancel_on_disconnect(true)).unwrap();
    let silent = engine.submit(request(3, 1)).unwrap();
    let (first, second) = (engine.subscribe(asked, 0), engine.subscribe(asked, 0));
    drop(first);
    drop(engine.subscribe(silent, 0));
    // Nothing may happen, so the keeper gets two rounds to do it.
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(engine.get(asked).unwrap().status, Status::Running);
    drop(second);
    let canceled = async {
        while !engine.get(asked).unwrap().status.is_end() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    with_timeout(canceled).await;
    assert_eq!(engine.get(asked).unwrap().status, Status::Canceled);
    script.resume();
    assert_eq!(end_of(&engine, unwatched).await, Status::Completed);
    assert_eq!(end_of(&engine, silent).await, Status::Completed);
}

#[tokio::test]
async fn a_reader_that_comes_back_in_time_keeps_its_job() {
    let (engine, script) = fake_engine(Options { disconnect_grace: Duration::from_secs(2), ..options() });
    script.pause();
    let id = engine.submit(request(1, 1).with_cancel_on_disconnect(true)).unwrap();
    drop(engine.subscribe(id, 0));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let back = engine.subscribe(id, 0);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(engine.get(id).unwrap().status, Status::Running);
    script.resume();
    assert_eq!(end_of(&engine, id).await, Status::Completed);
    drop(back);
}

#[tokio::test]
async fn a_job_can_be_canceled_from_many_threads_at_once() {
    let (engine, script) = fake_engine(options());
    script.pause();
    let id = engine.submit(request(1, 4)).unwrap();
    let cancel = |engine: Arc<Engine>| move || engine.cancel(id).unwrap().status;
    let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(cancel(Arc::clone(&engine)))).collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == Status::Canceled));
    script.resume();
    assert_eq!(end_of(&engine, id).await, Status::Canceled);
}
