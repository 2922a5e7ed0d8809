//! The program: runs a command and reports its error.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rdpm: {error:#}");
            ExitCode::from(2)
        }
    }
}
