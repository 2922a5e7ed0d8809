//! Measures the queue on NATS JetStream beside the embedded engine: throughput with many workers, latency that it adds, messages
//! and bytes of an image, and open event streams.
//!
//! Workers are real (`rdpm::queue::work`), but their devices sleep as a graphics processor would let the host wait, so that this
//! machine can run many. The streams are those of real gateways and a real worker with a small model.
//!
//!     cargo bench --bench scale                        about five minutes on two cores
//!     cargo bench --bench scale -- --quick             a few seconds, to see that it works
//!
//! It needs the NATS server that `scripts/test` installs.

#[allow(dead_code)] // Of a process's memory, only what is resident now is needed.
#[path = "../inference/memory.rs"]
mod memory;
mod nats;
#[allow(dead_code)] // The tests start further kinds of servers.
#[path = "../../tests/nats_server/mod.rs"]
mod nats_server;
#[path = "../../tests/program/mod.rs"]
mod program;
mod sleeping_backend;
mod streams;
mod system;

use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::future::try_join_all;
use nats::Nats;
use system::{SLOTS, System};

/// The time of a step while throughput is measured: that of a large model on a graphics processor.
const SLOW_STEP: Duration = Duration::from_millis(200);
/// The same while latency is measured.
const FAST_STEP: Duration = Duration::from_millis(20);

/// Measures throughput, latency, messages and streams of the queue, compared with the embedded engine.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench scale --", max_term_width = 100)]
struct Arguments {
    /// Numbers of workers.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1,2,4,8,16",
        default_value_if("quick", "true", "1,2")
    )]
    workers: Vec<usize>,
    /// Batches that each worker draws while throughput is measured.
    #[arg(long, default_value = "8", default_value_if("quick", "true", "2"))]
    batches: usize,
    /// Jobs whose latency is measured.
    #[arg(long, default_value = "200", default_value_if("quick", "true", "10"))]
    jobs: u64,
    /// Open event streams.
    #[arg(long, default_value = "10000", default_value_if("quick", "true", "100"))]
    streams: usize,
    /// Run for a few seconds to check that the benchmark works; the results are meaningless.
    #[arg(long)]
    quick: bool,
    /// Cargo passes this flag to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    rlimit::increase_nofile_limit(65_536)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let nats = Nats::start()?;
        throughput(&nats, &arguments).await?;
        latency(&nats, arguments.jobs).await?;
        messages(&nats).await?;
        open_streams(&nats, arguments.streams).await
    })
}

/// Images per second with growing numbers of workers, relative to as many engines without a queue.
async fn throughput(nats: &Nats, arguments: &Arguments) -> anyhow::Result<()> {
    let images_per_second = async |system: &System, workers: usize| -> anyhow::Result<f64> {
        // Jobs of one image: twice as many clients as slots, so that all slots are always wanted.
        let clients = 2 * SLOTS * workers;
        let of_client = (arguments.batches / 2).max(1);
        let started = Instant::now();
        let client = async |client: usize| -> anyhow::Result<()> {
            for job in 0..of_client {
                system.draw((job * clients + client) as u64, 1, false).await?;
            }
            Ok(())
        };
        try_join_all((0..clients).map(client)).await?;
        Ok((clients * of_client) as f64 / started.elapsed().as_secs_f64())
    };
    let embedded = System::embedded(SLOW_STEP)?;
    let one = images_per_second(&embedded, 1).await?;
    embedded.stop().await;
    println!("Throughput: workers with {SLOTS} slots and steps of {SLOW_STEP:?}, jobs of one image");
    println!("{:>8} {:>10} {:>22}", "workers", "images/s", "share of linear");
    println!("{:>8} {one:>10.1} {:>22}", "embedded", "1.00");
    for &workers in &arguments.workers {
        let system = System::queue(nats, &format!("throughput{workers}"), workers, SLOW_STEP).await?;
        let measured = images_per_second(&system, workers).await?;
        println!("{workers:>8} {measured:>10.1} {:>22.2}", measured / (one * workers as f64));
        system.stop().await;
    }
    Ok(())
}

/// The time from a request until its first step is readable, one job after the other, the systems in turn.
async fn latency(nats: &Nats, jobs: u64) -> anyhow::Result<()> {
    let embedded = System::embedded(FAST_STEP)?;
    let queue = System::queue(nats, "latency", 1, FAST_STEP).await?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for seed in 0..jobs {
        without.push(embedded.draw(seed, 1, true).await?.0);
        with.push(queue.draw(seed, 1, true).await?.0);
    }
    embedded.stop().await;
    queue.stop().await;
    println!("\nTime until the first step of an idle system, steps of {FAST_STEP:?}, {jobs} jobs (ms)");
    println!("{:>8} {:>10} {:>10}", "", "median", "90th perc.");
    let milliseconds = |times: &mut Vec<Duration>, part: f64| {
        times.sort_unstable();
        times[((times.len() as f64 * part) as usize).min(times.len() - 1)].as_secs_f64() * 1e3
    };
    let row = |name: &str, times: &mut Vec<Duration>| {
        let (median, high) = (milliseconds(times, 0.5), milliseconds(times, 0.9));
        println!("{name:>8} {median:>10.2} {high:>10.2}");
        median
    };
    let (without, with) = (row("embedded", &mut without), row("queue", &mut with));
    println!("added by the queue at the median: {:.2} ms", with - without);
    Ok(())
}

/// Messages and bytes in the stream of events for each image.
async fn messages(nats: &Nats) -> anyhow::Result<()> {
    println!("\nEvents of an image, 28 x 28 in grey, jobs of four images");
    println!("{:>10} {:>10} {:>10}", "previews", "messages", "bytes");
    for previews in [false, true] {
        let prefix = format!("messages-{previews}");
        let system = System::queue(nats, &prefix, 1, Duration::from_millis(5)).await?;
        let jobs = 8;
        for seed in 0..jobs {
            system.draw(seed, 4, previews).await?;
        }
        let (messages, bytes) = nats.events(&prefix).await?;
        let images = (4 * jobs) as f64;
        println!("{previews:>10} {:>10.1} {:>10.0}", messages as f64 / images, bytes as f64 / images);
        system.stop().await;
    }
    Ok(())
}

/// Open event streams over three gateways, beside a single one.
async fn open_streams(nats: &Nats, streams: usize) -> anyhow::Result<()> {
    println!("\nEvent streams over three gateways, real processes, of 20 jobs that start when all are open");
    println!(
        "{:>8} {:>14} {:>22} {:>12} {:>20}",
        "streams", "opened in (s)", "all ended after (s)", "MB read", "kB of each at gateway"
    );
    for streams in [1, streams] {
        let result = streams::measure(nats, streams).await?;
        println!(
            "{:>8} {:>14.1} {:>22.2} {:>12.1} {:>20.1}",
            result.streams,
            result.opened.as_secs_f64(),
            result.ended.as_secs_f64(),
            result.bytes as f64 / 1e6,
            result.bytes_of_stream as f64 / 1e3
        );
    }
    Ok(())
}
