//! `rdpm serve`: the page and the API.

mod listen;
pub(super) mod log;
pub(super) mod settings;
mod store_settings;
pub(super) mod supervisor;
mod traces;
mod webhook_settings;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use rdpm::engine::Engine;
use rdpm::model::{ModelInfo, open_device};
use rdpm::queue::{AnyEngine, Gateway, work};
use rdpm::store::Store;
use rdpm::web::{self, ClassPictures};
use serde::Serialize;
use tokio::net::TcpListener;

use self::listen::Listening;
pub use self::listen::{UNIX, plain};
use self::log::LogArguments;
use self::settings::{ClientArguments, ConnectionArguments, EngineArguments};
use self::store_settings::StoreArguments;
use self::webhook_settings::WebhookArguments;
use super::escape::Escaped;
use super::models::{Chosen, ModelArguments};
use super::output::{note, print};
use super::pull::Unreachable;
use super::queue::QueueArguments;
use super::starting::{describe_models, devices, for_queue, log_skipped, start_engine};

/// A failure of the running server, with its reason. A restart heals it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ServerFailed(pub(super) String);

/// The error of starting with models: a failure that a restart may heal, if the server of a model can't be reached.
pub(super) fn start_error(error: anyhow::Error) -> anyhow::Error {
    if error.is::<Unreachable>() { ServerFailed(format!("{error:#}")).into() } else { error }
}

/// How long the store may write what waits at the end.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Resolves when the server must stop.
pub(super) type StopSignal = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Debug, Args, Serialize)]
pub struct Serve {
    /// TOML file of settings. Its keys are the flags below, without the leading dashes and with _ for -. Flags and
    /// environment variables override the file.
    #[arg(long, env = "RDPM_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Check the settings and the weights, print the settings as TOML without secrets, and exit.
    #[arg(long)]
    #[serde(skip)]
    check: bool,
    /// Address to listen on; 0.0.0.0 is all addresses of the machine. Or a Unix socket, as in unix:/run/rdpm.sock. A socket that
    /// systemd passes goes before it.
    #[arg(long, env = "RDPM_HOST", default_value = "127.0.0.1")]
    host: String,
    /// Port to listen on; 0 chooses a free one.
    #[arg(long, env = "RDPM_PORT", default_value_t = 3000)]
    port: u16,
    #[command(flatten)]
    #[serde(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    #[serde(flatten)]
    engine: EngineArguments,
    #[command(flatten)]
    #[serde(flatten)]
    clients: ClientArguments,
    #[command(flatten)]
    #[serde(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    #[serde(flatten)]
    webhooks: WebhookArguments,
    #[command(flatten)]
    #[serde(flatten)]
    connections: ConnectionArguments,
    /// With --queue: draw here, too, as `rdpm work` does.
    #[arg(long, env = "RDPM_WORK", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", help_heading = "Queue")]
    work: bool,
    #[command(flatten)]
    #[serde(flatten)]
    queue: QueueArguments,
    #[command(flatten)]
    #[serde(flatten)]
    log: LogArguments,
}

impl Serve {
    pub fn run(self) -> anyhow::Result<()> {
        if self.check {
            return self.check();
        }
        let runtime = tokio::runtime::Runtime::new().context("no thread for the server")?;
        // Before everything that takes time: as process 1 of a container, SIGTERM is ignored until there is a handler.
        let stop = {
            let _context = runtime.enter();
            stop_signal()?
        };
        let _traces = self.log.start()?;
        self.connections.raise_file_limit();
        // On the threads that the supervisor watches. It ends by a panic only because of a bug, which a restart may heal.
        let served = runtime.spawn(self.serve(stop));
        let served =
            runtime.block_on(served).unwrap_or_else(|error| Err(ServerFailed(error.to_string()).into()));
        // A picture that is being rendered for a client that is gone must not hold up the exit.
        runtime.shutdown_background();
        served
    }

