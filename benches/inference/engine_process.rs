//! A benchmark engine in a process of its own. The protocol is a line of JSON for each request and each response.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Arguments, BenchmarkEngine};

/// The mean times of a batch in seconds, and its tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measurement {
    /// All T steps.
    pub steps: f64,
    /// Decoding the images.
    pub decode: f64,
    /// Encoding as many images.
    pub encode: f64,
    /// Peak memory of the process.
    pub peak_bytes: u64,
    /// Functions that were compiled during the measurement.
    #[serde(default)]
    pub compilations: u64,
    /// The sampled codes, (b, T, n).
    pub tokens: Vec<u32>,
}

impl Measurement {
    /// Time from noise to images.
    pub fn total(&self) -> f64 {
        self.steps + self.decode
    }
}

/// The response to `{"gemm": size}`.
#[derive(Debug, Serialize, Deserialize)]
pub struct MatmulRate {
    pub operations_per_second: f64,
}

/// The process of a benchmark engine with a number of threads.
pub struct EngineProcess {
    pub engine: BenchmarkEngine,
    pub threads: usize,
    child: Child,
    requests: ChildStdin,
    responses: BufReader<ChildStdout>,
}

impl EngineProcess {
    pub fn start(
        arguments: &Arguments,
        engine: BenchmarkEngine,
        threads: usize,
        inputs: &Path,
    ) -> anyhow::Result<Self> {
        let mut command = if engine.is_rust() {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["--model", &arguments.model, "--serve-engine", engine.name()]);
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
            .with_context(|| format!("can't start {command:?}"))?;
        let requests = child.stdin.take().context("no standard input")?;
        let responses = BufReader::new(child.stdout.take().context("no standard output")?);
        Ok(Self { engine, threads, child, requests, responses })
    }

    /// Samples batches for `seconds`, at least one, and returns the means.
    pub fn measure(&mut self, batch: usize, seconds: f64) -> anyhow::Result<Measurement> {
        self.call(&json!({"batch": batch, "seconds": seconds}))
    }

    /// Versions and settings of the engine, to read.
    pub fn settings(&mut self) -> anyhow::Result<String> {
        self.call(&json!({"settings": true}))
    }

    /// Operations per second of a product of two square matrices.
    pub fn matmul_rate(&mut self, size: usize) -> anyhow::Result<f64> {
        let rate: MatmulRate = self.call(&json!({"gemm": size}))?;
        Ok(rate.operations_per_second)
    }

    fn call<T: DeserializeOwned>(&mut self, request: &Value) -> anyhow::Result<T> {
        writeln!(self.requests, "{request}")?;
        let mut line = String::new();
        let read = self.responses.read_line(&mut line)?;
        ensure!(read > 0, "the process of {} with {} threads ended", self.engine.name(), self.threads);
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
