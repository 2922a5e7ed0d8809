//! How the process ends: after a failure with status 1, so that a supervisor starts it again; after a signal with status 0,
//! at any time.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::common::with_timeout;
use crate::program::{Program, rdpm};

/// A copy of the smallest model.
pub struct Weights(TempDir);

impl Weights {
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/eighth");
        for file in ["config.json", "model.safetensors"] {
            fs::copy(model.join(file), folder.path().join(file)).unwrap();
        }
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("model.safetensors")
    }

    fn saved(&self) -> PathBuf {
        self.0.path().join("saved")
    }

    /// Makes every load hang: opening a pipe waits for a writer.
    fn hang(&self) {
        fs::rename(self.file(), self.saved()).unwrap();
        assert!(Command::new("mkfifo").arg(self.file()).status().unwrap().success());
    }

    fn repair(&self) {
        fs::rename(self.saved(), self.file()).unwrap();
    }

    /// The arguments of a server with these weights on a port of its own, and its address.
    pub fn serve(&self, arguments: &[&str]) -> (Vec<String>, String) {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut all: Vec<String> = vec!["serve".into(), "--port".into(), address.port().to_string()];
        all.extend(["--weights".into(), self.0.path().display().to_string()]);
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        (all, address.to_string())
    }
}

/// Waits for the end of a process and returns its status.
pub fn status(child: &mut Child) -> Option<i32> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(60) {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the process doesn't end");
}

fn terminate(process: u32) {
    assert!(Command::new("kill").arg(process.to_string()).status().unwrap().success());
}

