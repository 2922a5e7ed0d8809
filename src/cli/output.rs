//! Standard output and standard error. A failure to write is an error or is ignored; `println!` and `eprintln!` panic.

use std::fmt::Display;
use std::io::{ErrorKind, Write, stderr, stdout};

use anyhow::Context;

/// Writes to standard output. Succeeds if the reader has closed it, as `head` does.
pub fn print(text: impl Display) -> anyhow::Result<()> {
    let mut stdout = stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output can't be written"),
    }
}

/// Writes a line for the user to standard error, if that can be written.
pub fn note(line: impl Display) {
    let _ = writeln!(stderr(), "{line}");
}
