//! Prints the results.

use std::fmt;
use std::time::Duration;

use rdpm::model::{Model, processor_features, processor_name};

use crate::Arguments;
use crate::load::{Latency, LoadResult};

/// The arrival of requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arrivals {
    /// Closed loop: a number of clients with one request in flight each.
    ClosedLoop(usize),
    /// Open loop: independent arrivals, at a fraction of the server's capacity.
    OpenLoop(f64),
}

/// The system under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// The sampler without a server, in batches of as many images as there are clients.
    Sampler,
    /// The server with its default batching by step, without previews.
    StepBatching,
    /// The server with its default batching by step, with previews.
    StepBatchingWithPreviews,
    /// The server with `--batching job`.
    JobBatching,
}

/// One line of the table, with the result of each round.
#[derive(Debug)]
pub struct Row {
    pub arrivals: Arrivals,
    pub system: System,
    pub results: Vec<LoadResult>,
}

impl Row {
    pub fn new(arrivals: Arrivals, system: System) -> Self {
        Self { arrivals, system, results: Vec::new() }
    }

    fn throughput(&self) -> f64 {
        median(self.results.iter().map(|result| result.throughput))
    }

    /// The median over rounds of the ratio of this row's throughput to another's in the same round.
    fn throughput_ratio(&self, other: &Self) -> f64 {
        assert_eq!(self.results.len(), other.results.len(), "rows have different numbers of rounds");
        let rounds = self.results.iter().zip(&other.results);
        median(rounds.map(|(own, other)| own.throughput / other.throughput))
    }

    /// A quantile of a latency over the requests of all rounds, in milliseconds.
    fn latency_quantile(&self, share: f64, latency: fn(&Latency) -> Duration) -> f64 {
        let requests = self.results.iter().flat_map(|result| &result.requests);
        quantile(share, requests.map(|request| latency(request).as_secs_f64() * 1e3))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let system = match self.system {
            System::Sampler => "sampler alone",
            System::StepBatching => "batched by step",
            System::StepBatchingWithPreviews => "the same with previews",
            System::JobBatching => "batched by job",
        };
        match self.arrivals {
            Arrivals::ClosedLoop(1) => write!(f, "1 client, {system}"),
            Arrivals::ClosedLoop(clients) => write!(f, "{clients} clients, {system}"),
            Arrivals::OpenLoop(fraction) => write!(f, "{fraction} of capacity, {system}"),
        }
    }
}

/// Prints the command, the machine, the model and an explanation of the columns.
pub fn print_header(model: &Model, arguments: &Arguments) {
    let command: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let Arguments { seconds, rounds, max_batch, .. } = arguments;
    println!("command     cargo bench --bench serving -- {}", command.join(" "));
    println!("machine     {}, {cores} cores", processor_name());
    println!("processor   {}", processor_features());
    println!(
        "model       {}, {} weights, on {} in {}",
        model.config().name,
        model.weight_count(),
        model.device(),
        model.computation().precision.name()
    );
    println!("requests    1 image each, the model's default settings, without previews unless noted");
    println!("batches     {max_batch} images at most");
    println!("measured    {rounds} rounds of {seconds} seconds for each line");
    println!(
        "images/s    median over rounds; of sampler: median of its ratio to the sampler alone in the same round"
    );
    println!(
        "first step  milliseconds from arrival, median and 99th percentile of the requests of all rounds\n"
    );
}

/// Prints all rows.
pub fn print_table(rows: &[Row]) {
    let print_row = |cells: [String; 9]| {
        let [name, cells @ ..] = cells;
        let cells: String = cells.iter().map(|cell| format!("{cell:>11}")).collect();
        println!("{name:<36}{cells}");
    };
    println!();
    let header =
        ["", "images/s", "of sampler", "first step", "p99", "completed", "p99", "requests", "refused"];
    print_row(header.map(str::to_owned));
    for row in rows {
        let sampler = find(rows, row.arrivals, System::Sampler).filter(|_| row.system != System::Sampler);
        let ms = |share, latency| format_number(row.latency_quantile(share, latency), 0);
        let count = |of: fn(&LoadResult) -> usize| match row.system {
            System::Sampler => String::new(),
            _ => row.results.iter().map(of).sum::<usize>().to_string(),
        };
        print_row([
            row.to_string(),
            format_number(row.throughput(), 2),
            format_number(sampler.map_or(f64::NAN, |sampler| row.throughput_ratio(sampler)), 3),
            ms(0.5, first_step),
            ms(0.99, first_step),
            ms(0.5, completed),
            ms(0.99, completed),
            count(|result| result.requests.len()),
            count(|result| result.refused),
        ]);
    }
}

/// A number for the table; empty if it is NaN.
fn format_number(number: f64, decimals: usize) -> String {
    if number.is_nan() { String::new() } else { format!("{number:.decimals$}") }
}

/// Prints the results beside the project's targets.
pub fn print_targets(rows: &[Row]) {
    println!();
    for row in rows.iter().filter(|row| row.system == System::StepBatching) {
        let Arrivals::ClosedLoop(clients) = row.arrivals else { continue };
        if let (16.., Some(sampler)) = (clients, find(rows, row.arrivals, System::Sampler)) {
            println!(
                "{clients} clients: throughput {:.3} of the sampler alone (target: 0.95 or more)",
                row.throughput_ratio(sampler)
            );
        }
        if let (16, Some(job)) = (clients, find(rows, row.arrivals, System::JobBatching)) {
            let gain = job.latency_quantile(0.99, first_step) / row.latency_quantile(0.99, first_step);
            println!(
                "{clients} clients: p99 to the first step {gain:.1} times lower than by job (target: 5 or more)"
            );
        }
    }
}

/// Prints how much of a core, on a machine that it shares with the server, generating the load used at most.
pub fn print_generator_cpu(rows: &[Row]) {
    let shares = rows.iter().flat_map(|row| &row.results).filter_map(|result| result.generator_cpu);
    if let Some(most) = shares.reduce(f64::max) {
        println!("\ngenerating the load used {:.1} % of a core at most", most * 100.0);
    }
}

fn find(rows: &[Row], arrivals: Arrivals, system: System) -> Option<&Row> {
    rows.iter().find(|row| row.arrivals == arrivals && row.system == system)
}

fn first_step(latency: &Latency) -> Duration {
    latency.first_step
}

fn completed(latency: &Latency) -> Duration {
    latency.completed
}

/// The median; NaN of no numbers.
fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let sorted = sorted(numbers);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    (at(sorted.len().saturating_sub(1) / 2) + at(sorted.len() / 2)) / 2.0
}

/// The smallest number that at least this share of the numbers doesn't exceed; NaN of no numbers.
fn quantile(share: f64, numbers: impl Iterator<Item = f64>) -> f64 {
    let sorted = sorted(numbers);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn sorted(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = numbers.collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}
