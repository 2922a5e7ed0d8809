//! Runs the engine in an axum application of its own, which serves one route: `GET /{class}` answers a PNG file. Requests
//! at the same time share the steps of the engine's batch.
//!
//!     cargo run --release --example embed_engine
//!     curl --output boot.png http://127.0.0.1:3000/Ankle%20boot

use std::path::Path;
use std::sync::Arc;

use axum::extract::{self, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, serve};
use rdpm::engine::{Engine, FolderLoader, ModelInfo, Options, Request, Status};
use rdpm::model::SamplingSettings;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/fashion-mnist");
    let model = ModelInfo::read(&folder)?;
    let loader = FolderLoader::new([(model.config.name.clone(), folder)], "auto");
    // Blocks until the model is loaded.
    let engine =
        tokio::task::spawn_blocking(move || Engine::start(Options::default(), vec![model], vec![loader]));
    let app = Router::new().route("/{class}", get(generate)).with_state(Arc::new(engine.await??));
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}", listener.local_addr()?);
    Ok(serve(listener, app).await?)
}

/// Generates one image of a class and answers when it is completed.
async fn generate(
    State(engine): State<Arc<Engine>>,
    extract::Path(class): extract::Path<String>,
) -> Result<impl IntoResponse, (StatusCode, String)> {
    let model = engine.default_model();
    let class = model.config.class_index(&class).ok_or((StatusCode::NOT_FOUND, "unknown class".into()))?;
    let bad_request = |error: rdpm::model::ModelError| (StatusCode::BAD_REQUEST, error.to_string());
    let settings = SamplingSettings::new(&model.config, class).map_err(bad_request)?;
    let request = Request::new(model, settings, 7).map_err(bad_request)?.with_previews(false);

    let unavailable = |error| (StatusCode::SERVICE_UNAVAILABLE, format!("{error}"));
    let job = engine.submit(request).map_err(unavailable)?;
    let failed = || (StatusCode::INTERNAL_SERVER_ERROR, "the job failed".to_owned());
    let mut events = engine.subscribe(job, 0).ok_or_else(failed)?;
    while events.next().await.is_some() {} // until the job ends
    let job = events.snapshot();
    match (job.status, job.images.first()) {
        (Status::Completed, Some(image)) => Ok(([(header::CONTENT_TYPE, "image/png")], image.png.clone())),
        _ => Err(failed()),
    }
}
