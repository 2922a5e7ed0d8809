//! What a command tells its user while it pulls: in the log if the command has one, otherwise on standard error.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::super::escape::Escaped;
use super::super::output::note;

/// Tells a warning.
pub fn warn(text: String) {
    let text = Escaped(text);
    if tracing::dispatcher::has_been_set() {
        tracing::warn!("{text}");
    } else {
        note(format!("rdpm: {text}"));
    }
}

/// Tells what was done, in the log only.
pub fn inform(text: String) {
    tracing::info!("{}", Escaped(text));
}

/// The progress of a file. It hides itself where standard error is not a terminal.
pub fn progress(name: &str) -> ProgressBar {
    let bar = ProgressBar::no_length().with_message(Escaped(name).to_string());
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}");
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
