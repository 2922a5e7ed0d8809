//! Clients that are slow, many or greedy: they are bounded, and others are served meanwhile.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use rdpm::engine;
use rdpm::web::{ClassPictures, Options, ProxyHeader, PublicPaths};
use reqwest::Response;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::common::{Server, fake_engine, options, with_timeout};
use crate::{problem, site};

const SHORT: Duration = Duration::from_millis(300);
/// Open files for all of these tests together: the limit is the process's.
const FILES: u64 = 8192;

async fn connect(address: SocketAddr) -> TcpStream {
    with_long_timeout(TcpStream::connect(address)).await.unwrap()
}

/// All that the server sends until it closes the connection, which may be by a reset.
async fn rest(connection: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = with_timeout(connection.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends `piece` again and again, until the server hangs up.
async fn drip(connection: &mut TcpStream, piece: &[u8]) {
    with_timeout(async {
        while connection.write_all(piece).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// One of the server's gauges.
async fn gauge(server: &Server, name: &str) -> u64 {
    let text = server.get("/metrics").await.text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// The result of what concerns thousands of connections, which takes a slow machine its time.
async fn with_long_timeout<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(300), future).await.expect("an answer within minutes")
}

async fn until<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    with_long_timeout(async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// A job whose first step waits, and the path of its events.
async fn held_job(server: &Server) -> String {
    let job = server.generate(&json!({"class": 0})).await;
    job["links"]["events"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn slow_loris_is_cut_off_and_disturbs_nobody() {
    let (mut server, _script) = Server::with_web_options(Options { header_timeout: SHORT, ..site() }).await;
    // A connection that is kept for the next request may be closed just when that is sent.
    server.client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let address = server.address;
    let slow = (0..200).map(|_| async move {
        let mut connection = connect(address).await;
        connection.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n").await.unwrap();
        // A header every 20 ms, and never the last one.
        drip(&mut connection, b"x-more: y\r\n").await;
        assert!(!rest(&mut connection).await.contains("200 OK"));
    });
    let ((), _) = tokio::join!(
        async {
            for _ in 0..20 {
                assert_eq!(server.get("/health/ready").await.status(), 200);
            }
        },
        join_all(slow)
    );
    until(|| async { gauge(&server, "rdpm_http_connections").await <= 2 }).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time() {
    let timeouts = Options { header_timeout: SHORT, keep_alive_timeout: SHORT, ..site() };
    let (server, _script) = Server::with_web_options(timeouts).await;
    let mut silent = connect(server.address).await;
    assert_eq!(rest(&mut silent).await, "");
    let mut once = connect(server.address).await;
    once.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let answer = rest(&mut once).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("{\"status\":\"live\"}"), "{answer}");
}

#[tokio::test]
async fn a_slow_body_is_a_408() {
    let (server, _script) = Server::with_web_options(Options { body_timeout: SHORT, ..site() }).await;
    for framing in ["content-length: 1000", "transfer-encoding: chunked"] {
        let (mut read, mut write) = connect(server.address).await.into_split();
        let head = format!(
            "POST /api/v1/generations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{framing}\r\n\r\n"
        );
        write.write_all(head.as_bytes()).await.unwrap();
        // One byte of JSON at a time; in chunks, each says its length.
        let piece: &[u8] = if framing.starts_with("content") { b" " } else { b"1\r\n \r\n" };
        let dripping = tokio::spawn(async move {
            while write.write_all(piece).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let mut answer = Vec::new();
        let _ = with_timeout(read.read_to_end(&mut answer)).await;
        dripping.abort();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout"), "{framing}: {answer}");
        let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(body["status"], 408);
    }
    for path in ["/api/v1/decode", "/v1/images/edits", "/v1/images/variations"] {
        let (mut read, mut write) = connect(server.address).await.into_split();
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n");
        write.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = with_timeout(read.read_to_end(&mut answer)).await;
        assert!(answer.starts_with(b"HTTP/1.1 408"), "{path}: {}", String::from_utf8_lossy(&answer));
    }
    // Who has sent everything may wait for the answer as long as it takes.
    let (server, script) = Server::with_web_options(Options { body_timeout: SHORT, ..site() }).await;
    script.pause();
    let events = held_job(&server).await;
    let stream = with_timeout(server.client.get(server.url(&events)).body("{}").send()).await.unwrap();
    tokio::time::sleep(2 * SHORT).await;
    script.resume();
    assert!(with_timeout(stream.text()).await.unwrap().contains("event: completed"));
}

#[tokio::test]
async fn a_body_in_many_small_chunks_is_refused() {
    let (server, _script) = Server::with_web_options(site()).await;
    let paths =
        ["/api/v1/generations", "/api/v1/tokenizations", "/v1/images/generations", "/v1/images/edits", "/"];
    for (path, chunk, length) in paths.iter().flat_map(|path| [(path, 1, 60_000), (path, 100, 60_000)]) {
        let (mut read, mut write) = connect(server.address).await.into_split();
        let kind = if *path == "/" { "application/x-www-form-urlencoded" } else { "application/json" };
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\nconnection: close");
        let chunks = format!("{chunk:x}\r\n{}\r\n", " ".repeat(chunk)).repeat(length / chunk);
        let request = format!("{head}\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
        // The server may hang up before all of it has been sent.
        let sending = tokio::spawn(async move { write.write_all(request.as_bytes()).await });
        let mut answer = Vec::new();
        let _ = with_timeout(read.read_to_end(&mut answer)).await;
        let _ = sending.await;
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.contains("too many small pieces"), chunk == 1, "{path} {chunk}: {answer}");
        assert!(answer.starts_with("HTTP/1.1 4") || chunk > 1, "{answer}");
    }
}

/// A connection from another address of this machine.
async fn connect_from(source: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    with_long_timeout(socket.connect(address)).await.unwrap()
}

/// A client whose connections come from another address of this machine.
fn client_from(source: [u8; 4]) -> reqwest::Client {
    reqwest::Client::builder().local_address(IpAddr::from(source)).build().unwrap()
}

/// Announces a large body and sends none of it: the connection, and how the server's answer to that begins.
async fn announce_upload(source: [u8; 4], address: SocketAddr) -> (TcpStream, String) {
    announce_upload_to("/api/v1/tokenizations", source, address).await
}

async fn announce_upload_to(path: &str, source: [u8; 4], address: SocketAddr) -> (TcpStream, String) {
    let mut connection = connect_from(source, address).await;
    let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json");
    let length = "content-length: 1000000\r\nexpect: 100-continue";
    connection.write_all(format!("{head}\r\n{length}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    with_timeout(connection.read_exact(&mut answer)).await.unwrap();
    (connection, String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn slow_uploads_leave_others_an_honest_answer() {
    let (server, _script) = Server::with_web_options(site()).await;
    let mut slow = Vec::new();
    for client in 0..8 {
        // Two of each of four addresses.
        let (connection, answer) = announce_upload([127, 0, 0, 1 + client / 2], server.address).await;
        assert_eq!(answer, "HTTP/1.1 100");
        slow.push(connection);
    }
    let (mut refused, answer) = announce_upload([127, 0, 0, 9], server.address).await;
    assert_eq!(answer, "HTTP/1.1 503");
    let answer = rest(&mut refused).await;
    assert!(answer.contains("retry-after: 5") && answer.contains("urn:rdpm:problem:overloaded"), "{answer}");
    // Small ones go on, and a place that becomes free is taken.
    server.generate(&json!({"class": 0})).await;
    drop(slow.pop());
    until(|| async { announce_upload([127, 0, 0, 9], server.address).await.1 == "HTTP/1.1 100" }).await;
}

#[tokio::test]
async fn uploads_of_one_address_leave_permits_to_others() {
    let (server, _script) = Server::with_web_options(site()).await;
    let (own, other) = ([127, 0, 0, 1], [127, 0, 0, 2]);
    let mut slow = Vec::new();
    for _ in 0..2 {
        let (connection, answer) = announce_upload(own, server.address).await;
        assert_eq!(answer, "HTTP/1.1 100");
        slow.push(connection);
    }
    assert_eq!(announce_upload(own, server.address).await.1, "HTTP/1.1 503");
    for path in ["/api/v1/generations", "/api/v1/interpolations", "/v1/images/edits", "/v1/images/variations"]
    {
        assert_eq!(announce_upload_to(path, own, server.address).await.1, "HTTP/1.1 503", "{path}");
    }
    assert_eq!(announce_upload(other, server.address).await.1, "HTTP/1.1 100");
    drop(slow.pop());
    until(|| async { announce_upload(own, server.address).await.1 == "HTTP/1.1 100" }).await;
}

#[tokio::test]
async fn bodies_of_unknown_length_need_a_permit_when_they_are_large() {
    let (server, _script) = Server::with_web_options(site()).await;
    let head = "POST /api/v1/tokenizations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
    let head = format!("{head}\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut idle = Vec::new();
    for client in 0..16 {
        let mut connection = connect_from([127, 0, 0, 1 + client / 2], server.address).await;
        connection.write_all(head.as_bytes()).await.unwrap();
        // A small part, and then nothing.
        connection.write_all(b"1\r\n{\r\n").await.unwrap();
        idle.push(connection);
    }
    for client in 0..2 {
        assert_eq!(announce_upload([127, 0, 0, 1 + client], server.address).await.1, "HTTP/1.1 100");
    }
    // Two that become large.
    let chunk = [b"20000\r\n".as_slice(), &[b' '; 0x20000], b"\r\n"].concat();
    for connection in &mut idle[..2] {
        with_timeout(connection.write_all(&chunk)).await.unwrap();
    }
    until(|| async { announce_upload([127, 0, 0, 1], server.address).await.1 == "HTTP/1.1 503" }).await;
    assert_eq!(announce_upload([127, 0, 0, 2], server.address).await.1, "HTTP/1.1 100");
}

#[tokio::test]
async fn idle_connections_of_one_address_leave_others_and_health_checks() {
    rlimit::increase_nofile_limit(FILES).unwrap();
    let (server, _script) = Server::with_web_options(site()).await;
    let crowd = join_all((0..1024).map(|_| connect(server.address))).await;
    let other = client_from([127, 0, 0, 2]);
    let get = |path: &str| with_timeout(other.get(server.url(path)).send());
    for path in ["/health/ready", "/", "/api/v1/models"] {
        assert_eq!(get(path).await.unwrap().status(), 200, "{path}");
    }
    let connections = async || {
        let metrics = get("/metrics").await.unwrap().text().await.unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix("rdpm_http_connections "));
        line.unwrap().parse::<u64>().unwrap()
    };
    // The other client's connection counts, too.
    until(|| async { connections().await == 257 }).await;
    // Of this address, one more request is answered, if it is a health check.
    let own = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let status = async |path: &str| Some(own.get(server.url(path)).send().await.ok()?.status().as_u16());
    until(|| async { status("/health/ready").await == Some(200) }).await;
    until(|| async { status("/health/live").await == Some(200) }).await;
    until(|| async { status("/api/v1/models").await == Some(503) }).await;
    drop(crowd);
    until(|| async { status("/api/v1/models").await == Some(200) }).await;
}

#[tokio::test]
async fn connections_of_a_trusted_proxy_are_not_limited_by_address() {
    let trust_proxy = Some(ProxyHeader::XForwardedFor);
    let limits = Options { max_connections_per_address: Some(5), trust_proxy, ..site() };
    let (server, _script) = Server::with_web_options(limits).await;
    let crowd = join_all((0..20).map(|_| connect(server.address))).await;
    assert_eq!(server.get("/api/v1/models").await.status(), 200);
    drop(crowd);
}

#[tokio::test]
async fn the_operators_listener_has_connections_of_its_own() {
    let (engine, _script) = fake_engine(options());
    let bind = || async { TcpListener::bind("127.0.0.1:0").await.unwrap() };
    let (listener, admin) = (bind().await, bind().await);
    let (address, admin_address) = (listener.local_addr().unwrap(), admin.local_addr().unwrap());
    let keys = vec!["a-key-of-some-length".parse().unwrap()];
    let public_paths = PublicPaths { health: false, metrics: false, page: false, pictures: false };
    let limits = Options { max_connections: 3, keys, public_paths, ..site() };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let signal = async { drop(stopped.await) };
    let pictures = ClassPictures::default();
    let served = tokio::spawn(async move {
        rdpm::web::serve_with_admin(listener, Some(admin), engine, pictures, &limits, signal).await
    });
    let crowd = join_all((0..100).map(|_| connect(address))).await;
    for (path, status) in [
        ("/health/live", 200),
        ("/health/ready", 200),
        ("/metrics", 200),
        ("/", 404),
        ("/api/v1/models", 404),
    ] {
        let url = format!("http://{admin_address}{path}");
        assert_eq!(with_timeout(reqwest::get(url)).await.unwrap().status(), status, "{path}");
    }
    let foreign = reqwest::Client::new().get(format!("http://{admin_address}/metrics"));
    let refused = with_timeout(foreign.header("host", "evil.example").send()).await.unwrap();
    problem(refused, 403).await;
    drop(crowd);
    stop.send(()).unwrap();
    with_long_timeout(served).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_huge_body_is_a_413_and_is_not_read() {
    let (server, _script) = Server::with_web_options(site()).await;
    let head = "POST /api/v1/generations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    // Ten gigabytes, announced.
    let mut announced = connect(server.address).await;
    announced.write_all(format!("{head}content-length: 10000000000\r\n\r\n").as_bytes()).await.unwrap();
    let answer = rest(&mut announced).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("application/problem+json"), "{answer}");
    // Without end, in chunks: the server hangs up.
    let (mut read, mut write) = connect(server.address).await.into_split();
    let chunk = [b"4000\r\n".as_slice(), &[b' '; 0x4000], b"\r\n"].concat();
    let head = format!("{head}transfer-encoding: chunked\r\n\r\n");
    let sending = tokio::spawn(async move {
        write.write_all(head.as_bytes()).await.unwrap();
        let mut sent = 0;
        while write.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
        }
        sent
    });
    let mut answer = Vec::new();
    let _ = with_timeout(read.read_to_end(&mut answer)).await;
    assert!(answer.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer));
    // What fits in the buffers of two sockets, and no more.
    assert!(with_timeout(sending).await.unwrap() < 128 << 20);
}

#[tokio::test]
async fn heads_that_make_no_request_are_refused() {
    let (server, _script) = Server::with_web_options(site()).await;
    let long = "x".repeat(100_000);
    let many = "a: b\r\n".repeat(200);
    for (head, status) in [
        (format!("GET /{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"), "4"),
        (format!("GET / HTTP/1.1\r\nhost: localhost\r\nlong: {long}\r\n\r\n"), "431"),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), "431"),
        ("GET / HTTP/9.9\r\n\r\n".into(), "4"),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n".into(), "400"),
        ("POST /api/v1/generations HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n".into(), "400"),
    ] {
        let mut connection = connect(server.address).await;
        let _ = with_timeout(connection.write_all(head.as_bytes())).await;
        let answer = rest(&mut connection).await;
        let start: String = head.chars().take(40).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{start:?}: {answer:?}");
    }
    assert_eq!(server.get("/health/ready").await.status(), 200);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let (server, _script) = Server::with_web_options(Options { write_timeout: SHORT, ..site() }).await;
    let (_read, mut write) = connect(server.address).await.into_split();
    // Answers of some 100 MB, which nobody takes.
    let requests = "GET /static/styles/base.css HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
    let asking = tokio::spawn(async move {
        for _ in 0..100 {
            if write.write_all(requests.as_bytes()).await.is_err() {
                return;
            }
        }
        // All of it lies in buffers; the connection ends all the same.
        while write.write_all(b"GET").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    with_timeout(asking).await.unwrap();
    until(|| async { gauge(&server, "rdpm_http_connections").await <= 1 }).await;
}

#[tokio::test]
async fn a_stream_that_is_refused_is_no_reader_that_left() {
    let limits = engine::Options { disconnect_grace: Duration::ZERO, ..options() };
    let (engine, script) = fake_engine(limits);
    let one_stream = Options { max_streams: 1, ..site() };
    let server = Server::start_with(engine, ClassPictures::default(), one_stream).await;
    script.pause();
    let body = |class: usize| json!({"class": class, "cancel_on_disconnect": true});
    let (followed, unheard) = (server.generate(&body(0)).await, server.generate(&body(1)).await);
    let link = |job: &Value, name: &str| job["links"][name].as_str().unwrap().to_owned();
    let mut stream = server.get(&link(&followed, "events")).await;
    with_timeout(stream.chunk()).await.unwrap().unwrap();
    problem(server.get(&link(&unheard, "events")).await, 503).await;
    // Nor does the stream of an image begin one that nobody hears of.
    let body = json!({"prompt": "circle", "stream": true}).to_string();
    let image = server.client.post(server.url("/v1/images/generations")).body(body);
    let refused = with_timeout(image.header("content-type", "application/json").send()).await.unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(gauge(&server, "rdpm_live_jobs").await, 2);
    drop(stream);
    let ended = link(&followed, "self");
    until(|| async { server.json(&ended).await["status"] == "canceled" }).await;
    script.resume();
    let messages = server.messages(&link(&unheard, "events"), None).await;
    assert_eq!(messages.last().unwrap().event, "completed");
}

#[tokio::test]
async fn a_thousand_idle_event_streams_are_bounded() {
    rlimit::increase_nofile_limit(FILES).unwrap();
    let limits = Options { max_streams: 600, max_connections_per_address: None, ..site() };
    let (server, script) = Server::with_web_options(limits).await;
    script.pause();
    let events = held_job(&server).await;
    let before = resident();
    // A quarter of them is for one address.
    let clients = [1, 2, 3, 4].map(|number| client_from([127, 0, 0, number]));
    let streams = (0..1000).map(|number| clients[number % 4].get(server.url(&events)).send());
    let (mut open, mut refused) = (Vec::new(), Vec::new());
    for response in with_long_timeout(join_all(streams)).await {
        let response = response.unwrap();
        if response.status() == 200 { open.push(response) } else { refused.push(response) }
    }
    assert_eq!((open.len(), refused.len()), (600, 400));
    assert_eq!(gauge(&server, "rdpm_http_event_streams").await, 600);
    // Server and clients together: some 100 KB for each of both.
    let grown = resident().saturating_sub(before);
    assert!(grown < 200 << 20, "{} MB", grown >> 20);
    for response in refused {
        assert_eq!(response.headers()["retry-after"], "5");
        assert_eq!(problem(response, 503).await["type"], "urn:rdpm:problem:overloaded");
    }
    // The others are answered, and a place that becomes free is taken.
    assert_eq!(server.get("/").await.status(), 200);
    server.generate(&json!({"class": 1})).await;
    open.remove(0);
    until(|| async { gauge(&server, "rdpm_http_event_streams").await == 599 }).await;
    open.push(clients[0].get(server.url(&events)).send().await.unwrap());
    assert_eq!(open[599].status(), 200);
    // And every one of them hears the end.
    script.resume();
    let ends = with_long_timeout(join_all(open.into_iter().map(Response::text))).await;
    assert!(ends.into_iter().all(|text| text.unwrap().contains("event: completed")));
    until(|| async { gauge(&server, "rdpm_http_event_streams").await == 0 }).await;
}

#[tokio::test]
async fn event_streams_of_one_client_leave_some_to_others() {
    // Behind a proxy, where connections are not limited by address.
    let limits = Options { max_streams: 8, trust_proxy: Some(ProxyHeader::XForwardedFor), ..site() };
    let (server, script) = Server::with_web_options(limits).await;
    script.pause();
    let events = held_job(&server).await;
    let open = async |address: &str| {
        let request = server.client.get(server.url(&events)).header("x-forwarded-for", address);
        with_timeout(request.send()).await.unwrap()
    };
    let own = [open("198.51.100.1").await, open("198.51.100.1").await];
    assert!(own.iter().all(|stream| stream.status() == 200));
    problem(open("198.51.100.1").await, 503).await;
    // An address that a client writes itself is not the last one.
    problem(open("203.0.113.9, 198.51.100.1").await, 503).await;
    // An IPv6 network is one client, and so is an IPv4 address in IPv6's notation.
    let network = [open("2001:db8::1").await, open("2001:db8::2").await];
    assert!(network.iter().all(|stream| stream.status() == 200));
    problem(open("2001:db8::ffff:3").await, 503).await;
    problem(open("::ffff:198.51.100.1").await, 503).await;
    assert_eq!(open("198.51.100.2").await.status(), 200);
    drop(own);
    until(|| async { open("198.51.100.1").await.status() == 200 }).await;
}

/// Bytes of memory that this process occupies.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn thousands_of_idle_connections_leave_room_for_those_inside() {
    rlimit::increase_nofile_limit(FILES).unwrap();
    // Nobody is sent away before all is seen; that they are in the end, `slow_loris…` shows.
    let limits = Options {
        max_connections: 500,
        max_connections_per_address: None,
        header_timeout: Duration::from_secs(600),
        ..site()
    };
    let (server, _script) = Server::with_web_options(limits).await;
    // A client that is inside before the crowd, and says something now and then.
    assert_eq!(server.get("/health/ready").await.status(), 200);
    let idle = (0..2000).map(|_| async {
        let mut connection = connect(server.address).await;
        // Where the kernel's queue was full, the server hears of a connection only when something is sent on it. Where
        // the server has hung up already, so be it.
        let _ = connection.write_all(b"GET / HTTP/1.1\r\n").await;
        connection
    });
    let crowd = join_all(idle).await;
    assert_eq!(server.get("/health/ready").await.status(), 200);
    until(|| async { gauge(&server, "rdpm_http_connections").await == 500 }).await;
    // One more is told when to come back, or nothing while many are being told.
    let outside = reqwest::Client::new();
    until(|| async {
        let Ok(response) = outside.get(server.url("/")).send().await else { return false };
        assert_eq!(response.headers()["retry-after"], "5");
        assert_eq!(problem(response, 503).await["type"], "urn:rdpm:problem:overloaded");
        true
    })
    .await;
    // As the crowd leaves there is room again.
    drop(crowd);
    until(|| async {
        outside.get(server.url("/")).send().await.is_ok_and(|response| response.status() == 200)
    })
    .await;
}

#[test]
fn memory_of_images_fits_the_compose_file() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docker-compose.yml");
    let text = std::fs::read_to_string(path).unwrap();
    let gigabytes = text.lines().find_map(|line| line.trim().strip_prefix("mem_limit: ")?.strip_suffix('g'));
    let limit = gigabytes.unwrap().parse::<u64>().unwrap() << 30;
    // The other half is for weights, batches, jobs and connections.
    let images = rdpm::web::MAX_IMAGE_MEMORY;
    assert!(images <= limit / 2, "{images} of {limit} bytes");
}
