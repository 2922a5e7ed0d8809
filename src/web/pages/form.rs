//! The page's form, read from an address or from a sent form. Valid values are kept; each invalid one is a sentence for
//! people.

use serde_json::{Map, Value};

use super::view::View;
use crate::engine::{MAX_COUNT, ModelHandle, ModelInfo, Request, SEED_MAX};
use crate::model::{ModelError, SamplingOptions, SamplingSettings};
use crate::queue::AnyEngine;
use crate::request::{
    COUNT, Field, FieldError, GenerationDraft, MAX_ERRORS, Reader, numeric_sampling_fields, sampling_fields,
    text_value,
};

/// Pictures of one form at most: as many as one job may have.
const MAX_PICTURES: u64 = MAX_COUNT as u64;
/// Longer values are quoted in part.
const MAX_QUOTED: usize = 40;
/// The field of classes, which a comparison may vary beside the options of sampling.
const CLASS: &str = "class";

/// What an address can name beside the options of sampling.
const KEYS: [&str; 12] =
    ["model", "view", CLASS, "seed", "count", "vary", "to", "x", "y", "xs", "ys", "pick"];

/// The value of `style` that asks for each style of the model.
pub(super) const ALL_STYLES: &str = "all";

/// The state of the form.
#[derive(Debug)]
pub(super) struct Form {
    pub model: ModelHandle,
    pub view: View,
    /// Indices; the first class if none is named.
    pub classes: Vec<usize>,
    /// Empty if none is given.
    pub seeds: Vec<u64>,
    /// The number of images, and the options of sampling.
    pub draft: GenerationDraft,
    /// The prompt as it was typed.
    pub prompt: String,
    /// Each picture is asked for in all styles of the model.
    pub all_styles: bool,
    /// Comparison: the setting that differs, and its value in the second run.
    pub vary: &'static str,
    pub to: String,
    /// Comparison: a matrix of two settings. The scripts read which.
    pub is_matrix: bool,
    /// Which picture of several is shown, from 1.
    pick: u64,
    /// Sentences for people.
    pub problems: Vec<String>,
    /// Invalid values beyond those that `problems` names.
    omitted_problems: usize,
    class_is_named: bool,
    /// A class is named itself, not only by the prompt.
    pub class_is_chosen: bool,
}

impl Form {
    /// Reads `class=Bag&seed=7&…`. Unknown keys are ignored: proxies and trackers add their own.
    pub fn read(engine: &AnyEngine, encoded: &[u8]) -> Self {
        let (model, unknown_model) = resolve_model(engine, encoded);
        let mut form = Self {
            draft: GenerationDraft::new(&model.config),
            model,
            view: View::Draw,
            classes: Vec::new(),
            seeds: Vec::new(),
            vary: variable_settings().next().unwrap_or(CLASS),
            to: String::new(),
            is_matrix: false,
            pick: 1,
            problems: Vec::new(),
            omitted_problems: 0,
            class_is_named: false,
            class_is_chosen: false,
            prompt: String::new(),
            all_styles: false,
        };
        if let Some(name) = &unknown_model {
            let names: Vec<&str> = engine.models().iter().map(|model| model.config.name.as_str()).collect();
            form.reject("model", name, &names.join(", "));
        }
        for (key, value) in form_urlencoded::parse(encoded) {
            let value = value.trim();
            // The settings of an unknown model may not fit the default one.
            if !value.is_empty() && (unknown_model.is_none() || key == "view") {
                form.read_value(&key, value);
            }
        }
        if form.to.is_empty() {
            form.to = comparison_value(form.vary);
        }
        form.class_is_chosen = !form.classes.is_empty();
        // In the order of the page, whatever the order in the address: `pick` means the same picture for both.
        form.classes.sort_unstable();
        form.class_is_named = form.class_is_chosen;
        if !form.class_is_named {
            let named = form.draft.options.class(&form.model.config);
            form.class_is_named = named.is_some();
            form.classes.push(named.unwrap_or(0));
        }
        form.limit_pictures();
        if form.omitted_problems > 0 {
            form.problems.push(format!("{} further values can’t be used.", form.omitted_problems));
        }
        form
    }

    /// Whether an address names nothing of the form.
    pub fn is_empty(encoded: &[u8]) -> bool {
        let is_known = |key: &str| KEYS.contains(&key) || sampling_fields().any(|field| field.name == key);
        !form_urlencoded::parse(encoded).any(|(key, _)| is_known(&key))
    }

    /// Whether this is a link to a particular picture: class and seed are given and all values are valid.
    pub fn is_complete(&self) -> bool {
        self.class_is_named && !self.seeds.is_empty() && self.problems.is_empty()
    }

    /// The seeds as text of the field.
    pub fn seeds_text(&self) -> String {
        self.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
    }

