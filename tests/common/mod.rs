//! Helpers for the tests of the engine and the API: a model that does as it is told, and a real server on a free port.
#![allow(dead_code)] // Each test program uses its own part.

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use image::{DynamicImage, GrayImage, Luma};
use parking_lot::{Condvar, Mutex};
use rdpm::engine::{Backend, Engine, Event, JobId, Loader, ModelInfo, Options, Request, StartError};
use rdpm::model::{Alternatives, Config, ModelError, Preview, Settings, Step, Tokenization, fit};
use rdpm::web::{self, ClassPictures};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The seed of the trial step after a load.
const TRIAL_SEED: u64 = 0;

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

/// Another model, of which everything is different: two classes, three steps of 2 × 2 tokens of 4 codes, 8 × 8 pixels in
/// colour.
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

/// A request for `count` images of class 0.
pub fn request(seed: u64, count: u64) -> Request {
    request_of(&config(), seed, count)
}

/// The same of another model.
pub fn request_of(config: &Config, seed: u64, count: u64) -> Request {
    let settings = Settings::new(config, 0).unwrap();
    Request::new(settings, seed).unwrap().with_count(count).unwrap()
}

/// What goes wrong in a step.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    Error,
    Panic,
    /// Fewer results than drawings.
    Short,
    /// The words of a CUDA device whose memory is too small.
    Memory,
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
    /// Whether a step waits for a permit.
    waiting: bool,
    /// What happens in the next steps; nothing in those after.
    faults: VecDeque<Option<Fault>>,
    /// What happens to the next images to be tokenized.
    tokenizations: VecDeque<Option<Fault>>,
    /// What happens in the next loads.
    loads: VecDeque<Option<Fault>>,
    /// Loads tried.
    loaded: usize,
    /// Images of which previews were made.
    previews: usize,
    /// For each step taken, the (seed, index, timestep) of its drawings.
    batches: Vec<Vec<(u64, u32, usize)>>,
}

impl Script {
    /// Steps wait for [`Script::allow`].
    pub fn hold(&self) {
        self.state.lock().permits = Some(0);
    }

    /// Lets `steps` more steps happen and waits until the worker is in the one after, which there must be: what a worker
    /// notes after a step is noted then, but its events may still be on their way.
    pub fn allow(&self, steps: usize) {
        let mut state = self.state.lock();
        let until = state.batches.len() + steps;
        state.permits = Some(steps);
        self.changed.notify_all();
        self.changed.wait_while(&mut state, |state| state.batches.len() < until || !state.waiting);
    }

    /// Lets `steps` more steps happen.
    pub fn permit(&self, steps: usize) {
        self.state.lock().permits = Some(steps);
        self.changed.notify_all();
    }

    /// Steps don't wait any more.
    pub fn release(&self) {
        self.state.lock().permits = None;
        self.changed.notify_all();
    }

    pub fn fail_steps(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.state.lock().faults.extend(faults);
    }

    /// From now on nothing goes wrong.
    pub fn mend(&self) {
        let mut state = self.state.lock();
        state.faults.clear();
        state.loads.clear();
        state.tokenizations.clear();
    }

    pub fn fail_loads(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.state.lock().loads.extend(faults);
    }

    pub fn fail_tokenizations(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.state.lock().tokenizations.extend(faults);
    }

    pub fn loaded(&self) -> usize {
        self.state.lock().loaded
    }

    /// Whether a step waits to be allowed.
    pub fn is_waiting(&self) -> bool {
        self.state.lock().waiting
    }

    pub fn previews(&self) -> usize {
        self.state.lock().previews
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
    config: Config,
}

/// Makes toys, each with a script of its own, as if on one device.
pub struct Toys {
    pub device: String,
    pub models: Vec<(Config, Arc<Script>)>,
}

impl Toys {
    pub fn infos(models: &[(Config, Arc<Script>)]) -> Vec<ModelInfo> {
        let info = |(config, _): &(Config, Arc<Script>)| {
            let codes = 0..config.trajectory.codes;
            let palette = codes.map(|code| format!("#{code}0{code}0{code}0")).collect();
            ModelInfo { config: config.clone(), palette, parameters: 1234 }
        };
        models.iter().map(info).collect()
    }
}

impl Loader for Toys {
    type Backend = Toy;

