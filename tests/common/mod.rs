//! Helpers for the tests of the engine and the API: a model that does as it is told, and a real server on a free port.
#![allow(dead_code)] // Each test program uses its own part.

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use image::{DynamicImage, GrayImage, Luma};
use parking_lot::{Condvar, Mutex};
use rdpm::engine::{Backend, Engine, Event, JobId, ModelInfo, Options, Request};
use rdpm::model::{Config, ModelError, Preview, Settings, Step};
use rdpm::web::{self, ClassPictures};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

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

/// A request for `count` images of class 0.
pub fn request(seed: u64, count: u64) -> Request {
    let settings = Settings::new(&config(), 0).unwrap();
    Request::new(settings, seed).unwrap().with_count(count).unwrap()
}

/// What goes wrong in a step.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    Error,
    Panic,
    /// Fewer results than drawings.
    Short,
}

/// What the toy does: shared between a test and the backends that its factory makes.
#[derive(Default)]
pub struct Script {
    state: Mutex<ScriptState>,
    changed: Condvar,
}

#[derive(Default)]
struct ScriptState {
    /// Steps that may be taken; `None` is any number.
    permits: Option<usize>,
    /// What happens in the next steps; nothing in those after.
    faults: VecDeque<Option<Fault>>,
    /// What happens in the next loads.
    loads: VecDeque<Option<Fault>>,
    /// Loads tried.
    loaded: usize,
    /// For each step taken, the (seed, index, timestep) of its drawings.
    batches: Vec<Vec<(u64, u32, usize)>>,
}

impl Script {
    /// Steps wait for [`Script::allow`].
    pub fn hold(&self) {
        self.state.lock().permits = Some(0);
    }

    /// Lets `steps` more steps happen and waits until they have.
    pub fn allow(&self, steps: usize) {
        let mut state = self.state.lock();
        let until = state.batches.len() + steps;
        state.permits = Some(steps);
        self.changed.notify_all();
        self.changed.wait_while(&mut state, |state| state.batches.len() < until);
    }

    /// Steps don't wait any more.
    pub fn release(&self) {
        self.state.lock().permits = None;
        self.changed.notify_all();
    }

    pub fn fail_steps(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.state.lock().faults.extend(faults);
    }

    pub fn fail_loads(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.state.lock().loads.extend(faults);
    }

    pub fn loaded(&self) -> usize {
        self.state.lock().loaded
    }

    pub fn batches(&self) -> Vec<Vec<(u64, u32, usize)>> {
        self.state.lock().batches.clone()
    }
}

/// A [`Backend`] whose tokens are a function of (class, seed, index, step) and which follows a [`Script`].
pub struct Toy {
    script: Arc<Script>,
    /// Whether the trial step after a load was taken; it is no part of the script.
    tried: Cell<bool>,
}

pub struct ToyDrawing {
    class: usize,
    seed: u64,
    index: u32,
    step: usize,
}

impl Toy {
    pub fn load(script: &Arc<Script>) -> Result<Self, ModelError> {
        let mut state = script.state.lock();
        state.loaded += 1;
        let fault = state.loads.pop_front().flatten();
        drop(state);
        match fault {
            None => Ok(Self { script: Arc::clone(script), tried: Cell::new(false) }),
            Some(Fault::Panic) => panic("the toy panics while it is loaded"),
            Some(_) => Err(ModelError::Image("the toy's secret: it can't be loaded".into())),
        }
    }
}

impl Backend for Toy {
    type Drawing = ToyDrawing;

    fn info(&self) -> ModelInfo {
        let palette = (0..8).map(|code| format!("#{code}0{code}0{code}0")).collect();
        ModelInfo { config: config(), palette, parameters: 1234, device: "toy".into() }
    }

    fn start(&self, settings: &Settings, seed: u64, index: u32) -> ToyDrawing {
        ToyDrawing { class: settings.class(), seed, index, step: 0 }
    }

    fn step(&self, drawings: &mut [&mut ToyDrawing]) -> Result<Vec<Step>, ModelError> {
        let mut fault = None;
        if self.tried.replace(true) {
            let mut state = self.script.state.lock();
            self.script.changed.wait_while(&mut state, |state| state.permits == Some(0));
            state.permits = state.permits.map(|permits| permits - 1);
            fault = state.faults.pop_front().flatten();
            let batch = drawings.iter().map(|drawing| (drawing.seed, drawing.index, drawing.step + 1));
            let batch = batch.collect();
            state.batches.push(batch);
            self.script.changed.notify_all();
        }
        match fault {
            Some(Fault::Error) => return Err(ModelError::Image("the toy's secret: out of paint".into())),
            Some(Fault::Panic) => panic("the toy's secret: it panics"),
            Some(Fault::Short) => return Ok(Vec::new()),
            None => {}
        }
        let step = |drawing: &mut &mut ToyDrawing| {
            assert!(drawing.step < STEPS, "a finished drawing was stepped");
            drawing.step += 1;
            let sum = drawing.seed as usize + drawing.index as usize * 3 + drawing.class + drawing.step;
            Step {
                step: drawing.step,
                tokens: (0..9).map(|position| ((sum + position) % 8) as u32).collect(),
                entropy: vec![1.5; 9],
                probability: vec![0.25; 9],
            }
        };
        Ok(drawings.iter_mut().map(step).collect())
    }

