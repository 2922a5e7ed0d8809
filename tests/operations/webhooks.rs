//! Web hooks: what is sent, to whom, how often, and to whom not.

use std::fs;
use std::time::Duration;

use rdpm::engine::Options as EngineOptions;
use rdpm::web::{ClassPictures, Options, WebhookOptions};
use reqwest::Response;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Fault, Server, fake_engine, options, with_timeout};
use crate::problem;
use crate::program::rdpm;
use crate::webhook_receiver::{Answer, Receiver, check, counted, webhooks, with};

/// What a server says of a `webhook` that it refuses.
async fn refused(server: &Server, webhook: &str) -> String {
    let body = problem(server.post(&json!({"class": 0, "webhook": webhook})).await, 422).await;
    let errors = body["errors"].as_array().unwrap();
    assert_eq!((errors.len(), &errors[0]["field"]), (1, &json!("webhook")), "{body}");
    errors[0]["allowed"].as_str().unwrap().to_owned()
}

async fn ended(server: &Server, job: &Value) -> Value {
    server.messages(job["links"]["events"].as_str().unwrap(), None).await;
    server.json(job["links"]["self"].as_str().unwrap()).await
}

#[tokio::test]
async fn messages_are_signed_and_repeated_with_the_same_id_until_one_is_taken() {
    let receiver = Receiver::start([Answer::Status(500), Answer::Status(429)]).await;
    let (server, _script) = Server::with_web_options(with(webhooks())).await;
    let url = receiver.url("/hooks/rdpm?token=of+the+receiver");
    let job = server.generate(&json!({"class": 1, "seed": 7, "count": 2, "webhook": url})).await;
    let state = ended(&server, &job).await;
    let received = receiver.received(3).await;
    counted(&server, "delivered", 1).await;
    assert_eq!(receiver.connections(), 3);
    for message in &received {
        check(message);
        assert_eq!(message.path, "/hooks/rdpm?token=of+the+receiver");
        assert_eq!(message.header("host"), receiver.address.to_string());
        assert_eq!(message.header("webhook-id"), received[0].header("webhook-id"));
        assert_eq!(message.body, received[0].body);
    }
    let own = job["links"]["self"].as_str().unwrap();
    let expected = json!({
        "type": "generation.completed",
        "timestamp": state["ended"],
        "data": {
            "id": job["id"], "status": "completed", "model": "toy", "class": "Square", "seed": 7, "count": 2, "finished": 2,
            "created": state["created"], "links": {"self": own, "events": format!("{own}/events")},
        },
    });
    assert_eq!(received[0].json(), expected);
    // Whoever reads the generation doesn't see who is told of it.
    assert!(!state.to_string().contains("hook"), "{state}");
}

#[tokio::test]
async fn failed_and_canceled_generations_are_told_of() {
    let receiver = Receiver::start([]).await;
    let (server, script) = Server::with_web_options(with(webhooks())).await;
    script.fail_steps([Some(Fault::Error)]);
    let failed = server.generate(&json!({"class": 0, "webhook": receiver.url("/")})).await;
    let state = ended(&server, &failed).await;
    let message = receiver.received(1).await[0].json();
    assert_eq!((&message["type"], &message["data"]["id"]), (&json!("generation.failed"), &failed["id"]));
    assert_eq!((&message["data"]["error"], &message["data"]["finished"]), (&state["detail"], &json!(0)));
    script.pause();
    let canceled = server.generate(&json!({"class": 0, "webhook": receiver.url("/")})).await;
    let own = server.url(canceled["links"]["self"].as_str().unwrap());
    assert_eq!(with_timeout(server.client.delete(own).send()).await.unwrap().status(), 200);
    let message = receiver.received(2).await[1].json();
    assert_eq!((&message["type"], &message["data"]["id"]), (&json!("generation.canceled"), &canceled["id"]));
    script.resume();
}

#[tokio::test]
async fn a_web_hook_is_no_reader_whose_absence_cancels_or_whose_presence_keeps() {
    let receiver = Receiver::start([]).await;
    let grace = EngineOptions { disconnect_grace: Duration::from_millis(20), ..options() };
    let (engine, script) = fake_engine(grace);
    let server = Server::start_with(engine, ClassPictures::default(), with(webhooks())).await;
    script.pause();
    let body = json!({"class": 0, "cancel_on_disconnect": true, "webhook": receiver.url("/")});
    let job = server.generate(&body).await;
    let mut stream = server.get(job["links"]["events"].as_str().unwrap()).await;
    with_timeout(stream.chunk()).await.unwrap();
    drop(stream);
    assert_eq!(receiver.received(1).await[0].json()["type"], "generation.canceled");
    script.resume();
}

