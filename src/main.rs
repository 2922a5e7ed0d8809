//! The program: runs a command and reports its error.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // It may quote a file of somebody else's, and it may have several lines.
            let error = format!("{error:#}");
            let lines: Vec<String> = error.lines().map(|line| cli::Escaped(line).to_string()).collect();
            eprintln!("rdpm: {}", lines.join("\n"));
            ExitCode::from(2)
        }
    }
}
