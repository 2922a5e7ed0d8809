//! The program: runs a command and reports its error.

mod cli;

use std::process::ExitCode;

/// The status after a failure of the server, which a restart heals.
const FAILED: u8 = 1;
/// The status after all other errors, which are the user's to fix.
const INVALID: u8 = 2;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // It may quote a file of somebody else's, and it may have several lines.
            let text = format!("{error:#}");
            let lines: Vec<String> = text.lines().map(|line| cli::Escaped(line).to_string()).collect();
            cli::note(format!("rdpm: {}", lines.join("\n")));
            ExitCode::from(if error.is::<cli::ServerFailed>() { FAILED } else { INVALID })
        }
    }
}
