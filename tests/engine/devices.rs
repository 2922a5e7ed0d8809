//! Several devices: one worker each, one queue.

use std::sync::Arc;
use std::time::Duration;

use rdpm::engine::{Engine, Options, StartError, Status};
use rdpm::model::Config;

use super::common::{FakeLoader, Fault, Script, config, options, request, with_timeout};
use super::{final_status, wait_until};

/// An engine with one fake model on two devices, each with its own script.
fn two_device_engine(options: Options) -> (Engine, [Arc<Script>; 2]) {
    let scripts = [Arc::new(Script::default()), Arc::new(Script::default())];
    let loader = |number: usize| FakeLoader {
        device: format!("toy:{number}"),
        models: vec![(config(), Arc::clone(&scripts[number]))],
    };
    let loaders = vec![loader(0), loader(1)];
    (Engine::start(options, FakeLoader::infos(&loaders[0].models), loaders).unwrap(), scripts)
}

#[tokio::test]
async fn devices_share_the_work_evenly() {
    let (engine, scripts) = two_device_engine(options());
    assert_eq!(engine.devices(), ["toy:0", "toy:1"]);
    scripts.iter().for_each(|script| script.pause());
    let id = engine.submit(request(&engine, 1, 6)).unwrap();
    scripts.iter().for_each(|script| script.run_steps(1));
    for script in &scripts {
        assert_eq!(script.batches()[0].len(), 3);
        script.resume();
    }
    assert_eq!(final_status(&engine, id).await, Status::Completed);
    assert_eq!(engine.get(id).unwrap().images.len(), 6);
}

#[tokio::test]
async fn a_fault_on_one_device_does_not_affect_the_other() {
    let (engine, scripts) = two_device_engine(Options { max_failures: 1, ..options() });
    // The model never recovers on the first device.
    scripts[0].fail_loads(std::iter::repeat_n(Some(Fault::Error), 100_000));
    scripts[0].fail_steps([Some(Fault::Panic)]);
    scripts.iter().for_each(|script| script.pause());
    let first = engine.submit(request(&engine, 1, 1)).unwrap();
    let second = engine.submit(request(&engine, 2, 1)).unwrap();
    scripts.iter().for_each(|script| script.permit_steps(1));
    wait_until(|| scripts.iter().all(|script| !script.batches().is_empty())).await;
    let mut ends = [first, second].map(|id| (id, Status::Queued));
    scripts.iter().for_each(|script| script.resume());
    for (id, end) in &mut ends {
        *end = final_status(&engine, *id).await;
    }
    // Which job was on which device depends on the threads.
    let count = |status: Status| ends.iter().filter(|(_, end)| *end == status).count();
    assert_eq!((count(Status::Failed), count(Status::Completed)), (1, 1), "{ends:?}");

    let unavailable = async {
        while scripts[0].load_attempts() < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    with_timeout(unavailable).await;
    engine.ready().unwrap();
    assert!(engine.is_alive());
    let id = engine.submit(request(&engine, 3, 16)).unwrap();
    assert_eq!(final_status(&engine, id).await, Status::Completed);
    engine.shutdown(Duration::ZERO);
}

#[test]
fn a_loaded_model_must_have_the_configuration_that_is_served() {
    let described = vec![(config(), Arc::new(Script::default()))];
    let retitled = Config { title: "Another".into(), ..config() };
    let loader = |config| FakeLoader { device: "toy".into(), models: vec![(config, Arc::default())] };
    let start = |loaders| Engine::start(options(), FakeLoader::infos(&described), loaders);
    let started = start(vec![loader(config()), loader(retitled)]);
    let Err(StartError::InvalidBackend(reason)) = started else { panic!("{started:?}") };
    assert_eq!(reason, "the configuration on disk is not the one being served");
    let Err(StartError::Option { option: "devices", .. }) = start(Vec::new()) else { panic!() };
}