    fn device(&mut self) -> Result<String, ModelError> {
        Ok(self.device.clone())
    }

    fn load(&mut self, model: &str) -> Result<Toy, ModelError> {
        let (config, script) = self.models.iter().find(|(config, _)| config.name == model).unwrap();
        Toy::load(config.clone(), script)
    }
}

pub struct ToyDrawing {
    class: usize,
    seed: u64,
    index: u32,
    step: usize,
    alternatives: bool,
}

impl Toy {
    fn load(config: Config, script: &Arc<Script>) -> Result<Self, ModelError> {
        let mut state = script.state.lock();
        state.loaded += 1;
        let fault = state.loads.pop_front().flatten();
        drop(state);
        match fault {
            None => Ok(Self { script: Arc::clone(script), tried: Cell::new(false), config }),
            Some(Fault::Panic) => panic("the toy panics while it is loaded"),
            Some(_) => Err(ModelError::Image("the toy's secret: it can't be loaded".into())),
        }
    }

    fn positions(&self) -> usize {
        self.config.latent.grid.pow(2)
    }

    fn picture(&self, drawing: &ToyDrawing, noise: u8) -> DynamicImage {
        let grey = (drawing.seed as u8).wrapping_mul(16) + (drawing.index as u8) * 2 + noise;
        let size = self.config.image.size as u32;
        let picture = DynamicImage::from(GrayImage::from_pixel(size, size, Luma([grey])));
        if self.config.image.channels == 1 { picture } else { picture.into_rgb8().into() }
    }
}

impl Backend for Toy {
    type Drawing = ToyDrawing;

    fn config(&self) -> &Config {
        &self.config
    }

    fn start(&self, request: &Request, index: u32) -> Result<ToyDrawing, ModelError> {
        let step = request.source().map_or(0, |source| source.from_step);
        let (class, seed, alternatives) =
            (request.settings().class(), request.seed(), request.alternatives());
        Ok(ToyDrawing { class, seed, index, step, alternatives })
    }

    fn step(&self, drawings: &mut [&mut ToyDrawing]) -> Result<Vec<Step>, ModelError> {
        let mut fault = None;
        if self.tried.replace(true) {
            let mut state = self.script.state.lock();
            state.waiting = state.permits == Some(0);
            self.script.changed.notify_all();
            self.script.changed.wait_while(&mut state, |state| state.permits == Some(0));
            state.waiting = false;
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
            Some(Fault::Memory) => {
                let error =
                    candle_core::Error::msg("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")");
                return Err(error.into());
            }
            None => {}
        }
        let (positions, codes) = (self.positions(), self.config.trajectory.codes);
        let step = |drawing: &mut &mut ToyDrawing| {
            assert!(drawing.step < self.config.steps(), "a finished drawing was stepped");
            drawing.step += 1;
            let sum = drawing.seed as usize + drawing.index as usize * 3 + drawing.class + drawing.step;
            Step {
                step: drawing.step,
                tokens: (0..positions).map(|position| ((sum + position) % codes) as u32).collect(),
                entropy: vec![1.5; positions],
                probability: vec![0.25; positions],
                alternatives: drawing.alternatives.then(|| Alternatives {
                    codes: [0, 1].repeat(positions),
                    probabilities: [0.5, 0.25].repeat(positions),
                }),
            }
        };
        Ok(drawings.iter_mut().map(step).collect())
    }

    fn previews(&self, drawings: &[&ToyDrawing]) -> Result<Vec<Preview>, ModelError> {
        assert!(drawings.iter().all(|drawing| drawing.step > 0));
        if drawings.iter().any(|drawing| drawing.seed != TRIAL_SEED) {
            self.script.state.lock().previews += drawings.len();
        }
        let preview = |drawing: &&ToyDrawing| Preview {
            noisy: self.picture(drawing, 1),
            clean: self.picture(drawing, 0),
        };
        Ok(drawings.iter().map(preview).collect())
    }

    fn images(&self, drawings: &[&ToyDrawing]) -> Result<Vec<DynamicImage>, ModelError> {
        Ok(drawings.iter().map(|drawing| self.picture(drawing, 0)).collect())
    }

