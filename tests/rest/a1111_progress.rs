//! Progress and interruption in AUTOMATIC1111's API: of the client's own requests only.

use std::sync::Arc;
use std::time::Duration;

use rdpm::picture::read_provenance;
use reqwest::Response;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::a1111::{DRAW, PROGRESS, TOKENS, drawn, error, file, grey, picture, send};
use super::common::{STEPS, Script, Server, options, with_timeout};

/// A request of a client whose images have been submitted, and wait for their first step.
async fn running(server: &Arc<Server>, script: &Script, client: usize) -> JoinHandle<Response> {
    script.pause();
    let body = json!({"prompt": "circle", "seed": 3, "batch_size": 2, "width": 36, "height": 36});
    let request = server.client.post(server.url(DRAW)).json(&body).header("rdpm-client", TOKENS[client]);
    let task = tokio::spawn(send(request));
    with_timeout(async {
        while progress(server, client, "").await["state"]["job_count"] != 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    task
}

async fn progress(server: &Server, client: usize, query: &str) -> Value {
    let request = server.client.get(server.url(&format!("{PROGRESS}{query}")));
    send(request.header("rdpm-client", TOKENS[client])).await.json().await.unwrap()
}

/// The progress once the first image has taken so many steps.
async fn progress_at(server: &Server, client: usize, step: usize) -> Value {
    with_timeout(async {
        loop {
            let progress = progress(server, client, "").await;
            if progress["state"]["sampling_step"] == step {
                return progress;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

#[tokio::test]
async fn progress_is_that_of_the_clients_own_request() {
    let (server, script) = Server::with_fake_backend(options()).await;
    let server = Arc::new(server);
    let task = running(&server, &script, 0).await;
    script.run_steps(2);
    let at = progress_at(&server, 0, 2).await;
    let state = &at["state"];
    let facts = ["job", "job_no", "sampling_steps", "interrupted", "skipped"].map(|name| state[name].clone());
    assert_eq!(facts, [json!("scripts_txt2img"), json!(0), json!(STEPS), json!(false), json!(false)]);
    let done = at["progress"].as_f64().unwrap();
    // Both have taken two of five steps, unless the second joined later.
    assert!((0.2..=0.4).contains(&done) && at["eta_relative"].as_f64().unwrap() >= 0.0, "{at}");
    assert_eq!(state["job_timestamp"].as_str().unwrap().len(), 14);
    assert_eq!((picture(&at["current_image"]).width(), grey(&at["current_image"])), (252, 48));
    assert_eq!(progress(&server, 0, "?skip_current_image=true").await["current_image"], Value::Null);
    // Another client sees nothing, and ends nothing.
    let nothing = json!({
        "progress": 0.0, "eta_relative": 0.0, "current_image": null, "textinfo": null,
        "state": {
            "skipped": false, "interrupted": false, "stopping_generation": false, "job": "", "job_count": 0,
            "job_timestamp": "0", "job_no": 0, "sampling_step": 0, "sampling_steps": 0,
        },
    });
    assert_eq!(progress(&server, 1, "").await, nothing);
    for name in ["interrupt", "skip"] {
        let request = server.client.post(server.url(&format!("/sdapi/v1/{name}")));
        assert_eq!(send(request.header("rdpm-client", TOKENS[1])).await.status(), 200);
    }
    script.run_steps(1);
    assert!(progress_at(&server, 0, 3).await["progress"].as_f64().unwrap() > done);
    script.resume();
    let (answer, info) = drawn(task.await.unwrap()).await;
    assert_eq!((answer["images"].as_array().unwrap().len(), &info["all_seeds"]), (2, &json!([3, 4])));
    assert_eq!(progress(&server, 0, "").await, nothing);
}

#[tokio::test]
async fn interrupt_ends_a_request_with_the_images_as_they_are() {
    let (server, script) = Server::with_fake_backend(options()).await;
    let server = Arc::new(server);
    let task = running(&server, &script, 0).await;
    script.run_steps(2);
    progress_at(&server, 0, 2).await;
    let interrupt = server.client.post(server.url("/sdapi/v1/interrupt")).header("rdpm-client", TOKENS[0]);
    let interrupted = send(interrupt).await;
    assert_eq!(interrupted.json::<Value>().await.unwrap(), json!({}));
    let (answer, info) = drawn(with_timeout(task).await.unwrap()).await;
    assert_eq!(answer["warnings"], json!(["The request was interrupted: its images are not finished."]));
    assert_eq!((picture(&answer["images"][0]).width(), grey(&answer["images"][0])), (36, 48));
    assert!(info["infotexts"][0].as_str().unwrap().contains("Interrupted at step: 2"), "{info}");
    // An unfinished picture is not what the program itself would draw again.
    assert!(read_provenance(std::io::Cursor::new(file(&answer["images"][0]))).is_err());
    assert_eq!(progress(&server, 0, "").await["progress"], 0.0);
    script.resume();

    // Before the first step there is no image.
    let task = running(&server, &script, 0).await;
    let skip = server.client.post(server.url("/sdapi/v1/skip")).header("rdpm-client", TOKENS[0]);
    assert_eq!(send(skip).await.json::<Value>().await.unwrap(), Value::Null);
    error(with_timeout(task).await.unwrap(), 409).await;
    script.resume();
}

#[tokio::test]
async fn request_is_canceled_when_its_client_leaves() {
    let (server, script) = Server::with_fake_backend(options()).await;
    let server = Arc::new(server);
    let task = running(&server, &script, 0).await;
    task.abort();
    with_timeout(async {
        while progress(&server, 0, "").await["state"]["job_count"] != 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    script.resume();
    let list = server.client.get(server.url("/api/v1/generations")).header("rdpm-client", TOKENS[0]);
    let list: Value = send(list).await.json().await.unwrap();
    let jobs = list["generations"].as_array().unwrap();
    assert!(jobs.len() == 2 && jobs.iter().all(|job| job["status"] == "canceled"), "{list}");
}
