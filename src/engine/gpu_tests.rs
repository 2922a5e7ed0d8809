//! Recovery from a lost GPU, with real models on a real device.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Engine, FolderLoader, JobId, ModelInfo, Options, Request, Status};
use crate::model::{ComputeDevice, SamplingSettings, open_device};

/// Two small models of `tests/fixtures`.
const NAMES: [&str; 2] = ["words", "eighth"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn submit(engine: &Engine, model: &str) -> JobId {
    let model = engine.models().iter().find(|handle| handle.config.name == model).unwrap();
    let settings = SamplingSettings::new(&model.config, 0).unwrap();
    engine.submit(Request::new(model, settings, 1).unwrap().with_count(2).unwrap()).unwrap()
}

fn end(engine: &Engine, id: JobId) -> Status {
    let limit = Instant::now() + Duration::from_secs(120);
    while Instant::now() < limit {
        let status = engine.get(id).unwrap().status;
        if matches!(status, Status::Completed | Status::Failed | Status::Canceled) {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the job didn't end");
}

/// Destroys the device that the engine's models share.
fn lose_device() {
    match open_device("gpu").unwrap() {
        ComputeDevice::Gpu(gpu) => gpu.destroy(),
        ComputeDevice::Candle(_) => panic!("not a GPU"),
    }
}

#[test]
fn a_lost_gpu_fails_the_jobs_in_the_batch_and_is_opened_again() {
    if let Err(error) = open_device("gpu") {
        panic!("{error}. This test needs a Vulkan device: apt-get install mesa-vulkan-drivers");
    }
    let models: Vec<ModelInfo> = NAMES.iter().map(|name| ModelInfo::read(&folder(name)).unwrap()).collect();
    let loader = FolderLoader::new(NAMES.map(|name| (name.to_owned(), folder(name))), "gpu");
    let options = Options { max_batch: 4, ..Options::default() };
    let engine = Engine::start(options, models, vec![loader]).unwrap();
    assert!(engine.devices()[0].starts_with("gpu:"), "{:?}", engine.devices());
    for name in NAMES {
        assert_eq!(end(&engine, submit(&engine, name)), Status::Completed, "{name}");
    }
    for _ in 0..2 {
        lose_device();
        // Each model fails once, and is then on the new device.
        for name in NAMES {
            assert_eq!(end(&engine, submit(&engine, name)), Status::Failed, "{name}");
        }
        for name in NAMES {
            assert_eq!(end(&engine, submit(&engine, name)), Status::Completed, "{name}");
        }
        engine.ready().unwrap();
    }
}
