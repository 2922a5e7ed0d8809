//! The other end of a contender's process: a line of JSON there, a line of JSON back.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Arguments, Engine};

/// What a batch took, in seconds, and what was drawn.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    /// All T steps.
    pub steps: f64,
    /// The images' decoding.
    pub decode: f64,
    /// As many images' encoding.
    pub encode: f64,
    /// Most memory that the process held.
    pub peak_bytes: u64,
    /// (b, T, n)
    pub tokens: Vec<u32>,
}

impl Measured {
    /// From noise to images.
    pub fn total(&self) -> f64 {
        self.steps + self.decode
    }
}

/// What a process answers to `{"gemm": size}`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProductRate {
    pub operations_per_second: f64,
}

/// A process that measures when it is told to.
pub struct Contender {
    pub engine: Engine,
    pub threads: usize,
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Contender {
    pub fn start(
        arguments: &Arguments,
        engine: Engine,
        threads: usize,
        inputs: &Path,
    ) -> anyhow::Result<Self> {
        let mut command = if engine.is_own() {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["--model", &arguments.model, "--contender", engine.name()]);
            command
        } else {
            let mut command = Command::new(&arguments.python);
            command.args(["-m", "rdpm_training.benchmark_engine", "--engine", engine.name()]);
            command.arg("--weights").arg(arguments.weights());
            command.args(["--threads", &threads.to_string()]);
            command.env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("training"));
            command
        };
        command.arg("--inputs").arg(inputs);
        command.env("RAYON_NUM_THREADS", threads.to_string());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{command:?} can't be started"))?;
        let requests = child.stdin.take().context("no input to write to")?;
        let answers = BufReader::new(child.stdout.take().context("no output to read from")?);
        Ok(Self { engine, threads, child, requests, answers })
    }

    /// Draws batches for so long, at least one, and tells the means.
    pub fn measure(&mut self, batch: usize, seconds: f64) -> anyhow::Result<Measured> {
        self.ask(&json!({"batch": batch, "seconds": seconds}))
    }

    /// Operations per second of a product of two square matrices.
    pub fn product_rate(&mut self, size: usize) -> anyhow::Result<f64> {
        let rate: ProductRate = self.ask(&json!({"gemm": size}))?;
        Ok(rate.operations_per_second)
    }

    fn ask<T: DeserializeOwned>(&mut self, request: &Value) -> anyhow::Result<T> {
        writeln!(self.requests, "{request}")?;
        let mut line = String::new();
        let read = self.answers.read_line(&mut line)?;
        ensure!(read > 0, "the contender {} with {} threads ended", self.engine.name(), self.threads);
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
