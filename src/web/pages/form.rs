//! What the page's form holds, read from an address or from a form that was sent: what can be used is kept, and there
//! is a sentence for each thing that can't.

use super::view::View;
use crate::engine::{Engine, MAX_COUNT, ModelHandle, Request, SEED_MAX};
use crate::model::{Config, ModelError, SamplingSettings};

/// Pictures that one form may ask for: as many as the engine draws together.
const MAX_PICTURES: u64 = MAX_COUNT as u64;
/// A longer value is quoted only so far.
const QUOTED: usize = 40;

/// The settings that the two runs of a comparison may differ in.
const VARIABLE: [&str; 5] = ["guidance", "temperature", "top_k", "top_p", "class"];

/// The state of the form.
#[derive(Debug)]
pub(super) struct Form {
    pub model: ModelHandle,
    pub view: View,
    /// Indices; the first class where none was named.
    pub classes: Vec<usize>,
    /// Empty where none was named.
    pub seeds: Vec<u64>,
    pub count: u64,
    pub guidance: f64,
    pub temperature: f64,
    /// All codes where it was silent.
    pub top_k: usize,
    /// 1 where it was silent.
    pub top_p: f64,
    /// Comparison: the setting that differs, and its value in the second run.
    pub vary: &'static str,
    pub to: String,
    /// Sentences for people.
    pub problems: Vec<String>,
    /// Whether a class was named.
    named: bool,
}

impl Form {
    /// Reads `class=Bag&seed=7&…`. Keys that it doesn't know are somebody else's and are passed over.
    pub fn read(engine: &Engine, encoded: &[u8]) -> Self {
        let (model, unknown) = chosen(engine, encoded);
        let config = &model.config;
        let mut form = Self {
            model: model.clone(),
            view: View::Draw,
            classes: Vec::new(),
            seeds: Vec::new(),
            count: 1,
            guidance: config.sampling.guidance,
            temperature: config.sampling.temperature,
            top_k: config.trajectory.codes,
            top_p: 1.0,
            vary: VARIABLE[0],
            to: String::from("0"),
            problems: Vec::new(),
            named: false,
        };
        if let Some(name) = &unknown {
            let names: Vec<&str> = engine.models().iter().map(|model| model.config.name.as_str()).collect();
            form.refuse("model", name, &names.join(", "));
        }
        for (key, value) in form_urlencoded::parse(encoded) {
            let value = value.trim();
            // SamplingSettings of a model that isn't here say nothing to another one.
            if !value.is_empty() && (unknown.is_none() || key == "view") {
                form.take(config, &key, value);
            }
        }
        form.named = !form.classes.is_empty();
        if !form.named {
            form.classes.push(0);
        }
        form.limit();
        form
    }

    /// Whether this is a link to a particular picture: class and seed are named and nothing is amiss.
    pub fn is_complete(&self) -> bool {
        self.named && !self.seeds.is_empty() && self.problems.is_empty()
    }

    /// The seeds as they stand in the field.
    pub fn seeds_in_words(&self) -> String {
        self.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
    }

    /// One request for each class and seed, in the order of the contact sheet.
    ///
    /// # Errors
    /// None that the form hasn't told already.
    pub fn requests(&self) -> Result<Vec<Request>, ModelError> {
        let config = &self.model.config;
        let mut requests = Vec::new();
        for &class in &self.classes {
            let mut settings = SamplingSettings::new(config, class)?
                .with_guidance(self.guidance)?
                .with_temperature(self.temperature)?;
            if self.top_k < config.trajectory.codes {
                settings = settings.with_top_k(config, self.top_k)?;
            }
            if self.top_p < 1.0 {
                settings = settings.with_top_p(self.top_p)?;
            }
            for &seed in &self.seeds {
                let request = Request::new(&self.model, settings.clone(), seed)?.with_count(self.count)?;
                // Nobody will see their steps.
                requests.push(request.with_previews(false));
            }
        }
        Ok(requests)
    }

