//! What given codes cost: batches with masks beside the same batches without.
//!
//! The kinds of batch alternate, so that a slower minute of the machine affects all alike. Ratios are of the seconds within a
//! round; below 1 a batch with masks is faster.
//!
//!     cargo bench --bench masks
//!     cargo bench --bench masks -- --model emoji --rounds 9

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Parser;
use rdpm::model::{Config, Given, Model, SamplerState, SamplingSettings, open_device};

/// Compares the seconds of batches with masks with those of the same batches without.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench masks --", max_term_width = 100)]
struct Arguments {
    /// Folder of the model in `weights/`.
    #[arg(long, default_value = "fashion-mnist")]
    model: String,
    /// Batch sizes, in images.
    #[arg(long, value_delimiter = ',', default_value = "1,8,16")]
    batches: Vec<usize>,
    /// Number of rounds; each measures every kind once.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Cargo passes this flag to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The masks of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// No codes are given.
    Free,
    /// Each image keeps the cells of its left half, which the denoiser sees.
    Halves,
    /// Every second image keeps cells, each other ones.
    Mixed,
    /// Each image keeps its first four steps, and a branch begins after them.
    Branches,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Free, Self::Halves, Self::Mixed, Self::Branches];

    fn name(self) -> &'static str {
        match self {
            Self::Free => "no masks",
            Self::Halves => "left halves kept",
            Self::Mixed => "half of the images have masks",
            Self::Branches => "four steps kept",
        }
    }

    /// The given codes of an image, whose own are `grids`.
    fn given(self, config: &Config, image: usize, grids: &[Vec<u32>]) -> anyhow::Result<Option<Given>> {
        let side = config.latent.grid;
        let kept = |free: &dyn Fn(usize) -> bool| -> anyhow::Result<Option<Given>> {
            let free: Vec<bool> = (0..config.positions()).map(free).collect();
            Ok(Some(Given::kept(config, grids, 0, Some(&free))?))
        };
        match self {
            Self::Free => Ok(None),
            Self::Halves => kept(&|cell| cell % side >= side / 2),
            Self::Mixed if image.is_multiple_of(2) => Ok(None),
            Self::Mixed => kept(&|cell| (cell + image).is_multiple_of(3)),
            Self::Branches => Ok(Some(Given::kept(config, grids, 4, None)?)),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.rounds > 0, "--rounds must be at least 1");
    let weights: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights").join(&arguments.model);
    let model = Model::load(&weights, &open_device("cpu")?)?;
    println!("model {}, {} rounds, medians\n", model.config().name, arguments.rounds);
    println!("{:>5}  {:<30}  {:>9}  {:>8}  {:>15}", "batch", "masks", "ms", "ratio", "of each round");
    for &batch in &arguments.batches {
        measure(&model, batch, arguments.rounds)?;
    }
    Ok(())
}

/// Measures batches of this size and prints a line for each kind.
fn measure(model: &Model, batch: usize, rounds: usize) -> anyhow::Result<()> {
    let grids = draw(model, &states(model, batch, Kind::Free, &[])?)?.1;
    let mut seconds = vec![Vec::new(); Kind::ALL.len()];
    // The first round warms up.
    for round in 0..=rounds {
        for number in 0..Kind::ALL.len() {
            let index = (number + round) % Kind::ALL.len();
            let (took, _) = draw(model, &states(model, batch, Kind::ALL[index], &grids)?)?;
            if round > 0 {
                seconds[index].push(took.as_secs_f64());
            }
        }
    }
    for (kind, own) in Kind::ALL.into_iter().zip(&seconds) {
        let ratios: Vec<f64> = own.iter().zip(&seconds[0]).map(|(own, free)| own / free).collect();
        let (least, ratio, most) = quartiles(&ratios);
        let (_, median, _) = quartiles(own);
        println!(
            "{batch:>5}  {:<30}  {:>9.1}  {ratio:>8.3}  {least:>6.3} to {most:.3}",
            kind.name(),
            1000.0 * median
        );
    }
    println!();
    Ok(())
}

fn states(
    model: &Model,
    batch: usize,
    kind: Kind,
    grids: &[Vec<Vec<u32>>],
) -> anyhow::Result<Vec<SamplerState>> {
    let config = model.config();
    (0..batch)
        .map(|image| {
            let settings = SamplingSettings::new(config, image % config.classes.len())?;
            let state = model.start(&settings, image as u64, 0);
            let own = grids.get(image).map_or(&[][..], Vec::as_slice);
            Ok(match kind.given(config, image, own)? {
                Some(given) => state.with_given(given),
                None => state,
            })
        })
        .collect()
}

/// Draws a batch: the time of all steps, and the codes of each image.
fn draw(model: &Model, states: &[SamplerState]) -> anyhow::Result<(Duration, Vec<Vec<Vec<u32>>>)> {
    let mut states = states.to_vec();
    let mut grids = vec![Vec::new(); states.len()];
    let started = Instant::now();
    for _ in 0..model.config().steps() {
        let steps = model.step(&mut states.iter_mut().collect::<Vec<_>>())?;
        for (grids, step) in grids.iter_mut().zip(steps) {
            grids.push(step.tokens);
        }
    }
    Ok((started.elapsed(), grids))
}

/// The first quartile, the median and the third quartile.
fn quartiles(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: usize| sorted[(sorted.len() - 1) * part / 4];
    (at(1), at(2), at(3))
}
