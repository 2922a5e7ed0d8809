//! `GET /`: the page, with the settings in the address. `POST /`: the same with the generated pictures, for browsers that
//! run no scripts.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::form::{Form, Input};
use super::link_preview;
use super::pictures::{self, Picture};
use super::prompt::{Example, Style, examples, styles};
use super::view::View;
use crate::engine::{MAX_COUNT, ModelInfo, SEED_MAX};
use crate::picture::MAX_PIXEL_ART;
use crate::web::access::{Budget, Client, LINK_PREVIEW_PATH, root_path};
use crate::web::files::sheet_columns;
use crate::web::problem::Problem;
use crate::web::request::{SmallBody, base_url};
use crate::web::state::AppState;

#[derive(Template)]
#[template(path = "index.html")]
struct Page<'a> {
    /// The path below which the browser reaches the server: empty, or as `/draw`.
    root: &'a str,
    model: Model<'a>,
    /// All served models.
    models: Vec<ModelOption<'a>>,
    limits: Limits,
    /// The options of sampling.
    inputs: Vec<Input>,
    classes: Vec<Class<'a>>,
    class_sheet: Option<ClassSheet>,
    /// The drawing styles of a model that is told words.
    styles: Vec<Style>,
    examples: Vec<Example>,
    /// What is asked for: the names of the selected classes, or the prompt.
    title: String,
    form: Form,
    link: Link,
    /// The pictures of a sent form.
    pictures: Vec<Picture>,
    /// Whether the form was sent.
    sent: bool,
    /// Whether the server keeps finished pictures: the page shows its gallery.
    keeps_pictures: bool,
    version: &'static str,
}

struct Model<'a> {
    name: &'a str,
    title: &'a str,
    /// Whether addresses that name no model mean this one.
    is_default: bool,
    /// Whether the address `/` shows this one.
    is_first: bool,
    steps: usize,
    grid: usize,
    codes: usize,
    /// Columns and rows of the figure that shows the codebook.
    codebook: (usize, usize),
    image_size: usize,
    /// Whether pictures are shown without smoothing.
    is_pixel_art: bool,
    channels: usize,
    /// Bits of a code.
    bits: String,
    parameters: String,
    /// `#rrggbb` of each code, and the schedule, as the scripts read them.
    colors: String,
    schedule: String,
}

/// What other sites show of a link to this page. Empty texts are left out.
struct Link {
    /// The picture's name, or the view's.
    title: String,
    /// URLs of the page and of its picture; they must be absolute.
    page: String,
    image: String,
    /// Width and height of the picture.
    image_side: u32,
}

impl Link {
    fn new(form: &Form, origin: Option<&str>, query: &str) -> Self {
        let size = form.model.config.image.size;
        let image_side = size as u32 * link_preview::scale(size);
        let name = form.picture_name().filter(|_| form.view == View::Draw);
        let (page, image) = match origin.filter(|_| name.is_some()) {
            Some(origin) => (format!("{origin}/?{query}"), format!("{origin}{}?{query}", LINK_PREVIEW_PATH)),
            None => Default::default(),
        };
        let title = name.unwrap_or_else(|| form.view.title().to_owned());
        Self { title, page, image, image_side }
    }
}

/// A model in the menu.
struct ModelOption<'a> {
    name: &'a str,
    title: &'a str,
}

struct Limits {
    max_count: u32,
    seed_max: u64,
}

/// All sample pictures of the classes in one file.
struct ClassSheet {
    /// A URL.
    source: String,
    width: usize,
    height: usize,
}

struct Class<'a> {
    index: usize,
    name: &'a str,
    /// A URL, or empty.
    picture: String,
    /// Where its picture is on the sheet, in pixels.
    left: usize,
    top: usize,
    checked: bool,
}

impl Page<'_> {
    /// The address of a view of this model.
    fn address(&self, view: View) -> String {
        let view = Some(view.name()).filter(|name| *name != View::Draw.name());
        let is_meant = if view.is_none() { self.model.is_first } else { self.model.is_default };
        let model = Some(self.model.name).filter(|_| !is_meant);
        let pairs = [("view", view), ("model", model)];
        let pairs = pairs.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
        let query = pairs.collect::<Vec<_>>().join("&");
        let root = self.root;
        if query.is_empty() { format!("{root}/") } else { format!("{root}/?{query}") }
    }

    fn has_pictures(&self) -> bool {
        self.classes.iter().any(|class| !class.picture.is_empty())
    }
}

impl<'a> ModelOption<'a> {
    fn of(info: &'a ModelInfo) -> Self {
        Self { name: &info.config.name, title: &info.config.title }
    }
}

