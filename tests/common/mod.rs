//! Helpers for the tests of the engine and the API: a fake backend that a test controls, and a real server on a free port.
#![allow(dead_code, unused_imports)] // Each test program uses its own part.

mod fake_backend;
mod script;
mod server;

use std::sync::Arc;
use std::time::Duration;

use rdpm::engine::{Engine, Event, JobId, Options, Request, StartError};
use rdpm::model::{Config, SamplingSettings};
use serde_json::json;

pub use fake_backend::{FakeBackend, FakeLoader};
pub use script::{Fault, Script};
pub use server::{Message, Server, fields, problem};

/// T of [`config`].
pub const STEPS: usize = 5;

/// A small configuration: three classes, 3 × 3 tokens of 8 codes, 12 × 12 pixels.
pub fn config() -> Config {
    serde_json::from_value(json!({
        "format_version": 1,
        "name": "toy",
        "title": "Toy",
        "image": {"size": 12, "channels": 1},
        "latent": {"grid": 3, "channels": 2},
        "trajectory": {"codes": 8, "schedule": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]},
        "tokenizer": {"widths": [8, 8], "blocks": [1, 1]},
        "denoiser": {"width": 8, "layers": 1, "heads": 1},
        "classes": ["Circle", "Square", "Ankle boot"],
        "sampling": {"guidance": 2.0, "temperature": 0.9},
    }))
    .unwrap()
}

/// A second model whose shapes all differ: two classes, three steps of 2 × 2 tokens of 4 codes, 8 × 8 pixels in colour.
pub fn other_config() -> Config {
    serde_json::from_value(json!({
        "format_version": 1,
        "name": "other",
        "title": "The other",
        "image": {"size": 8, "channels": 3},
        "latent": {"grid": 2, "channels": 3},
        "trajectory": {"codes": 4, "schedule": [0.0, 0.1, 0.5, 1.0]},
        "tokenizer": {"widths": [8, 8], "blocks": [1, 1]},
        "denoiser": {"width": 8, "layers": 1, "heads": 1},
        "classes": ["Sun", "Moon"],
        "sampling": {"guidance": 3.0, "temperature": 0.8},
    }))
    .unwrap()
}

/// A request for `count` images of class 0 of the model of [`config`].
pub fn request(engine: &Engine, seed: u64, count: u64) -> Request {
    request_for(engine, "toy", seed, count)
}

/// A request for `count` images of class 0 of the model of this name.
pub fn request_for(engine: &Engine, model: &str, seed: u64, count: u64) -> Request {
    let model = engine.model(model).unwrap();
    let settings = SamplingSettings::new(&model.config, 0).unwrap();
    Request::new(model, settings, seed).unwrap().with_count(count).unwrap()
}

/// An engine with one fake model, and its script.
pub fn fake_engine(options: Options) -> (Arc<Engine>, Arc<Script>) {
    let script = Arc::new(Script::default());
    let engine = engine_with(options, vec![(config(), Arc::clone(&script))]).unwrap();
    (Arc::new(engine), script)
}

/// An engine with the fake models of [`config`] and [`other_config`] on one device, and their scripts.
pub fn two_model_engine(options: Options) -> (Arc<Engine>, [Arc<Script>; 2]) {
    let scripts = [Arc::new(Script::default()), Arc::new(Script::default())];
    let models = [config(), other_config()].into_iter().zip(scripts.iter().cloned()).collect();
    (Arc::new(engine_with(options, models).unwrap()), scripts)
}

/// An engine with these fake models on one device.
pub fn engine_with(options: Options, models: Vec<(Config, Arc<Script>)>) -> Result<Engine, StartError> {
    Engine::start(options, FakeLoader::infos(&models), vec![FakeLoader { device: "toy".into(), models }])
}

/// The default options with a short retry delay.
pub fn options() -> Options {
    Options { retry_delay: Duration::from_millis(5), ..Options::default() }
}

/// All events of a job, which must end.
pub async fn events(engine: &Engine, id: JobId) -> Vec<(u64, Arc<Event>)> {
    let mut subscription = engine.subscribe(id, 0).expect("a job");
    let mut events = Vec::new();
    while let Some(event) = with_timeout(subscription.next()).await {
        events.push(event);
    }
    events
}

/// Awaits a future and panics after a minute. Nothing in the tests takes that long unless it hangs.
pub async fn with_timeout<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("a result within a minute")
}
