//! Runs programs in tests.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A child process, killed when this is dropped.
pub struct Program(pub Child);

impl Program {
    /// Starts a program and waits until it prints a line that contains `prefix`. Returns the rest of that line.
    pub fn start(command: &mut Command, prefix: &str) -> (Self, String) {
        let mut child =
            command.stdout(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains(prefix) {
            line.clear();
            assert!(
                output.read_line(&mut line).unwrap() > 0,
                "{command:?} ended before it printed {prefix:?}"
            );
        }
        // Keep reading, so that a full pipe never blocks the program.
        std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
        let rest = line.split_once(prefix).unwrap().1.trim().trim_end_matches('.').to_owned();
        (Self(child), rest)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program under test, with the shipped weights, on the CPU.
pub fn rdpm() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rdpm"));
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights");
    command.env("RDPM_WEIGHTS", weights).env("RDPM_DEVICE", "cpu").env("RDPM_LOG", "warn");
    command
}
