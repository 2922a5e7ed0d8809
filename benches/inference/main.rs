//! Compares the speed of the model with PyTorch and ONNX Runtime.
//!
//! Every engine runs in a process of its own, loads the same weights and gets the same noise, and uses the number of
//! threads that is fastest for it. The engines alternate, so that a slower minute of the machine affects all alike. All
//! must sample the same tokens. The Python side is `training/rdpm_training/benchmark_engine.py`.
//!
//!     training/.venv/bin/pip install --editable 'training[bench]'
//!     cargo bench --bench inference                       some minutes on two cores
//!     cargo bench --bench inference -- --help

#[path = "../../tests/client/mod.rs"]
mod client;
mod engine_process;
mod memory;
#[path = "../../tests/program/mod.rs"]
mod program;
mod report;
mod rust_engine;
mod server_start;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Parser;
use engine_process::{EngineProcess, Measurement};
use rdpm::model::{Model, Precision, open_device};
use report::ResultTable;
use tempfile::TempDir;

/// An implementation of the model to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum BenchmarkEngine {
    /// This crate, with its networks for a CPU (src/model/cpu).
    Rdpm,
    /// The same with the transformer in bf16.
    RdpmBf16,
    /// This crate, with the networks that candle computes.
    Candle,
    /// PyTorch, eager, f32: the reference of ratios.
    Eager,
    /// PyTorch with torch.compile, f32.
    Compile,
    /// PyTorch, eager, with autocast to bf16.
    Bf16,
    /// ONNX Runtime with all of its graph optimizations, f32.
    Onnx,
    /// ONNX Runtime with int8 weights and dynamically quantized activations in the transformer's products.
    OnnxInt8,
}

impl BenchmarkEngine {
    fn is_rust(self) -> bool {
        matches!(self, Self::Rdpm | Self::RdpmBf16 | Self::Candle)
    }

    /// Whether it computes in f32 and so must sample the same tokens.
    fn is_f32(self) -> bool {
        !matches!(self, Self::RdpmBf16 | Self::Bf16 | Self::OnnxInt8)
    }

    /// Its name on the command line.
    fn name(self) -> &'static str {
        match self {
            Self::Rdpm => "rdpm",
            Self::RdpmBf16 => "rdpm-bf16",
            Self::Candle => "candle",
            Self::Eager => "eager",
            Self::Compile => "compile",
            Self::Bf16 => "bf16",
            Self::Onnx => "onnx",
            Self::OnnxInt8 => "onnx-int8",
        }
    }
}

/// Measures images per second, milliseconds per step, share of the machine's matrix product rate and memory of this
/// crate, PyTorch and ONNX Runtime.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench inference --", max_term_width = 100)]
struct Arguments {
    /// Engines to measure.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "rdpm,rdpm-bf16,candle,eager,compile,bf16,onnx,onnx-int8"
    )]
    engines: Vec<BenchmarkEngine>,
    /// Batch sizes, in images.
    #[arg(long, value_delimiter = ',', default_value = "1,8,32")]
    batches: Vec<usize>,
    /// Seconds per measurement; at least one batch is sampled.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Number of rounds; each measures every engine once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Numbers of threads to try for each engine. Default: 1 and the number of cores.
    #[arg(long, value_delimiter = ',')]
    threads: Vec<usize>,
    /// Folder of the model in `weights/`.
    #[arg(long, default_value = "fashion-mnist")]
    model: String,
    /// A Python interpreter with the packages of `training[bench]`.
    #[arg(long, default_value = "training/.venv/bin/python")]
    python: PathBuf,
    /// Serve measurements of this engine on standard input and output.
    #[arg(long, hide = true, requires = "inputs")]
    serve_engine: Option<BenchmarkEngine>,
    /// File with the inputs of the engines.
    #[arg(long, hide = true)]
    inputs: Option<PathBuf>,
    /// Cargo passes this flag to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn weights(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("weights").join(&self.model)
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::parse();
    if let Some(engine) = arguments.serve_engine {
        return rust_engine::serve(engine, &arguments.weights());
    }
    if arguments.threads.is_empty() {
        arguments.threads = vec![1, std::thread::available_parallelism()?.get()];
        arguments.threads.dedup();
    }
    if !has_bf16() && arguments.engines.contains(&BenchmarkEngine::RdpmBf16) {
        eprintln!("rdpm-bf16 is omitted: this processor has no AVX512-BF16");
        arguments.engines.retain(|&engine| engine != BenchmarkEngine::RdpmBf16);
    }
    let model = Model::load(&arguments.weights(), &open_device("cpu")?)?;
    let directory = TempDir::new()?;
    let inputs = directory.path().join("inputs.safetensors");
    let largest = arguments.batches.iter().copied().max().context("--batches is empty")?;
    rust_engine::write_inputs(&model, largest, &inputs)?;

    let mut bench = Bench::start(&arguments, &inputs)?;
    bench.choose_threads()?;
    let mut matmul_rate = 0.0_f64;
    for round in 0..arguments.rounds {
        bench.round(round)?;
        matmul_rate = matmul_rate.max(bench.matmul_rate()?);
    }
    report::print_header(&model, &arguments, matmul_rate, &bench.settings()?);
    report::print_starts(&server_start::measure(&arguments.model)?);
    let table = ResultTable { model: &model, arguments: &arguments, matmul_rate, results: &bench.results };
    table.print();
    table.check_settings()?;
    table.check_tokens()
}

