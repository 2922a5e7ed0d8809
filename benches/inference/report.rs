//! Prints the results.

use anyhow::ensure;
use rdpm::model::{Config, Model, processor_features, processor_name};

use crate::engine_process::Measurement;
use crate::server_start::ServerStart;
use crate::{Arguments, BenchmarkEngine, EngineResult, has_bf16};

/// Prints the command, the machine, the model and an explanation of the columns.
pub fn print_header(
    model: &Model,
    arguments: &Arguments,
    matmul_rate: f64,
    settings: &[(BenchmarkEngine, String)],
) {
    let command: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let Arguments { seconds, rounds, .. } = arguments;
    let config = model.config();
    println!("command     cargo bench --bench inference -- {}", command.join(" "));
    println!(
        "machine     {}, {cores} cores; the best 1024³ product runs at {:.0} GFLOP/s",
        processor_name(),
        matmul_rate / 1e9
    );
    println!("processor   {}", processor_features());
    for (engine, settings) in settings {
        println!("{:<12}{settings}", engine.name());
    }
    println!("model       {}, {} weights, {} steps", config.name, model.weight_count(), config.steps());
    println!(
        "settings    the model's own: guidance {}, temperature {}",
        config.sampling.guidance, config.sampling.temperature
    );
    println!(
        "measured    {rounds} rounds of {seconds} s for each line; medians over rounds, ratios within a round"
    );
    println!("images/s    from noise to pixels: all steps and the decoder");
    println!("peak        share of that rate that the steps' matrix products reach");
    println!("MiB         peak memory of the process");
    println!("tokens      share that is equal to rdpm's\n");
}

/// Prints how long the server takes to start, and its memory.
pub fn print_starts(starts: &[ServerStart]) {
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
        "resident    {:.0} MiB when ready, {:.0} MiB at most while it generates 8 images with previews\n",
        mebibytes(middle.idle_bytes),
        mebibytes(starts.iter().map(|start| start.peak_bytes).max().unwrap_or_default())
    );
}

/// All results, and what they are relative to.
pub struct ResultTable<'a> {
    pub model: &'a Model,
    pub arguments: &'a Arguments,
    pub matmul_rate: f64,
    pub results: &'a [EngineResult],
}

/// The engine that speed is relative to.
const SPEED_REFERENCE: BenchmarkEngine = BenchmarkEngine::Eager;
/// The engine that tokens are compared with.
const TOKEN_REFERENCE: BenchmarkEngine = BenchmarkEngine::Rdpm;
/// The minimum share of equal tokens of f32 engines. A sum in another order can change a token at a near tie, and then
/// all later ones of that image.
const MIN_EQUAL_TOKENS: f64 = 0.99;
/// An engine that is slower than this, relative to the reference, was measured in a wrong setting.
const MIN_SPEED_RATIO: f64 = 0.3;

