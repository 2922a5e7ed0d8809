//! Starting an engine: opens the devices, loads the models, and starts the threads.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::backend::Loader;
use super::error::StartError;
use super::fault::Fault;
use super::janitor;
use super::loading::OpenDevice;
use super::model_handle::ModelHandle;
use super::options::{ModelLoading, Options};
use super::publisher::Publisher;
use super::scheduler::{Scheduler, StopOnDrop, ThreadGuard};
use super::worker::Worker;
use crate::model::ModelInfo;

/// The parts of an engine whose threads run.
pub(super) struct Started {
    pub scheduler: Arc<Scheduler>,
    pub devices: Vec<String>,
    pub unusable_models: Vec<(String, StartError)>,
    pub threads: Vec<JoinHandle<()>>,
    pub stop_on_drop: StopOnDrop,
}

/// A worker thread that opens its device and loads the models, then waits for the engine's shared state.
struct StartingWorker {
    thread: JoinHandle<()>,
    opened: Receiver<Result<Opened, Fault>>,
    begin: SyncSender<(Arc<Scheduler>, Publisher)>,
}

/// What a worker reports when it has opened its device.
struct Opened {
    device: String,
    /// For each model, why it could not be loaded.
    model_faults: Vec<Option<Fault>>,
}

/// Starts a worker for each loader and waits until all have opened their devices and loaded the models.
pub(super) fn start<L>(
    options: Options,
    models: Vec<ModelInfo>,
    loaders: Vec<L>,
) -> Result<Started, StartError>
where
    L: Loader + Send + 'static,
{
    check(&options, &models, loaders.len())?;
    let models: Vec<Arc<ModelInfo>> = models.into_iter().map(Arc::new).collect();
    let mut starting = Vec::new();
    for (number, loader) in loaders.into_iter().enumerate() {
        starting.push(start_worker(number, loader, &models, &options)?);
    }
    let (mut devices, mut faults) = (Vec::new(), Vec::new());
    for worker in &starting {
        let ended = |_| StartError::Panicked("a worker thread ended".into());
        let Opened { device, model_faults } = worker.opened.recv().map_err(ended)??;
        devices.push(device);
        faults.push(model_faults);
    }
    let (mut usable, mut unusable_models) = (Vec::new(), Vec::new());
    for (at, info) in models.into_iter().enumerate() {
        match faults.iter_mut().find_map(|faults| faults[at].take()) {
            None => usable.push(ModelHandle::new(usable.len(), info)),
            Some(fault) => unusable_models.push((info.config.name.clone(), fault.into())),
        }
    }
    if usable.is_empty() {
        return Err(unusable_models.swap_remove(0).1);
    }

    let scheduler = Arc::new(Scheduler::new(options, usable, starting.len()));
    scheduler.metrics.create_series(&devices, &scheduler.models);
    // If anything fails from here on, the threads that run must end.
    let stop_on_drop = StopOnDrop(Arc::clone(&scheduler));
    let guard = ThreadGuard::new(&scheduler, "rdpm-janitor");
    let mut threads = vec![spawn("rdpm-janitor".into(), move || {
        janitor::run(&guard.scheduler, &guard.status);
    })?];
    for (number, worker) in starting.into_iter().enumerate() {
        let publisher = Publisher::start(&scheduler, number)?;
        // Fails if the thread has ended, which `Engine::is_alive` reports.
        let _ = worker.begin.send((Arc::clone(&scheduler), publisher));
        threads.push(worker.thread);
    }
    Ok(Started { scheduler, devices, unusable_models, threads, stop_on_drop })
}

fn check(options: &Options, models: &[ModelInfo], workers: usize) -> Result<(), StartError> {
    for (option, value) in [("max_batch", options.max_batch), ("devices", workers), ("models", models.len())]
    {
        if value == 0 {
            return Err(StartError::Option { option, value, allowed: "1 or more" });
        }
    }
    let mut names: Vec<&str> = models.iter().map(|model| model.config.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(StartError::DuplicateModel(pair[0].into())),
        None => Ok(()),
    }
}

/// Starts the thread of a worker. It ends by itself if the engine doesn't start.
fn start_worker<L>(
    number: usize,
    loader: L,
    models: &[Arc<ModelInfo>],
    options: &Options,
) -> Result<StartingWorker, StartError>
where
    L: Loader + Send + 'static,
{
    let (report, opened) = sync_channel(1);
    let (begin, begun) = sync_channel::<(Arc<Scheduler>, Publisher)>(1);
    let (models, options) = (models.to_vec(), options.clone());
    let thread = spawn(format!("rdpm-worker-{number}"), move || {
        let mut device = match OpenDevice::open(loader) {
            Ok(device) => device,
            Err(fault) => {
                let _ = report.send(Err(fault));
                return;
            }
        };
        let model_faults = match options.loading {
            ModelLoading::Eager => device.load_all(&models, &options),
            ModelLoading::Lazy => models.iter().map(|_| None).collect(),
        };
        let _ = report.send(Ok(Opened { device: device.name.clone(), model_faults }));
        if let Ok((scheduler, publisher)) = begun.recv() {
            let guard = ThreadGuard::new(&scheduler, format!("rdpm-worker-{number}"));
            Worker::new(scheduler, number, device, publisher, Arc::clone(&guard.status)).run();
        }
    })?;
    Ok(StartingWorker { thread, opened, begin })
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(run)
}
