//! The field `from`: an image of an earlier generation, whose codes a request keeps, changes or draws again.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::FieldError;
use crate::engine::{JobId, Request, SEED_MAX, Snapshot};
use crate::model::{Config, Given, ImageSeed, SamplingSettings};

/// What `from` may be.
const FROM: &str = "{\"generation\": ID, \"image\": INDEX, \"step\": T, \"changes\": [{\"row\", \"column\", \"code\"}]} with the \
    id of a generation that this server still has and a finished image of it";

/// An image that a request starts from, and what it keeps of it.
#[derive(Debug, Clone)]
pub struct Branch {
    noise: ImageSeed,
    /// C_1 … C_T.
    grids: Arc<[Vec<u32>]>,
    /// The codes up to this step are kept, 0..=T.
    step: usize,
    /// Positions and their new codes at that step.
    changes: Vec<(usize, u32)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct From {
    generation: String,
    #[serde(default)]
    image: u32,
    step: Option<u64>,
    #[serde(default)]
    changes: Vec<Change>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    row: usize,
    column: usize,
    code: u32,
}

impl Branch {
    /// The earlier generation that a request's fields name.
    pub fn generation(values: &Map<String, Value>) -> Option<JobId> {
        values.get("from")?.get("generation")?.as_str()?.parse().ok()
    }

    /// Takes `from` out of a request's fields. Fields that are absent get the values of the earlier generation: model, class
    /// or prompt, options and, unless there is a seed, seed and index.
    ///
    /// # Errors
    /// The invalid part of it.
    pub(super) fn take(
        find: impl Fn(JobId) -> Option<Snapshot>,
        values: &mut Map<String, Value>,
    ) -> Result<Option<Self>, FieldError> {
        let Some(value) = values.remove("from").filter(|value| !value.is_null()) else { return Ok(None) };
        let invalid = |value: &Value| FieldError::new("from", value.clone(), FROM);
        let from: From = serde_json::from_value(value.clone()).map_err(|_| invalid(&value))?;
        let snapshot = from.generation.parse().ok().and_then(find);
        let snapshot = snapshot.ok_or_else(|| invalid(&value))?;
        let image = snapshot.images.iter().find(|image| image.index == from.image);
        let grids = image.and_then(|image| image.tokens.clone()).ok_or_else(|| invalid(&value))?;
        let (request, config) = (&snapshot.request, &snapshot.request.model().config);
        if let Some(model) = values.get("model").filter(|model| !model.is_null() && **model != *config.name) {
            return Err(FieldError::new(
                "model",
                model.clone(),
                format!("{:?}, as that of `from`", config.name),
            ));
        }
        let has_free_cells = ["mask", "cells"].iter().any(|name| is_present(values, name));
        let (least, last) = (u64::from(!has_free_cells), config.steps() as u64);
        let step = match from.step {
            None if has_free_cells && from.changes.is_empty() => 0,
            Some(step) if (least..=last).contains(&step) => step as usize,
            step => {
                let allowed = format!("integers from {least} to {last}");
                return Err(FieldError::new("from.step", step.into(), allowed));
            }
        };
        let (side, codes) = (config.latent.grid, config.trajectory.codes);
        let position = |change: &Change| {
            let is_valid = change.row < side && change.column < side && (change.code as usize) < codes;
            is_valid.then_some((change.row * side + change.column, change.code))
        };
        let changes: Option<Vec<_>> = from.changes.iter().map(position).collect();
        let changes = changes.filter(|changes| step > 0 || changes.is_empty()).ok_or_else(|| {
            let allowed = format!("rows and columns below {side}, and codes below {codes}");
            FieldError::new("from.changes", value["changes"].clone(), allowed)
        })?;
        inherit(values, request, from.image);
        Ok(Some(Self { noise: request.noise(from.image), grids, step, changes }))
    }

    /// Starts from given codes and their noise. `None` if some are free.
    pub(super) fn of_tokens(given: &Given, noise: ImageSeed) -> Option<Self> {
        Some(Self { noise, grids: given.tokens()?.into(), step: 0, changes: Vec::new() })
    }

