//! Which images share a batch, and the events of their steps.

use std::sync::Arc;

use rdpm::engine::{Batching, ClientId, Engine, Event, JobId, Options, Status};

use super::common::{FakeLoader, STEPS, Script, config, events, fake_engine, options, request};
use super::{event_names, final_status, tokens};

/// An engine with one worker, on a device of this name.
fn engine_on(device: &str, options: Options) -> (Engine, Arc<Script>) {
    let script = Arc::new(Script::default());
    let loader = FakeLoader { device: device.into(), models: vec![(config(), Arc::clone(&script))] };
    let engine = Engine::start(options, FakeLoader::infos(&loader.models), vec![loader]).unwrap();
    (engine, script)
}

/// Submits a job of a client.
fn submit_of(engine: &Engine, client: &str, seed: u64, count: u64) -> JobId {
    engine.submit(request(engine, seed, count).with_client(Some(ClientId::new(client)))).unwrap()
}

#[tokio::test]
async fn events_are_ordered_and_numbered_from_one() {
    let (engine, _) = fake_engine(options());
    let id = engine.submit(request(&engine, 7, 1)).unwrap();
    let events = events(&engine, id).await;
    let expected = ["queued 1", "started", "step 1 of 0", "step 2 of 0", "step 3 of 0", "step 4 of 0"];
    assert_eq!(event_names(&events)[..6], expected);
    assert_eq!(event_names(&events)[6..], ["step 5 of 0", "completed"]);
    assert!(events.iter().map(|(id, _)| *id).eq(1..=8));
    let job = engine.get(id).unwrap();
    assert_eq!((job.status, job.images.len(), job.last_event), (Status::Completed, 1, 8));
    let Event::Step(last) = &*events[6].1 else { panic!() };
    assert_eq!(last.images[0].preview.as_ref().unwrap().clean, job.images[0].png);
    assert_eq!(image::load_from_memory(&job.images[0].png).unwrap().width(), 12);
}

#[tokio::test]
async fn images_of_a_job_share_step_events() {
    let (engine, _) = fake_engine(options());
    let id = engine.submit(request(&engine, 1, 4)).unwrap();
    let names = event_names(&events(&engine, id).await);
    assert_eq!(names.len(), STEPS + 3);
    assert_eq!(names[2], "step 1 of 0 1 2 3");
    assert_eq!(engine.get(id).unwrap().images.iter().map(|image| image.index).max(), Some(3));
}

#[tokio::test]
async fn images_join_and_leave_between_steps() {
    let (engine, script) = fake_engine(options());
    script.pause();
    let first = engine.submit(request(&engine, 1, 1)).unwrap();
    script.run_steps(2);
    let second = engine.submit(request(&engine, 2, 1)).unwrap();
    script.resume();
    assert_eq!(final_status(&engine, first).await, Status::Completed);
    assert_eq!(final_status(&engine, second).await, Status::Completed);

    let batches = script.batches();
    let shared: Vec<_> = batches.iter().filter(|batch| batch.len() == 2).collect();
    // The worker may have been in its third step when the second job came.
    assert!(shared.len() >= STEPS - 3, "{batches:?}");
    assert!(shared.iter().all(|batch| batch[0].2 > batch[1].2), "{batches:?}");

    let alone = engine.submit(request(&engine, 2, 1)).unwrap();
    assert_eq!(tokens(&events(&engine, alone).await, 0), tokens(&events(&engine, second).await, 0));
}

#[tokio::test]
async fn a_job_of_one_image_does_not_wait_behind_a_job_of_sixteen() {
    let (engine, script) = fake_engine(Options { max_batch: 4, ..options() });
    script.pause();
    let blocker = engine.submit(request(&engine, 9, 4)).unwrap();
    script.run_steps(1);
    let many = engine.submit(request(&engine, 1, 16)).unwrap();
    let one = engine.submit(request(&engine, 2, 1)).unwrap();
    assert_eq!(engine.get(one).unwrap().queue_position.map(|queued| queued.position), Some(2));
    script.resume();
    for id in [blocker, many, one] {
        assert_eq!(final_status(&engine, id).await, Status::Completed);
    }
    let batches = script.batches();
    let next = &batches[STEPS];
    let seeds: Vec<u64> = next.iter().map(|image| image.0).collect();
    assert_eq!(seeds.iter().filter(|&&seed| seed == 1).count(), 3, "{next:?}");
    assert_eq!(seeds.iter().filter(|&&seed| seed == 2).count(), 1, "{next:?}");
    assert!(batches.iter().all(|batch| batch.len() <= 4));
}

