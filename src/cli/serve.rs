//! `rdpm serve`: the page and the API.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use rdpm::engine::{Engine, Options};
use rdpm::model::{Model, open_device};
use rdpm::web::{self, ClassPictures};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use super::ModelArguments;

#[derive(Debug, Parser)]
pub struct Serve {
    #[command(flatten)]
    model: ModelArguments,
    /// Address to listen on; 0.0.0.0 for all of the machine's.
    #[arg(long, env = "RDPM_HOST", default_value = "127.0.0.1")]
    host: String,
    /// Port to listen on; 0 picks a free one.
    #[arg(long, env = "RDPM_PORT", default_value_t = 3000)]
    port: u16,
    /// Images drawn together at most.
    #[arg(long, env = "RDPM_MAX_BATCH", default_value_t = Options::default().max_batch, value_name = "IMAGES")]
    max_batch: usize,
    /// Images that may wait; a request beyond that is answered with 429.
    #[arg(long, env = "RDPM_MAX_QUEUE", default_value_t = Options::default().max_queue, value_name = "IMAGES")]
    max_queue: usize,
    /// Seconds that a finished generation stays readable.
    #[arg(long, env = "RDPM_RETENTION", default_value_t = Options::default().retention.as_secs(), value_name = "SECONDS")]
    retention: u64,
    /// Seconds that running generations get to finish when the server is asked to stop.
    #[arg(long, env = "RDPM_DRAIN_TIMEOUT", default_value_t = 10, value_name = "SECONDS")]
    drain_timeout: u64,
    /// What to log, in tracing's filter syntax, e.g. `debug` or `warn,rdpm=debug`.
    #[arg(long, env = "RDPM_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
}

impl Serve {
    pub fn run(self) -> anyhow::Result<()> {
        let filter = EnvFilter::try_new(&self.log).with_context(|| format!("log filter {:?}", self.log))?;
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .init();
        let runtime = tokio::runtime::Runtime::new().context("no thread for the server")?;
        runtime.block_on(self.serve())
    }

    async fn serve(self) -> anyhow::Result<()> {
        // First of all the port: one in use is said at once, not after the model is loaded.
        let address = (self.host.as_str(), self.port);
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("{}:{} can't be listened on", self.host, self.port))?;
        let address = listener.local_addr()?;

        let folder = self.model.folder()?;
        let options = Options {
            max_batch: self.max_batch,
            max_queue: self.max_queue,
            retention: Duration::from_secs(self.retention),
            ..Options::default()
        };
        let (device, weights) = (self.model.device.clone(), folder.clone());
        let load = move || Model::load(&weights, &open_device(&device)?);
        let engine = tokio::task::spawn_blocking(move || Engine::start(options, load)).await??;
        let engine = Arc::new(engine);
        let info = engine.info();
        tracing::info!(model = info.config.name, device = info.device, parameters = info.parameters, "ready");

        let pictures = ClassPictures::read(&folder, info.config.classes.len());
        let app = web::app(engine.clone(), pictures);
        println!("http://{address}");
        web::serve(listener, app, engine, stop_signal(), Duration::from_secs(self.drain_timeout)).await?;
        Ok(())
    }
}

/// Resolves on SIGINT (Ctrl-C) or SIGTERM.
async fn stop_signal() {
    let interrupt = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "Ctrl-C can't be listened for");
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(error) => {
                tracing::error!(%error, "SIGTERM can't be listened for");
                std::future::pending::<()>().await;
            }
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
