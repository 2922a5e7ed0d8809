//! Measures the overhead of the server over the sampler, and the gain of batching by step.
//!
//! Starts the server twice, once with its default batching by step and once with `--batching job` (no job joins until all
//! of a batch are done), and generates load on each over HTTP. The sampler alone, which the server's throughput is
//! compared with, runs in this process. The systems alternate, so that a slower minute of the machine affects all alike.
//!
//!     cargo bench --bench serving                       about a quarter of an hour on two cores
//!     cargo bench --bench serving -- --quick            a few seconds, to see that it works
//!     cargo bench --bench serving -- --help

#[path = "../../tests/client/mod.rs"]
mod client;
mod load;
#[path = "../../tests/program/mod.rs"]
mod program;
mod report;
mod sampler_baseline;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use client::Api;
use load::{LoadGenerator, LoadResult};
use program::Program;
use rdpm::model::{Model, Precision, open_device};
use report::{Arrivals, Row, System};
use tokio::runtime::Runtime;

/// The systems measured in a closed loop.
const CLOSED_LOOP: [System; 3] = [System::Sampler, System::StepBatching, System::JobBatching];
/// The systems measured in an open loop.
const OPEN_LOOP: [System; 2] = [System::StepBatching, System::JobBatching];

/// Measures throughput and latency of the server, compared with the sampler alone and with batching by job.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench serving --", max_term_width = 100)]
struct Arguments {
    /// Seconds per measurement, without its warm-up.
    #[arg(long, default_value = "10", default_value_if("quick", "true", "2"))]
    seconds: f64,
    /// Number of rounds; each measures everything once.
    #[arg(long, default_value = "3", default_value_if("quick", "true", "1"), value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Closed loop: numbers of clients with one request in flight each.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1,4,16,64",
        default_value_if("quick", "true", "1,4")
    )]
    clients: Vec<usize>,
    /// Open loop: rates of arrivals, as fractions of the server's throughput with most clients.
    #[arg(long, value_delimiter = ',', default_value = "0.5,0.8", default_value_if("quick", "true", "0.5"))]
    fractions: Vec<f64>,
    /// Maximum batch size in images, of the servers and the sampler.
    #[arg(long, default_value_t = 16)]
    max_batch: usize,
    /// Folder of the model in `weights/`.
    #[arg(long, default_value = "fashion-mnist")]
    model: String,
    /// Compute device: cpu, cuda or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Number format of the transformer: f32, bf16 or f16.
    #[arg(long, default_value = "f32")]
    precision: String,
    /// Run for a few seconds to check that the benchmark works; the results are meaningless.
    #[arg(long)]
    quick: bool,
    /// Cargo passes this flag to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn window(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights").join(&arguments.model);
    let precision = Precision::from_name(&arguments.precision).context("no such precision")?;
    let model = Model::load_with(&folder, &open_device(&arguments.device)?, precision)?;
    report::print_header(&model, &arguments);

    let mut rows = rows(&arguments);
    let bench = Bench {
        step_batching: Server::start(&arguments, &model, &[]),
        job_batching: Server::start(&arguments, &model, &["--batching", "job"]),
        arguments,
        model,
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
    };
    for round in 0..bench.arguments.rounds {
        bench.round(round, &mut rows)?;
    }
    report::print_table(&rows);
    report::print_generator_cpu(&rows);
    report::print_targets(&rows);
    Ok(())
}

/// Everything to measure. The open loop comes last, as its rates are relative to the closed loop's throughput.
fn rows(arguments: &Arguments) -> Vec<Row> {
    let mut rows = Vec::new();
    for &clients in &arguments.clients {
        rows.extend(CLOSED_LOOP.map(|system| Row::new(Arrivals::ClosedLoop(clients), system)));
        // Previews are measured once, with a full batch and no queue.
        if clients == arguments.max_batch || arguments.clients.len() == 1 {
            rows.push(Row::new(Arrivals::ClosedLoop(clients), System::StepBatchingWithPreviews));
        }
    }
    for &fraction in &arguments.fractions {
        rows.extend(OPEN_LOOP.map(|system| Row::new(Arrivals::OpenLoop(fraction), system)));
    }
    rows
}

struct Server {
    load: LoadGenerator,
    _program: Program,
}

impl Server {
    fn start(arguments: &Arguments, model: &Model, flags: &[&str]) -> Self {
        let mut command = program::rdpm();
        // The queue is long enough for any open loop below capacity; jobs expire soon, as nobody requests them again.
        command.args(["serve", "--port", "0", "--max-queue", "4096", "--retention", "10"]);
        // All clients have one address.
        command.args(["--max-streams", "4096", "--max-connections-per-address", "0"]);
        command.args(["--model", &arguments.model, "--device", &arguments.device]);
        command.args(["--precision", &arguments.precision]);
        command.args(["--max-batch", &arguments.max_batch.to_string()]).args(flags);
        let (program, address) = Program::start(&mut command, "http://");
        let load = LoadGenerator {
            api: Api::new(&address),
            steps: model.config().steps(),
            classes: model.config().classes.len(),
            max_batch: arguments.max_batch,
            window: arguments.window(),
        };
        Self { load, _program: program }
    }
}

struct Bench {
    arguments: Arguments,
    model: Model,
    runtime: Runtime,
    step_batching: Server,
    job_batching: Server,
}

impl Bench {
    /// Measures each row once. Every other round reverses the order of systems, so that a drift of the machine's speed
    /// favours none.
    fn round(&self, round: u64, rows: &mut [Row]) -> anyhow::Result<()> {
        let mut capacity = 0.0_f64;
        for rows in rows.chunk_by_mut(|one, next| one.arrivals == next.arrivals) {
            let mut order: Vec<&mut Row> = rows.iter_mut().collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for row in order {
                let result = self.measure(row, capacity, round).with_context(|| row.to_string())?;
                eprintln!("round {}: {row}: {:.2} images/s", round + 1, result.throughput);
                if row.system == System::StepBatching {
                    capacity = capacity.max(result.throughput);
                }
                row.results.push(result);
            }
        }
        Ok(())
    }

    /// Measures a row. `capacity` is the server's maximum throughput in this round so far, in images per second.
    fn measure(&self, row: &Row, capacity: f64, round: u64) -> anyhow::Result<LoadResult> {
        let load = match row.system {
            System::JobBatching => &self.job_batching.load,
            _ => &self.step_batching.load,
        };
        match (row.arrivals, row.system) {
            (Arrivals::ClosedLoop(clients), System::Sampler) => {
                let batch = clients.min(self.arguments.max_batch);
                let throughput =
                    sampler_baseline::images_per_second(&self.model, batch, self.arguments.window())?;
                Ok(LoadResult { throughput, ..LoadResult::default() })
            }
            (Arrivals::ClosedLoop(clients), system) => {
                self.runtime.block_on(load.closed_loop(clients, system == System::StepBatchingWithPreviews))
            }
            // All systems of a round get the same arrivals.
            (Arrivals::OpenLoop(fraction), _) => {
                self.runtime.block_on(load.open_loop(fraction * capacity, round))
            }
        }
    }
}