    /// The picture that the address shows: the picked one, or the first. Without a seed, that of seed 0.
    pub fn picked(&self) -> Picked {
        let count = self.draft.count.max(1);
        let seeds = self.seeds.len().max(1) as u64;
        let styles = self.styles().len() as u64;
        let total = self.classes.len() as u64 * styles * seeds * count;
        let index = if self.pick <= total { self.pick.saturating_sub(1) } else { 0 };
        let job = index / count;
        let at = |position: u64| usize::try_from(position).unwrap_or(0);
        Picked {
            class: self.classes.get(at(job / seeds / styles)).copied().unwrap_or(0),
            style: self.styles().get(at(job / seeds % styles)).copied().unwrap_or_default(),
            seed: self.seeds.get(at(job % seeds)).copied().unwrap_or(0),
            number: (index % count) as u32 + 1,
        }
    }

    /// For each style that is asked for its index, or `None` for what the options say.
    fn styles(&self) -> Vec<Option<usize>> {
        match self.all_styles {
            true => (0..self.model.config.styles.len()).map(Some).collect(),
            false => vec![None],
        }
    }

    /// Settings of a class in a style.
    fn settings(&self, class: usize, style: Option<usize>) -> Result<SamplingSettings, ModelError> {
        let config = &self.model.config;
        let mut options = self.draft.options.clone();
        if let Some(style) = style.and_then(|style| config.styles.get(style)) {
            options.style = Some(style.clone());
        }
        SamplingSettings::with_options(config, class, options)
    }

    /// Settings of the [picked](Self::picked) picture.
    ///
    /// # Errors
    /// [`ModelError::Setting`], which the values of a form never cause.
    pub fn picked_settings(&self) -> Result<SamplingSettings, ModelError> {
        let Picked { class, style, .. } = self.picked();
        self.settings(class, style)
    }

    /// Names the picture that a complete address shows: `Bag, seed 7`.
    pub fn picture_name(&self) -> Option<String> {
        let Picked { seed, number, .. } = self.picked();
        let settings = self.picked_settings().ok().filter(|_| self.is_complete())?;
        let shown = settings.describe(&self.model.config, seed, number - 1);
        let number = if number > 1 { format!(", no. {number}") } else { String::new() };
        Some(format!("{shown}, seed {seed}{number}"))
    }

    /// The words of the prompt that the model doesn't know.
    pub fn unknown_words(&self) -> Vec<String> {
        let prompt = self.draft.options.prompt.as_ref();
        let unknown = prompt.map(|prompt| self.model.config.vocabulary.encode(prompt).unknown);
        unknown.unwrap_or_default()
    }

    /// One request for each class, style and seed, in the order of the contact sheet.
    ///
    /// # Errors
    /// [`ModelError::Setting`], which the values of a form never cause.
    pub fn requests(&self) -> Result<Vec<Request>, ModelError> {
        let mut requests = Vec::new();
        for &class in &self.classes {
            for style in self.styles() {
                let settings = self.settings(class, style)?;
                for &seed in &self.seeds {
                    let request =
                        Request::new(&self.model, settings.clone(), seed)?.with_count(self.draft.count)?;
                    // The page shows no steps without scripts.
                    requests.push(request.with_previews(false));
                }
            }
        }
        Ok(requests)
    }

    fn read_value(&mut self, key: &str, value: &str) {
        let model = self.model.clone();
        let config = &model.config;
        match key {
            "view" => match View::named(value) {
                Some(view) => self.view = view,
                None => self.reject("view", value, "draw, compare, tokenize or how"),
            },
            CLASS => match config.class_index(value) {
                Some(class) if self.classes.contains(&class) => {}
                Some(class) => self.classes.push(class),
                None => self.reject(CLASS, value, &config.classes.join(", ")),
            },
            "style" if value == ALL_STYLES && !config.styles.is_empty() => self.all_styles = true,
            "seed" => self.read_seeds(value),
            "count" => self.read_field(&COUNT, value),
            "vary" => match variable_settings().find(|setting| *setting == value) {
                Some(setting) => self.vary = setting,
                None => self.reject("vary", value, &variable_settings().collect::<Vec<_>>().join(", ")),
            },
            // Which values are allowed depends on `vary`; the page checks this one before it uses it.
            "to" if value.chars().count() <= MAX_QUOTED => value.clone_into(&mut self.to),
            "to" => self.reject("to", value, "a value of the setting that differs"),
            "y" => self.is_matrix = true,
            // The scripts ignore an invalid one, too.
            "pick" => self.pick = value.parse().unwrap_or(1).max(1),
            key => {
                if key == "prompt" {
                    self.prompt = value.chars().take(SamplingOptions::MAX_PROMPT).collect();
                }
                if let Some(field) = sampling_fields().find(|field| field.name == key) {
                    self.read_field(field, value);
                }
            }
        }
    }

    fn read_field(&mut self, field: &'static Field<GenerationDraft>, text: &str) {
        let model = self.model.clone();
        let value = text_value(field, text);
        // The page shows a number where an option is off.
        if value.is_number() && value.as_f64() == field.off_value(&model.config) {
            return;
        }
        let mut values = Map::from_iter([(field.name.to_owned(), value)]);
        let mut reader = Reader::new(&model.config);
        reader.read_field(field, field.name, &mut values, &mut self.draft);
        if let Err(errors) = reader.finish() {
            for FieldError { field, allowed, .. } in errors.listed() {
                self.reject(field, text, allowed);
            }
        }
    }

