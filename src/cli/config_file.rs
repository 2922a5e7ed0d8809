//! The configuration file: TOML whose keys are the flags of `serve`, with `_` for `-`.
//!
//! The file's values become the defaults of clap's flags. So flags override environment variables, which override the file,
//! which overrides the defaults that `--help` prints.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use clap::Command;
use clap::builder::Resettable;
use toml::{Table, Value};

/// The keys of a file, with their values as a command line would have them.
pub struct Defaults(Vec<(String, Vec<String>)>);

impl Defaults {
    /// Reads a file whose keys are flags of `command`.
    pub fn read(path: &Path, command: &Command) -> anyhow::Result<Self> {
        let name = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("{name} can't be read"))?;
        let table: Table = text.parse().map_err(|error| anyhow!("{name}: {}", describe(&error, &text)))?;
        let mut defaults = Vec::new();
        for (key, value) in table {
            let values = texts(value).with_context(|| format!("{name}: {key}"))?;
            check(command, &key, &values).with_context(|| name.to_string())?;
            defaults.push((key, values));
        }
        Ok(Self(defaults))
    }

    /// The command with these defaults for the flags that it has.
    pub fn apply(&self, command: Command) -> Command {
        self.0.iter().fold(command, |command, (key, values)| {
            if command.get_arguments().any(|argument| argument.get_id() == key) {
                command.mut_arg(key, |argument| argument.default_values(values))
            } else {
                command
            }
        })
    }
}

/// A parse error without the line that it is in, which may contain a key.
fn describe(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("TOML parse error at line {line}, column {column}: {}", error.message())
}

/// A value as written on a command line; an array is several values.
fn texts(value: Value) -> anyhow::Result<Vec<String>> {
    Ok(match value {
        Value::String(text) => vec![text],
        Value::Integer(number) => vec![number.to_string()],
        Value::Float(number) => vec![number.to_string()],
        Value::Boolean(truth) => vec![truth.to_string()],
        Value::Array(items) => items.into_iter().map(texts).collect::<anyhow::Result<Vec<_>>>()?.concat(),
        Value::Table(_) | Value::Datetime(_) => {
            bail!("not text, a number, true, false or a list of these")
        }
    })
}

/// Checks one key's values with clap, so that the error message names the file.
fn check(command: &Command, key: &str, values: &[String]) -> anyhow::Result<()> {
    let settings = || {
        command.get_arguments().filter(|argument| !["config", "check"].contains(&argument.get_id().as_str()))
    };
    let Some(argument) = settings().find(|argument| argument.get_id() == key) else {
        let allowed: Vec<&str> = settings()
            .filter(|argument| !argument.is_hide_set())
            .map(|argument| argument.get_id().as_str())
            .collect();
        bail!("unknown key {key}; allowed: {}", allowed.join(", "));
    };
    let flag = argument.get_long().unwrap_or(key);
    let line = values.iter().map(|value| format!("--{flag}={value}"));
    let single_flag = Command::new("file").no_binary_name(true).arg(argument.clone().env(Resettable::Reset));
    if let Err(error) = single_flag.try_get_matches_from(line) {
        let message = error.to_string();
        let first_line = message.lines().next().unwrap_or_default();
        bail!("{key}: {}", first_line.strip_prefix("error: ").unwrap_or(first_line));
    }
    Ok(())
}
