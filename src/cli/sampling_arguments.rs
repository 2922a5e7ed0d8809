//! Flags that are made from the table of a request's fields: the seed and the options of sampling.

use anyhow::anyhow;
use clap::error::Error;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use rdpm::model::Config;
use rdpm::request::{Field, GenerationDraft, Reader, SEED, sampling_fields, text_value};
use serde_json::Map;

/// The texts of the flags that are set. They are checked when the model is known.
#[derive(Debug, Clone, Default)]
pub struct SamplingArguments(Vec<(&'static str, String)>);

impl SamplingArguments {
    /// The same with the text of one more flag.
    pub fn with(mut self, name: &'static str, text: &str) -> Self {
        self.0.push((name, text.to_owned()));
        self
    }

    /// Whether a flag is set.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(set, _)| *set == name)
    }

    /// The values for a model.
    ///
    /// Fails where one is invalid.
    pub fn read(&self, config: &Config) -> anyhow::Result<GenerationDraft> {
        let mut draft = GenerationDraft::new(config);
        let mut reader = Reader::new(config);
        for field in fields() {
            if let Some((_, text)) = self.0.iter().find(|(name, _)| *name == field.name) {
                let mut values = Map::from_iter([(field.name.to_owned(), text_value(field, text))]);
                reader.read_field(field, field.name, &mut values, &mut draft);
            }
        }
        match reader.finish() {
            Ok(()) => Ok(draft),
            Err(errors) => {
                let texts: Vec<String> =
                    errors.listed().iter().map(|error| format!("--{}", flag(error))).collect();
                Err(anyhow!(texts.join("; ")))
            }
        }
    }
}

/// An error, with the name of the flag in place of the field's.
fn flag(error: &rdpm::request::FieldError) -> String {
    let text = error.to_string();
    text.replacen(&error.field, &error.field.replace('_', "-"), 1)
}

fn fields() -> impl Iterator<Item = &'static Field<GenerationDraft>> {
    [&SEED].into_iter().chain(sampling_fields())
}

/// A flag with the name, the description and the range of a field.
fn argument(field: &'static Field<GenerationDraft>) -> Arg {
    let name = field.name;
    let help = match field.allowed_for_all_models() {
        Some(allowed) => format!("{} Allowed: {allowed}.", field.about),
        None => field.about.to_owned(),
    };
    Arg::new(name)
        .long(name.replace('_', "-"))
        .env(format!("RDPM_{}", name.to_uppercase()))
        .value_name(name.to_uppercase())
        .allow_negative_numbers(true)
        .help(help)
}

impl Args for SamplingArguments {
    fn augment_args(command: Command) -> Command {
        command.args(fields().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SamplingArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let set = |field: &'static Field<GenerationDraft>| {
            Some((field.name, matches.get_one::<String>(field.name)?.clone()))
        };
        Ok(Self(fields().filter_map(set).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