/// Whether this program can compute in bf16.
fn has_bf16() -> bool {
    Precision::available(&candle_core::Device::Cpu).contains(&Precision::Bf16)
}

/// The measurements of one engine with one batch size.
struct EngineResult {
    engine: BenchmarkEngine,
    batch: usize,
    /// Index of the process with the best number of threads, and that number.
    process: usize,
    threads: usize,
    measurements: Vec<Measurement>,
}

/// The processes: each engine with each number of threads.
struct Bench<'a> {
    arguments: &'a Arguments,
    processes: Vec<EngineProcess>,
    results: Vec<EngineResult>,
}

/// A batch that takes more seconds than this is measured once only.
const SLOW_BATCH_SECONDS: f64 = 10.0;

/// Number of short measurements per number of threads; the best of them counts.
const THREAD_TRIALS: usize = 4;

impl<'a> Bench<'a> {
    fn start(arguments: &'a Arguments, inputs: &Path) -> anyhow::Result<Self> {
        let mut processes = Vec::new();
        for &engine in &arguments.engines {
            for &threads in &arguments.threads {
                processes.push(EngineProcess::start(arguments, engine, threads, inputs)?);
            }
        }
        // Wait until all have loaded before measuring any: loading would slow the others down.
        for process in &mut processes {
            process.matmul_rate(64)?;
        }
        Ok(Self { arguments, processes, results: Vec::new() })
    }

    /// The best rate of matrix products that an engine reaches, in operations per second.
    fn matmul_rate(&mut self) -> anyhow::Result<f64> {
        let mut best = 0.0_f64;
        for process in &mut self.processes {
            if matches!(
                process.engine,
                BenchmarkEngine::Rdpm | BenchmarkEngine::Candle | BenchmarkEngine::Eager
            ) {
                best = best.max(process.matmul_rate(1024)?);
            }
        }
        ensure!(
            best > 0.0,
            "measure at least one of rdpm, candle and eager, which give the rate of matrix products"
        );
        Ok(best)
    }

    /// The versions and settings that each engine reports, once for each.
    fn settings(&mut self) -> anyhow::Result<Vec<(BenchmarkEngine, String)>> {
        let mut settings: Vec<(BenchmarkEngine, String)> = Vec::new();
        for process in &mut self.processes {
            if !settings.iter().any(|(engine, _)| *engine == process.engine) {
                settings.push((process.engine, process.settings()?));
            }
        }
        Ok(settings)
    }

    /// Warms every process up and chooses the best number of threads for each engine and batch size.
    fn choose_threads(&mut self) -> anyhow::Result<()> {
        for &engine in &self.arguments.engines {
            for &batch in &self.arguments.batches {
                let mut best: Option<(f64, EngineResult)> = None;
                for (index, process) in self.processes.iter_mut().enumerate() {
                    if process.engine != engine {
                        continue;
                    }
                    // The first batch of a size compiles and allocates; it is no measurement.
                    process.measure(batch, 0.0)?;
                    let first = process.measure(batch, 0.0)?;
                    let slow = first.total() > SLOW_BATCH_SECONDS;
                    let mut seconds = if slow { first.total() } else { f64::INFINITY };
                    for _ in 0..if slow { 0 } else { THREAD_TRIALS } {
                        let trial = process.measure(batch, self.arguments.seconds / 4.0)?;
                        seconds = seconds.min(trial.total());
                    }
                    if best.as_ref().is_none_or(|(least, _)| seconds < *least) {
                        let measurements = if slow { vec![first] } else { Vec::new() };
                        let threads = process.threads;
                        let result = EngineResult { engine, batch, process: index, threads, measurements };
                        best = Some((seconds, result));
                    }
                }
                self.results.extend(best.map(|(_, result)| result));
            }
        }
        Ok(())
    }

    /// Measures all once. Each round begins with another one.
    fn round(&mut self, round: usize) -> anyhow::Result<()> {
        let count = self.results.len();
        for number in 0..count {
            let result = &mut self.results[(number + round) % count];
            if result.measurements.first().is_some_and(|first| first.total() > SLOW_BATCH_SECONDS) {
                continue;
            }
            let process = &mut self.processes[result.process];
            result.measurements.push(process.measure(result.batch, self.arguments.seconds)?);
        }
        Ok(())
    }
}
