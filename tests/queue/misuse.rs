//! Wrong settings, wrong messages, and servers that aren't there.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::program::rdpm;
use crate::system::{Gateway, Process, System, body, tokens};

#[tokio::test]
async fn gateway_without_a_server_says_so_and_waits_for_it() {
    let mut system = System::without_server();
    let gateway = system.gateway();
    let worker = system.worker();
    let refused = gateway.send(Method::POST, "/api/v1/generations", &[], Some(&body(1, 1))).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["type"], "urn:rdpm:problem:queue-unavailable");
    assert_eq!(gateway.get("/health/live").await.status(), StatusCode::OK);
    assert_eq!(gateway.get("/health/ready").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(gateway.get("/").await.status(), StatusCode::OK);
    system.start_nats(&[]);
    gateway.wait_for("/health/ready", StatusCode::OK).await;
    gateway.wait_for_workers(1).await;
    let id = gateway.post(&body(1, 1)).await;
    assert_eq!(gateway.ended(&id).await["status"], "completed");
    drop(worker);
}

#[tokio::test]
async fn wrong_credentials_and_settings_are_named() {
    let mut system = System::without_server();
    system.start_nats(&["--user", "rdpm", "--pass", "a-password"]);
    let log = system.folder.path().join("gateway.log");
    let gateway =
        Gateway::start(system.rdpm("serve").args(["--port", "0"]).stderr(fs::File::create(&log).unwrap()));
    let refused = gateway.send(Method::POST, "/api/v1/generations", &[], Some(&body(1, 1))).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    wait_for_text(&log, "refused the credentials").await;
    drop(gateway);

    let address = format!("nats://rdpm:a-password@127.0.0.1:{}", system.port);
    let serve = |arguments: &[&str]| {
        let mut command = rdpm();
        command
            .args(["serve", "--port", "0", "--model", "fashion-mnist", "--queue", &address])
            .args(arguments);
        command.stderr(fs::File::create(&log).unwrap());
        Gateway::start(&mut command)
    };
    serve(&[]).wait_for("/health/ready", StatusCode::OK).await;
    // The streams of the first are there.
    let gateway = serve(&["--retention", "9000"]);
    wait_for_text(&log, "has another duplicate_window than these options").await;
    assert_eq!(gateway.get("/health/ready").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!fs::read_to_string(&log).unwrap().contains("a-password"));

    for (arguments, reason) in [
        (["--queue", "nats://127.0.0.1:1", "--queue-credentials", "/nowhere"], "/nowhere: "),
        (["--queue", "nats://:a-password@", "--queue-replicas", "1"], "an address is no NATS address"),
        (["--queue", "nats://127.0.0.1:1", "--queue-prefix", "a.b"], "letters, digits"),
    ] {
        let mut command = rdpm();
        let output = command.args(["serve", "--port", "0"]).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(reason), "{arguments:?}: {said}");
        assert!(!said.contains("a-password"), "{said}");
    }
    let said = rdpm().args(["serve", "--port", "0", "--work"]).output().unwrap().stderr;
    assert!(String::from_utf8(said).unwrap().contains("--work needs --queue"));
}

