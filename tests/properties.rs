//! Random sequences of everything that can happen to the engine: every accepted job comes to exactly one end, none is
//! lost, and memory returns to its base.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Fault, STEPS, events, fake_engine, options, request, with_timeout};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rdpm::engine::{Engine, Event, JobId, Options, Status, Subscription};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Sequences before the memory is measured for the first time, and after that.
const WARM_UP: u32 = 16;
const CASES: u32 = 400;
/// One job that leaks in each sequence would be more.
const MARGIN: usize = 50_000;

#[derive(Debug, Clone)]
enum Action {
    Submit {
        count: u64,
        previews: bool,
        cancel_on_disconnect: bool,
    },
    Cancel(usize),
    Subscribe {
        job: usize,
        after: u64,
    },
    /// Reads what is there, at most so many events.
    Read {
        reader: usize,
        events: usize,
    },
    Leave(usize),
    /// Steps wait from now on, or no longer.
    Hold(bool),
    /// A later step fails.
    Fault {
        fault: Fault,
        after: usize,
    },
    /// The next attempt to load the model fails.
    FailLoad,
    Rest(u64),
}

fn action() -> impl Strategy<Value = Action> {
    let fault = prop_oneof![
        Just(Fault::Error),
        Just(Fault::Panic),
        Just(Fault::TooFewResults),
        Just(Fault::OutOfMemory)
    ];
    prop_oneof![
        6 => (1..=16u64, any::<bool>(), any::<bool>()).prop_map(|(count, previews, cancel_on_disconnect)| {
            Action::Submit { count, previews, cancel_on_disconnect }
        }),
        2 => any::<usize>().prop_map(Action::Cancel),
        4 => (any::<usize>(), 0..20u64).prop_map(|(job, after)| Action::Subscribe { job, after }),
        4 => (any::<usize>(), 1..10usize).prop_map(|(reader, events)| Action::Read { reader, events }),
        3 => any::<usize>().prop_map(Action::Leave),
        2 => any::<bool>().prop_map(Action::Hold),
        1 => (fault, 0..20usize).prop_map(|(fault, after)| Action::Fault { fault, after }),
        1 => Just(Action::FailLoad),
        2 => (0..4u64).prop_map(Action::Rest),
    ]
}

/// What was done so far, to judge the outcome by.
#[derive(Default)]
struct Done {
    jobs: Vec<JobId>,
    canceled: Vec<JobId>,
    leavable: Vec<JobId>,
    faults: bool,
    readers: Vec<(JobId, Subscription, u64)>,
}

async fn run(actions: Vec<Action>) {
    let limits = Options { max_batch: 4, max_queue: 40, disconnect_grace: Duration::ZERO, ..options() };
    let (engine, script) = fake_engine(limits);
    let mut done = Done::default();
    for action in actions {
        match action {
            Action::Submit { count, previews, cancel_on_disconnect } => {
                let request = request(1 + done.jobs.len() as u64, count).with_previews(previews);
                if let Ok(id) = engine.submit(request.with_cancel_on_disconnect(cancel_on_disconnect)) {
                    done.jobs.push(id);
                    if cancel_on_disconnect {
                        done.leavable.push(id);
                    }
                }
            }
            Action::Cancel(job) if !done.jobs.is_empty() => {
                let id = done.jobs[job % done.jobs.len()];
                assert!(engine.cancel(id).unwrap().status.is_end());
                done.canceled.push(id);
            }
            Action::Subscribe { job, after } if !done.jobs.is_empty() => {
                let id = done.jobs[job % done.jobs.len()];
                // A number that isn't there yet means the beginning.
                let start = if after <= engine.get(id).unwrap().last_event { after } else { 0 };
                let subscription = engine.subscribe(id, after).unwrap();
                done.readers.push((id, subscription, start));
            }
            Action::Read { reader, events } if !done.readers.is_empty() => {
                let at = reader % done.readers.len();
                let (_, subscription, last) = &mut done.readers[at];
                for _ in 0..events {
                    let next = tokio::time::timeout(Duration::from_millis(1), subscription.next()).await;
                    let Ok(Some((number, _))) = next else { break };
                    // Between `get` and `subscribe` the log may have grown to the number asked for.
                    assert!(number == *last + 1 || *last == 0, "{number} after {last}");
                    *last = number;
                }
            }
            Action::Leave(reader) if !done.readers.is_empty() => {
                let at = reader % done.readers.len();
                drop(done.readers.swap_remove(at));
            }
            Action::Hold(true) => script.pause(),
            Action::Hold(false) => script.resume(),
            Action::Fault { fault, after } => {
                done.faults = true;
                script.fail_steps(std::iter::repeat_n(None, after).chain([Some(fault)]));
            }
            Action::FailLoad => script.fail_loads([Some(Fault::Error)]),
            Action::Rest(milliseconds) => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
            _ => {}
        }
    }
    script.resume();
    judge(&engine, &done).await;
    done.readers.clear();
    with_timeout(tokio::task::spawn_blocking(move || engine.shutdown(Duration::ZERO))).await.unwrap();
}