impl ResultTable<'_> {
    pub fn print(&self) {
        let header = [
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
        print_row(header.map(str::to_owned));
        for &batch in &self.arguments.batches {
            for result in self.results.iter().filter(|result| result.batch == batch) {
                print_row(self.cells(result));
            }
            println!();
        }
    }

    fn cells(&self, result: &EngineResult) -> [String; 11] {
        let EngineResult { engine, batch, threads, .. } = result;
        let steps = self.model.config().steps() as f64;
        let milliseconds = |value: fn(&Measurement) -> f64| 1e3 * median(result, value);
        let ratio = self.find(SPEED_REFERENCE, *batch).map(|reference| speed_ratio(result, reference));
        [
            batch.to_string(),
            engine.name().into(),
            threads.to_string(),
            format!("{:.2}", *batch as f64 / median(result, Measurement::total)),
            ratio.map_or("-".into(), |ratio| format!("{ratio:.2}")),
            format!("{:.2}", milliseconds(|measurement| measurement.steps) / steps),
            format!("{:.0} %", 100.0 * self.share_of_peak(result)),
            format!("{:.1}", milliseconds(|measurement| measurement.decode)),
            format!("{:.1}", milliseconds(|measurement| measurement.encode)),
            format!("{:.0}", median(result, |measurement| measurement.peak_bytes as f64) / 1024.0 / 1024.0),
            self.equal_tokens(result).map_or("-".into(), |share| format!("{:.2} %", 100.0 * share)),
        ]
    }

    /// # Errors
    /// If an engine compiled during its measurements, or is so slow that its settings must be wrong.
    pub fn check_settings(&self) -> anyhow::Result<()> {
        for result in self.results {
            let EngineResult { engine, batch, measurements, .. } = result;
            let name = engine.name();
            let compilations: u64 = measurements.iter().map(|measurement| measurement.compilations).sum();
            ensure!(
                compilations == 0,
                "{name} compiled {compilations} times while it was measured at batch {batch}: no valid measurement"
            );
            let lacks_hardware = *engine == BenchmarkEngine::Bf16 && !has_bf16();
            if let Some(reference) = self.find(SPEED_REFERENCE, *batch).filter(|_| !lacks_hardware) {
                let ratio = speed_ratio(result, reference);
                ensure!(
                    ratio >= MIN_SPEED_RATIO,
                    "{name} has {ratio:.2} of the reference's speed at batch {batch}: check its settings"
                );
            }
        }
        Ok(())
    }

    /// # Errors
    /// If an f32 engine sampled other tokens than the reference.
    pub fn check_tokens(&self) -> anyhow::Result<()> {
        for result in self.results.iter().filter(|result| result.engine.is_f32()) {
            if let Some(share) = self.equal_tokens(result) {
                let name = result.engine.name();
                ensure!(
                    share >= MIN_EQUAL_TOKENS,
                    "only {share:.4} of {name}'s tokens are equal to rdpm's at batch {}",
                    result.batch
                );
            }
        }
        Ok(())
    }

    fn find(&self, engine: BenchmarkEngine, batch: usize) -> Option<&EngineResult> {
        self.results.iter().find(|result| result.engine == engine && result.batch == batch)
    }

    /// The share of tokens that are equal to the reference's.
    fn equal_tokens(&self, result: &EngineResult) -> Option<f64> {
        let expected = &self.find(TOKEN_REFERENCE, result.batch)?.measurements.first()?.tokens;
        let tokens = &result.measurements.first()?.tokens;
        let equal = expected.iter().zip(tokens).filter(|(a, b)| a == b).count();
        // No tokens at all are no agreement.
        Some(equal as f64 / expected.len().max(tokens.len()).max(1) as f64)
    }

    /// The share of the machine's matrix product rate that the steps reach.
    fn share_of_peak(&self, result: &EngineResult) -> f64 {
        let config = self.model.config();
        let passes = if config.sampling.guidance == 1.0 { 1.0 } else { 2.0 };
        let operations = operations(config) * passes * (result.batch * config.steps()) as f64;
        operations / median(result, |measurement| measurement.steps) / self.matmul_rate
    }
}

/// Operations of the matrix products of one pass of the denoiser; a multiply-add counts as two.
fn operations(config: &Config) -> f64 {
    let (d, layers) = (config.denoiser.width as f64, config.denoiser.layers as f64);
    let (n, c, codes) =
        (config.positions() as f64, config.latent.channels as f64, config.trajectory.codes as f64);
    2.0 * n * (c * d + layers * (12.0 * d * d + 2.0 * n * d) + d * codes)
}

fn print_row([batch, engine, cells @ ..]: [String; 11]) {
    let cells: String = cells.iter().map(|cell| format!("{cell:>11}")).collect();
    println!("{batch:>5}  {engine:<10}{cells}");
}

fn median(result: &EngineResult, value: impl Fn(&Measurement) -> f64) -> f64 {
    median_of(result.measurements.iter().map(value).collect())
}

/// The median over rounds of how many times as fast as the reference it is. An engine that was measured once only counts
/// with that measurement in every round.
fn speed_ratio(result: &EngineResult, reference: &EngineResult) -> f64 {
    let (own, other) = (&result.measurements, &reference.measurements);
    let rounds = own.len().max(other.len());
    let total =
        |measurements: &[Measurement], round: usize| measurements[round.min(measurements.len() - 1)].total();
    median_of((0..rounds).map(|round| total(other, round) / total(own, round)).collect())
}

fn median_of(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}
