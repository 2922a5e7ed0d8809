//! Environment variables whose names begin with `RDPM_`: those that are no settings are named in a warning.
//!
//! Kubernetes sets variables for each service of a namespace. A service named `rdpm` makes `RDPM_PORT=tcp://10.96.12.7:3000`,
//! which is not this server's port.

use std::collections::BTreeMap;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command};

use super::escape::Escaped;
use super::output::note;

const PREFIX: &str = "RDPM_";
/// Names that are less alike are not suggested.
const LIKE: f64 = 0.9;

/// The command without the variables that aren't its settings, each of which is named on standard error.
pub fn ignore_foreign(mut command: Command) -> Command {
    let mut known = BTreeMap::new();
    for subcommand in command.get_subcommands() {
        for argument in subcommand.get_arguments() {
            if let Some(name) = argument.get_env().and_then(|name| name.to_str()) {
                known.insert(name.to_owned(), argument.get_id().to_string());
            }
        }
    }
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let value = value.to_string_lossy();
        match known.get(name) {
            Some(id) if is_service_link(&value) => {
                note(format!(
                    "rdpm: {name}={} is a service link of Kubernetes and is ignored",
                    Escaped(&value)
                ));
                command = without_variable(command, id);
            }
            Some(_) => {}
            None => note(format!(
                "rdpm: {} is not a setting and is ignored{}",
                shown(name, &value),
                like(name, known.keys())
            )),
        }
    }
    command
}

/// Names the environment variable whose value clap refuses, and exits as clap does.
pub fn exit(error: clap::Error, command: &Command) -> ! {
    if let (Some(ContextValue::String(flag)), Some(ContextValue::String(refused))) =
        (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue))
    {
        let flag = flag.split(' ').next().unwrap_or_default();
        let arguments = command.get_subcommands().flat_map(Command::get_arguments);
        let is_flag = |argument: &&Arg| argument.get_long().is_some_and(|long| flag == format!("--{long}"));
        let name = arguments.filter(is_flag).find_map(Arg::get_env).and_then(|name| name.to_str());
        let is_given = std::env::args().any(|word| word.split('=').next() == Some(flag));
        if let Some(name) = name.filter(|name| !is_given && std::env::var_os(name).is_some()) {
            note(format!("rdpm: {name} can't be {:?}", refused));
        }
    }
    error.exit()
}

/// As Kubernetes and Docker links write the address of another service.
fn is_service_link(value: &str) -> bool {
    ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme))
}

fn without_variable(command: Command, id: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |command| {
            if command.get_arguments().any(|argument| argument.get_id() == id) {
                command.mut_arg(id, |argument| argument.env(Resettable::Reset))
            } else {
                command
            }
        })
    })
}

/// A variable with its value, unless that could be a secret.
fn shown(name: &str, value: &str) -> String {
    let is_secret = ["KEY", "SECRET", "TOKEN", "PASS"].iter().any(|word| name.contains(word));
    let is_address_of_user = value.contains("://") && value.contains('@');
    if is_secret || is_address_of_user { name.to_owned() } else { format!("{name}={}", Escaped(value)) }
}

/// A setting of a like name, as a question.
fn like<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> String {
    let likeness = |known: &String| strsim::jaro_winkler(name, known);
    let nearest = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|nearest| likeness(nearest) > LIKE && nearest.len().abs_diff(name.len()) <= 2) {
        Some(nearest) => format!("; did you mean {nearest}?"),
        None => String::new(),
    }
}
