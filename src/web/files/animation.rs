//! The steps of a generation as an animation, from its event log; or its images.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::StatusCode;
use image::{DynamicImage, Rgb, RgbImage};

use super::render::{check_size, decode, render_memory, sheet_pixels};
use super::render_options::{AnimationParameters, Channel};
use super::renderer::{RenderKey, Renderer};
use crate::engine::{Event, FinishedImage, Snapshot, StepImage};
use crate::picture::{self, Animation, AnimationFormat, PictureError};
use crate::queue::AnyEngine;
use crate::web::access::{Budget, Cost};
use crate::web::problem::Problem;

/// A picture that is not decoded yet.
enum Frame {
    Tokens(Vec<u32>),
    Png(Bytes),
}

/// The animation of a completed job.
///
/// # Errors
/// 409 where the animation needs previews and the job has none, 422 where it would be too large.
pub(in crate::web) async fn animation(
    engine: &AnyEngine,
    renderer: &Renderer,
    budget: &Budget,
    snapshot: &Snapshot,
    format: AnimationFormat,
    parameters: AnimationParameters,
) -> Result<Bytes, Problem> {
    let needs_previews = matches!(parameters.channel, Channel::Noisy | Channel::Clean);
    if needs_previews && !snapshot.request.previews() {
        let detail = "The generation has no previews; which=tokens and which=images need none.";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    let layout = Layout::new(snapshot, &parameters);
    check_size(parameters.scale, |scale| layout.pixels(scale))?;

    let key = RenderKey::Animation { job: snapshot.id, format, parameters };
    let encode = encode_animation(engine, renderer, budget, snapshot, format, parameters);
    renderer.get_or_render(&key, encode).await
}

/// The same without the cache and without the checks.
pub(in crate::web) async fn encode_animation(
    engine: &AnyEngine,
    renderer: &Renderer,
    budget: &Budget,
    snapshot: &Snapshot,
    format: AnimationFormat,
    parameters: AnimationParameters,
) -> Result<Bytes, Problem> {
    let info = snapshot.request.model();
    let config = &info.config;
    let layout = Layout::new(snapshot, &parameters);
    let pixels = layout.pixels(parameters.scale);
    budget.charge(Cost::pixels(pixels))?;
    let sheets = match parameters.channel {
        Channel::Images => images(snapshot),
        _ => steps(engine, snapshot, &parameters).await?,
    };
    let colors: Vec<Rgb<u8>> = info.palette.iter().map(|color| rgb(color)).collect();
    let (grid, cell, count) = (config.latent.grid as u32, layout.size * parameters.scale, layout.count);
    let first = snapshot.request.provenance(parameters.index.unwrap_or(0), None);
    let provenance = first.of_sheet(count, parameters.scale);
    let work = move || {
        let frame = |images: &BTreeMap<u32, Frame>| {
            let picture = |frame: &Frame| match frame {
                Frame::Tokens(codes) => Ok(tokens(codes, &colors, grid)),
                Frame::Png(file) => decode(file),
            };
            let pictures = images.values().map(picture).collect::<Result<Vec<_>, PictureError>>()?;
            Ok(picture::sheet(&pictures, picture::sheet_columns(count), cell))
        };
        let frames = sheets.iter().map(frame).collect::<Result<Vec<_>, PictureError>>()?;
        let animation = Animation::new(frames).with_delay(parameters.delay);
        let animation = if parameters.back_and_forth { animation.back_and_forth() } else { animation };
        animation.encode(format, Some(&provenance))
    };
    renderer.run(budget.client(), render_memory(pixels), work).await
}

/// The sizes of an animation.
struct Layout {
    /// Width and height of an image.
    size: u32,
    /// Images of a frame.
    count: u32,
    frames: u32,
}

impl Layout {
    fn new(snapshot: &Snapshot, parameters: &AnimationParameters) -> Self {
        let config = &snapshot.request.model().config;
        let (size, images) = (config.image.size as u32, snapshot.request.count());
        let (count, frames) = match (parameters.channel, parameters.index) {
            (Channel::Images, _) => (1, images),
            (_, Some(_)) => (1, config.steps() as u32),
            (_, None) => (images, config.steps() as u32),
        };
        let frames = if parameters.back_and_forth { frames.saturating_sub(1).max(1) * 2 } else { frames };
        Self { size, count, frames }
    }

    /// Pixels of all frames.
    fn pixels(&self, scale: u32) -> u64 {
        u64::from(self.frames) * sheet_pixels(self.count, self.size * scale)
    }
}

/// The finished images, each alone.
fn images(snapshot: &Snapshot) -> Vec<BTreeMap<u32, Frame>> {
    let frame = |image: &FinishedImage| BTreeMap::from([(image.index, Frame::Png(image.png.clone()))]);
    snapshot.images.iter().map(frame).collect()
}

/// For each step, the images by rising index.
async fn steps(
    engine: &AnyEngine,
    snapshot: &Snapshot,
    parameters: &AnimationParameters,
) -> Result<Vec<BTreeMap<u32, Frame>>, Problem> {
    let gone = || Problem::not_found("The generation has expired.");
    let mut subscription = engine.subscribe(snapshot.id, 0).ok_or_else(gone)?;
    let mut steps: BTreeMap<usize, BTreeMap<u32, Frame>> = BTreeMap::new();
    // The job has ended: all its events are there.
    while let Some((_, event)) = subscription.next().await {
        let Event::Step(progress) = &*event else { continue };
        let images =
            progress.images.iter().filter(|image| parameters.index.is_none_or(|index| index == image.index));
        for image in images {
            if let Some(frame) = frame(image, parameters.channel) {
                steps.entry(progress.step).or_default().insert(image.index, frame);
            }
        }
    }
    Ok(steps.into_values().collect())
}

fn frame(image: &StepImage, channel: Channel) -> Option<Frame> {
    let preview = image.preview.as_ref();
    match channel {
        Channel::Tokens => Some(Frame::Tokens(image.tokens.clone())),
        Channel::Noisy => preview.map(|preview| Frame::Png(preview.noisy.clone())),
        Channel::Clean => preview.map(|preview| Frame::Png(preview.clean.clone())),
        Channel::Images => None,
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
