//! How fast the model runs here, beside PyTorch and ONNX Runtime.
//!
//! Every contender is a process of its own that loads the same weights and is handed the same noise; they take turns on
//! the same machine, so that a slower minute hits all alike, each with the number of threads that suits it best. All must
//! draw the same tokens. The Python side is `training/rdpm_training/benchmark_engine.py`.
//!
//!     training/.venv/bin/pip install --editable 'training[bench]'
//!     cargo bench --bench inference                       some minutes on two cores
//!     cargo bench --bench inference -- --help

#[path = "../../tests/client/mod.rs"]
mod client;
mod contender;
mod memory;
mod own;
#[path = "../../tests/program/mod.rs"]
mod program;
mod report;
mod start;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Parser;
use contender::{Contender, Measured};
use rdpm::model::{Model, open_device};
use report::Table;
use tempfile::TempDir;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Engine {
    /// This program's networks on the device: on a CPU those of src/model/cpu.
    Rdpm,
    /// The same model by candle alone.
    Candle,
    /// PyTorch, eager, f32: what the others are compared with.
    Eager,
    /// PyTorch with torch.compile, f32.
    Compile,
    /// PyTorch, eager, with autocast to bf16.
    Bf16,
    /// ONNX Runtime with all of its graph optimizations, f32.
    Onnx,
}

impl Engine {
    fn is_own(self) -> bool {
        matches!(self, Self::Rdpm | Self::Candle)
    }

    /// By what the command line calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Rdpm => "rdpm",
            Self::Candle => "candle",
            Self::Eager => "eager",
            Self::Compile => "compile",
            Self::Bf16 => "bf16",
            Self::Onnx => "onnx",
        }
    }
}

/// Images per second, milliseconds per step, share of the machine's matrix product rate and memory of this program's
/// networks, PyTorch and ONNX Runtime.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench inference --", max_term_width = 100)]
struct Arguments {
    /// What is measured.
    #[arg(long, value_delimiter = ',', default_value = "rdpm,candle,eager,compile,bf16,onnx")]
    engines: Vec<Engine>,
    /// Images drawn together.
    #[arg(long, value_delimiter = ',', default_value = "1,8,32")]
    batches: Vec<usize>,
    /// Seconds that each measurement lasts; at least one batch is drawn.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// How often everything is measured, in turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Numbers of threads that each engine may choose from; by default 1 and the number of cores.
    #[arg(long, value_delimiter = ',')]
    threads: Vec<usize>,
    /// Folder of the model, inside `weights/`.
    #[arg(long, default_value = "fashion-mnist")]
    model: String,
    /// A Python with the packages of `training[bench]`.
    #[arg(long, default_value = "training/.venv/bin/python")]
    python: PathBuf,
    /// Be one of the contenders.
    #[arg(long, hide = true, requires = "inputs")]
    contender: Option<Engine>,
    #[arg(long, hide = true)]
    inputs: Option<PathBuf>,
    /// Cargo says so.
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
    if let Some(engine) = arguments.contender {
        return own::serve(engine, &arguments.weights());
    }
    if arguments.threads.is_empty() {
        arguments.threads = vec![1, std::thread::available_parallelism()?.get()];
        arguments.threads.dedup();
    }
    let model = Model::load(&arguments.weights(), &open_device("cpu")?)?;
    let place = TempDir::new()?;
    let inputs = place.path().join("inputs.safetensors");
    let largest = arguments.batches.iter().copied().max().context("--batches names none")?;
    own::write_inputs(&model, largest, &inputs)?;

    let mut bench = Bench::start(&arguments, &inputs)?;
    bench.choose_threads()?;
    let mut rate = 0.0_f64;
    for round in 0..arguments.rounds {
        bench.round(round)?;
        rate = rate.max(bench.product_rate()?);
    }
    report::head(&model, &arguments, rate);
    report::starts(&start::measure(&arguments.model)?);
    let table = Table { model: &model, arguments: &arguments, rate, entries: &bench.entries };
    table.print();
    table.check_tokens()
}

/// One engine at one batch size.
struct Entry {
    engine: Engine,
    batch: usize,
    /// Index of the contender with the best number of threads, and that number.
    contender: usize,
    threads: usize,
    measured: Vec<Measured>,
}

/// All contenders: each engine with each number of threads.
struct Bench<'a> {
    arguments: &'a Arguments,
    contenders: Vec<Contender>,
    entries: Vec<Entry>,
}

/// A batch that takes longer than this is drawn once: more would tell nothing new.
const PATIENCE: f64 = 10.0;

/// Of so many short measurements the best decides how many threads suit a contender.
const TRIES: usize = 4;

impl<'a> Bench<'a> {
    fn start(arguments: &'a Arguments, inputs: &Path) -> anyhow::Result<Self> {
        let mut contenders = Vec::new();
        for &engine in &arguments.engines {
            for &threads in &arguments.threads {
                contenders.push(Contender::start(arguments, engine, threads, inputs)?);
            }
        }
        // All must be there before any is measured: who loads takes the others' time.
        for contender in &mut contenders {
            contender.product_rate(64)?;
        }
        Ok(Self { arguments, contenders, entries: Vec::new() })
    }

    /// The best rate of matrix products that anyone reaches, in operations per second.
    fn product_rate(&mut self) -> anyhow::Result<f64> {
        let mut best = 0.0_f64;
        for contender in &mut self.contenders {
            if matches!(contender.engine, Engine::Rdpm | Engine::Candle | Engine::Eager) {
                best = best.max(contender.product_rate(1024)?);
            }
        }
        ensure!(best > 0.0, "one of rdpm, candle and eager must be measured: they say how fast products are");
        Ok(best)
    }

    /// Warms every contender up and keeps the best for each engine and batch size.
    fn choose_threads(&mut self) -> anyhow::Result<()> {
        for &engine in &self.arguments.engines {
            for &batch in &self.arguments.batches {
                let mut best: Option<(f64, Entry)> = None;
                for (index, contender) in self.contenders.iter_mut().enumerate() {
                    if contender.engine != engine {
                        continue;
                    }
                    let measured = contender.measure(batch, 0.0)?;
                    let slow = measured.total() > PATIENCE;
                    let mut seconds = if slow { measured.total() } else { f64::INFINITY };
                    for _ in 0..if slow { 0 } else { TRIES } {
                        let again = contender.measure(batch, self.arguments.seconds / 4.0)?;
                        seconds = seconds.min(again.total());
                    }
                    if best.as_ref().is_none_or(|(least, _)| seconds < *least) {
                        let measured = if slow { vec![measured] } else { Vec::new() };
                        let threads = contender.threads;
                        best = Some((seconds, Entry { engine, batch, contender: index, threads, measured }));
                    }
                }
                self.entries.extend(best.map(|(_, entry)| entry));
            }
        }
        Ok(())
    }

    /// Measures all once; who goes first changes from round to round.
    fn round(&mut self, round: usize) -> anyhow::Result<()> {
        let count = self.entries.len();
        for number in 0..count {
            let entry = &mut self.entries[(number + round) % count];
            if entry.measured.first().is_some_and(|measured| measured.total() > PATIENCE) {
                continue;
            }
            let contender = &mut self.contenders[entry.contender];
            entry.measured.push(contender.measure(entry.batch, self.arguments.seconds)?);
        }
        Ok(())
    }
}