/// Waits until a server listens, which it does before it loads the models.
fn wait_until_listening(address: &str) {
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing listens at {address}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a path of the server has this status.
pub async fn wait_for(address: &str, path: &str, status: u16) {
    let wait = async {
        loop {
            let response = reqwest::get(format!("http://{address}{path}")).await;
            if response.is_ok_and(|response| response.status() == status) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    with_timeout(wait).await;
}

async fn post(address: &str) -> reqwest::Response {
    let body = json!({"class": 0, "count": 1});
    let client = reqwest::Client::new();
    with_timeout(client.post(format!("http://{address}/api/v1/generations")).json(&body).send())
        .await
        .unwrap()
}

#[test]
fn a_signal_while_models_are_loaded_ends_the_server_with_status_0() {
    let weights = Weights::new();
    weights.hang();
    let (arguments, address) = weights.serve(&[]);
    let mut server = Program(rdpm().args(arguments).spawn().unwrap());
    wait_until_listening(&address);
    terminate(server.0.id());
    assert_eq!(status(&mut server.0), Some(0));
}

#[test]
fn models_that_are_never_loaded_end_the_server_with_status_1() {
    let weights = Weights::new();
    weights.hang();
    let (arguments, _) = weights.serve(&["--load-timeout", "1"]);
    let mut server = Program(rdpm().args(arguments).stderr(Stdio::piped()).spawn().unwrap());
    assert_eq!(status(&mut server.0), Some(1));
    let mut printed = String::new();
    server.0.stderr.take().unwrap().read_to_string(&mut printed).unwrap();
    assert!(printed.contains("the models were not loaded within 1 s (--load-timeout)"), "{printed}");
}

/// Process 1 gets no signal that it has no handler for.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_while_models_are_loaded_ends_process_1() {
    let unshare = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child"];
    let allowed = Command::new("unshare").args(unshare).arg("true").stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no process namespaces here");
        return;
    }
    let weights = Weights::new();
    weights.hang();
    let (arguments, address) = weights.serve(&[]);
    let mut command = Command::new("unshare");
    command.args(unshare).arg(env!("CARGO_BIN_EXE_rdpm")).args(arguments).env("RDPM_LOG", "warn");
    let mut outer = Program(command.spawn().unwrap());
    wait_until_listening(&address);
    let children = format!("/proc/{0}/task/{0}/children", outer.0.id());
    terminate(fs::read_to_string(children).unwrap().trim().parse().unwrap());
    assert_eq!(status(&mut outer.0), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_not_live_and_is_started_again() {
    let weights = Weights::new();
    let limits = ["--load", "lazy", "--step-timeout", "1", "--drain-timeout", "3"];
    let (arguments, address) = weights.serve(&limits);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/operations/supervisor.sh");
    let mut command = rdpm();
    let mut supervised = Command::new("sh");
    supervised.arg(script).arg(command.get_program()).args(arguments);
    supervised.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut supervisor = Program(supervised.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(supervisor.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut next = |prefix: &str| {
        let line = lines.find(|line| line.starts_with(prefix)).unwrap();
        line[prefix.len()..].trim().parse::<u32>().unwrap()
    };

    let first = next("started");
    wait_for(&address, "/health/ready", 200).await;
    weights.hang();
    assert_eq!(post(&address).await.status(), 202);
    wait_for(&address, "/health/live", 503).await;
    weights.repair();
    assert_eq!(next("ended with"), 1);
    let second = next("started");
    assert_ne!(first, second);
    wait_for(&address, "/health/ready", 200).await;
    let job: serde_json::Value = post(&address).await.json().await.unwrap();
    let events = job["links"]["events"].as_str().unwrap();
    let events = reqwest::get(format!("http://{address}{events}")).await.unwrap().text().await.unwrap();
    assert!(events.contains("event: completed"), "{events}");

    // A signal isn't a failure.
    terminate(second);
    assert_eq!(next("ended with"), 0);
    assert_eq!(status(&mut supervisor.0), Some(0));
    // Invalid settings aren't one that a restart heals.
    command.args(["serve", "--port", "0", "--weights", "nowhere"]).stderr(Stdio::null());
    assert_eq!(status(&mut Program(command.spawn().unwrap()).0), Some(2));
}

#[tokio::test]
async fn pictures_that_are_rendered_do_not_delay_the_exit() {
    let mut command = rdpm();
    command.args(["serve", "--port", "0", "--model", "emoji", "--drain-timeout", "0"]);
    let (mut server, address) = Program::start(&mut command, "http://");
    let client = reqwest::Client::new();
    let create = client.post(format!("http://{address}/api/v1/generations"));
    let job: serde_json::Value =
        create.json(&json!({"class": 0, "count": 4})).send().await.unwrap().json().await.unwrap();
    let link = |name: &str| format!("http://{address}{}", job["links"][name].as_str().unwrap());
    reqwest::get(link("events")).await.unwrap().text().await.unwrap();
    // All places of rendering, and most of its queue.
    let renderings: Vec<_> = (1..=8)
        .map(|delay| {
            let url = format!("{}/animation.gif?which=noisy&scale=5&delay={}", link("self"), 100 + delay);
            tokio::spawn(reqwest::get(url))
        })
        .collect();
    let first = async {
        while !renderings.iter().any(tokio::task::JoinHandle::is_finished) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    with_timeout(first).await;
    let pending = renderings.iter().filter(|rendering| !rendering.is_finished()).count();
    assert!(pending > 0, "no picture is being rendered");
    terminate(server.0.id());
    let signaled = Instant::now();
    let code = tokio::task::spawn_blocking(move || status(&mut server.0)).await.unwrap();
    println!("exit after {:.2} s, {pending} pictures pending", signaled.elapsed().as_secs_f64());
    assert_eq!(code, Some(0));
    // The documented time: five seconds after the drain, and some for a slow machine.
    assert!(signaled.elapsed() < Duration::from_secs(15), "{:?}", signaled.elapsed());
    for rendering in renderings {
        // A response, or a connection that was closed.
        if let Ok(response) = rendering.await.unwrap() {
            assert!([200, 503].contains(&response.status().as_u16()), "{}", response.status());
        }
    }
}
