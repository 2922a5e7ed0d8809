//! Traces over OTLP, in a program that was built to send them, and what one says that wasn't.

use crate::program::rdpm;

#[cfg(not(feature = "otlp"))]
#[test]
fn a_program_without_traces_says_so() {
    let mut command = rdpm();
    let output = command.args(["serve", "--otlp-endpoint", "http://127.0.0.1:1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("built without `--features otlp`"));
}

#[cfg(feature = "otlp")]
#[tokio::test]
async fn a_collector_gets_requests_below_their_callers_trace() {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use crate::common::with_timeout;
    use crate::program::Program;

    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let mut command = rdpm();
    command.args(["serve", "--port", "0", "--otlp-endpoint", &endpoint]).env("RDPM_LOG", "info");
    // Milliseconds until spans are sent, which are 5 seconds by default.
    command.env("OTEL_BSP_SCHEDULE_DELAY", "100");
    let (_server, address) = Program::start(&mut command, "http://");
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = reqwest::Client::new().get(format!("http://{address}/api/v1/models"));
    assert_eq!(request.header("traceparent", traceparent).send().await.unwrap().status(), 200);

    // One request of the exporter: its head, and as much of protobuf as the head announces.
    let (mut connection, _) = with_timeout(collector.accept()).await.unwrap();
    let mut received = Vec::new();
    let whole = |received: &[u8]| {
        let head = received.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&received[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "))?;
        (received.len() >= head + length.parse::<usize>().unwrap()).then_some(head)
    };
    let head = with_timeout(async {
        loop {
            if let Some(head) = whole(&received) {
                break head;
            }
            connection.read_buf(&mut received).await.unwrap();
        }
    })
    .await;
    connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;

    assert!(received.starts_with(b"POST /v1/traces HTTP/1.1\r\n"));
    let body = &received[head..];
    let has = |part: &[u8]| body.windows(part.len()).any(|bytes| bytes == part);
    for text in ["rdpm", "http", "/api/v1/models", "answered"] {
        assert!(has(text.as_bytes()), "{text}");
    }
    // The caller's trace and span, as bytes.
    assert!(has(&0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes()));
    assert!(has(&0xb7ad_6b71_6920_3331_u64.to_be_bytes()));
}
