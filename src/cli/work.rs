//! `rdpm work`: draws images for the gateways of a queue.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use rdpm::queue::work;

use super::models::ModelArguments;
use super::queue::QueueArguments;
use super::serve::log::LogArguments;
use super::serve::settings::EngineArguments;
use super::serve::{ServerFailed, passed, start_error, stop_signal, supervisor};
use super::starting::{devices, for_queue, log_skipped, start_engine};

#[derive(Debug, Args)]
pub struct Work {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    engine: EngineArguments,
    #[command(flatten)]
    queue: QueueArguments,
    #[command(flatten)]
    log: LogArguments,
}

impl Work {
    pub fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Runtime::new().context("no thread for the worker")?;
        let stop = {
            let _context = runtime.enter();
            stop_signal()?
        };
        let _traces = self.log.start()?;
        let worked = runtime.spawn(self.work(stop));
        let worked =
            runtime.block_on(worked).unwrap_or_else(|error| Err(ServerFailed(error.to_string()).into()));
        runtime.shutdown_background();
        worked
    }

    async fn work(self, mut stop: super::serve::StopSignal) -> anyhow::Result<()> {
        let (step_timeout, drain, limit) =
            (self.engine.step_timeout(), self.engine.drain(), self.engine.load_timeout());
        let options = self.engine.options();
        let queue = self.queue.options(&options).context("--queue is missing")?;
        let slots = options.max_batch * devices(&self.model.device)?.len();
        let started = tokio::task::spawn_blocking(move || {
            let (engine, chosen) = start_engine(&self.model, for_queue(options))?;
            log_skipped(&chosen);
            Ok::<_, anyhow::Error>(engine)
        });
        let engine = tokio::select! {
            started = started => Arc::new(started?.map_err(start_error)?),
            () = passed(limit) => {
                let seconds = limit.unwrap_or_default().as_secs();
                return Err(ServerFailed(format!("the models were not loaded within {seconds} s (--load-timeout)")).into());
            }
            () = &mut stop => return Ok(()),
        };
        let names: Vec<&str> = engine.models().iter().map(|info| info.config.name.as_str()).collect();
        tracing::info!(models = names.join(", "), devices = engine.devices().join(", "), "ready");
        let watched = Arc::clone(&engine);
        let failure = move || watched.failure().map(|failure| failure.to_string());
        let failed = supervisor::watch(failure, step_timeout, drain);
        let failed = failed.context("no thread for the supervisor")?;
        let (report, failure) = tokio::sync::oneshot::channel();
        let stop = async move {
            tokio::select! {
                () = stop => {}
                Ok(reason) = failed => drop(report.send(reason)),
            }
        };
        work(Arc::clone(&engine), queue, slots, drain, stop).await?;
        tokio::task::spawn_blocking(move || engine.shutdown(Duration::ZERO)).await?;
        match failure.await {
            Ok(reason) => Err(ServerFailed(reason).into()),
            // The signal stopped it.
            Err(_) => Ok(()),
        }
    }
}
