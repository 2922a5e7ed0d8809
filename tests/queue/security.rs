//! TLS and the ways in which gateways and workers say who they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::misuse::wait_for_text;
use crate::program::rdpm;
use crate::system::{Gateway, Process, System, body};

/// A user's seed and public key, and the seed of another user.
const SEED: &str = "SUANQKNVZJNZIKDX3W2A46NWJFKWV6J6QPJK3LB4OJ7CBU6ZY7TP7YCAO4";
const PUBLIC_KEY: &str = "UA7IWA7PBLZZQ5OFMDPVQBUZZU26MZRCPJJR7EJ6MGBFTAB4NQZAKETZ";
const OTHER_SEED: &str = "SUAHJMFXDGELU25KVABVQCZC34P6UYRTUGWRBGSMFZGDCLL4RQHXF3SECM";

fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().expect("openssl is installed").success(), "{arguments}");
}

/// Makes an authority, and a certificate that it signs for this machine.
fn certificates(folder: &Path, name: &str) -> [String; 3] {
    let key = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        folder,
        &format!("{key} -x509 -days 2 -subj /CN={name}-ca -keyout {name}-ca.key -out {name}-ca.pem"),
    );
    openssl(folder, &format!("{key} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
    fs::write(folder.join("extensions"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    let sign = format!("x509 -req -in {name}.csr -CA {name}-ca.pem -CAkey {name}-ca.key -CAcreateserial");
    openssl(folder, &format!("{sign} -days 2 -extfile extensions -out {name}.pem"));
    [format!("{name}-ca.pem"), format!("{name}.pem"), format!("{name}.key")]
        .map(|file| folder.join(file).to_str().unwrap().to_owned())
}

/// A gateway and a worker with these settings draw an image.
async fn assert_works(system: &System, address: &str, arguments: &[&str]) {
    let command = |name: &str| {
        let mut command = rdpm();
        command.arg(name).args(["--queue", address]).args(&system.arguments).args(arguments);
        command
    };
    let gateway = Gateway::start(command("serve").args(["--port", "0"]));
    let _worker = Process::start(command("work").stdout(Stdio::null()));
    gateway.wait_for("/health/ready", StatusCode::OK).await;
    gateway.wait_for_workers(1).await;
    let id = gateway.post(&body(1, 1)).await;
    assert_eq!(gateway.ended(&id).await["status"], "completed");
}

/// A gateway with these settings serves, says why it can't use the queue, and what it logs has no secret.
async fn assert_refused(system: &System, address: &str, arguments: &[&str], reason: &str) {
    let log: PathBuf = system.folder.path().join("refused.log");
    let mut command = rdpm();
    command.arg("serve").args(["--port", "0", "--queue", address]).args(&system.arguments).args(arguments);
    let gateway = Gateway::start(command.stderr(fs::File::create(&log).unwrap()));
    wait_for_text(&log, reason).await;
    let refused = gateway.send(Method::POST, "/api/v1/generations", &[], Some(&body(1, 1))).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["type"], "urn:rdpm:problem:queue-unavailable");
    assert_eq!(gateway.get("/health/live").await.status(), StatusCode::OK);
    let logged = fs::read_to_string(&log).unwrap();
    for secret in ["a-password", "another-password", SEED, OTHER_SEED] {
        assert!(!logged.contains(secret), "{logged}");
    }
}

#[tokio::test]
async fn servers_are_used_only_with_a_certificate_of_the_authority() {
    let mut system = System::without_server();
    let folder = system.folder.path().to_owned();
    let [ca, certificate, key] = certificates(&folder, "right");
    let [wrong_ca, wrong_certificate, wrong_key] = certificates(&folder, "wrong");
    system.start_nats(&["--tls", "--tlscert", &certificate, "--tlskey", &key]);
    let address = system.queue();
    assert_works(&system, &address, &["--queue-tls", "true", "--queue-ca", &ca]).await;
    // The server asks for TLS itself.
    assert_works(&system, &address, &["--queue-ca", &ca]).await;
    let wrong = ["--queue-tls", "true", "--queue-ca", &wrong_ca];
    assert_refused(&system, &address, &wrong, "invalid peer certificate").await;
    assert_refused(&system, &address, &["--queue-tls", "true"], "invalid peer certificate").await;

    // A server that wants certificates, too.
    system.nats.take().unwrap().kill();
    let verify = ["--tlsverify", "--tlscert", &certificate, "--tlskey", &key, "--tlscacert", &ca];
    system.start_nats(&verify);
    let own = ["--queue-ca", &ca, "--queue-cert", &certificate, "--queue-key", &key];
    assert_works(&system, &address, &own).await;
    assert_refused(&system, &address, &["--queue-ca", &ca], "the queue can't be reached").await;
    let other = ["--queue-ca", &ca, "--queue-cert", &wrong_certificate, "--queue-key", &wrong_key];
    assert_refused(&system, &address, &other, "the queue can't be reached").await;

    // One that has no TLS.
    system.nats.take().unwrap().kill();
    system.start_nats(&[]);
    let tls = ["--queue-tls", "true", "--queue-ca", &ca];
    assert_refused(&system, &address, &tls, "the queue can't be reached").await;
}

#[tokio::test]
async fn users_are_those_of_the_server() {
    let mut system = System::without_server();
    let folder = system.folder.path().to_owned();
    let configuration = folder.join("nats.conf");
    let users = format!(
        "{{ user: rdpm, password: a-password }}, {{ nkey: {PUBLIC_KEY} }}, {{ user: no-queue, password: another-password, \
         permissions: {{ publish: \"other.>\", subscribe: \"other.>\" }} }}"
    );
    fs::write(&configuration, format!("authorization {{ users: [ {users} ] }}\n")).unwrap();
    system.start_nats(&["--config", configuration.to_str().unwrap()]);
    let server = format!("127.0.0.1:{}", system.port);
    let address = system.queue();
    let [seed, other_seed, no_seed] = [("seed", SEED), ("other-seed", OTHER_SEED), ("no-seed", "not a seed")]
        .map(|(name, seed)| {
            let path = folder.join(name);
            fs::write(&path, format!("{seed}\n")).unwrap();
            path.to_str().unwrap().to_owned()
        });
    assert_works(&system, &format!("nats://rdpm:a-password@{server}"), &[]).await;
    assert_works(&system, &address, &["--queue-nkey", &seed]).await;
    let refused = "refused the credentials";
    assert_refused(&system, &address, &[], refused).await;
    assert_refused(&system, &format!("nats://rdpm:another-password@{server}"), &[], refused).await;
    assert_refused(&system, &address, &["--queue-nkey", &other_seed], refused).await;
    // A user who may not use the streams.
    let limited = format!("nats://no-queue:another-password@{server}");
    assert_refused(&system, &limited, &[], "the stream rdpm_events: ").await;
    assert_refused(&system, &address, &["--queue-nkey", &no_seed], "the queue can't be ").await;
}

/// A JWT of NATS in which `issuer` says what `subject` may do, until a time if there is one.
fn jwt(issuer: &KeyPair, subject: &KeyPair, nats: Value, expires: Option<u64>) -> String {
    let mut claims = json!({
        "iss": issuer.public_key(), "sub": subject.public_key(), "name": "test", "iat": seconds(), "nats": nats,
    });
    if let Some(expires) = expires {
        claims["exp"] = expires.into();
    }
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let [header, claims] = [header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = format!("{header}.{claims}");
    let signature = BASE64_URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn account(operator: &KeyPair, account: &KeyPair, streams: i64) -> String {
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": streams, "disk_storage": streams, "streams": streams, "consumer": streams,
    });
    jwt(operator, account, json!({"type": "account", "version": 2, "limits": limits}), None)
}

/// A file with the JWT and the key of a new user, as `nsc generate creds` writes it.
fn credentials(account: &KeyPair, path: PathBuf, expires: Option<u64>) -> String {
    let user = KeyPair::new_user();
    let nats =
        json!({"type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1});
    let (jwt, seed) = (jwt(account, &user, nats, expires), user.seed().unwrap());
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn users_of_an_operators_accounts_have_files_of_credentials() {
    let mut system = System::without_server();
    let folder = system.folder.path().to_owned();
    let operator = KeyPair::new_operator();
    let [own, without_streams, of_system, foreign] = std::array::from_fn(|_| KeyPair::new_account());
    let accounts = [(&own, -1), (&without_streams, 0), (&of_system, 0)]
        .map(|(key, streams)| format!("  {}: {}\n", key.public_key(), account(&operator, key, streams)));
    let itself = jwt(&operator, &operator, json!({"type": "operator", "version": 2}), None);
    let configuration = folder.join("nats.conf");
    let text = format!(
        "operator: {itself}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n{}}}\n",
        of_system.public_key(),
        accounts.concat()
    );
    fs::write(&configuration, text).unwrap();
    system.start_nats(&["--config", configuration.to_str().unwrap()]);
    let address = system.queue();
    let file = |key: &KeyPair, name: &str, expires| credentials(key, folder.join(name), expires);
    assert_works(&system, &address, &["--queue-credentials", &file(&own, "own.creds", None)]).await;

    let refused = "refused the credentials";
    assert_refused(&system, &address, &[], refused).await;
    let foreign = file(&foreign, "foreign.creds", None);
    assert_refused(&system, &address, &["--queue-credentials", &foreign], refused).await;
    let expired = file(&own, "expired.creds", Some(seconds() - 60));
    assert_refused(&system, &address, &["--queue-credentials", &expired], refused).await;
    let without = file(&without_streams, "without.creds", None);
    assert_refused(
        &system,
        &address,
        &["--queue-credentials", &without],
        "JetStream not enabled for account",
    )
    .await;
}
