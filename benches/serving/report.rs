//! What was measured, as text.

use std::fmt;
use std::time::Duration;

use rdpm::model::Model;

use crate::Arguments;
use crate::load::{Seen, Times};

/// What the server is loaded with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Traffic {
    /// So many clients with one request in flight each.
    Closed(usize),
    /// Independent arrivals at this fraction of what the server can draw.
    Open(f64),
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The sampler alone, in batches of as many images as there are clients.
    Bare,
    /// The server as it is, without previews.
    Step,
    /// The server as it is, with previews.
    Previews,
    /// The server that batches jobs whole.
    Job,
}

/// One line of a table: what was measured, and what came of it in each round.
#[derive(Debug)]
pub struct Row {
    pub traffic: Traffic,
    pub subject: Subject,
    pub seen: Vec<Seen>,
}

impl Row {
    pub fn new(traffic: Traffic, subject: Subject) -> Self {
        Self { traffic, subject, seen: Vec::new() }
    }

    fn throughput(&self) -> f64 {
        median(self.seen.iter().map(|seen| seen.throughput))
    }

    /// The median over rounds of this row's throughput as a ratio to another's in the same round.
    fn ratio(&self, to: &Self) -> f64 {
        median(self.seen.iter().zip(&to.seen).map(|(own, other)| own.throughput / other.throughput))
    }

    /// A quantile of a waiting time over the requests of all rounds, in milliseconds.
    fn quantile(&self, share: f64, time: fn(&Times) -> Duration) -> f64 {
        let requests = self.seen.iter().flat_map(|seen| &seen.requests);
        quantile(share, requests.map(|times| time(times).as_secs_f64() * 1e3))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = match self.subject {
            Subject::Bare => "bare sampler",
            Subject::Step => "batched by step",
            Subject::Previews => "the same with previews",
            Subject::Job => "batched by job",
        };
        match self.traffic {
            Traffic::Closed(1) => write!(f, "1 client, {subject}"),
            Traffic::Closed(clients) => write!(f, "{clients} clients, {subject}"),
            Traffic::Open(fraction) => write!(f, "{fraction} of capacity, {subject}"),
        }
    }
}

/// Where and how it runs.
pub fn head(model: &Model, arguments: &Arguments) {
    let given: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let Arguments { seconds, rounds, max_batch, .. } = arguments;
    println!("command     cargo bench --bench serving -- {}", given.join(" "));
    println!("machine     {}, {cores} cores", processor());
    println!(
        "model       {}, {} parameters, on {}",
        model.config().name,
        model.weight_count(),
        model.device()
    );
    println!("requests    1 image each, the model's own settings, previews off unless said otherwise");
    println!("batches     {max_batch} images at most");
    println!("measured    {rounds} rounds of {seconds} seconds for each line");
    println!(
        "throughput  median over rounds; of bare: median of its ratio to the bare sampler's in the same round"
    );
    println!(
        "times       milliseconds from arrival, median and 99th percentile of the requests of all rounds\n"
    );
}

/// The processor's name where the system says it.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    line.map_or_else(|| std::env::consts::ARCH.into(), |(_, name)| name.trim().into())
}

/// All that was measured.
pub fn table(rows: &[Row]) {
    let line = |cells: [String; 9]| {
        let [name, cells @ ..] = cells;
        let cells: String = cells.iter().map(|cell| format!("{cell:>11}")).collect();
        println!("{name:<36}{cells}");
    };
    println!();
    let head = ["", "images/s", "of bare", "first step", "p99", "completed", "p99", "requests", "refused"];
    line(head.map(str::to_owned));
    for row in rows {
        let bare = find(rows, row.traffic, Subject::Bare).filter(|_| row.subject != Subject::Bare);
        let ms = |share, time| number(row.quantile(share, time), 0);
        let count = |of: fn(&Seen) -> usize| match row.subject {
            Subject::Bare => String::new(),
            _ => row.seen.iter().map(of).sum::<usize>().to_string(),
        };
        line([
            row.to_string(),
            number(row.throughput(), 2),
            number(bare.map_or(f64::NAN, |bare| row.ratio(bare)), 3),
            ms(0.5, first_step),
            ms(0.99, first_step),
            ms(0.5, completed),
            ms(0.99, completed),
            count(|seen| seen.requests.len()),
            count(|seen| seen.refused),
        ]);
    }
}

/// A number for the table; nothing for what isn't one.
fn number(number: f64, decimals: usize) -> String {
    if number.is_nan() { String::new() } else { format!("{number:.decimals$}") }
}

/// How the figures stand to what the project aims at.
pub fn aims(rows: &[Row]) {
    println!();
    for row in rows.iter().filter(|row| row.subject == Subject::Step) {
        let Traffic::Closed(clients) = row.traffic else { continue };
        if let (16.., Some(bare)) = (clients, find(rows, row.traffic, Subject::Bare)) {
            println!(
                "{clients} clients: throughput {:.3} of the bare sampler's (aim: 0.95 or more)",
                row.ratio(bare)
            );
        }
        if let (16, Some(job)) = (clients, find(rows, row.traffic, Subject::Job)) {
            let gain = job.quantile(0.99, first_step) / row.quantile(0.99, first_step);
            println!(
                "{clients} clients: p99 to the first step {gain:.1} times lower than by job (aim: 5 or more)"
            );
        }
    }
}

/// What the load itself cost, on a machine that it shares with the server.
pub fn effort(rows: &[Row]) {
    let shares = rows.iter().flat_map(|row| &row.seen).filter_map(|seen| seen.effort);
    if let Some(most) = shares.reduce(f64::max) {
        println!("\nmaking the load took {:.1} % of a core at most", most * 100.0);
    }
}

fn find(rows: &[Row], traffic: Traffic, subject: Subject) -> Option<&Row> {
    rows.iter().find(|row| row.traffic == traffic && row.subject == subject)
}

fn first_step(times: &Times) -> Duration {
    times.first_step
}

fn completed(times: &Times) -> Duration {
    times.completed
}

/// NaN where there are no numbers.
fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let sorted = sorted(numbers);
    let middle = |at: usize| sorted.get(at).copied().unwrap_or(f64::NAN);
    (middle(sorted.len().saturating_sub(1) / 2) + middle(sorted.len() / 2)) / 2.0
}

/// The smallest of the numbers that at least this share of them doesn't exceed; NaN where there are none.
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
