//! Three NATS servers, of which the leader is killed. Runs with `RDPM_QUEUE_CLUSTER=1`.

use std::fs;
use std::time::Duration;

use reqwest::StatusCode;
use tempfile::TempDir;

use crate::nats_server::{free_port, nats_server};
use crate::program::rdpm;
use crate::system::{Gateway, Process, body, expected, tokens};

#[tokio::test]
async fn jobs_go_on_when_the_leader_is_killed() {
    if std::env::var_os("RDPM_QUEUE_CLUSTER").is_none() {
        println!("skipped: set RDPM_QUEUE_CLUSTER=1");
        return;
    }
    let folder = TempDir::new().unwrap();
    let ports: Vec<(u16, u16)> = (0..3).map(|_| (free_port(), free_port())).collect();
    let routes: Vec<String> = ports.iter().map(|(_, route)| format!("nats://127.0.0.1:{route}")).collect();
    let start = |at: usize| {
        let (port, route) = ports[at];
        let log = fs::File::create(folder.path().join(format!("{at}.log"))).unwrap();
        let mut command = nats_server();
        command.args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-n", &format!("n{at}")]);
        command.arg("-sd").arg(folder.path().join(format!("{at}")));
        command.args(["--cluster_name", "c", "--cluster", &format!("nats://127.0.0.1:{route}")]);
        Process::start(command.args(["--routes", &routes.join(",")]).stderr(log))
    };
    let mut servers: Vec<Option<Process>> = (0..3).map(|at| Some(start(at))).collect();
    let queue: Vec<String> = ports.iter().map(|(port, _)| format!("nats://127.0.0.1:{port}")).collect();
    let arguments = ["--queue-replicas", "3", "--queue-ack-wait", "1", "--model", "fashion-mnist", "--queue"];
    let command = |name: &str| {
        let mut command = rdpm();
        command.arg(name).args(arguments).arg(queue.join(","));
        command
    };
    let gateway = Gateway::start(command("serve").args(["--port", "0"]));
    let _worker = Process::start(command("work").stdout(std::process::Stdio::null()));
    gateway.wait_for("/health/ready", StatusCode::OK).await;
    gateway.wait_for_workers(1).await;
    let server = Gateway::embedded();
    for round in 0..3 {
        let client = async_nats::connect(&queue[0]).await.unwrap();
        let stream = async_nats::jetstream::new(client).get_stream("rdpm_events").await.unwrap();
        let leader = stream.cached_info().cluster.as_ref().unwrap().leader.clone().unwrap();
        let at: usize = leader[1..].parse().unwrap();
        let id = gateway.post(&body(30 + round, 16)).await;
        gateway.wait_for_events(&id, 20).await;
        servers[at].take().unwrap().kill();
        assert_eq!(gateway.ended(&id).await["status"], "completed");
        let found = tokens(&gateway.events(&id).await);
        assert_eq!(found, expected(&server, &body(30 + round, 16)).await, "round {round}");
        servers[at] = Some(start(at));
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}