    /// Does everything at startup that can fail, except listening.
    fn check(&self) -> anyhow::Result<()> {
        self.log.check()?;
        self.web_options()?;
        let mut chosen = self.model.choose()?;
        for device in devices(&self.model.device)? {
            let device = open_device(&device)?;
            chosen = chosen.keep(|folder, config| self.model.load_on(folder, &device).map(|_| config))?;
        }
        let names: Vec<&str> = chosen.models.iter().map(|(_, config)| config.name.as_str()).collect();
        self.check_aliases(&names)?;
        for (folder, error) in &chosen.bad {
            let reason = format!("{error:#}");
            note(format!("rdpm: {} would be skipped: {}", Escaped(folder.display()), Escaped(reason)));
        }
        print(toml::to_string(self)?)
    }

    /// Checks that each alias is the name of a model that is served, and not itself one.
    fn check_aliases(&self, models: &[&str]) -> anyhow::Result<()> {
        for alias in &self.clients.model_alias {
            let names = models.join(", ");
            anyhow::ensure!(
                models.contains(&alias.model.as_str()),
                "--model-alias {alias}: there is no model {}; models: {names}",
                alias.model
            );
            anyhow::ensure!(
                !models.contains(&alias.name.as_str()),
                "--model-alias {alias}: {} is a model's own name",
                alias.name
            );
        }
        Ok(())
    }

    fn web_options(&self) -> anyhow::Result<web::Options> {
        let options = self.connections.options(&self.clients, &self.engine)?;
        Ok(web::Options { webhooks: self.webhooks.options()?, ..options })
    }

    async fn serve(self, mut stop: StopSignal) -> anyhow::Result<()> {
        let (step_timeout, drain) = (self.engine.step_timeout(), self.engine.drain());
        let mut options = self.web_options()?;
        // Bind the port first, so that a port in use is reported before the models are loaded.
        let Listening { listener, address, file: _file } = listen::listen(&self.host, self.port).await?;
        let admin = match self.connections.admin_listen {
            Some(address) => Some(
                TcpListener::bind(address)
                    .await
                    .with_context(|| format!("{address} (--admin-listen) can't be listened on"))?,
            ),
            None => None,
        };
        let admin_address = admin.as_ref().map(TcpListener::local_addr).transpose()?;

        let limit = self.engine.load_timeout();
        let engine_options = self.engine.options();
        let queue = self.queue.options(&engine_options);
        anyhow::ensure!(queue.is_some() || !self.work, "--work needs --queue");
        let is_gateway = queue.is_some();
        let started = tokio::task::spawn_blocking(move || self.start(is_gateway));
        let (engine, chosen, store) = tokio::select! {
            started = started => started?.map_err(start_error)?,
            () = passed(limit) => {
                let seconds = limit.unwrap_or_default().as_secs();
                return Err(ServerFailed(format!("the models were not loaded within {seconds} s (--load-timeout)")).into());
            }
            () = &mut stop => {
                tracing::info!("stopped before the models were loaded");
                return Ok(());
            }
        };
        // The first view is the best picture that there is; who names models names their order.
        let with_words = chosen.models.iter().find(|(_, info)| info.config.has_words());
        options.first_model = with_words.filter(|_| !chosen.named).map(|(_, info)| info.config.name.clone());
        let mut pictures = ClassPictures::default();
        for (folder, info) in &chosen.models {
            pictures.read(folder, &info.config);
        }
        options.store = store.clone();
        let slots = engine_options.max_batch * engine.as_ref().map_or(0, |engine| engine.devices().len());
        let (stop_worker, worker_stopped) = tokio::sync::watch::channel(false);
        let own = engine.map(Arc::new);
        let (engine, worker) = match (queue, &own) {
            (Some(queue), own) => {
                let infos = chosen.models.iter().map(|(_, info)| info.clone()).collect();
                let gateway = Gateway::start(engine_options, infos, queue.clone()).await?;
                let worker = own.clone().map(|own| {
                    let stopped = stopped(worker_stopped);
                    tokio::spawn(work(own, queue, slots, drain, stopped))
                });
                (AnyEngine::from(gateway), worker)
            }
            (None, Some(own)) => (AnyEngine::from(Arc::clone(own)), None),
            (None, None) => anyhow::bail!("there is neither an engine nor a queue"),
        };
        let names: Vec<&str> = engine.models().iter().map(|info| info.config.name.as_str()).collect();
        tracing::info!(models = names.join(", "), devices = engine.devices().join(", "), "ready");
        // The server works without the line, too.
        let _ = print(format!("{address}\n"));
        if let Some(address) = admin_address {
            let _ = print(format!("http://{address} (health and metrics)\n"));
        }
        let (watched, watched_own) = (engine.clone(), own.clone());
        let failure = move || {
            let of_own = || watched_own.as_ref().and_then(|own| own.failure());
            watched.failure().or_else(of_own).map(|failure| failure.to_string())
        };
        let failed =
            supervisor::watch(failure, step_timeout, drain).context("no thread for the supervisor")?;
        let (report, failure) = tokio::sync::oneshot::channel();
        let stop = async move {
            tokio::select! {
                () = stop => {}
                Ok(reason) = failed => drop(report.send(reason)),
            }
        };
        let served = web::serve_with_admin(listener, admin, engine, pictures, &options, stop).await;
        if let Some(store) = store {
            let closed = tokio::task::spawn_blocking(move || store.close(LAST_WRITES));
            closed.await.unwrap_or_else(|error| tracing::error!(%error, "the store could not be closed"));
        }
        served?;
        stop_worker.send_replace(true);
        if let Some(worker) = worker {
            worker.await??;
            if let Some(own) = own {
                tokio::task::spawn_blocking(move || own.shutdown(Duration::ZERO)).await?;
            }
        }
        match failure.await {
            Ok(reason) => Err(ServerFailed(reason).into()),
            // The signal stopped it.
            Err(_) => Ok(()),
        }
    }

