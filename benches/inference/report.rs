//! What was measured, as text.

use anyhow::ensure;
use rdpm::model::{Config, Model};

use crate::contender::Measured;
use crate::start::Start;
use crate::{Arguments, Engine, Entry};

/// Where and how it runs.
pub fn head(model: &Model, arguments: &Arguments, rate: f64) {
    let given: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let Arguments { seconds, rounds, .. } = arguments;
    let config = model.config();
    println!("command     cargo bench --bench inference -- {}", given.join(" "));
    println!(
        "machine     {}, {cores} cores; the best 1024³ product runs at {:.0} GFLOP/s",
        processor(),
        rate / 1e9
    );
    println!("model       {}, {} parameters, {} steps", config.name, model.weight_count(), config.steps());
    println!(
        "settings    the model's own: guidance {}, temperature {}",
        config.sampling.guidance, config.sampling.temperature
    );
    println!(
        "measured    {rounds} rounds of {seconds} s for each line; medians over rounds, ratios within a round"
    );
    println!("images/s    from noise to pixels: all steps and the decoder");
    println!("peak        share of that product rate that the steps' matrix products reach");
    println!("memory      most that the process held");
    println!("tokens      share that equals rdpm's\n");
}

/// The processor's name where the system says it.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    line.map_or_else(|| std::env::consts::ARCH.into(), |(_, name)| name.trim().into())
}

/// How the server starts, and what it holds.
pub fn starts(starts: &[Start]) {
    let Some(middle) = starts.get(starts.len() / 2) else { return };
    let (fastest, slowest) = (&starts[0], &starts[starts.len() - 1]);
    let mebibytes = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
    println!(
        "start       {:.0} ms from the server's start until it is ready (median of {}; {:.0} to {:.0})",
        1e3 * middle.ready.as_secs_f64(),
        starts.len(),
        1e3 * fastest.ready.as_secs_f64(),
        1e3 * slowest.ready.as_secs_f64()
    );
    println!(
        "resident    {:.0} MiB when ready, {:.0} MiB at most while it draws 8 images with previews\n",
        mebibytes(middle.idle),
        mebibytes(starts.iter().map(|start| start.drawing).max().unwrap_or_default())
    );
}

/// All entries, and what they are relative to.
pub struct Table<'a> {
    pub model: &'a Model,
    pub arguments: &'a Arguments,
    pub rate: f64,
    pub entries: &'a [Entry],
}

/// The engine that ratios are to, and the one whose tokens the others' must be.
const REFERENCE: Engine = Engine::Eager;
const OWN: Engine = Engine::Rdpm;
/// Share of tokens that f32 engines must have in common: a sum in another order can turn a draw, and with it what
/// follows in that image.
const SAME: f64 = 0.99;

impl Table<'_> {
    pub fn print(&self) {
        let heads = [
            "batch",
            "engine",
            "threads",
            "images/s",
            "of eager",
            "ms/step",
            "peak",
            "ms decode",
            "ms encode",
            "MiB",
            "tokens",
        ];
        print(heads.map(str::to_owned));
        for &batch in &self.arguments.batches {
            for entry in self.entries.iter().filter(|entry| entry.batch == batch) {
                print(self.cells(entry));
            }
            println!();
        }
    }

    fn cells(&self, entry: &Entry) -> [String; 11] {
        let Entry { engine, batch, threads, .. } = entry;
        let steps = self.model.config().steps() as f64;
        let milliseconds = |figure: fn(&Measured) -> f64| 1e3 * median(entry, figure);
        let ratio = self.find(REFERENCE, *batch).map(|other| ratio(entry, other));
        [
            batch.to_string(),
            engine.name().into(),
            threads.to_string(),
            format!("{:.2}", *batch as f64 / median(entry, Measured::total)),
            ratio.map_or("-".into(), |ratio| format!("{ratio:.2}")),
            format!("{:.2}", milliseconds(|measured| measured.steps) / steps),
            format!("{:.0} %", 100.0 * self.share_of_rate(entry)),
            format!("{:.1}", milliseconds(|measured| measured.decode)),
            format!("{:.1}", milliseconds(|measured| measured.encode)),
            format!("{:.0}", median(entry, |measured| measured.peak_bytes as f64) / 1024.0 / 1024.0),
            self.same_tokens(entry).map_or("-".into(), |share| format!("{:.2} %", 100.0 * share)),
        ]
    }

    /// # Errors
    /// Where an f32 engine drew other tokens.
    pub fn check_tokens(&self) -> anyhow::Result<()> {
        for entry in self.entries.iter().filter(|entry| entry.engine != Engine::Bf16) {
            if let Some(share) = self.same_tokens(entry) {
                let name = entry.engine.name();
                ensure!(
                    share >= SAME,
                    "{name} drew only {share:.4} of rdpm's tokens at batch {}",
                    entry.batch
                );
            }
        }
        Ok(())
    }

    fn find(&self, engine: Engine, batch: usize) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.engine == engine && entry.batch == batch)
    }

    /// Share of its tokens that are this program's.
    fn same_tokens(&self, entry: &Entry) -> Option<f64> {
        let own = &self.find(OWN, entry.batch)?.measured.first()?.tokens;
        let other = &entry.measured.first()?.tokens;
        let same = own.iter().zip(other).filter(|(a, b)| a == b).count();
        Some(same as f64 / own.len().max(other.len()) as f64)
    }

    /// Share of the machine's product rate that the steps' products reach.
    fn share_of_rate(&self, entry: &Entry) -> f64 {
        let config = self.model.config();
        let passes = if config.sampling.guidance == 1.0 { 1.0 } else { 2.0 };
        let operations = operations(config) * passes * (entry.batch * config.steps()) as f64;
        operations / median(entry, |measured| measured.steps) / self.rate
    }
}

/// Operations of the matrix products of one pass of the denoiser: two for each multiply-add.
fn operations(config: &Config) -> f64 {
    let (d, layers) = (config.denoiser.width as f64, config.denoiser.layers as f64);
    let (n, c, codes) =
        (config.positions() as f64, config.latent.channels as f64, config.trajectory.codes as f64);
    2.0 * n * (c * d + layers * (12.0 * d * d + 2.0 * n * d) + d * codes)
}

fn print([batch, engine, cells @ ..]: [String; 11]) {
    let cells: String = cells.iter().map(|cell| format!("{cell:>11}")).collect();
    println!("{batch:>5}  {engine:<8}{cells}");
}

fn median(entry: &Entry, figure: impl Fn(&Measured) -> f64) -> f64 {
    middle(entry.measured.iter().map(figure).collect())
}

/// The median over rounds of how many times as fast it is; where one was measured once, that stands for all rounds.
fn ratio(entry: &Entry, to: &Entry) -> f64 {
    let (own, other) = (&entry.measured, &to.measured);
    let rounds = own.len().max(other.len());
    let at = |measured: &[Measured], round: usize| measured[round.min(measured.len() - 1)].total();
    middle((0..rounds).map(|round| at(other, round) / at(own, round)).collect())
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let at = figures.len() / 2;
    if figures.len() % 2 == 1 { figures[at] } else { (figures[at - 1] + figures[at]) / 2.0 }
}
