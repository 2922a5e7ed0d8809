//! Standard output and standard error that can't be written.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::common::with_timeout;
use crate::program::{Program, rdpm};

/// A device to which every write fails, as to a full disk.
fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

fn run(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn commands_report_a_full_standard_output() {
    let folder = TempDir::new().unwrap();
    let picture = folder.path().join("bag.png");
    let generate = |output: Stdio, errors: Stdio| {
        let mut command = rdpm();
        command.args(["generate", "--class", "Bag", "--seed", "1", "--output"]).arg(&picture);
        command.stdout(output).stderr(errors).output().unwrap().status.code()
    };
    // It prints nothing that matters, so it does its work.
    assert_eq!(generate(full().into(), full().into()), Some(0));
    let picture = picture.to_str().unwrap();
    for arguments in [
        &["info", "--model", "fashion-mnist"][..],
        &["info", picture],
        &["tokenize", picture],
        &["serve", "--check"],
    ] {
        let (code, errors) = run(rdpm().args(arguments).stdout(full()));
        assert_eq!(code, Some(2), "{arguments:?}: {errors}");
        assert!(errors.starts_with("rdpm: standard output can't be written: "), "{errors}");
        // Nor does an error need standard error.
        assert_eq!(rdpm().args(arguments).stdout(full()).stderr(full()).status().unwrap().code(), Some(2));
    }
}

#[test]
fn commands_end_quietly_when_their_reader_has_closed_the_pipe() {
    let mut command = rdpm();
    command.args(["serve", "--check"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!((child.wait().unwrap().code(), errors.as_str()), (Some(0), ""));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_server_works_without_standard_output_and_without_its_log() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut command = rdpm();
    command.args(["serve", "--port", &port, "--log", "debug", "--model", "fashion-mnist"]);
    let mut server = Program(command.stdout(full()).stderr(full()).spawn().unwrap());
    let url = format!("http://127.0.0.1:{port}");
    let ready = async {
        while !reqwest::get(format!("{url}/health/ready")).await.is_ok_and(|ready| ready.status() == 200) {
            assert!(server.0.try_wait().unwrap().is_none(), "the server has ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    with_timeout(ready).await;
    let create = reqwest::Client::new().post(format!("{url}/api/v1/generations"));
    let job = create.json(&json!({"class": "Bag", "seed": 1})).send().await.unwrap();
    let job: serde_json::Value = job.json().await.unwrap();
    let events = format!("{url}{}", job["links"]["events"].as_str().unwrap());
    assert!(reqwest::get(events).await.unwrap().text().await.unwrap().contains("event: completed"));
    assert!(Command::new("kill").arg(server.0.id().to_string()).status().unwrap().success());
    let code = tokio::task::spawn_blocking(move || server.0.wait().unwrap().code()).await.unwrap();
    assert_eq!(code, Some(0));
}
