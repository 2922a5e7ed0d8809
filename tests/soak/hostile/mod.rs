//! Hostile soak: many kinds of attacks at once beside honest clients, with the settings that docs/operations.md recommends for a
//! public server and the limits of docker-compose.yml.
//!
//! The memory must stay below the compose file's limit, errors must be honest (4xx, or 503 with `Retry-After`), the server must
//! stay healthy, and honest clients must be served nearly as fast as by a quiet server.
//!
//!     cargo test --test soak hostile -- --nocapture
//!     RDPM_SOAK_HOSTILE_SECONDS=600 cargo test --release --test soak hostile -- --nocapture
//!
//! With that setting the shipped weights are served, and the honest clients' 99th percentile must stay within three times the
//! quiet server's. Otherwise a small model is served, since a program without optimization is too slow for the shipped ones,
//! and ten times or five seconds are allowed: in a short run, one pause of the machine is the 99th percentile.

mod attacker;
mod attacks;
mod honest;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::sleep;

use crate::client::Api;
use crate::program::{Program, rdpm};
use crate::setting;
use crate::watch::metrics;
use attacker::Attacker;
use honest::Visits;

/// Honest clients, each with an address of its own.
const HONEST: u8 = 6;
/// The length of a short run in seconds, and that of the quiet part before it.
const SECONDS: u64 = 40;
const QUIET: Duration = Duration::from_secs(12);
/// Allowed in a short run for the 99th percentile of honest clients' visits, whatever the quiet server's.
const ALWAYS_ALLOWED: Duration = Duration::from_secs(5);
/// Time in which the server must forget its attackers: its timeouts are 30 seconds.
const RECOVERY: Duration = Duration::from_secs(60);

/// The answers to attacks by attack and status.
type Answers = Arc<Mutex<BTreeMap<(&'static str, String), u64>>>;

#[tokio::test(flavor = "multi_thread")]
async fn hostile_clients_do_not_disturb_honest_ones() {
    let _serial = crate::SERIAL.lock().await;
    let long = setting("RDPM_SOAK_HOSTILE_SECONDS");
    let length = Duration::from_secs(long.unwrap_or(SECONDS));
    let (factor, always_allowed, quiet_length) = match long {
        Some(_) => (3, Duration::ZERO, length / 10),
        None => (10, ALWAYS_ALLOWED, QUIET),
    };
    rlimit::increase_nofile_limit(8192).unwrap();
    let payloads = Arc::new(attacks::Payloads::new());
    let (server, address, admin) = serve(long.is_none());
    let process = server.0.id();

    let quiet = visits(address, quiet_length).await;
    quiet.report("quiet");
    let before = memory(process, "VmRSS");

    let answers = Answers::default();
    let attacks: Vec<_> = attacks::ATTACKS
        .into_iter()
        .flat_map(|(name, copies)| (0..copies).map(move |_| name))
        .enumerate()
        .map(|(number, name)| {
            let source = [127, 0, 2, 1 + u8::try_from(number).unwrap()];
            let attacker = Attacker::new(name, source.into(), address, &answers);
            let payloads = Arc::clone(&payloads);
            tokio::spawn(async move { attacker.attack(payloads).await })
        })
        .collect();
    let attacked = tokio::select! {
        attacked = visits(address, length) => attacked,
        () = watch_health(admin) => unreachable!(),
    };
    for attack in &attacks {
        // An attack ends by an assertion that fails, or never.
        assert!(!attack.is_finished(), "an answer was wrong");
        attack.abort();
    }
    let under_attack = memory(process, "VmRSS");
    join_all(attacks).await;

    println!("{:<28} {:<12} {:>8}", "attack", "answer", "times");
    for ((attack, answer), times) in &*answers.lock() {
        println!("{attack:<28} {answer:<12} {times:>8}");
    }
    attacked.report("under attack");
    wait_until_forgotten(admin).await;
    let peak = memory(process, "VmHWM");
    for (when, bytes) in [
        ("before", before),
        ("at the end of the attacks", under_attack),
        ("afterwards", memory(process, "VmRSS")),
        ("at most", peak),
    ] {
        println!("{:<41} {:>8}", format!("MiB resident, {when}"), bytes >> 20);
    }
    assert!(peak < memory_limit(), "{peak} bytes of memory");
    assert!(attacked.count() > 0 && attacked.refused() * 20 <= attacked.count(), "visits are refused");
    let allowed = (factor * quiet.percentile_99()).max(always_allowed);
    assert!(attacked.percentile_99() <= allowed, "{:?}, allowed {allowed:?}", attacked.percentile_99());
}

/// A server with the compose file's limit of open files and settings for the public; with the shipped weights or a small model.
fn serve(small: bool) -> (Program, SocketAddr, SocketAddr) {
    let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let program = rdpm();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 4096 && exec \"$0\" \"$@\""]).arg(program.get_program());
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if small {
        command.env("RDPM_WEIGHTS", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/eighth"));
    }
    command.args(["serve", "--port", "0", "--admin-listen", &admin.to_string(), "--retention", "60"]);
    command.args(["--rate-limit", "60", "--rate-burst", "10", "--cost-limit", "60", "--cost-burst", "32"]);
    let (server, address) = Program::start(&mut command, "http://");
    (server, address.parse().unwrap(), admin)
}

/// What honest clients see for a while.
async fn visits(server: SocketAddr, length: Duration) -> Visits {
    let until = Instant::now() + length;
    let clients = (1..=HONEST).map(|number| honest::visit([127, 0, 1, number].into(), server, until));
    join_all(clients).await.into_iter().fold(Visits::default(), Visits::and)
}

/// Asks the operator's listener for the server's health, again and again.
async fn watch_health(admin: SocketAddr) {
    let api = Api::new(&admin.to_string());
    loop {
        for path in ["/health/live", "/health/ready"] {
            let answer = tokio::time::timeout(Duration::from_secs(10), api.get(path)).await;
            let status = answer.unwrap_or_else(|_| panic!("no answer from {path}")).unwrap().status();
            assert_eq!(status, 200, "{path}");
        }
        sleep(Duration::from_millis(250)).await;
    }
}

/// Waits until no connection, stream or job is left.
async fn wait_until_forgotten(admin: SocketAddr) {
    let api = Api::new(&admin.to_string());
    let ended = Instant::now();
    loop {
        let counted = metrics(&api).await;
        let left = |name: &str| counted.get(name).copied().unwrap_or_default();
        let left = ["rdpm_http_connections", "rdpm_http_event_streams", "rdpm_live_jobs"].map(left);
        if left == [0.0; 3] {
            println!(
                "{:<41} {:>8.1}",
                "seconds until all connections are closed",
                ended.elapsed().as_secs_f64()
            );
            return;
        }
        assert!(ended.elapsed() < RECOVERY, "connections, streams and jobs are left: {left:?}");
        sleep(Duration::from_millis(250)).await;
    }
}

/// A process's memory in bytes.
fn memory(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// The compose file's limit in bytes.
fn memory_limit() -> u64 {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker-compose.yml");
    let text = std::fs::read_to_string(path).unwrap();
    let gigabytes = text.lines().find_map(|line| line.trim().strip_prefix("mem_limit: ")?.strip_suffix('g'));
    gigabytes.unwrap().parse::<u64>().unwrap() << 30
}