#[tokio::test]
async fn a_client_does_not_wait_behind_the_jobs_of_another() {
    let (engine, script) = fake_engine(Options { max_batch: 4, ..options() });
    let of_client = |name: &str, member: &str, seed: u64, count: u64| {
        let client = ClientId::new(name).with_member(member);
        request(&engine, seed, count).with_client(Some(client))
    };
    script.pause();
    let mut jobs = vec![engine.submit(of_client("one", "0", 1, 4)).unwrap()];
    script.run_steps(1);
    // Members of a group share its part.
    for job in 0..10 {
        jobs.push(engine.submit(of_client("one", &job.to_string(), 10 + job, 1)).unwrap());
    }
    let other = engine.submit(of_client("other", "0", 2, 3)).unwrap();
    let last = engine.submit(of_client("other", "0", 3, 1)).unwrap();
    let position = |id| engine.get(id).unwrap().queue_position.map(|queued| queued.position);
    assert_eq!(position(other), Some(1));
    // The first job of the client with four images in batches comes when the other has as many.
    assert_eq!((position(last), position(jobs[1]), position(jobs[10])), (Some(2), Some(3), Some(12)));
    script.resume();
    for id in jobs.into_iter().chain([other, last]) {
        assert_eq!(final_status(&engine, id).await, Status::Completed);
    }
    // The other client starts before the first job's images are done. Then the clients share the batch.
    let batches = script.batches();
    let has = |batch: &[(u64, u32, usize)], seed| batch.iter().any(|image| image.0 == seed);
    let last = batches.iter().rposition(|batch| has(batch, 1)).unwrap();
    assert!(batches[..=last].iter().any(|batch| has(batch, 2)), "{batches:?}");
    let mut next: Vec<u64> = batches[last + 1].iter().map(|image| image.0).collect();
    next.sort_unstable();
    assert_eq!(next, [2, 3, 10, 11]);
    assert!(batches.iter().all(|batch| batch.len() <= 4), "{batches:?}");
}

#[tokio::test]
async fn on_a_processor_clients_have_the_same_share_of_each_step() {
    for (device, share) in [("cpu", 2), ("toy", 7)] {
        let (engine, script) = engine_on(device, options());
        script.pause();
        let many = submit_of(&engine, "one", 1, 7);
        script.run_steps(1);
        let one = submit_of(&engine, "other", 2, 1);
        script.resume();
        for id in [many, one] {
            assert_eq!(final_status(&engine, id).await, Status::Completed);
        }
        let batches = script.batches();
        let count = |batch: &[(u64, u32, usize)], seed| batch.iter().filter(|image| image.0 == seed).count();
        let shared: Vec<_> = batches.iter().filter(|batch| count(batch, 2) == 1).collect();
        assert_eq!(shared.len(), STEPS, "{batches:?}");
        // The worker may have been in its second step of seven when the other client came.
        let others = shared.iter().filter(|batch| count(batch, 1) == share).count();
        assert!(others >= STEPS - 2, "{device}: {batches:?}");
        // All images take turns, and each takes all its steps in order.
        for index in 0..7 {
            let steps: Vec<usize> = batches
                .iter()
                .flatten()
                .filter(|image| (image.0, image.1) == (1, index))
                .map(|image| image.2)
                .collect();
            assert!(steps.iter().copied().eq(steps[0]..steps[0] + STEPS), "{steps:?}");
        }
        // The same images as alone.
        let alone = engine.submit(request(&engine, 1, 7)).unwrap();
        let (alone, many) = (events(&engine, alone).await, events(&engine, many).await);
        for index in 0..7 {
            assert_eq!(tokens(&alone, index), tokens(&many, index));
        }
    }
}

#[tokio::test]
async fn on_a_processor_a_share_is_that_of_the_client_with_the_fewest_images() {
    let (engine, script) = engine_on("cpu", options());
    let submit = |name: &str, seed, count| submit_of(&engine, name, seed, count);
    script.pause();
    let blocker = submit("first", 9, 1);
    script.run_steps(1);
    let jobs = [blocker, submit("one", 1, 8), submit("other", 2, 5)];
    script.resume();
    for id in jobs {
        assert_eq!(final_status(&engine, id).await, Status::Completed);
    }
    // Beside the single image two of the others together; without it five of each.
    let batches = script.batches();
    let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
    assert_eq!(batches[0].len(), 1);
    let with_single = batches.iter().filter(|batch| batch.iter().any(|image| image.0 == 9));
    // The worker may have been in its second step when the others came.
    assert!(with_single.filter(|batch| batch.len() == 3).count() >= STEPS - 2, "{sizes:?}");
    assert!(sizes.contains(&10), "{sizes:?}");
    // Both of the others advance beside it.
    assert!([1, 2].iter().all(|seed| batches[..STEPS].iter().flatten().any(|image| image.0 == *seed)));
}