pub async fn wait_for_text(path: &std::path::Path, text: &str) {
    for _ in 0..600 {
        if fs::read_to_string(path).unwrap().contains(text) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{text}: {}", fs::read_to_string(path).unwrap());
}

#[tokio::test]
async fn request_never_meets_other_weights() {
    let system = System::start();
    let gateway = system.gateway();
    // A file that differs in one byte makes another version.
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/fashion-mnist");
    let folder = system.folder.path().join("weights");
    let changed = folder.join("fashion-mnist");
    fs::create_dir_all(&changed).unwrap();
    fs::copy(weights.join("model.safetensors"), changed.join("model.safetensors")).unwrap();
    fs::write(changed.join("config.json"), fs::read_to_string(weights.join("config.json")).unwrap() + "\n")
        .unwrap();
    let mut command = system.rdpm("work");
    let other = Process::start(command.env("RDPM_WEIGHTS", &folder).stdout(Stdio::null()));
    gateway.wait_for_workers(1).await;
    let id = gateway.post(&body(2, 1)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(gateway.json(&format!("/api/v1/generations/{id}")).await["status"], "queued");
    let ready = gateway.json("/health/ready").await;
    assert_eq!(ready["models"][0]["ready"], false, "{ready}");
    let _worker = system.worker();
    assert_eq!(gateway.ended(&id).await["status"], "completed");
    drop(other);
}

#[tokio::test]
async fn forged_and_malformed_messages_have_no_effect() {
    let system = System::start();
    let gateway = system.gateway();
    gateway.wait_for("/health/ready", StatusCode::OK).await;
    let id = gateway.post(&body(3, 2)).await;
    let client = async_nats::connect(system.queue()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client.clone());
    let payload = |json: &str, files: &[u8]| {
        let mut payload = (json.len() as u32).to_le_bytes().to_vec();
        payload.extend(json.as_bytes());
        payload.extend(files);
        payload
    };
    let step = |step: u32, image: u32, tokens: usize, code: u32, files: &str| {
        let (codes, values) = (vec![code.to_string(); tokens].join(","), vec!["0.5"; tokens].join(","));
        format!(
            r#"{{"v":1,"files":[{files}],"content":{{"kind":"step","step":{step},"image":{image},"tokens":[{codes}],"entropy":[{values}],"probability":[{values}]}}}}"#
        )
    };
    let forged = [
        b"junk".to_vec(),
        payload("{}", b""),
        payload(r#"{"v":2,"content":{}}"#, b""),
        payload(r#"{"v":1,"content":{"kind":"step"}}"#, b""),
        payload(r#"{"v":1,"content":{"kind":"explode"}}"#, b""),
        payload(&step(1, 0, 3, 0, ""), b""),
        payload(&step(1, 0, 49, 100_000, ""), b""),
        payload(&step(1, 7, 49, 0, ""), b""),
        payload(&step(99, 0, 49, 0, ""), b""),
        payload(&step(10, 0, 49, 0, "4"), b"html"),
        payload(&step(1, 0, 49, 0, "9"), b"html"),
    ];
    for payload in forged {
        let subject = format!("rdpm.events.{id}.image.0");
        jetstream.publish(subject, payload.into()).await.unwrap().await.unwrap();
    }
    for charges in ["junk", r#"{"limit":"cost","client":"a","amount":-1}"#] {
        let message = format!(r#"{{"v":1,"content":{{"gateway":1,"charges":[{charges}]}}}}"#);
        client.publish("rdpm.charges", payload(&message, b"").into()).await.unwrap();
    }
    for subject in ["rdpm.events.x.accepted".to_owned(), format!("rdpm.work.fashion-mnist.1.{id}.0")] {
        jetstream.publish(subject, "junk".into()).await.unwrap().await.unwrap();
    }
    let _worker = system.worker();
    assert_eq!(gateway.ended(&id).await["status"], "completed");
    assert_eq!(tokens(&gateway.events(&id).await).len(), 2);
    let metrics = gateway.get("/metrics").await.text().await.unwrap();
    let count = metrics.lines().find_map(|line| line.strip_prefix("rdpm_queue_invalid_messages_total "));
    assert!(count.unwrap().parse::<u32>().unwrap() >= 10, "{metrics}");
}

#[tokio::test]
async fn plan_is_what_is_created() {
    let system = System::start();
    let gateway = system.gateway();
    gateway.wait_for("/health/ready", StatusCode::OK).await;
    let _worker: Process = system.worker();
    gateway.wait_for_workers(1).await;
    let output =
        rdpm().args(["queue", "plan", "--model", "fashion-mnist", "--queue-ack-wait", "1"]).output().unwrap();
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    let client = async_nats::connect(system.queue()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    for stream in plan["streams"].as_array().unwrap() {
        let name = stream["name"].as_str().unwrap();
        let found = jetstream.get_stream(name).await.unwrap();
        let found = serde_json::to_value(&found.cached_info().config).unwrap();
        for setting in
            ["subjects", "retention", "discard", "max_age", "duplicate_window", "num_replicas", "storage"]
        {
            assert_eq!(found[setting], stream[setting], "{name}: {setting}");
        }
    }
    let consumer = &plan["consumers"]["rdpm_work"][0];
    let stream = jetstream.get_stream("rdpm_work").await.unwrap();
    let found = stream.consumer_info(consumer["durable_name"].as_str().unwrap()).await.unwrap();
    let found = serde_json::to_value(&found.config).unwrap();
    for setting in ["filter_subject", "ack_policy", "ack_wait"] {
        assert_eq!(found[setting], consumer[setting], "{setting}");
    }
}
