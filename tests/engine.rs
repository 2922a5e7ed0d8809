//! The engine with a toy model: who is drawn when, and that every accepted job ends exactly once whatever happens.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Fault, STEPS, Script, Toy, config, events, options, request, toy_engine, within};
use rdpm::engine::{
    Engine, Event, JobId, MAX_COUNT, Options, Request, SEED_MAX, StartError, Status, SubmitError,
};
use rdpm::model::Settings;

fn names(events: &[(u64, Arc<Event>)]) -> Vec<String> {
    let name = |event: &Event| match event {
        Event::Queued { position } => format!("queued {position}"),
        Event::Started => "started".into(),
        Event::Step(progress) => {
            let images: Vec<String> = progress.images.iter().map(|image| image.index.to_string()).collect();
            format!("step {} of {}", progress.step, images.join(" "))
        }
        Event::Completed => "completed".into(),
        Event::Failed { .. } => "failed".into(),
        Event::Canceled => "canceled".into(),
    };
    events.iter().map(|(_, event)| name(event)).collect()
}

async fn end_of(engine: &Engine, id: JobId) -> Status {
    let events = events(engine, id).await;
    let is_end = |event: &Event| matches!(event, Event::Completed | Event::Failed { .. } | Event::Canceled);
    let ends = events.iter().filter(|(_, event)| is_end(event)).count();
    assert_eq!(ends, 1, "{:?}", names(&events));
    assert!(is_end(&events.last().unwrap().1), "{:?}", names(&events));
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

#[tokio::test]
async fn events_come_in_order_with_ids_that_count_up() {
    let (engine, _) = toy_engine(options());
    let id = engine.submit(request(7, 1)).unwrap();
    let events = events(&engine, id).await;
    let expected = ["queued 1", "started", "step 1 of 0", "step 2 of 0", "step 3 of 0", "step 4 of 0"];
    assert_eq!(names(&events)[..6], expected);
    assert_eq!(names(&events)[6..], ["step 5 of 0", "completed"]);
    assert!(events.iter().map(|(id, _)| *id).eq(1..=8));
    let job = engine.get(id).unwrap();
    assert_eq!((job.status, job.images.len(), job.last_event), (Status::Completed, 1, 8));
    let Event::Step(last) = &*events[6].1 else { panic!() };
    assert_eq!(last.images[0].clean, job.images[0].png);
    assert_eq!(image::load_from_memory(&job.images[0].png).unwrap().width(), 12);
}

#[tokio::test]
async fn images_of_a_job_step_together() {
    let (engine, _) = toy_engine(options());
    let id = engine.submit(request(1, 4)).unwrap();
    let names = names(&events(&engine, id).await);
    assert_eq!(names.len(), STEPS + 3);
    assert_eq!(names[2], "step 1 of 0 1 2 3");
    assert_eq!(engine.get(id).unwrap().images.iter().map(|image| image.index).max(), Some(3));
}

#[tokio::test]
async fn images_join_and_leave_between_steps() {
    let (engine, script) = toy_engine(options());
    script.hold();
    let first = engine.submit(request(1, 1)).unwrap();
    script.allow(2);
    let second = engine.submit(request(2, 1)).unwrap();
    script.release();
    assert_eq!(end_of(&engine, first).await, Status::Completed);
    assert_eq!(end_of(&engine, second).await, Status::Completed);

    let batches = script.batches();
    let shared: Vec<_> = batches.iter().filter(|batch| batch.len() == 2).collect();
    // The worker may have been in its third step when the second job came.
    assert!(shared.len() >= STEPS - 3, "{batches:?}");
    assert!(shared.iter().all(|batch| batch[0].2 > batch[1].2), "{batches:?}");

    let alone = engine.submit(request(2, 1)).unwrap();
    assert_eq!(tokens(&events(&engine, alone).await, 0), tokens(&events(&engine, second).await, 0));
}

#[tokio::test]
async fn one_image_is_not_stuck_behind_sixteen() {
    let (engine, script) = toy_engine(Options { max_batch: 4, ..options() });
    script.hold();
    let blocker = engine.submit(request(9, 4)).unwrap();
    script.allow(1);
    let many = engine.submit(request(1, 16)).unwrap();
    let one = engine.submit(request(2, 1)).unwrap();
    assert_eq!(engine.get(one).unwrap().position, Some(2));
    script.release();
    for id in [blocker, many, one] {
        assert_eq!(end_of(&engine, id).await, Status::Completed);
    }
    let batches = script.batches();
    let next = &batches[STEPS];
    let seeds: Vec<u64> = next.iter().map(|drawing| drawing.0).collect();
    assert_eq!(seeds.iter().filter(|&&seed| seed == 1).count(), 3, "{next:?}");
    assert_eq!(seeds.iter().filter(|&&seed| seed == 2).count(), 1, "{next:?}");
    assert!(batches.iter().all(|batch| batch.len() <= 4));
}

#[tokio::test]
async fn a_job_can_be_canceled_in_each_state() {
    let (engine, script) = toy_engine(Options { max_batch: 1, ..options() });
    script.hold();
    let running = engine.submit(request(1, 1)).unwrap();
    script.allow(2);
    let queued = engine.submit(request(2, 3)).unwrap();
    let other = engine.submit(request(3, 1)).unwrap();

    assert_eq!(engine.cancel(queued).unwrap().status, Status::Canceled);
    assert_eq!(names(&events(&engine, queued).await), ["queued 1", "canceled"]);
    assert_eq!(engine.get(other).unwrap().position, Some(1));

    assert_eq!(engine.cancel(running).unwrap().status, Status::Canceled);
    assert_eq!(end_of(&engine, running).await, Status::Canceled);
    script.release();
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
    let (engine, script) = toy_engine(Options { max_batch: 1, ..options() });
    script.hold();
    let id = engine.submit(request(1, 2)).unwrap();
    script.allow(STEPS + 1);
    assert_eq!(engine.cancel(id).unwrap().images.len(), 1);
    script.release();
}

#[tokio::test]
async fn subscribers_resume_after_any_event() {
    let (engine, script) = toy_engine(options());
    let id = engine.submit(request(1, 2)).unwrap();
    let all = events(&engine, id).await;
    for after in 0..=all.len() as u64 {
        let mut subscription = engine.subscribe(id, after).unwrap();
        assert_eq!(subscription.is_exhausted(), after == all.len() as u64);
        let mut rest = Vec::new();
        while let Some(event) = within(subscription.next()).await {
            rest.push(event);
        }
        assert_eq!(rest, all[after as usize..]);
    }
    // An id from another server's life.
    let mut subscription = engine.subscribe(id, 1_000).unwrap();
    assert_eq!(within(subscription.next()).await.unwrap().0, 1);

    // Live: one that is late, one that reads nothing until the end, one that leaves.
    script.hold();
    let id = engine.submit(request(2, 1)).unwrap();
    let mut idle = engine.subscribe(id, 0).unwrap();
    script.allow(2);
    let mut late = engine.subscribe(id, 3).unwrap();
    drop(engine.subscribe(id, 0));
    let follow = async {
        let mut ids = Vec::new();
        while let Some((id, _)) = late.next().await {
            ids.push(id);
        }
        ids
    };
    let (ids, ()) = tokio::join!(within(follow), async { script.release() });
    assert_eq!(ids, [4, 5, 6, 7, 8]);
    assert_eq!(within(idle.next()).await.unwrap().0, 1);
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let (engine, script) = toy_engine(Options { max_batch: 2, max_queue: 3, ..options() });
    script.hold();
    let running = engine.submit(request(1, 2)).unwrap();
    script.allow(1);
    let waiting = engine.submit(request(2, 2)).unwrap();
    let Err(SubmitError::Full { waiting: 2, retry_after }) = engine.submit(request(3, 2)) else { panic!() };
    assert!(retry_after >= Duration::from_secs(1));
    let fits = engine.submit(request(4, 1)).unwrap();
    engine.cancel(waiting).unwrap();
    let after = engine.submit(request(5, 2)).unwrap();
    script.release();
    for id in [running, fits, after] {
        assert_eq!(end_of(&engine, id).await, Status::Completed);
    }
    // An empty queue takes any one job.
    let large = engine.submit(request(6, 16)).unwrap();
    assert_eq!(end_of(&engine, large).await, Status::Completed);
}

#[tokio::test]
async fn a_fault_fails_its_batch_only() {
    for fault in [Fault::Error, Fault::Panic, Fault::Short] {
        let (engine, script) = toy_engine(Options { max_batch: 2, ..options() });
        script.hold();
        script.fail_steps([None, Some(fault)]);
        let first = engine.submit(request(1, 1)).unwrap();
        script.allow(1);
        let waiting = engine.submit(request(3, 2)).unwrap();
        // Has one image in the failing batch and two that wait.
        script.release();
        assert_eq!(end_of(&engine, first).await, Status::Failed);
        end_of(&engine, waiting).await;
        let after = engine.submit(request(4, 3)).unwrap();
        assert_eq!(end_of(&engine, after).await, Status::Completed);
        assert_eq!(script.loaded(), 2);
        engine.ready().unwrap();
        let detail = engine.get(first).unwrap().detail.unwrap();
        assert!(!detail.contains("secret"), "{detail}");
    }
}

#[tokio::test]
async fn repeated_faults_turn_readiness_off_until_the_model_works_again() {
    let (engine, script) = toy_engine(options());
    script.fail_steps([Some(Fault::Error)]);
    script.fail_loads([Some(Fault::Error), Some(Fault::Panic), Some(Fault::Error), Some(Fault::Error)]);
    let mut was_off = false;
    let id = engine.submit(request(1, 1)).unwrap();
    assert_eq!(end_of(&engine, id).await, Status::Failed);
    let recover = async {
        loop {
            match engine.submit(request(2, 1)) {
                Err(SubmitError::NotReady { retry_after }) => {
                    assert!(retry_after >= Duration::from_secs(1));
                    assert!(matches!(engine.ready(), Err(SubmitError::NotReady { .. }) | Ok(())));
                    was_off = true;
                }
                Err(other) => panic!("{other}"),
                Ok(id) => match end_of(&engine, id).await {
                    Status::Completed => break,
                    status => assert_eq!(status, Status::Failed),
                },
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(recover).await;
    assert!(was_off);
    engine.ready().unwrap();
    assert_eq!(script.loaded(), 6);
}

#[tokio::test]
async fn three_bad_batches_in_a_row_are_too_many() {
    let (engine, script) = toy_engine(Options { retry_delay: Duration::from_millis(50), ..options() });
    script.fail_steps([Some(Fault::Panic), Some(Fault::Panic), Some(Fault::Panic)]);
    for seed in 0..3 {
        let id = engine.submit(request(seed, 1)).unwrap();
        assert_eq!(end_of(&engine, id).await, Status::Failed);
    }
    let come_back = async {
        let mut refused = 0;
        while engine.ready().is_err() || refused == 0 {
            refused += usize::from(engine.ready().is_err());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(come_back).await;
    let id = engine.submit(request(4, 1)).unwrap();
    assert_eq!(end_of(&engine, id).await, Status::Completed);
}

#[tokio::test]
async fn shutdown_ends_every_job() {
    let (engine, script) = toy_engine(Options { max_batch: 2, ..options() });
    script.hold();
    let ids: Vec<JobId> = (0..4).map(|seed| engine.submit(request(seed, 1)).unwrap()).collect();
    script.allow(1);
    let shutdown = tokio::task::spawn_blocking({
        let engine = Arc::clone(&engine);
        move || engine.shutdown(Duration::from_millis(20))
    });
    // Clients aren't kept waiting for a step that hangs.
    for &id in &ids {
        assert_eq!(end_of(&engine, id).await, Status::Failed);
    }
    assert_eq!(engine.submit(request(9, 1)), Err(SubmitError::ShuttingDown));
    assert_eq!(engine.ready(), Err(SubmitError::ShuttingDown));
    script.release();
    within(shutdown).await.unwrap();
    assert!(!engine.is_alive());
    engine.shutdown(Duration::ZERO);
}

#[tokio::test]
async fn shutdown_lets_jobs_end_while_it_drains() {
    let (engine, _) = toy_engine(Options { max_batch: 2, ..options() });
    let ids: Vec<JobId> = (0..20).map(|seed| engine.submit(request(seed, 2)).unwrap()).collect();
    let draining = Arc::clone(&engine);
    within(tokio::task::spawn_blocking(move || draining.shutdown(Duration::from_secs(9)))).await.unwrap();
    for id in ids {
        assert_eq!(end_of(&engine, id).await, Status::Completed);
    }
}

#[tokio::test]
async fn dropping_the_engine_ends_its_jobs() {
    let (engine, script) = toy_engine(options());
    script.hold();
    let id = engine.submit(request(1, 1)).unwrap();
    let mut subscription = engine.subscribe(id, 0).unwrap();
    drop(engine);
    let mut last = None;
    while let Some((_, event)) = within(subscription.next()).await {
        last = Some(event);
    }
    assert!(matches!(*last.unwrap(), Event::Failed { .. }));
    script.release();
}

#[tokio::test]
async fn ended_jobs_are_forgotten_by_count_and_age() {
    let (engine, _) = toy_engine(Options { max_finished: 2, ..options() });
    let mut ids = Vec::new();
    for seed in 0..3 {
        ids.push(engine.submit(request(seed, 1)).unwrap());
        let mut subscription = engine.subscribe(ids[seed as usize], 0).unwrap();
        while within(subscription.next()).await.is_some() {}
    }
    let forgotten = async {
        while engine.get(ids[0]).is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(forgotten).await;
    assert!(engine.get(ids[1]).is_some() && engine.get(ids[2]).is_some());

    let (engine, _) = toy_engine(Options { retention: Duration::from_millis(50), ..options() });
    let id = engine.submit(request(1, 1)).unwrap();
    let mut subscription = engine.subscribe(id, 0).unwrap();
    while within(subscription.next()).await.is_some() {}
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(engine.get(id).is_none());
}

#[test]
fn an_engine_that_cannot_work_does_not_start() {
    let start = |fault: Fault| {
        let script = Arc::new(Script::default());
        script.fail_loads([Some(fault)]);
        Engine::start(Options::default(), move || Toy::load(&script))
    };
    assert!(matches!(start(Fault::Error), Err(StartError::Model(_))));
    let Err(StartError::Panicked(message)) = start(Fault::Panic) else { panic!() };
    assert_eq!(message, "the toy panics while it is loaded");
    let script = Arc::new(Script::default());
    let options = Options { max_batch: 0, ..Options::default() };
    assert!(matches!(
        Engine::start(options, move || Toy::load(&script)),
        Err(StartError::Option { option: "max_batch", .. })
    ));
}

#[test]
fn a_request_is_checked_when_it_is_made() {
    let settings = Settings::new(&config(), 0).unwrap();
    assert!(Request::new(settings.clone(), SEED_MAX + 1).is_err());
    let request = Request::new(settings, SEED_MAX).unwrap();
    assert!(request.clone().with_count(0).is_err());
    assert!(request.clone().with_count(u64::MAX).is_err());
    assert_eq!(request.with_count(16).unwrap().count(), MAX_COUNT);
}

/// Random submits, cancels and faults: every accepted job ends exactly once, and completed ones are whole.
#[tokio::test]
async fn every_job_ends_exactly_once() {
    let (engine, script) = toy_engine(Options { max_batch: 3, max_queue: 40, ..options() });
    let mut random = 12_345_u64;
    let mut dice = |sides: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % sides
    };
    let mut ids: Vec<JobId> = Vec::new();
    let submit_all = async {
        while ids.len() < 200 {
            match engine.submit(request(ids.len() as u64, 1 + dice(5))) {
                Ok(id) => ids.push(id),
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                }
            }
            match dice(20) {
                0 => {
                    // One of the newest, which hasn't ended yet.
                    let newest = ids.len() - 1;
                    engine.cancel(ids[newest.saturating_sub(dice(3) as usize)]).unwrap();
                }
                1 => {
                    let fault = [Fault::Error, Fault::Panic, Fault::Short][dice(3) as usize];
                    script.fail_steps(std::iter::repeat_n(None, 12).chain([Some(fault)]));
                }
                2 => script.fail_loads([Some(Fault::Error)]),
                3 => tokio::time::sleep(Duration::from_millis(2)).await,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), submit_all).await.unwrap();
    let (mut completed, mut failed, mut canceled) = (0, 0, 0);
    for &id in &ids {
        match end_of(&engine, id).await {
            Status::Completed => {
                completed += 1;
                let job = engine.get(id).unwrap();
                assert_eq!(job.images.len(), job.request.count() as usize);
            }
            Status::Failed => failed += 1,
            Status::Canceled => canceled += 1,
            live => panic!("{live:?}"),
        }
    }
    let ends = format!("{completed} completed, {failed} failed, {canceled} canceled");
    assert!(completed > 0 && failed > 0 && canceled > 0, "{ends}");
}