#[tokio::test]
async fn on_a_processor_clients_with_many_images_share_a_quarter_of_each_step() {
    let (engine, script) = engine_on("cpu", options());
    let submit = |name: &str, seed, count| submit_of(&engine, name, seed, count);
    script.pause();
    let mut jobs = vec![submit("first", 99, 1)];
    script.run_steps(1);
    // Of many clients with many images.
    jobs.extend((0..3).map(|client| submit(&format!("many {client}"), 10 + client, 4)));
    jobs.extend((0..9).map(|client| submit(&format!("one {client}"), 20 + client, 1)));
    script.resume();
    for id in jobs {
        assert_eq!(final_status(&engine, id).await, Status::Completed);
    }
    let batches = script.batches();
    let of_many = |batch: &Vec<(u64, u32, usize)>| batch.iter().filter(|image| image.0 < 20).count();
    // The first client's image has a step less to take.
    let counts: Vec<_> = batches.iter().map(|batch| (batch.len() - of_many(batch), of_many(batch))).collect();
    assert!(counts.iter().filter(|&&count| matches!(count, (9..=10, 3))).count() >= STEPS - 2, "{counts:?}");
    assert!(counts.iter().all(|&(few, many)| few == 0 || many <= 3), "{counts:?}");
}

#[tokio::test]
async fn on_a_processor_waiting_images_count_as_a_clients_images() {
    let (engine, script) = engine_on("cpu", Options { max_batch: 4, ..options() });
    let submit = |name: &str, seed, count| submit_of(&engine, name, seed, count);
    script.pause();
    let mut jobs = vec![submit("first", 99, 1)];
    script.run_steps(1);
    // One image of each is on the device, and seven wait.
    jobs.extend((0..4).map(|client| submit(&format!("many {client}"), client, 8)));
    jobs.push(submit("one", 50, 1));
    script.resume();
    for id in jobs {
        assert_eq!(final_status(&engine, id).await, Status::Completed);
    }
    let batches = script.batches();
    let of_one = batches.iter().filter(|batch| batch.iter().any(|image| image.0 == 50));
    let of_many = of_one.map(|batch| batch.iter().filter(|image| image.0 < 4).count());
    assert!(of_many.clone().all(|many| many == 2), "{batches:?}");
    assert_eq!(of_many.count(), STEPS);
}

#[tokio::test]
async fn static_batching_runs_whole_jobs() {
    let (engine, script) = fake_engine(Options { max_batch: 4, batching: Batching::Static, ..options() });
    script.pause();
    let first = engine.submit(request(&engine, 1, 2)).unwrap();
    script.run_steps(1);
    let second = engine.submit(request(&engine, 2, 3)).unwrap();
    let third = engine.submit(request(&engine, 3, 2)).unwrap();
    script.resume();
    for id in [first, second, third] {
        assert_eq!(final_status(&engine, id).await, Status::Completed);
    }
    // Nothing joins the first job, and the third doesn't fit beside the second.
    let sizes: Vec<usize> = script.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [[2; STEPS], [3; STEPS], [2; STEPS]].concat());
}

#[tokio::test]
async fn previews_are_decoded_only_for_requests_with_previews() {
    let (engine, script) = fake_engine(options());
    script.pause();
    let without = engine.submit(request(&engine, 1, 2).with_previews(false)).unwrap();
    script.run_steps(2);
    let with = engine.submit(request(&engine, 2, 1)).unwrap();
    script.resume();
    for (id, wanted) in [(without, false), (with, true)] {
        assert_eq!(final_status(&engine, id).await, Status::Completed);
        for (_, event) in events(&engine, id).await {
            if let Event::Step(progress) = &*event {
                assert!(
                    progress.images.iter().all(|image| image.preview.is_some() == wanted),
                    "{progress:?}"
                );
            }
        }
    }
    // After the last step the image is the preview.
    assert_eq!(script.previews(), STEPS - 1);
}