    /// The job, with the codes that are kept. `free` are the cells that are drawn again at all steps after the kept ones; without
    /// it, all are.
    ///
    /// # Errors
    /// [`FieldError`] for a mask of the wrong size, or one without free cells.
    pub fn apply(&self, job: Request, free: Option<&[bool]>) -> Result<Request, FieldError> {
        let config = &job.model().config;
        if free.is_some_and(|free| free.len() != config.positions() || !free.contains(&true)) {
            return Err(FieldError::new("mask", Value::Null, "a mask that draws at least one cell again"));
        }
        let mut grids = self.grids.to_vec();
        for &(position, code) in &self.changes {
            grids[self.step - 1][position] = code;
        }
        let given = Given::kept(config, &grids, self.step, free)?;
        Ok(job.with_given(given, self.noise))
    }
}

pub(super) fn is_present(values: &Map<String, Value>, name: &str) -> bool {
    values.get(name).is_some_and(|value| !value.is_null())
}

fn inherit(values: &mut Map<String, Value>, request: &Request, image: u32) {
    let settings = request.settings_of(image);
    let mut inherited = Map::new();
    inherited.insert("model".into(), settings.model().into());
    if !is_present(values, "seed") && !is_present(values, "index") {
        let draws = request.draws(image);
        inherited.insert("seed".into(), draws.seed.into());
        inherited.insert("index".into(), draws.index.into());
    }
    insert_absent(values, inherited);
    inherit_settings(values, settings);
}

/// Gives absent fields the values of these settings: class or prompt, and options.
pub(super) fn inherit_settings(values: &mut Map<String, Value>, settings: &SamplingSettings) {
    let mut inherited = Map::new();
    if let Ok(Value::Object(options)) = serde_json::to_value(settings.options()) {
        inherited.extend(options);
    }
    if is_present(values, "class") || is_present(values, "prompt") {
        inherited.remove("prompt");
    } else {
        inherited.insert("class".into(), settings.class().into());
    }
    insert_absent(values, inherited);
}

fn insert_absent(values: &mut Map<String, Value>, others: Map<String, Value>) {
    for (name, value) in others {
        if !is_present(values, &name) {
            values.insert(name, value);
        }
    }
}

/// Reads cells, a list of `[row, column]` or its text, as the cells of a grid.
pub(super) fn read_cells(config: &Config, value: &Value) -> Result<Vec<bool>, String> {
    let side = config.latent.grid;
    let allowed = || format!("a list of cells [row, column], each from 0 to {}", side - 1);
    // In a form it is text.
    let parsed = value.as_str().map(serde_json::from_str).transpose().map_err(|_| allowed())?;
    let cells: Vec<[usize; 2]> =
        serde_json::from_value(parsed.unwrap_or_else(|| value.clone())).map_err(|_| allowed())?;
    let mut free = vec![false; config.positions()];
    for [row, column] in cells {
        if row >= side || column >= side {
            return Err(allowed());
        }
        free[row * side + column] = true;
    }
    if free.contains(&true) { Ok(free) } else { Err(allowed()) }
}

/// Codes that a request gives, and their noise if it isn't that of the request.
pub(super) type GivenCodes = (Given, Option<ImageSeed>);

/// A token file, in which codes may be free.
#[derive(Deserialize)]
struct TokenFile {
    #[serde(default)]
    model: Option<String>,
    seed: u64,
    #[serde(default)]
    index: u32,
    tokens: Vec<Vec<Vec<Option<u32>>>>,
}

/// Reads T grids of rows of codes or nulls, or a token file with these, or the text of either.
pub(super) fn read_tokens(config: &Config, value: &Value) -> Result<GivenCodes, String> {
    let side = config.latent.grid;
    let allowed = || {
        let (steps, last) = (config.steps(), config.trajectory.codes - 1);
        format!(
            "{steps} grids of {side} × {side} codes from 0 to {last}, or null for a free one; or a token file of {} with these",
            config.name
        )
    };
    let parsed: Option<Value> =
        value.as_str().map(serde_json::from_str).transpose().map_err(|_| allowed())?;
    let value = parsed.as_ref().unwrap_or(value);
    let (grids, noise) = if value.is_object() {
        let file = TokenFile::deserialize(value).map_err(|_| allowed())?;
        if file.seed > SEED_MAX || file.model.is_some_and(|model| model != config.name) {
            return Err(allowed());
        }
        (file.tokens, Some(ImageSeed::new(file.seed, file.index)))
    } else {
        (Vec::deserialize(value).map_err(|_| allowed())?, None)
    };
    if grids
        .iter()
        .any(|rows: &Vec<Vec<Option<u32>>>| rows.len() != side || rows.iter().any(|row| row.len() != side))
    {
        return Err(allowed());
    }
    let grids: Vec<Vec<Option<u32>>> = grids.iter().map(|rows| rows.concat()).collect();
    Ok((Given::new(config, &grids).map_err(|_| allowed())?, noise))
}