#[tokio::test]
async fn a_request_that_is_repeated_is_told_of_once() {
    let receiver = Receiver::start([]).await;
    let (server, _script) = Server::with_web_options(with(webhooks())).await;
    let post = async |key: &str| -> Response {
        let body = json!({"class": 0, "webhook": receiver.url("/")});
        let request = server.client.post(server.url("/api/v1/generations")).json(&body);
        with_timeout(request.header("idempotency-key", key).send()).await.unwrap()
    };
    let first: Value = post("one").await.json().await.unwrap();
    let again: Value = post("one").await.json().await.unwrap();
    assert_eq!(first["id"], again["id"]);
    counted(&server, "delivered", 1).await;
    let second: Value = post("two").await.json().await.unwrap();
    counted(&server, "delivered", 2).await;
    let told: Vec<Value> =
        receiver.received(2).await.iter().map(|it| it.json()["data"]["id"].clone()).collect();
    assert_eq!(told, [first["id"].clone(), second["id"].clone()]);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let other = Receiver::start([]).await;
    let moved = || Answer::With(307, "location", other.url("/elsewhere"));
    let receiver = Receiver::start([moved(), moved()]).await;
    let pauses = vec![Duration::from_millis(5)];
    let (server, _script) = Server::with_web_options(with(WebhookOptions { pauses, ..webhooks() })).await;
    server.generate(&json!({"class": 0, "webhook": receiver.url("/hook")})).await;
    counted(&server, "failed", 1).await;
    assert_eq!((receiver.received(2).await.len(), other.connections()), (2, 0));
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_not_asked_again() {
    let receiver = Receiver::start([Answer::Status(410)]).await;
    let (server, _script) = Server::with_web_options(with(webhooks())).await;
    server.generate(&json!({"class": 0, "webhook": receiver.url("/")})).await;
    counted(&server, "gone", 1).await;
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_busy_receiver_says_when_to_come_again() {
    // Later than any attempt may be: with a shorter pause there would be a second one.
    let receiver = Receiver::start([Answer::With(503, "retry-after", "3600".into())]).await;
    let limits = WebhookOptions { max_age: Duration::from_secs(1000), ..webhooks() };
    let (server, _script) = Server::with_web_options(with(limits)).await;
    server.generate(&json!({"class": 0, "webhook": receiver.url("/")})).await;
    counted(&server, "failed", 1).await;
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn private_addresses_are_refused_unless_their_network_is_named() {
    let receiver = Receiver::start([]).await;
    let port = receiver.address.port();
    let listed = [
        "localhost",
        "127.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "10.0.0.1",
        "::1",
        "::ffff:7f00:1",
        "64:ff9b::7f00:1",
    ];
    let hosts = listed.map(|host| host.parse().unwrap()).to_vec();
    let limits = WebhookOptions { hosts, networks: Vec::new(), ..webhooks() };
    let (server, _script) = Server::with_web_options(with(limits)).await;
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "１２７.0.0.1",
        "0.0.0.0",
        "0",
        "169.254.169.254",
        "10.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
    ] {
        let said = refused(&server, &format!("https://{host}:{port}/")).await;
        assert!(said.contains("the address is private or special"), "{host}: {said}");
    }
    assert_eq!(refused(&server, &receiver.url("/")).await, "an https URL");
    // A name is resolved before the connection.
    server.generate(&json!({"class": 0, "webhook": format!("https://localhost:{port}/")})).await;
    counted(&server, "refused", 1).await;
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn names_lead_to_named_networks_without_tls_and_to_no_others() {
    let receiver = Receiver::start([]).await;
    let port = receiver.address.port();
    let (server, _script) = Server::with_web_options(with(webhooks())).await;
    server.generate(&json!({"class": 0, "webhook": format!("http://LOCALHOST.:{port}/")})).await;
    let received = receiver.received(1).await;
    assert_eq!(received[0].header("host"), format!("localhost:{port}"));
    // Naming a network allows neither the addresses beside it nor its own in another form.
    let hosts = ["127.0.0.1", "::ffff:7f00:1", "1.1.1.1"].map(|host| host.parse().unwrap()).to_vec();
    let networks = vec!["127.1.0.0/16".parse().unwrap(), "127.0.0.2".parse().unwrap()];
    let (server, _script) =
        Server::with_web_options(with(WebhookOptions { hosts, networks, ..webhooks() })).await;
    for url in [receiver.url("/"), format!("http://[::ffff:127.0.0.1]:{port}/")] {
        assert!(refused(&server, &url).await.contains("private or special"), "{url}");
    }
    assert!(refused(&server, "http://1.1.1.1/").await.contains("without https"));
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn other_hosts_and_forms_are_refused() {
    let hosts = ["127.0.0.1", "*.example.org"].map(|host| host.parse().unwrap()).to_vec();
    let (server, _script) = Server::with_web_options(with(WebhookOptions { hosts, ..webhooks() })).await;
    for host in
        ["example.org", "evil.net", "example.org.evil.net", "evilexample.org", "localhost", "127.0.0.2"]
    {
        let said = refused(&server, &format!("https://{host}/")).await;
        assert_eq!(said, "a URL of one of the hosts 127.0.0.1, *.example.org", "{host}");
    }
    for url in ["", "hooks", "ftp://a.example.org/", "https://me@a.example.org/", "https://a.example.org:25/"]
    {
        assert!(refused(&server, url).await.starts_with("an https URL of at most 2048 characters"), "{url}");
    }
    let long = format!("https://a.example.org/{}", "x".repeat(2048));
    assert_eq!(refused(&server, &long).await, "a URL of at most 2048 characters");
    problem(server.post(&json!({"class": 0, "webhook": 1})).await, 422).await;
}

#[tokio::test]
async fn web_hooks_are_off_by_default() {
    let (server, _script) = Server::with_web_options(crate::site()).await;
    assert!(refused(&server, "https://example.org/").await.contains("--webhook-hosts"));
    server.generate(&json!({"class": 0, "webhook": null})).await;
    assert!(!server.get("/metrics").await.text().await.unwrap().contains("webhook"));
}

#[tokio::test]
async fn a_silent_receiver_holds_up_neither_generations_nor_the_end() {
    let receiver = Receiver::start([Answer::Silence, Answer::Silence]).await;
    let limits =
        WebhookOptions { attempt_timeout: Duration::from_secs(3600), max_pending_per_host: 2, ..webhooks() };
    let (server, _script) = Server::with_web_options(with(limits)).await;
    let body = json!({"class": 0, "webhook": receiver.url("/")});
    for _ in 0..2 {
        let job = server.generate(&body).await;
        assert_eq!(ended(&server, &job).await["status"], "completed");
    }
    receiver.received(2).await;
    // Beyond the limit the generation is done and its message dropped.
    let job = server.generate(&body).await;
    assert_eq!(ended(&server, &job).await["status"], "completed");
    counted(&server, "dropped", 1).await;
    let metrics = server.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("\nrdpm_webhook_pending 2\n"), "{metrics}");
    server.stop().await;
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn an_attempt_has_a_time_limit() {
    let receiver = Receiver::start([Answer::Silence]).await;
    let limits = WebhookOptions { attempt_timeout: Duration::from_millis(200), ..webhooks() };
    let (server, _script) = Server::with_web_options(with(limits)).await;
    server.generate(&json!({"class": 0, "webhook": receiver.url("/")})).await;
    counted(&server, "delivered", 1).await;
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn what_waits_is_sent_once_more_when_the_server_stops() {
    let receiver = Receiver::start([Answer::Status(503)]).await;
    let limits = WebhookOptions { pauses: vec![Duration::from_secs(600)], ..webhooks() };
    let options = Options { drain: Duration::from_secs(60), ..with(limits) };
    let (server, script) = Server::with_web_options(options).await;
    let done = server.generate(&json!({"class": 0, "webhook": receiver.url("/")})).await;
    receiver.received(1).await;
    // The end of one that is drawn until the server stops is told, too.
    script.pause();
    let running = server.generate(&json!({"class": 1, "webhook": receiver.url("/")})).await;
    let stopped = tokio::spawn(server.stop());
    script.resume();
    with_timeout(stopped).await.unwrap();
    let mut told: Vec<String> = receiver.received(3).await[1..]
        .iter()
        .map(|it| it.json()["data"]["id"].as_str().unwrap().to_owned())
        .collect();
    let mut expected = [&done, &running].map(|job| job["id"].as_str().unwrap().to_owned());
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
}

#[test]
fn settings_that_do_not_fit_are_errors_at_the_start() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("secret");
    let said = |arguments: &[&str]| {
        let output = rdpm().args(["serve", "--check"]).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        said
    };
    let path = file.to_str().unwrap();
    let hosts = ["--webhook-hosts", "example.org"];
    assert!(said(&hosts).contains("--webhook-hosts needs --webhook-secret-file"));
    assert!(said(&["--webhook-networks", "10.0.0.0/8"]).contains("need --webhook-hosts"));
    let with_file = [&hosts[..], &["--webhook-secret-file", path]].concat();
    assert!(said(&with_file).contains("secret can't be read"));
    for (text, expected) in [
        ("", "secret: there is no secret"),
        ("# old\nwhsec_c2hvcnQ=", "secret: line 2: a secret must be whsec_ and 24 to 64 bytes"),
        ("c2VjcmV0", "secret: line 1: a secret must be"),
    ] {
        fs::write(&file, text).unwrap();
        let said = said(&with_file);
        assert!(said.contains(expected) && !said.contains("c2hvcnQ") && !said.contains("c2VjcmV0"), "{said}");
    }
    for (option, value, expected) in [
        ("--webhook-hosts", "https://example.org", "not a host"),
        ("--webhook-hosts", "*", "not a host"),
        ("--webhook-networks", "10.0.0.0/40", "not a network"),
    ] {
        assert!(said(&[option, value]).contains(expected), "{value}");
    }
    fs::write(&file, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
    let mut check = rdpm();
    check.args([
        "serve",
        "--check",
        "--webhook-hosts",
        "a.example,*.B.example",
        "--webhook-networks",
        "10.1.2.3/8",
    ]);
    let output = check.args(["--webhook-secret-file", path]).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("webhook_hosts = [\"a.example\", \"*.b.example\"]"), "{printed}");
    assert!(
        printed.contains("webhook_networks = [\"10.0.0.0/8\"]") && !printed.contains("whsec"),
        "{printed}"
    );
}
