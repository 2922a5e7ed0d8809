//! The steps of a generation as a moving picture, from its event log.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use image::{DynamicImage, Rgb, RgbImage};
use utoipa::ToSchema;

use crate::engine::{Event, MAX_COUNT, Snapshot, StepImage};
use crate::picture::{
    self, Animation, AnimationFormat, DEFAULT_FRAME_DELAY, MAX_SCALE, PictureError, Provenance,
};
use crate::web::App;
use crate::web::problem::Problem;
use crate::web::query::Query;
use crate::web::render::{check_size, decode, sheet_pixels};

/// What an animation shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::web) enum Which {
    Tokens,
    Noisy,
    Clean,
}

/// What a query asks for.
#[derive(Debug)]
pub(super) struct Wanted {
    which: Which,
    /// One image, or all.
    index: Option<u32>,
    scale: u32,
    delay: Duration,
}

/// A picture yet to be made.
enum Source {
    Tokens(Vec<u32>),
    Png(Bytes),
}

impl Wanted {
    /// # Errors
    /// 422: parameters that can't be used. 404: an image that the generation hasn't.
    pub fn new(mut query: Query, snapshot: &Snapshot) -> Result<Self, Problem> {
        let which = query.take("which", "tokens, noisy, clean", |name| match name {
            "tokens" => Some(Which::Tokens),
            "noisy" => Some(Which::Noisy),
            "clean" => Some(Which::Clean),
            _ => None,
        });
        let index = query.integer("index", 0..=MAX_COUNT - 1);
        let scale = query.integer("scale", 1..=MAX_SCALE).unwrap_or(1);
        let delay = query.integer("delay", 20..=5000);
        query.finish()?;
        let count = snapshot.request.count();
        if let Some(index) = index.filter(|&index| index >= count) {
            return Err(Problem::not_found(format!(
                "There is no image {index}: the generation has {count}."
            )));
        }
        let delay = delay.map_or(DEFAULT_FRAME_DELAY, |delay| Duration::from_millis(delay.into()));
        Ok(Self { which: which.unwrap_or(Which::Clean), index, scale, delay })
    }
}

/// The animation of a completed job.
///
/// # Errors
/// 409 where the job was drawn without previews and these are wanted, 422 where it would be too large.
pub(super) async fn animation(
    app: &App,
    snapshot: &Snapshot,
    format: AnimationFormat,
    wanted: Wanted,
) -> Result<Bytes, Problem> {
    if wanted.which != Which::Tokens && !snapshot.request.previews() {
        let detail = "The generation was drawn without previews; which=tokens needs none.";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    let info = &snapshot.model;
    let config = &info.config;
    let size = config.image.size as u32;
    let count = if wanted.index.is_some() { 1 } else { snapshot.request.count() };
    let steps = config.steps() as u64;
    check_size(wanted.scale, |scale| steps * sheet_pixels(count, size * scale))?;

    let stages = stages(app, snapshot, &wanted).await?;
    let colors: Vec<Rgb<u8>> = info.palette.iter().map(|color| rgb(color)).collect();
    let (grid, cell) = (config.latent.grid as u32, size * wanted.scale);
    let one = snapshot.request.parameters(config, wanted.index.unwrap_or(0));
    let parameters = Provenance { count, scale: wanted.scale, ..one };
    let work = move || {
        let frame = |stage: &BTreeMap<u32, Source>| {
            let picture = |source: &Source| match source {
                Source::Tokens(codes) => Ok(tokens(codes, &colors, grid)),
                Source::Png(file) => decode(file),
            };
            let pictures = stage.values().map(picture).collect::<Result<Vec<_>, PictureError>>()?;
            Ok(picture::sheet(&pictures, picture::sheet_columns(count), cell))
        };
        let frames = stages.iter().map(frame).collect::<Result<Vec<_>, PictureError>>()?;
        Animation { frames, delay: wanted.delay }.encode(format, Some(&parameters))
    };
    app.renderer.run(work).await.map(Bytes::from)
}

/// For each step, the images by rising index.
async fn stages(
    app: &App,
    snapshot: &Snapshot,
    wanted: &Wanted,
) -> Result<Vec<BTreeMap<u32, Source>>, Problem> {
    let gone = || Problem::not_found("The generation is gone.");
    let mut subscription = app.engine.subscribe(snapshot.id, 0).ok_or_else(gone)?;
    let mut stages: BTreeMap<usize, BTreeMap<u32, Source>> = BTreeMap::new();
    // The job has ended: all its events are there.
    while let Some((_, event)) = subscription.next().await {
        let Event::Step(progress) = &*event else { continue };
        let images =
            progress.images.iter().filter(|image| wanted.index.is_none_or(|index| index == image.index));
        for image in images {
            if let Some(source) = source(image, wanted.which) {
                stages.entry(progress.step).or_default().insert(image.index, source);
            }
        }
    }
    Ok(stages.into_values().collect())
}

fn source(image: &StepImage, which: Which) -> Option<Source> {
    let preview = image.preview.as_ref();
    match which {
        Which::Tokens => Some(Source::Tokens(image.tokens.clone())),
        Which::Noisy => preview.map(|preview| Source::Png(preview.noisy.clone())),
        Which::Clean => preview.map(|preview| Source::Png(preview.clean.clone())),
    }
}

/// A token grid in the codebook's colours, a pixel for each code.
fn tokens(codes: &[u32], colors: &[Rgb<u8>], grid: u32) -> DynamicImage {
    let color = |x: u32, y: u32| {
        let code = codes.get((y * grid + x) as usize);
        code.and_then(|&code| colors.get(code as usize)).copied().unwrap_or(Rgb([0; 3]))
    };
    RgbImage::from_fn(grid, grid, color).into()
}

/// The colour `#rrggbb`.
fn rgb(color: &str) -> Rgb<u8> {
    let number = u32::from_str_radix(color.trim_start_matches('#'), 16).unwrap_or(0);
    let [_, r, g, b] = number.to_be_bytes();
    Rgb([r, g, b])
}
