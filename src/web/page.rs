//! `GET /`: the page.

use askama::Template;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::App;
use super::models::{Limits, picture_url};
use super::problem::Problem;

#[derive(Template)]
#[template(path = "index.html")]
struct Page<'a> {
    model: Model<'a>,
    defaults: Defaults,
    limits: Limits,
    classes: Vec<Class<'a>>,
    version: &'static str,
}

struct Model<'a> {
    name: &'a str,
    title: &'a str,
    steps: usize,
    grid: usize,
    codes: usize,
    image_size: usize,
    parameters: String,
}

struct Defaults {
    guidance: f64,
    temperature: f64,
}

struct Class<'a> {
    index: usize,
    name: &'a str,
    /// A URL, or empty.
    picture: String,
}

pub(super) async fn index(State(app): State<App>) -> Result<Response, Problem> {
    let info = app.engine.info();
    let config = &info.config;
    let class = |(index, name)| Class { index, name, picture: picture_url(&app, index).unwrap_or_default() };
    let page = Page {
        model: Model {
            name: &config.name,
            title: &config.title,
            steps: config.steps(),
            grid: config.latent.grid,
            codes: config.trajectory.codes,
            image_size: config.image.size,
            parameters: in_words(info.parameters),
        },
        defaults: Defaults { guidance: config.sampling.guidance, temperature: config.sampling.temperature },
        limits: Limits::of(info),
        classes: config.classes.iter().map(String::as_str).enumerate().map(class).collect(),
        version: env!("CARGO_PKG_VERSION"),
    };
    match page.render() {
        Ok(html) => Ok(([(header::CACHE_CONTROL, "no-cache")], Html(html)).into_response()),
        Err(error) => {
            tracing::error!(%error, "the page could not be rendered");
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be made."))
        }
    }
}

/// A number of parameters for people: `7.2 million`, `950 thousand`.
fn in_words(parameters: usize) -> String {
    match parameters {
        0..1_000 => parameters.to_string(),
        1_000..1_000_000 => format!("{} thousand", parameters / 1_000),
        _ => format!("{:.1} million", parameters as f64 / 1e6),
    }
}
