//! Starting the server: foreign environment variables, hosts, Unix sockets, sockets that systemd passes.

use std::process::{Command, Output};

use tempfile::TempDir;

use crate::program::{Program, rdpm};

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn serve() -> Command {
    let mut command = rdpm();
    command.args(["serve", "--load", "lazy"]);
    command
}

#[test]
fn service_links_of_kubernetes_are_ignored() {
    let mut command = rdpm();
    command.args(["serve", "--check"]).env("RDPM_PORT", "tcp://10.96.12.7:3000");
    command.env("RDPM_SERVICE_HOST", "10.96.12.7").env("RDPM_PORT_3000_TCP_PROTO", "tcp");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("port = 3000"));
    for variable in
        ["RDPM_PORT=tcp://10.96.12.7:3000", "RDPM_SERVICE_HOST=10.96.12.7", "RDPM_PORT_3000_TCP_PROTO=tcp"]
    {
        assert!(said(&output).contains(variable), "{variable}: {}", said(&output));
    }
}

#[test]
fn unknown_variables_are_named_without_secrets() {
    let mut command = rdpm();
    command.args(["serve", "--check"]).env("RDPM_API_KEY", "open-sesame").env("RDPM_MAX_QUEU", "3");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let said = said(&output);
    assert!(
        said.contains("RDPM_API_KEY is not a setting") && said.contains("did you mean RDPM_API_KEYS?"),
        "{said}"
    );
    assert!(said.contains("RDPM_MAX_QUEU=3 is not a setting") && !said.contains("sesame"), "{said}");
}

#[test]
fn variable_with_an_invalid_value_is_named() {
    let output = rdpm().args(["serve", "--check"]).env("RDPM_MAX_QUEUE", "many").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("RDPM_MAX_QUEUE can't be \"many\""), "{}", said(&output));
    // A flag overrides it.
    let mut command = rdpm();
    command.args(["serve", "--check", "--max-queue", "7"]).env("RDPM_MAX_QUEUE", "many");
    assert!(command.output().unwrap().status.success());
}

#[test]
fn host_may_be_a_name_or_have_brackets() {
    for (host, prefix) in [("[::1]", "http://[::1]:"), ("::1", "http://[::1]:"), ("localhost", "http://")] {
        let (_server, rest) = Program::start(serve().args(["--port", "0", "--host", host]), prefix);
        let port = rest.rsplit(':').next().unwrap();
        let health = rdpm().args(["health", "--host", host, "--port", port]).output().unwrap();
        assert!(health.status.success(), "{host}: {}", said(&health));
    }
}

#[test]
fn server_listens_on_a_unix_socket() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("rdpm.sock");
    let host = format!("unix:{}", path.display());
    let (mut server, shown) = Program::start(serve().args(["--host", &host]), "unix:");
    assert_eq!(shown, path.display().to_string());
    let health = rdpm().args(["health", "--host", &host]).output().unwrap();
    assert!(health.status.success(), "{}", said(&health));
    let curl = |path: &str| {
        let mut command = Command::new("curl");
        command.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket"]);
        command.arg(folder.path().join("rdpm.sock")).arg(format!("http://draw.example{path}"));
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert_eq!((curl("/"), curl("/api/v1/models")), ("200".into(), "200".into()));

    let taken = serve().args(["--host", &host]).output().unwrap();
    assert_eq!(taken.status.code(), Some(2));
    assert!(said(&taken).contains("another program uses this socket"), "{}", said(&taken));
    // A socket that a killed server left is replaced; one that ends removes it.
    server.0.kill().unwrap();
    server.0.wait().unwrap();
    assert!(path.exists());
    let (mut server, _) = Program::start(serve().args(["--host", &host]), "unix:");
    assert_eq!(curl("/health/live"), "200");
    Command::new("kill").arg(server.0.id().to_string()).status().unwrap();
    assert!(server.0.wait().unwrap().success());
    assert!(!path.exists());
    // A file of another kind is not.
    std::fs::write(&path, "mine").unwrap();
    assert_eq!(serve().args(["--host", &host]).output().unwrap().status.code(), Some(2));
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
}

#[test]
fn taken_port_names_the_option_that_helps() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = serve().args(["--port", &port]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = said(&output);
    assert!(said.contains(&format!("127.0.0.1:{port} can't be listened on")), "{said}");
    assert!(said.contains("--port (RDPM_PORT)"), "{said}");
}

/// A stand-in for systemd, which opens a socket, and becomes the program.
const ACTIVATE: &str = "
import os, socket, sys
server = socket.socket(socket.AF_UNIX) if sys.argv[1] else socket.socket()
server.bind(sys.argv[1] or ('127.0.0.1', 0))
server.listen()
os.dup2(server.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
";

#[test]
fn socket_that_systemd_passes_is_used() {
    let activate = |path: &str, prefix: &str| {
        let mut command = Command::new("python3");
        command.args([
            "-c",
            ACTIVATE,
            path,
            env!("CARGO_BIN_EXE_rdpm"),
            "serve",
            "--load",
            "lazy",
            "--port",
            "1",
        ]);
        for (name, value) in rdpm().get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Program::start(&mut command, prefix)
    };
    let (_server, address) = activate("", "http://");
    let (host, port) = address.rsplit_once(':').unwrap();
    assert!(rdpm().args(["health", "--host", host, "--port", port]).output().unwrap().status.success());

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("passed.sock").display().to_string();
    let (_server, _) = activate(&path, "systemd passed");
    let health = rdpm().args(["health", "--host", &format!("unix:{path}")]).output().unwrap();
    assert!(health.status.success(), "{}", said(&health));
}