    /// Opens the store and starts the engine with the models, which takes a while. A gateway that doesn't draw only reads about the
    /// models.
    fn start(&self, is_gateway: bool) -> anyhow::Result<(Option<Engine>, Chosen<ModelInfo>, Option<Store>)> {
        let store = self.store.open()?;
        anyhow::ensure!(
            store.is_none() || !is_gateway,
            "--store and --queue exclude each other: the queue keeps generations for --retention"
        );
        let (engine, chosen) = if is_gateway && !self.work {
            (None, describe_models(&self.model)?)
        } else {
            let options = self.engine.options();
            let options = if is_gateway { for_queue(options) } else { options };
            let (engine, chosen) = start_engine(&self.model, options)?;
            (Some(engine), chosen)
        };
        let names: Vec<&str> = chosen.models.iter().map(|(_, info)| info.config.name.as_str()).collect();
        self.check_aliases(&names)?;
        log_skipped(&chosen);
        Ok((engine, chosen, store))
    }
}

/// Resolves when the value is true, or can't change any more.
async fn stopped(mut stopped: tokio::sync::watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Resolves when a time has passed; never, where there is no limit.
pub(super) async fn passed(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// Starts to listen for SIGINT (Ctrl-C) and SIGTERM; the returned future resolves on either.
#[cfg(unix)]
pub(super) fn stop_signal() -> anyhow::Result<StopSignal> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).context("signals can't be listened for");
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(Box::pin(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }))
}

/// Starts to listen for Ctrl-C; the returned future resolves on it.
#[cfg(not(unix))]
pub(super) fn stop_signal() -> anyhow::Result<StopSignal> {
    Ok(Box::pin(async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "Ctrl-C can't be listened for");
            std::future::pending::<()>().await;
        }
    }))
}