/// `GET /`
pub(super) async fn show(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    let form = match app.first_model.as_deref().filter(|_| Form::is_empty(query.as_bytes())) {
        Some(name) => Form::read(&app.engine, format!("model={name}").as_bytes()),
        None => Form::read(&app.engine, query.as_bytes()),
    };
    let link = Link::new(&form, base_url(&headers).as_deref(), &query);
    render(&app, root_path(&headers), form, link, Vec::new(), false)
}

/// `POST /`: the form, sent without scripts.
pub(super) async fn submit(
    State(app): State<AppState>,
    client: Client,
    budget: Budget,
    headers: HeaderMap,
    SmallBody(body): SmallBody,
) -> Result<Response, Problem> {
    let mut form = Form::read(&app.engine, &body);
    let pictures = if form.problems.is_empty() {
        pictures::generate(&app.engine, &client, &budget, &mut form).await
    } else {
        Vec::new()
    };
    let link = Link::new(&form, None, "");
    render(&app, root_path(&headers), form, link, pictures, true)
}

fn render(
    app: &AppState,
    root: &str,
    form: Form,
    link: Link,
    pictures: Vec<Picture>,
    sent: bool,
) -> Result<Response, Problem> {
    let info = form.model.clone();
    let config = &info.config;
    let columns = sheet_columns(config.classes.len()).max(1);
    let class = |(index, name)| Class {
        index,
        name,
        picture: app
            .class_pictures
            .url(&info.config.name, index)
            .map(|url| format!("{root}{url}"))
            .unwrap_or_default(),
        left: index % columns * config.image.size,
        top: index / columns * config.image.size,
        checked: form.classes.contains(&index) && (form.class_is_chosen || !config.has_words()),
    };
    let class_sheet = app.class_pictures.sheet(&config.name).map(|_| ClassSheet {
        source: format!("{root}/classes/{}.jpeg", config.name),
        width: columns * config.image.size,
        height: config.classes.len().div_ceil(columns) * config.image.size,
    });
    let selected: Vec<&str> = form.classes.iter().map(|&class| config.classes[class].as_str()).collect();
    let title = match &form.draft.options.prompt {
        Some(prompt) => prompt.clone(),
        None if form.class_is_chosen || !config.has_words() => selected.join(", "),
        None => "A surprise".to_owned(),
    };
    let page = Page {
        root,
        title,
        model: Model {
            name: &config.name,
            title: &config.title,
            is_default: config.name == app.engine.default_model().config.name,
            is_first: match app.first_model.as_deref() {
                Some(first) => config.name == first,
                None => config.name == app.engine.default_model().config.name,
            },
            steps: config.steps(),
            grid: config.latent.grid,
            codes: config.trajectory.codes,
            codebook: codebook_layout(config.trajectory.codes),
            image_size: config.image.size,
            is_pixel_art: config.image.size <= MAX_PIXEL_ART as usize,
            channels: config.image.channels,
            bits: format!("{:.0}", (config.trajectory.codes as f64).log2()),
            parameters: format_count(info.weight_count),
            colors: info.palette.join(" "),
            schedule: join(&config.trajectory.schedule),
        },
        models: app.engine.models().iter().map(|info| ModelOption::of(info)).collect(),
        limits: Limits { max_count: MAX_COUNT, seed_max: SEED_MAX },
        inputs: form.inputs(),
        classes: config.classes.iter().map(String::as_str).enumerate().map(class).collect(),
        class_sheet,
        styles: styles(&form),
        examples: examples(config, root),
        form,
        link,
        pictures,
        sent,
        keeps_pictures: app.jobs.store().is_some(),
        version: env!("CARGO_PKG_VERSION"),
    };
    match page.render() {
        Ok(html) => {
            let caching = if sent { "no-store" } else { "no-cache" };
            Ok(([(header::CACHE_CONTROL, caching)], Html(html)).into_response())
        }
        Err(error) => {
            tracing::error!(%error, "the page could not be rendered");
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be rendered."))
        }
    }
}

/// A number of parameters, for people: `7.2 million`, `950 thousand`.
fn format_count(parameters: usize) -> String {
    match parameters {
        0..1_000 => parameters.to_string(),
        1_000..1_000_000 => format!("{} thousand", parameters / 1_000),
        _ => format!("{:.1} million", parameters as f64 / 1e6),
    }
}

/// Columns and rows of a figure with this number of squares, about sixteen times as wide as high.
fn codebook_layout(squares: usize) -> (usize, usize) {
    let rows = squares.div_ceil(16).isqrt().max(1);
    (squares.div_ceil(rows), rows)
}

fn join(numbers: &[f64]) -> String {
    numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
}
