//! A NATS server of its own, and what is in its streams.

use std::process::Stdio;

use anyhow::{Context, ensure};
use async_nats::jetstream;
use rdpm::queue::QueueOptions;
use tempfile::TempDir;

use crate::nats_server::{free_port, jetstream_server, wait_until_it_listens};
use crate::program::Program;

/// A NATS server with JetStream in a folder of its own.
pub struct Nats {
    _process: Program,
    _folder: TempDir,
    pub port: u16,
}

impl Nats {
    /// Starts the server that `scripts/test` installs, or another that `RDPM_NATS_SERVER` names.
    pub fn start() -> anyhow::Result<Self> {
        let (folder, port) = (TempDir::new()?, free_port());
        let mut command = jetstream_server(port, folder.path());
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = process.with_context(|| format!("{command:?} (install the tests' packages)"))?;
        let nats = Self { _process: Program(process), _folder: folder, port };
        wait_until_it_listens(port);
        Ok(nats)
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
