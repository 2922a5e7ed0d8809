//! `rdpm mcp`: the Model Context Protocol on standard input and output, for assistants that start their tools as programs.
//!
//! Each line is a message. It is passed to the same routes as `POST /mcp` of a server, in this process.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::{Request, header};
use clap::Args;
use futures_util::StreamExt;
use rdpm::engine::{Engine, FolderLoader, Options};
use rdpm::model::ModelInfo;
use rdpm::web::{self, ClassPictures};
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tower::ServiceExt;

use super::models::ModelArguments;

/// The longest line: a request with an image.
const MAX_LINE: usize = 12 << 20;
/// Lines that wait to be handled or written.
const WAITING_LINES: usize = 16;

#[derive(Debug, Args)]
pub struct Mcp {
    #[command(flatten)]
    model: ModelArguments,
}

impl Mcp {
    pub fn run(self) -> anyhow::Result<()> {
        let engine = Arc::new(self.engine()?);
        let runtime = tokio::runtime::Runtime::new().context("no thread for the tools")?;
        let app = web::app(Arc::clone(&engine), ClassPictures::default(), &web::Options::default());
        let served = runtime.block_on(serve(app));
        engine.shutdown(Duration::ZERO);
        runtime.shutdown_background();
        served
    }

    /// An engine that loads each model with its first picture, so that the tools are there at once.
    fn engine(&self) -> anyhow::Result<Engine> {
        let devices: Vec<String> = self.model.device.split(',').map(|name| name.trim().to_owned()).collect();
        let chosen = self.model.choose()?.keep(|folder, _| {
            let precision = self.model.precision_on(folder, &devices)?;
            Ok(ModelInfo::read_with_precision(folder, precision)?)
        })?;
        let folders: Vec<_> =
            chosen.models.iter().map(|(folder, info)| (info.config.name.clone(), folder.clone())).collect();
        let infos: Vec<ModelInfo> = chosen.models.into_iter().map(|(_, info)| info).collect();
        let load_on = |device: &String| {
            let precisions = infos.iter().map(|info| (info.config.name.clone(), info.precision));
            FolderLoader::new(folders.clone(), device).with_precisions(precisions)
        };
        let loaders = devices.iter().map(load_on).collect();
        let options = Options { loading: rdpm::engine::ModelLoading::Lazy, ..Options::default() };
        Ok(Engine::start(options, infos, loaders)?)
    }
}

/// Handles the lines of standard input until it ends.
async fn serve(app: Router) -> anyhow::Result<()> {
    let mut lines = read_lines()?;
    let (output, writer) = write_lines()?;
    let mut running: HashMap<String, JoinHandle<()>> = HashMap::new();
    while let Some(line) = lines.recv().await {
        running.retain(|_, call| !call.is_finished());
        let message: Value = serde_json::from_str(&line).unwrap_or_default();
        if message["method"] == "notifications/cancelled" {
            if let Some(call) = running.remove(&message["params"]["requestId"].to_string()) {
                // Dropping the answer cancels the job.
                call.abort();
            }
            continue;
        }
        let (app, output, id) = (app.clone(), output.clone(), message["id"].clone());
        let name = id.to_string();
        running.insert(name, tokio::spawn(async move { answer(app, line, id, output).await }));
    }
    // What was asked for before the end of input is answered.
    for (_, call) in running {
        let _ = call.await;
    }
    drop(output);
    let written = tokio::task::spawn_blocking(move || writer.join()).await;
    anyhow::ensure!(matches!(written, Ok(Ok(()))), "the output could not be written");
    Ok(())
}

/// Passes a message to the routes, and what they answer to the output.
async fn answer(app: Router, line: String, id: Value, output: Sender<String>) {
    let request = Request::post("/mcp")
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream")
        .body(Body::from(line));
    let Ok(request) = request else { return };
    let Ok(response) = app.oneshot(request).await;
    let is_stream = response.headers().get(header::CONTENT_TYPE);
    let is_stream = is_stream.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let is_success = response.status().is_success();
    let mut body = response.into_body().into_data_stream();
    if is_stream {
        pass_events(body, &output).await;
        return;
    }
    let mut whole = Vec::new();
    while let Some(Ok(piece)) = body.next().await {
        whole.extend_from_slice(&piece);
    }
    let message: Value = serde_json::from_slice(&whole).unwrap_or_default();
    if message["jsonrpc"] == "2.0" {
        let _ = output.send(message.to_string()).await;
    } else if !is_success {
        // A problem of HTTP, for example a line that is no JSON.
        let error = json!({"code": -32700, "message": message["detail"]});
        let answer = json!({"jsonrpc": "2.0", "id": id, "error": error});
        let _ = output.send(answer.to_string()).await;
    }
}

/// Passes the data of server-sent events on, each as soon as it is there.
async fn pass_events(mut body: BodyDataStream, output: &Sender<String>) {
    let mut buffer: Vec<u8> = Vec::new();
    while let Some(Ok(piece)) = body.next().await {
        buffer.extend_from_slice(&piece);
        while let Some(end) = buffer.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if let Some(data) = line.strip_prefix("data:") {
                let _ = output.send(data.trim().to_owned()).await;
            }
        }
    }
}

/// The lines of standard input, read by a thread.
fn read_lines() -> anyhow::Result<Receiver<String>> {
    let (lines, received) = channel(WAITING_LINES);
    let read = move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let mut limited = std::io::Read::take(&mut input, MAX_LINE as u64);
            match limited.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            if !line.is_empty() && lines.blocking_send(line).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("rdpm-input".into()).spawn(read).context("no thread for the input")?;
    Ok(received)
}

/// Where to send lines for standard output, which a thread writes.
fn write_lines() -> anyhow::Result<(Sender<String>, std::thread::JoinHandle<()>)> {
    let (lines, mut received) = channel::<String>(WAITING_LINES);
    let write = move || {
        let mut output = std::io::stdout().lock();
        while let Some(line) = received.blocking_recv() {
            if writeln!(output, "{line}").and_then(|()| output.flush()).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("rdpm-output".into()).spawn(write);
    Ok((lines, thread.context("no thread for the output")?))
}
