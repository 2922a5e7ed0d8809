//! `rdpm bench`: measures how fast this machine draws, and suggests flags.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use rdpm::model::{
    Computation, Model, PassCount, Precision, PrecisionSetting, SamplerState, SamplingSettings, open_device,
    processor_features, processor_name,
};

use super::ModelArguments;
use super::escape::Escaped;
use super::output::{note, print};

/// A precision other than f32 is suggested if it is this many times as fast.
const WORTHWHILE: f64 = 1.1;
/// The suggested batch is the smallest one that has this share of the best throughput.
const NEARLY_BEST: f64 = 0.95;

#[derive(Debug, Args)]
pub struct Bench {
    #[command(flatten)]
    model: ModelArguments,
    /// Seconds to measure each model for; everything is measured once at least.
    #[arg(long, env = "RDPM_BENCH_SECONDS", default_value_t = 50)]
    seconds: u64,
    /// Numbers of images that are drawn together.
    #[arg(long, env = "RDPM_BENCH_BATCHES", value_name = "NUMBERS", value_delimiter = ',', default_value = "1,4,8,16,32",
        value_parser = clap::value_parser!(u32).range(1..=1024))]
    batches: Vec<u32>,
}

impl Bench {
    /// Measures the named models, or the default model, in every way in which they can compute on the device.
    pub fn run(self) -> anyhow::Result<()> {
        let mut models = self.model.choose()?.models;
        if self.model.model.is_empty() {
            models.truncate(1);
        }
        let device = open_device(&self.model.device)?;
        let mut text = format!("processor   {}; {}\n", Escaped(processor_name()), processor_features());
        if device.is_cpu() {
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            let threads = std::env::var("RAYON_NUM_THREADS").unwrap_or(threads.to_string());
            writeln!(text, "threads     {} (set RAYON_NUM_THREADS for another number)", Escaped(threads))?;
        }
        print(text)?;
        for (folder, config) in models {
            note(format!("measuring {} for about {} s", Escaped(&config.name), self.seconds));
            let mut columns = Vec::new();
            for &passes in PassCount::available(&folder) {
                for precision in Precision::available(&device) {
                    let model = Model::load_with(&folder, &device, Computation { precision, passes })?;
                    columns.push(Column { model, seconds: vec![Vec::new(); self.batches.len()] });
                }
            }
            self.measure(&mut columns)?;
            let auto = PrecisionSetting::Auto.resolve(&folder, &device)?;
            print(self.report(&folder, &columns, auto)?)?;
        }
        Ok(())
    }

    /// Measures all in turns, so that a slower second of the machine affects all alike.
    fn measure(&self, columns: &mut [Column]) -> anyhow::Result<()> {
        for column in &*columns {
            generate(&column.model, 1)?; // warms up
        }
        let (started, limit) = (Instant::now(), Duration::from_secs(self.seconds));
        loop {
            for (at, &batch) in self.batches.iter().enumerate() {
                for column in &mut *columns {
                    column.seconds[at].push(generate(&column.model, batch)?);
                    if started.elapsed() > limit && column.seconds[at].len() > 1 {
                        return Ok(());
                    }
                }
            }
            if started.elapsed() > limit {
                return Ok(());
            }
        }
    }

    /// The table, and the flags for the fastest setting.
    fn report(&self, folder: &Path, columns: &[Column], auto: Precision) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        let name = columns.first().map_or("", |column| column.model.config().name.as_str());
        writeln!(text, "\nmodel       {} ({})", Escaped(name), Escaped(folder.display()))?;
        write!(text, "images/s ")?;
        for column in columns {
            write!(text, "{:>8}", column.name())?;
        }
        writeln!(text)?;
        for (at, &batch) in self.batches.iter().enumerate() {
            write!(text, "{batch:>8} ")?;
            for column in columns {
                write!(text, "{:>8.2}", column.images_per_second(at, batch))?;
            }
            writeln!(text)?;
        }
        // Only f32 and what `auto` would choose, in two passes: others may change pictures visibly.
        let rates = |column: &Column| -> Vec<f64> {
            self.batches.iter().enumerate().map(|(at, &batch)| column.images_per_second(at, batch)).collect()
        };
        let best = |rates: &[f64]| rates.iter().copied().fold(0.0, f64::max);
        let of = |computation: Computation| {
            columns.iter().find(|column| column.model.computation() == computation).map(rates)
        };
        let Some(f32_rates) = of(Computation::default()) else { return Ok(text) };
        let faster = (auto != Precision::F32)
            .then(|| Some((auto, of(auto.into())?)))
            .flatten()
            .filter(|(_, rates)| best(rates) >= WORTHWHILE * best(&f32_rates));
        let chosen = faster.as_ref().map_or(&f32_rates, |(_, rates)| rates);
        let mut batches: Vec<(u32, f64)> = self.batches.iter().copied().zip(chosen.iter().copied()).collect();
        batches.sort_by_key(|(batch, _)| *batch);
        let batch =
            batches.iter().find(|(_, rate)| *rate >= NEARLY_BEST * best(chosen)).map_or(1, |found| found.0);
        match &faster {
            Some((precision, rates)) => {
                let (name, ratio) = (precision.name(), best(rates) / best(&f32_rates));
                writeln!(text, "\nflags       --precision {name} --max-batch {batch}")?;
                writeln!(
                    text,
                    "            {name} is {ratio:.2} times as fast as f32, and draws a few codes differently;"
                )?;
                writeln!(text, "            omit it where pictures must be the same on other machines")?;
            }
            None => writeln!(text, "\nflags       --max-batch {batch}")?,
        }
        let precision = faster.as_ref().map_or(Precision::F32, |(precision, _)| *precision);
        if let Some(rates) = of(Computation { precision, passes: PassCount::One }) {
            let ratio = best(&rates) / best(chosen);
            writeln!(
                text,
                "            --passes 1 is {ratio:.2} times as fast again, and draws other pictures"
            )?;
        }
        Ok(text)
    }
}

/// A model that computes in one way, with the seconds that each batch took.
struct Column {
    model: Model,
    /// For each number of images.
    seconds: Vec<Vec<f64>>,
}

impl Column {
    /// The precision, and the passes if it is one.
    fn name(&self) -> String {
        let Computation { precision, passes } = self.model.computation();
        match passes {
            PassCount::Two => precision.name().into(),
            PassCount::One => format!("{}/1", precision.name()),
        }
    }

    /// By the median.
    fn images_per_second(&self, at: usize, batch: u32) -> f64 {
        let mut seconds = self.seconds[at].clone();
        seconds.sort_by(f64::total_cmp);
        let middle = seconds.get(seconds.len() / 2);
        middle.map_or(0.0, |seconds| f64::from(batch) / seconds)
    }
}

/// Draws images of all classes in turn, with the model's default settings. Returns the seconds from noise to pixels.
fn generate(model: &Model, batch: u32) -> anyhow::Result<f64> {
    let config = model.config();
    let start = |index: u32| -> anyhow::Result<SamplerState> {
        let settings = SamplingSettings::new(config, index as usize % config.classes.len())?;
        Ok(model.start(&settings, 0, index))
    };
    let started = Instant::now();
    let mut states = (0..batch).map(start).collect::<anyhow::Result<Vec<_>>>()?;
    for _ in 0..config.steps() {
        model.step(&mut states.iter_mut().collect::<Vec<_>>())?;
    }
    model.images(&states.iter().collect::<Vec<_>>())?;
    Ok(started.elapsed().as_secs_f64())
}
