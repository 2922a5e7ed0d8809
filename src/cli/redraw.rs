//! What `edit`, `vary` and `interpolate` share: flags, sampling, and writing pictures and token files.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use image::DynamicImage;
use indicatif::ProgressBar;
use rand::RngExt;
use rdpm::engine::SEED_MAX;
use rdpm::model::{Config, ImageSeed, Model, SamplerState, SamplingSettings};
use rdpm::picture::{self, Format, Provenance, TokenFile};
use rdpm::request::GenerationDraft;

use super::sampling_arguments::SamplingArguments;
use super::save;

/// Images in a batch at most.
const MAX_BATCH: usize = 32;
/// Quality of JPEG files, 1 to 100.
const JPEG_QUALITY: u8 = 75;

/// Flags of pictures that are drawn from others.
#[derive(Debug, Args)]
pub struct RedrawArguments {
    /// Class to draw: its name, in any case, or its index. Without a class and a prompt, the class isn't considered.
    #[arg(long, env = "RDPM_CLASS", value_name = "CLASS")]
    class: Option<String>,
    #[command(flatten)]
    options: SamplingArguments,
    /// Size of the square that every pixel becomes, 1 to 64.
    #[arg(long, env = "RDPM_SCALE", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub scale: u32,
}

/// Flags of pictures that have tokens.
#[derive(Debug, Args)]
pub struct OutputArguments {
    /// Number of pictures, 1 to 1024. Several become a sheet.
    #[arg(long, env = "RDPM_COUNT", allow_negative_numbers = true, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub count: u32,
    /// Picture to write, in the format of its extension (png, jpg, webp, bmp, gif). A PNG, WebP or JPEG file of one picture
    /// contains its tokens: `rdpm decode` reads it.
    #[arg(long, short, env = "RDPM_OUTPUT", default_value = "out.png", value_name = "FILE")]
    pub output: PathBuf,
    /// File for the tokens, in the format of its extension (rdpm, json). Of several pictures, the files have their indices in
    /// their names.
    #[arg(long, env = "RDPM_TOKENS", value_name = "FILE")]
    pub tokens: Option<PathBuf>,
}

/// A drawn picture.
pub struct DrawnPicture {
    pub image: DynamicImage,
    pub tokens: Option<Vec<Vec<u32>>>,
}

impl RedrawArguments {
    /// The settings and the seed.
    pub fn read(&self, config: &Config) -> anyhow::Result<(SamplingSettings, u64)> {
        let mut draft: GenerationDraft = self.options.read(config)?;
        let class = match self.class.as_deref().map(str::trim) {
            Some(name) => match config.class_index(name).or_else(|| name.parse().ok()) {
                Some(index) => Some(index),
                None => bail!("class is {name:?}; allowed: {}", config.classes.join(", ")),
            },
            None if draft.options.prompt.is_some() => None,
            None => {
                draft.options.guidance = 0.0;
                Some(0)
            }
        };
        let settings = SamplingSettings::resolve(config, class, draft.options)?;
        Ok((settings, draft.seed.unwrap_or_else(|| rand::rng().random_range(0..=SEED_MAX))))
    }
}

/// Takes the steps that are left of all images.
pub fn draw(model: &Model, mut states: Vec<SamplerState>) -> anyhow::Result<Vec<DrawnPicture>> {
    let steps: usize = states.iter().map(|state| model.config().steps() - state.step()).sum();
    // Hides itself where standard error is not a terminal.
    let bar = ProgressBar::new(steps as u64);
    let mut drawn = Vec::with_capacity(states.len());
    for states in states.chunks_mut(MAX_BATCH) {
        loop {
            let mut unfinished: Vec<_> = states.iter_mut().filter(|state| !state.is_finished()).collect();
            if unfinished.is_empty() {
                break;
            }
            model.step(&mut unfinished)?;
            bar.inc(unfinished.len() as u64);
        }
        let images = model.images(&states.iter().collect::<Vec<_>>())?;
        let image =
            |(image, state): (DynamicImage, &SamplerState)| DrawnPicture { image, tokens: state.tokens() };
        drawn.extend(images.into_iter().zip(states.iter()).map(image));
    }
    bar.finish_and_clear();
    Ok(drawn)
}

/// Writes a sheet of pictures, with the provenance of a single one.
pub fn write_sheet(
    images: &[DynamicImage],
    provenance: Option<&Provenance>,
    scale: u32,
    path: &Path,
) -> anyhow::Result<()> {
    let cell = images.first().map_or(1, DynamicImage::width) * scale;
    let sheet = picture::sheet(images, picture::sheet_columns(images.len() as u32), cell);
    let Some(format) = Format::from_name(&extension(path)) else { return save(&sheet, path) };
    let file = format.encode(&sheet, JPEG_QUALITY, provenance)?;
    std::fs::write(path, file).with_context(|| format!("{} can't be written", path.display()))
}

impl OutputArguments {
    /// Writes pictures that start from these noises, and their tokens.
    pub fn write(
        &self,
        config: &Config,
        provenance: Provenance,
        scale: u32,
        drawn: Vec<DrawnPicture>,
        noises: &[ImageSeed],
    ) -> anyhow::Result<()> {
        let mut provenance = provenance;
        let is_one = drawn.len() == 1;
        let mut images = Vec::with_capacity(drawn.len());
        for (index, (DrawnPicture { image, tokens }, noise)) in drawn.into_iter().zip(noises).enumerate() {
            images.push(image);
            let Some(grids) = tokens else { continue };
            let file = TokenFile::new(&config.name, None, noise.seed, noise.index, &grids)?;
            if is_one {
                provenance.tokens = Some(file.to_base64());
            }
            if let Some(path) = &self.tokens {
                write_tokens(&file, path, (!is_one).then_some(index))?;
            }
        }
        let provenance = is_one.then(|| provenance.of_sheet(1, scale));
        write_sheet(&images, provenance.as_ref(), scale, &self.output)
    }
}

/// Writes a token file: JSON if the extension is `json`, otherwise binary. The file of one of several pictures has its index
/// in its name.
pub fn write_tokens(file: &TokenFile, path: &Path, index: Option<usize>) -> anyhow::Result<()> {
    let content = match extension(path).as_str() {
        "json" => file.to_json().into_bytes(),
        "rdpm" => file.to_binary(),
        other => bail!("the extension is {other:?}; allowed: json, rdpm"),
    };
    let path = match index {
        None => path.to_owned(),
        Some(index) => {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("tokens");
            path.with_file_name(format!("{stem}-{index}.{}", extension(path)))
        }
    };
    std::fs::write(&path, content).with_context(|| format!("{} can't be written", path.display()))
}

/// The extension of a file's name, in lower case.
pub fn extension(path: &Path) -> String {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase()
}