    fn tokenize(&self, image: &DynamicImage, seed: u64) -> Result<Tokenization, ModelError> {
        match self.script.state.lock().tokenizations.pop_front().flatten() {
            Some(Fault::Panic) => panic("the toy's secret: it panics"),
            Some(_) => return Err(ModelError::Image("the toy's secret: out of paint".into())),
            None => {}
        }
        let drawing = |step| ToyDrawing { class: 0, seed, index: 0, step, alternatives: false };
        let preview =
            |step| Preview { noisy: self.picture(&drawing(step), 1), clean: self.picture(&drawing(step), 0) };
        let steps = 1..=self.config.steps();
        Ok(Tokenization {
            input: fit(image, &self.config.image),
            tokens: steps.clone().map(|step| vec![step as u32; self.positions()]).collect(),
            previews: steps.map(preview).collect(),
            resized_from: Some((image.width(), image.height())),
        })
    }
}

/// A panic without the message and backtrace on standard error that a real one has.
fn panic(message: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(message))
}

/// An engine with a toy, and the toy's script.
pub fn toy_engine(options: Options) -> (Arc<Engine>, Arc<Script>) {
    let script = Arc::new(Script::default());
    let engine = engine_of(options, vec![(config(), Arc::clone(&script))]).unwrap();
    (Arc::new(engine), script)
}

/// An engine with the toy and the other, and their scripts.
pub fn two_models(options: Options) -> (Arc<Engine>, [Arc<Script>; 2]) {
    let scripts = [Arc::new(Script::default()), Arc::new(Script::default())];
    let models = [config(), other_config()].into_iter().zip(scripts.iter().cloned()).collect();
    (Arc::new(engine_of(options, models).unwrap()), scripts)
}

/// An engine with these toys on one device.
pub fn engine_of(options: Options, models: Vec<(Config, Arc<Script>)>) -> Result<Engine, StartError> {
    Engine::start(options, Toys::infos(&models), vec![Toys { device: "toy".into(), models }])
}

/// Options that don't make tests wait.
pub fn options() -> Options {
    Options { retry_delay: Duration::from_millis(5), ..Options::default() }
}

/// All events of a job, which must end.
pub async fn events(engine: &Engine, id: JobId) -> Vec<(u64, Arc<Event>)> {
    let mut subscription = engine.subscribe(id, 0).expect("a job");
    let mut events = Vec::new();
    while let Some(event) = within(subscription.next()).await {
        events.push(event);
    }
    events
}

/// A future's result, which must come within a minute: so long nothing takes on any machine, unless it hangs.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("an answer within a minute")
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
        let site = web::Options { drain: Duration::ZERO, ..web::Options::default() };
        Self::start_with(engine, pictures, site).await
    }

    /// Serves an engine with an operator's settings.
    pub async fn start_with(engine: Arc<Engine>, pictures: ClassPictures, site: web::Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let signal = async {
            let _ = stopped.await;
        };
        let served_engine = Arc::clone(&engine);
        let served =
            tokio::spawn(async move { web::serve(listener, served_engine, pictures, &site, signal).await });
        let client = reqwest::Client::new();
        Self { address, engine, client, stop: Some(stop), served }
    }

    /// Serves a toy.
    pub async fn toy(options: Options) -> (Self, Arc<Script>) {
        let (engine, script) = toy_engine(options);
        (Self::start(engine, ClassPictures::default()).await, script)
    }

    /// Serves the toy and the other.
    pub async fn two_models(options: Options) -> (Self, [Arc<Script>; 2]) {
        let (engine, scripts) = two_models(options);
        (Self::start(engine, ClassPictures::default()).await, scripts)
    }

    /// Serves a toy with an operator's settings.
    pub async fn toy_site(site: web::Options) -> (Self, Arc<Script>) {
        let (engine, script) = toy_engine(options());
        (Self::start_with(engine, ClassPictures::default(), site).await, script)
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

/// A response that must be a problem with this status.
pub async fn problem(response: reqwest::Response, status: u16) -> Value {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status, "{body}");
    for field in ["type", "title", "detail"] {
        assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{field} in {body}");
    }
    body
}

/// The fields that a problem names.
pub fn fields(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert!(errors.iter().all(|error| error["allowed"].is_string() && error.get("value").is_some()));
    errors.iter().map(|error| error["field"].as_str().unwrap()).collect()
}