    fn previews(&self, drawings: &[&ToyDrawing]) -> Result<Vec<Preview>, ModelError> {
        assert!(drawings.iter().all(|drawing| drawing.step > 0));
        let preview =
            |drawing: &&ToyDrawing| Preview { noisy: picture(drawing, 1), clean: picture(drawing, 0) };
        Ok(drawings.iter().map(preview).collect())
    }

    fn images(&self, drawings: &[&ToyDrawing]) -> Result<Vec<DynamicImage>, ModelError> {
        Ok(drawings.iter().map(|drawing| picture(drawing, 0)).collect())
    }
}

/// A panic without the message and backtrace on standard error that a real one has.
fn panic(message: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(message))
}

fn picture(drawing: &ToyDrawing, noise: u8) -> DynamicImage {
    let grey = (drawing.seed as u8).wrapping_mul(16) + (drawing.index as u8) * 2 + noise;
    GrayImage::from_pixel(12, 12, Luma([grey])).into()
}

/// An engine with a toy, and the toy's script.
pub fn toy_engine(options: Options) -> (Arc<Engine>, Arc<Script>) {
    let script = Arc::new(Script::default());
    let factory_script = Arc::clone(&script);
    let engine = Engine::start(options, move || Toy::load(&factory_script)).unwrap();
    (Arc::new(engine), script)
}

/// Options that don't make tests wait.
pub fn options() -> Options {
    Options { retry_delay: Duration::from_millis(5), ..Options::default() }
}

/// All events of a job, which must end within 10 seconds.
pub async fn events(engine: &Engine, id: JobId) -> Vec<(u64, Arc<Event>)> {
    let mut subscription = engine.subscribe(id, 0).expect("a job");
    let mut events = Vec::new();
    while let Some(event) = within(subscription.next()).await {
        events.push(event);
    }
    events
}

/// A future's result, which must come within 10 seconds.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("an answer within 10 seconds")
}

/// A server on a free port.
pub struct Server {
    pub address: SocketAddr,
    pub engine: Arc<Engine>,
    pub client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Serves an engine, whatever its backend.
    pub async fn start(engine: Arc<Engine>, pictures: ClassPictures) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let app = web::app(Arc::clone(&engine), pictures);
        let signal = async {
            let _ = stopped.await;
        };
        let served = web::serve(listener, app, Arc::clone(&engine), signal, Duration::ZERO);
        let served = tokio::spawn(served);
        let client = reqwest::Client::new();
        Self { address, engine, client, stop: Some(stop), served }
    }

    /// Serves a toy.
    pub async fn toy(options: Options) -> (Self, Arc<Script>) {
        let (engine, script) = toy_engine(options);
        (Self::start(engine, ClassPictures::default()).await, script)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        within(self.client.get(self.url(path)).send()).await.unwrap()
    }

    pub async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    /// Posts a generation.
    pub async fn post(&self, body: &Value) -> reqwest::Response {
        within(self.client.post(self.url("/api/v1/generations")).json(body).send()).await.unwrap()
    }

    /// Posts a generation that is accepted.
    pub async fn generate(&self, body: &Value) -> Value {
        let response = self.post(body).await;
        assert_eq!(response.status(), 202);
        response.json().await.unwrap()
    }

    /// All messages of an event stream until the server ends it.
    pub async fn messages(&self, path: &str, last_event_id: Option<&str>) -> Vec<Message> {
        let mut request = self.client.get(self.url(path));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = within(request.send()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Message::parse(&within(response.text()).await.unwrap())
    }

    /// Asks the server to stop, as a signal would, and waits until it has.
    pub async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        within(self.served).await.unwrap().unwrap();
    }
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub id: u64,
    pub event: String,
    pub data: Value,
}

impl Message {
    fn parse(text: &str) -> Vec<Self> {
        let blocks = text.split("\n\n").filter(|block| block.lines().any(|line| !line.starts_with(':')));
        let message = |block: &str| {
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                line.unwrap_or_else(|| panic!("no {name} in {block:?}")).trim_start().to_owned()
            };
            let data = serde_json::from_str(&field("data")).unwrap();
            Self { id: field("id").parse().unwrap(), event: field("event"), data }
        };
        blocks.map(message).collect()
    }
}
