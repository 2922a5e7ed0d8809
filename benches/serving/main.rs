//! What serving costs, and what batching step by step gains.
//!
//! Starts the server program twice, once as it is and once with `--batching job` (jobs are batched whole: none joins
//! until all of a batch are done), and loads each over HTTP. Between its runs, so that a slower minute of the machine
//! hits all alike, the bare batched sampler draws in this process: its throughput is what the server's is compared
//! with.
//!
//!     cargo bench --bench serving                       about a quarter of an hour on two cores
//!     cargo bench --bench serving -- --quick            a few seconds, to see that it works
//!     cargo bench --bench serving -- --help

mod bare;
#[path = "../../tests/client/mod.rs"]
mod client;
mod load;
#[path = "../../tests/program/mod.rs"]
mod program;
mod report;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use client::Api;
use load::{Load, Seen};
use program::Program;
use rdpm::model::{Model, open_device};
use report::{Row, Subject, Traffic};
use tokio::runtime::Runtime;

/// What is measured under closed-loop load, and under open-loop load.
const CLOSED: [Subject; 3] = [Subject::Bare, Subject::Step, Subject::Job];
const OPEN: [Subject; 2] = [Subject::Step, Subject::Job];

/// Throughput and waiting times of the server, beside the bare sampler and beside batching of whole jobs.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench serving --", max_term_width = 100)]
struct Arguments {
    /// Seconds that each measurement lasts, without its warm-up.
    #[arg(long, default_value = "10", default_value_if("quick", "true", "2"))]
    seconds: f64,
    /// How often everything is measured.
    #[arg(long, default_value = "3", default_value_if("quick", "true", "1"), value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Closed loop: clients with one request in flight each.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1,4,16,64",
        default_value_if("quick", "true", "1,4")
    )]
    clients: Vec<usize>,
    /// Open loop: arrivals, as fractions of what the server drew with most clients.
    #[arg(long, value_delimiter = ',', default_value = "0.5,0.8", default_value_if("quick", "true", "0.5"))]
    fractions: Vec<f64>,
    /// Images drawn together at most, by the servers and the bare sampler.
    #[arg(long, default_value_t = 16)]
    max_batch: usize,
    /// Folder of the model, inside `weights/`.
    #[arg(long, default_value = "fashion-mnist")]
    model: String,
    /// Where to compute: cpu, cuda or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// A few seconds in all, to see that it works: the figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// Cargo says so.
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
    let model = Model::load(&folder, &open_device(&arguments.device)?)?;
    report::head(&model, &arguments);

    let mut rows = rows(&arguments);
    let bench = Bench {
        step: Server::start(&arguments, &model, &[]),
        job: Server::start(&arguments, &model, &["--batching", "job"]),
        arguments,
        model,
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
    };
    for round in 0..bench.arguments.rounds {
        bench.round(round, &mut rows)?;
    }
    report::table(&rows);
    report::effort(&rows);
    report::aims(&rows);
    Ok(())
}

/// All that is measured; the open loop last, as its rates are relative to what the closed one showed.
fn rows(arguments: &Arguments) -> Vec<Row> {
    let mut rows = Vec::new();
    for &clients in &arguments.clients {
        rows.extend(CLOSED.map(|subject| Row::new(Traffic::Closed(clients), subject)));
        // What previews cost is shown once, where the batch is full and nobody waits.
        if clients == arguments.max_batch || arguments.clients.len() == 1 {
            rows.push(Row::new(Traffic::Closed(clients), Subject::Previews));
        }
    }
    for &fraction in &arguments.fractions {
        rows.extend(OPEN.map(|subject| Row::new(Traffic::Open(fraction), subject)));
    }
    rows
}

struct Server {
    load: Load,
    _program: Program,
}

impl Server {
    fn start(arguments: &Arguments, model: &Model, flags: &[&str]) -> Self {
        let mut command = program::rdpm();
        // Room for any open loop below capacity; jobs are soon forgotten, as nobody asks for them again.
        command.args(["serve", "--port", "0", "--max-queue", "4096", "--retention", "10"]);
        command.args(["--model", &arguments.model, "--device", &arguments.device]);
        command.args(["--max-batch", &arguments.max_batch.to_string()]).args(flags);
        let (program, address) = Program::start(&mut command, "http://");
        let load = Load {
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
    step: Server,
    job: Server,
}

impl Bench {
    /// Measures each row once. Every other round takes the subjects of each traffic backwards, so that a drift of the
    /// machine's speed favours none.
    fn round(&self, round: u64, rows: &mut [Row]) -> anyhow::Result<()> {
        let mut capacity = 0.0_f64;
        for rows in rows.chunk_by_mut(|one, next| one.traffic == next.traffic) {
            let mut order: Vec<&mut Row> = rows.iter_mut().collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for row in order {
                let seen = self.measure(row, capacity, round).with_context(|| row.to_string())?;
                eprintln!("round {}: {row}: {:.2} images/s", round + 1, seen.throughput);
                if row.subject == Subject::Step {
                    capacity = capacity.max(seen.throughput);
                }
                row.seen.push(seen);
            }
        }
        Ok(())
    }

    /// `capacity` is what the server drew at most in this round so far, in images per second.
    fn measure(&self, row: &Row, capacity: f64, round: u64) -> anyhow::Result<Seen> {
        let load = match row.subject {
            Subject::Job => &self.job.load,
            _ => &self.step.load,
        };
        match (row.traffic, row.subject) {
            (Traffic::Closed(clients), Subject::Bare) => {
                let batch = clients.min(self.arguments.max_batch);
                let throughput = bare::images_per_second(&self.model, batch, self.arguments.window())?;
                Ok(Seen { throughput, ..Seen::default() })
            }
            (Traffic::Closed(clients), subject) => {
                self.runtime.block_on(load.closed(clients, subject == Subject::Previews))
            }
            // The same arrivals for all subjects of a round.
            (Traffic::Open(fraction), _) => self.runtime.block_on(load.open(fraction * capacity, round)),
        }
    }
}
