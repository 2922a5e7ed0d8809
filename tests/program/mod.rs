//! Runs programs in tests.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A child process, killed when this is dropped.
pub struct Program(pub Child);

impl Program {
    /// Starts a program and waits until it prints a line that contains `prefix`. Returns the rest of that line.
    pub fn start(command: &mut Command, prefix: &str) -> (Self, String) {
        Self::try_start(command, prefix).unwrap_or_else(|output| {
            panic!("{command:?} ended before it printed {prefix:?}. It printed:\n{output}")
        })
    }

    /// The same for a program that may end before: then returns what it printed.
    pub fn try_start(command: &mut Command, prefix: &str) -> Result<(Self, String), String> {
        let mut child =
            command.stdout(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (mut printed, mut line) = (String::new(), String::new());
        while !line.contains(prefix) {
            line.clear();
            if output.read_line(&mut line).unwrap() == 0 {
                child.wait().unwrap();
                return Err(printed);
            }
            printed += &line;
        }
        // Keep reading, so that a full pipe never blocks the program.
        std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
        let rest = line.split_once(prefix).unwrap().1.trim().trim_end_matches('.').to_owned();
        Ok((Self(child), rest))
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
    // The settings of the tests and of whoever runs them are not the program's.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RDPM_") {
            command.env_remove(name);
        }
    }
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights");
    command.env("RDPM_WEIGHTS", weights).env("RDPM_DEVICE", "cpu").env("RDPM_LOG", "warn");
    command
}