    /// `7`, `7, 8, 12`, `7-10`.
    fn read_seeds(&mut self, value: &str) {
        let allowed = format!("integers from 0 to {SEED_MAX}, several as 7, 8 or 7-10");
        for part in value.split([',', ' ', ';']).filter(|part| !part.is_empty()) {
            let (from, to) = part.split_once(['-', '–']).unwrap_or((part, part));
            match (from.parse::<u64>(), to.parse::<u64>()) {
                (Ok(from), Ok(to)) if from <= to && to <= SEED_MAX => {
                    // One more than the limit is enough to detect that it is exceeded.
                    self.seeds.extend((from..=to).take(MAX_PICTURES as usize + 1));
                }
                _ => self.reject("seed", part, &allowed),
            }
        }
    }

    /// Keeps the first pictures where there are too many.
    fn limit_pictures(&mut self) {
        let seeds = self.seeds.len().max(1) as u64;
        let styles = self.styles().len() as u64;
        let pictures = self.classes.len() as u64 * styles * seeds * self.draft.count;
        if pictures <= MAX_PICTURES {
            return;
        }
        let jobs = (MAX_PICTURES / styles).max(1);
        self.seeds.truncate(jobs as usize);
        let seeds = self.seeds.len().max(1) as u64;
        self.classes.truncate((jobs / seeds) as usize);
        self.draft.count = (jobs / seeds / self.classes.len() as u64).max(1);
        self.problems.push(format!(
            "That would be {pictures} pictures or more; {MAX_PICTURES} can be drawn together."
        ));
    }

    fn reject(&mut self, field: &str, value: &str, allowed: &str) {
        if self.problems.len() >= MAX_ERRORS {
            self.omitted_problems += 1;
            return;
        }
        let mut quoted: String = value.chars().take(MAX_QUOTED).collect();
        if quoted.len() < value.len() {
            quoted.push('…');
        }
        self.problems.push(format!("{field} can’t be “{quoted}”. Allowed: {allowed}."));
    }

    /// The options of sampling, as inputs with their current values.
    pub fn inputs(&self) -> Vec<Input> {
        let options = serde_json::to_value(&self.draft.options).unwrap_or_default();
        numeric_sampling_fields()
            .filter_map(|field| Input::new(field, &self.model, &options[field.name]))
            .collect()
    }
}

/// One picture of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Picked {
    /// Index.
    pub class: usize,
    /// Index, where all styles are asked for.
    pub style: Option<usize>,
    pub seed: u64,
    /// Among those of its class and seed, from 1.
    pub number: u32,
}

/// An option of sampling as the page shows it: a number with a slider.
pub(super) struct Input {
    pub name: &'static str,
    pub label: &'static str,
    pub help: &'static str,
    pub is_integer: bool,
    /// The slider's.
    pub min: f64,
    pub max: f64,
    pub step: f64,
    pub value: f64,
    pub default: f64,
    /// The value that isn't sent.
    pub off: Option<f64>,
    /// The value that the comparison view suggests.
    pub comparison_value: f64,
}

impl Input {
    fn new(field: &Field<GenerationDraft>, model: &ModelInfo, value: &Value) -> Option<Self> {
        let input = field.input?;
        let (min, max) = field.bounds(&model.config)?;
        let off = field.off_value(&model.config);
        let default = (field.default)(&model.config).and_then(|default| default.as_f64()).or(off)?;
        Some(Self {
            name: field.name,
            label: input.label,
            help: input.help,
            is_integer: field.is_integer(),
            min: input.slider_min.unwrap_or(min),
            max,
            step: input.slider_step,
            value: value.as_f64().unwrap_or(default),
            default,
            off,
            comparison_value: input.comparison_value,
        })
    }
}

/// The settings that the two runs of a comparison may differ in.
fn variable_settings() -> impl Iterator<Item = &'static str> {
    numeric_sampling_fields().map(|field| field.name).chain([CLASS])
}

/// The value of a setting that a comparison suggests; empty for the class.
fn comparison_value(setting: &str) -> String {
    let field = sampling_fields().find(|field| field.name == setting);
    field.and_then(|field| field.input).map(|input| input.comparison_value.to_string()).unwrap_or_default()
}

/// The model that `model=` names; otherwise the default one, and the unknown name.
fn resolve_model(engine: &AnyEngine, encoded: &[u8]) -> (ModelHandle, Option<String>) {
    let named =
        form_urlencoded::parse(encoded).find(|(key, value)| key == "model" && !value.trim().is_empty());
    let name = named.map(|(_, name)| name.trim().to_owned());
    match name.as_deref().map(|name| engine.model(name)) {
        Some(Some(model)) => (model.clone(), None),
        Some(None) => (engine.default_model().clone(), name),
        None => (engine.default_model().clone(), None),
    }
}
