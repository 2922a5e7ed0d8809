//! `GET /`: the page, its form as the address says. `POST /`: the same with the pictures that the form asks for, for
//! browsers that run no scripts.

mod draw;
mod form;

use std::fmt;
use std::sync::Arc;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::App;
use super::problem::Problem;
use super::v1::{Limits, picture_url};
use crate::engine::ModelInfo;
use draw::Picture;
use form::Form;

#[derive(Template)]
#[template(path = "index.html")]
struct Page<'a> {
    model: Model<'a>,
    /// All that are served.
    models: Vec<Choice<'a>>,
    defaults: Defaults,
    limits: Limits,
    classes: Vec<Class<'a>>,
    /// The classes that are chosen.
    title: String,
    form: Form,
    /// The form was sent, and these are its pictures.
    pictures: Vec<Picture>,
    /// The form was sent.
    sent: bool,
    version: &'static str,
}

struct Model<'a> {
    name: &'a str,
    title: &'a str,
    /// It is meant where an address names none.
    is_default: bool,
    steps: usize,
    grid: usize,
    codes: usize,
    /// Columns and rows of the figure that shows them all.
    codebook: (usize, usize),
    image_size: usize,
    channels: usize,
    /// Bits of a code.
    bits: String,
    parameters: String,
    /// `#rrggbb` of each code, and the schedule, as the scripts read them.
    colors: String,
    schedule: String,
}

/// A model to choose.
struct Choice<'a> {
    name: &'a str,
    title: &'a str,
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
    checked: bool,
}

impl Page<'_> {
    /// The address of a view of this model.
    fn address(&self, view: View) -> String {
        let view = Some(view.name()).filter(|name| *name != View::Draw.name());
        let model = Some(self.model.name).filter(|_| !self.model.is_default);
        let pairs = [("view", view), ("model", model)];
        let pairs = pairs.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
        let query = pairs.collect::<Vec<_>>().join("&");
        if query.is_empty() { "/".into() } else { format!("/?{query}") }
    }

    fn has_pictures(&self) -> bool {
        self.classes.iter().any(|class| !class.picture.is_empty())
    }
}

/// A part of the page with an address of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    Draw,
    Compare,
    Tokenize,
    How,
}

impl View {
    const ALL: [Self; 4] = [Self::Draw, Self::Compare, Self::Tokenize, Self::How];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Draw => "draw",
            Self::Compare => "compare",
            Self::Tokenize => "tokenize",
            Self::How => "how",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Draw => "Draw",
            Self::Compare => "Compare",
            Self::Tokenize => "Tokenize",
            Self::How => "How it works",
        }
    }
}

impl<'a> Choice<'a> {
    fn of(info: &'a ModelInfo) -> Self {
        Self { name: &info.config.name, title: &info.config.title }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `GET /`
pub(super) async fn index(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let form = Form::read(&app.engine, query.unwrap_or_default().as_bytes());
    render(&app, form, Vec::new(), false)
}

/// `POST /`: what a form sends where no script takes it over.
pub(super) async fn draw(State(app): State<App>, body: Bytes) -> Result<Response, Problem> {
    let mut form = Form::read(&app.engine, &body);
    let pictures = if form.problems.is_empty() { draw::pictures(&app, &mut form).await } else { Vec::new() };
    render(&app, form, pictures, true)
}

fn render(app: &App, form: Form, pictures: Vec<Picture>, sent: bool) -> Result<Response, Problem> {
    let info = Arc::clone(&form.model);
    let config = &info.config;
    let class = |(index, name)| Class {
        index,
        name,
        picture: picture_url(app, &info, index).unwrap_or_default(),
        checked: form.classes.contains(&index),
    };
    let chosen: Vec<&str> = form.classes.iter().map(|&class| config.classes[class].as_str()).collect();
    let page = Page {
        title: chosen.join(", "),
        model: Model {
            name: &config.name,
            title: &config.title,
            is_default: config.name == app.engine.default_model().config.name,
            steps: config.steps(),
            grid: config.latent.grid,
            codes: config.trajectory.codes,
            codebook: sixteen_to_one(config.trajectory.codes),
            image_size: config.image.size,
            channels: config.image.channels,
            bits: format!("{:.0}", (config.trajectory.codes as f64).log2()),
            parameters: in_words(info.weight_count),
            colors: info.palette.join(" "),
            schedule: words(&config.trajectory.schedule),
        },
        models: app.engine.models().iter().map(|info| Choice::of(info)).collect(),
        defaults: Defaults { guidance: config.sampling.guidance, temperature: config.sampling.temperature },
        limits: Limits::of(&info),
        classes: config.classes.iter().map(String::as_str).enumerate().map(class).collect(),
        form,
        pictures,
        sent,
        version: env!("CARGO_PKG_VERSION"),
    };
    match page.render() {
        Ok(html) => {
            let caching = if sent { "no-store" } else { "no-cache" };
            Ok(([(header::CACHE_CONTROL, caching)], Html(html)).into_response())
        }
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

/// Columns and rows of a block of so many squares, about sixteen times as wide as high.
fn sixteen_to_one(squares: usize) -> (usize, usize) {
    let rows = squares.div_ceil(16).isqrt().max(1);
    (squares.div_ceil(rows), rows)
}

fn words(numbers: &[f64]) -> String {
    numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
}