    fn take(&mut self, config: &Config, key: &str, value: &str) {
        let unchecked = || SamplingSettings::new(config, 0);
        match key {
            "view" => match View::named(value) {
                Some(view) => self.view = view,
                None => self.refuse("view", value, "draw, compare, tokenize or how"),
            },
            "class" => match config.class_index(value) {
                Some(class) if self.classes.contains(&class) => {}
                Some(class) => self.classes.push(class),
                None => self.refuse("class", value, &config.classes.join(", ")),
            },
            "seed" => self.take_seeds(value),
            "count" => match value.parse().ok().filter(|count| (1..=MAX_PICTURES).contains(count)) {
                Some(count) => self.count = count,
                None => self.refuse("count", value, &format!("whole numbers from 1 to {MAX_PICTURES}")),
            },
            "guidance" => self.number(key, value, |form, number| {
                form.guidance = unchecked()?.with_guidance(number)?.guidance();
                Ok(())
            }),
            "temperature" => self.number(key, value, |form, number| {
                form.temperature = unchecked()?.with_temperature(number)?.temperature();
                Ok(())
            }),
            "top_k" => match value.parse() {
                Ok(top_k) if (1..=config.trajectory.codes).contains(&top_k) => self.top_k = top_k,
                _ => self.refuse(key, value, &format!("whole numbers from 1 to {}", config.trajectory.codes)),
            },
            "top_p" => self.number(key, value, |form, number| {
                form.top_p = unchecked()?.with_top_p(number)?.top_p().unwrap_or(1.0);
                Ok(())
            }),
            "vary" => match VARIABLE.into_iter().find(|setting| *setting == value) {
                Some(setting) => self.vary = setting,
                None => self.refuse("vary", value, &VARIABLE.join(", ")),
            },
            // What it may be depends on `vary`; the field itself is checked before it is used.
            "to" if value.chars().count() <= QUOTED => value.clone_into(&mut self.to),
            "to" => self.refuse("to", value, "a value of the setting that differs"),
            _ => {}
        }
    }

    /// `7`, `7, 8, 12`, `7-10`.
    fn take_seeds(&mut self, value: &str) {
        let allowed = format!("whole numbers from 0 to {SEED_MAX}, several as 7, 8 or 7-10");
        for part in value.split([',', ' ', ';']).filter(|part| !part.is_empty()) {
            let (from, to) = part.split_once(['-', '–']).unwrap_or((part, part));
            match (from.parse::<u64>(), to.parse::<u64>()) {
                (Ok(from), Ok(to)) if from <= to && to <= SEED_MAX => {
                    // One beyond the limit is enough to know that it is passed.
                    self.seeds.extend((from..=to).take(MAX_PICTURES as usize + 1));
                }
                _ => self.refuse("seed", part, &allowed),
            }
        }
    }

    fn number(&mut self, key: &str, value: &str, set: impl FnOnce(&mut Self, f64) -> Result<(), ModelError>) {
        let allowed = match value.parse() {
            Ok(number) => match set(self, number) {
                Ok(()) => return,
                Err(ModelError::Setting { allowed, .. }) => allowed,
                Err(error) => error.to_string(),
            },
            Err(_) => "a number".into(),
        };
        self.refuse(key, value, &allowed);
    }

    /// More pictures than can be drawn together: the first ones that fit.
    fn limit(&mut self) {
        let seeds = self.seeds.len().max(1) as u64;
        let asked = self.classes.len() as u64 * seeds * self.count;
        if asked <= MAX_PICTURES {
            return;
        }
        self.seeds.truncate(MAX_PICTURES as usize);
        let seeds = self.seeds.len().max(1) as u64;
        self.classes.truncate((MAX_PICTURES / seeds) as usize);
        self.count = (MAX_PICTURES / seeds / self.classes.len() as u64).max(1);
        self.problems
            .push(format!("That would be {asked} pictures or more; {MAX_PICTURES} can be drawn together."));
    }

    fn refuse(&mut self, field: &str, value: &str, allowed: &str) {
        let mut quoted: String = value.chars().take(QUOTED).collect();
        if quoted.len() < value.len() {
            quoted.push('…');
        }
        self.problems.push(format!("{field} can’t be “{quoted}”. Allowed: {allowed}."));
    }
}

/// The model that `model=` names, or the default one and the name that is none's.
fn chosen(engine: &Engine, encoded: &[u8]) -> (ModelHandle, Option<String>) {
    let named =
        form_urlencoded::parse(encoded).find(|(key, value)| key == "model" && !value.trim().is_empty());
    let name = named.map(|(_, name)| name.trim().to_owned());
    match name.as_deref().map(|name| engine.model(name)) {
        Some(Some(model)) => (model.clone(), None),
        Some(None) => (engine.default_model().clone(), name),
        None => (engine.default_model().clone(), None),
    }
}