async fn judge(engine: &Engine, done: &Done) {
    for &id in &done.jobs {
        let events = events(engine, id).await;
        let job = engine.get(id).unwrap();
        assert!(events.iter().map(|(number, _)| *number).eq(1..=events.len() as u64));
        let ends = events.iter().filter(|(_, event)| {
            matches!(**event, Event::Completed | Event::Failed { .. } | Event::Canceled)
        });
        assert_eq!(ends.count(), 1);
        let may_be_canceled = done.canceled.contains(&id) || done.leavable.contains(&id);
        match job.status {
            Status::Completed => {
                assert_eq!(job.images.len(), job.request.count() as usize);
                for index in 0..job.request.count() {
                    assert_eq!(steps_of(&events, index), (1..=STEPS).collect::<Vec<_>>());
                }
            }
            Status::Canceled => assert!(may_be_canceled),
            Status::Failed => assert!(done.faults),
            live => panic!("{live:?}"),
        }
    }
    // The worker learns only in its next turn that the last job has been canceled.
    let at_rest = async {
        while gauges(engine) != [0, 0, 0, done.jobs.len()] {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), at_rest)
        .await
        .unwrap_or_else(|_| panic!("{:?}", gauges(engine)));
}

fn steps_of(events: &[(u64, Arc<Event>)], index: u32) -> Vec<usize> {
    let step = |event: &Event| match event {
        Event::Step(progress) => {
            progress.images.iter().any(|image| image.index == index).then_some(progress.step)
        }
        _ => None,
    };
    events.iter().filter_map(|(_, event)| step(event)).collect()
}

/// Images waiting, images in slots, jobs that live, jobs that have ended.
fn gauges(engine: &Engine) -> [usize; 4] {
    let mut registry = Registry::default();
    engine.register_metrics(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    ["queue_images ", "slots_in_use{device=\"toy\"} ", "live_jobs ", "ended_jobs "]
        .map(|name| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap())
}

#[test]
fn every_job_comes_to_one_end_and_memory_to_its_base() {
    let _profiler = dhat::Profiler::builder().testing().build();
    // A worker outlives a panic as it does a scripted fault, which asks no hook; what asks one is a mistake.
    let panics = Arc::new(AtomicUsize::new(0));
    let (counter, report) = (Arc::clone(&panics), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        counter.fetch_add(1, Ordering::Relaxed);
        report(panic);
    }));
    let mut memory = [0; 2];
    for (cases, bytes) in [WARM_UP, CASES].into_iter().zip(&mut memory) {
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let sequences = prop::collection::vec(action(), 1..60);
        TestRunner::new(config)
            .run(&sequences, |actions| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(run(actions));
                prop_assert_eq!(panics.swap(0, Ordering::Relaxed), 0);
                Ok(())
            })
            .unwrap();
        *bytes = dhat::HeapStats::get().curr_bytes;
    }
    // Threads that made an engine's files end soon after it, but it doesn't wait for them.
    let patience = Instant::now() + Duration::from_secs(60);
    while memory[1] >= memory[0] + MARGIN && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(5));
        memory[1] = dhat::HeapStats::get().curr_bytes;
    }
    assert!(memory[1] < memory[0] + MARGIN, "{memory:?} bytes");
}
