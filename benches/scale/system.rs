//! A gateway in this process with workers whose devices sleep, or an engine with its own queue, and jobs for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdpm::engine::{Engine, Event, Options, Request};
use rdpm::model::SamplingSettings;
use rdpm::queue::{AnyEngine, Gateway, work};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::nats::Nats;
use crate::sleeping_backend::{SleepingLoader, model_info};

/// The number of images that a worker draws at once.
pub const SLOTS: usize = 16;

/// Something that draws, and what must be stopped with it.
pub struct System {
    pub engine: AnyEngine,
    workers: Vec<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl System {
    /// An engine with its own queue.
    pub fn embedded(step: Duration) -> anyhow::Result<Self> {
        Ok(Self { engine: engine(step, options())?.into(), workers: Vec::new() })
    }

    /// A gateway and workers, with streams of their own.
    pub async fn queue(nats: &Nats, prefix: &str, workers: usize, step: Duration) -> anyhow::Result<Self> {
        let queue = nats.options(prefix);
        let gateway = Gateway::start(options(), vec![model_info()], queue.clone()).await?;
        let mut system = Self { engine: gateway.clone().into(), workers: Vec::new() };
        for _ in 0..workers {
            let engine = engine(step, Options { job_timeout: None, ..options() })?;
            let (stop, stopped) = oneshot::channel();
            let queue = queue.clone();
            let task = tokio::spawn(async move {
                let stopped = async { drop(stopped.await) };
                if let Err(error) = work(Arc::clone(&engine), queue, SLOTS, Duration::ZERO, stopped).await {
                    eprintln!("a worker failed: {error}");
                }
                let _ = tokio::task::spawn_blocking(move || engine.shutdown(Duration::ZERO)).await;
            });
            system.workers.push((stop, task));
        }
        let started = Instant::now();
        while gateway.workers().len() < workers || gateway.ready().is_err() {
            ensure!(started.elapsed() < Duration::from_secs(60), "the workers don't report");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(system)
    }

    pub async fn stop(self) {
        for (stop, task) in self.workers {
            let _ = stop.send(());
            let _ = task.await;
        }
        let engine = self.engine;
        let _ = tokio::task::spawn_blocking(move || engine.shutdown(Duration::ZERO)).await;
    }

    /// Draws a job; the time until its first step was readable, and until its end.
    pub async fn draw(&self, seed: u64, count: u64, previews: bool) -> anyhow::Result<(Duration, Duration)> {
        let started = Instant::now();
        let model = self.engine.default_model();
        let settings = SamplingSettings::new(&model.config, 0)?;
        let request = Request::new(model, settings, seed)?.with_count(count)?.with_previews(previews);
        let id = self.engine.submit(request).await?;
        let mut events = self.engine.subscribe(id, 0).context("the job is not there")?;
        let mut first_step = None;
        while let Some((_, event)) = events.next().await {
            match &*event {
                Event::Step(_) => drop(first_step.get_or_insert_with(|| started.elapsed())),
                Event::Failed { .. } | Event::Canceled => anyhow::bail!("a job failed"),
                _ => {}
            }
        }
        Ok((first_step.context("a job without a step")?, started.elapsed()))
    }
}

fn options() -> Options {
    Options { max_batch: SLOTS, max_queue: 4096, ..Options::default() }
}

fn engine(step: Duration, options: Options) -> anyhow::Result<Arc<Engine>> {
    Ok(Arc::new(Engine::start(options, vec![model_info()], vec![SleepingLoader { step }])?))
}
