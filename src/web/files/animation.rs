//! The steps of a generation as an animation, from its event log.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::StatusCode;
use image::{DynamicImage, Rgb, RgbImage};

use super::render::{check_size, decode, render_memory, sheet_pixels};
use super::render_options::{AnimationParameters, Channel};
use super::renderer::{RenderKey, Renderer};
use crate::engine::{Event, Snapshot, StepImage};
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
    if parameters.channel != Channel::Tokens && !snapshot.request.previews() {
        let detail = "The generation has no previews; which=tokens needs none.";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    let config = &snapshot.request.model().config;
    let size = config.image.size as u32;
    let count = if parameters.index.is_some() { 1 } else { snapshot.request.count() };
    let steps = config.steps() as u64;
    check_size(parameters.scale, |scale| steps * sheet_pixels(count, size * scale))?;

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
    let size = config.image.size as u32;
    let count = if parameters.index.is_some() { 1 } else { snapshot.request.count() };
    let pixels = config.steps() as u64 * sheet_pixels(count, size * parameters.scale);
    budget.charge(Cost::pixels(pixels))?;
    let steps_of_images = frames(engine, snapshot, &parameters).await?;
    let colors: Vec<Rgb<u8>> = info.palette.iter().map(|color| rgb(color)).collect();
    let (grid, cell) = (config.latent.grid as u32, size * parameters.scale);
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
        let frames = steps_of_images.iter().map(frame).collect::<Result<Vec<_>, PictureError>>()?;
        Animation { frames, delay: parameters.delay }.encode(format, Some(&provenance))
    };
    renderer.run(budget.client(), render_memory(pixels), work).await
}

/// For each step, the images by rising index.
async fn frames(
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
