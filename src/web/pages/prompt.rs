//! The prompt line of the page, for a model that is told words: its styles and examples.

use super::form::{ALL_STYLES, Form};
use crate::model::Config;

/// A choice of drawing style.
pub(super) struct Style {
    /// Empty: any style.
    pub value: String,
    pub label: String,
    /// Its picture's left edge on [`PICTURES`], in pixels.
    pub left: Option<usize>,
    pub checked: bool,
}

/// A picture in each of the shipped model's styles, which that model drew: a path below the static files, and the styles from
/// left to right.
pub(super) const PICTURES: &str = "style-pictures.webp";
const PICTURED: [&str; 8] =
    ["noto", "noto-blobs", "twemoji", "emojione", "fluent-flat", "fluent-3d", "fxemoji", "streamline"];
/// The side of each, in pixels.
const PICTURE_SIDE: usize = 56;

/// Prompts that the shipped model draws well, with a style and a seed.
const EXAMPLES: [(&str, &str, u64); 8] = [
    ("hamburger", "noto", 2),
    ("panda", "fluent-flat", 4),
    ("watermelon", "fluent-flat", 1),
    ("purple heart", "fluent-3d", 1),
    ("sunflower", "noto", 3),
    ("thumbs up", "noto", 2),
    ("frog", "fluent-3d", 1),
    ("smiling face with sunglasses", "noto", 3),
];

/// A link that draws a picture.
pub(super) struct Example {
    pub prompt: &'static str,
    pub address: String,
}

/// Any style, each style of the model, and all of them.
pub(super) fn styles(form: &Form) -> Vec<Style> {
    let styles = &form.model.config.styles;
    if styles.is_empty() {
        return Vec::new();
    }
    let named = form.draft.options.style.as_deref().unwrap_or_default();
    let choice = |value: &str, label: String, left| Style {
        value: value.to_owned(),
        label,
        left,
        checked: if form.all_styles { value == ALL_STYLES } else { value == named },
    };
    let all = choice(ALL_STYLES, format!("All {}", styles.len()), None);
    let mut choices = vec![choice("", "Any".into(), None), all];
    choices.extend(styles.iter().map(|style| {
        let position = PICTURED.iter().position(|pictured| pictured == style);
        choice(style, style.replace('-', " "), position.map(|position| position * PICTURE_SIDE))
    }));
    choices
}

/// The examples that this model can draw, with addresses below a path.
pub(super) fn examples(config: &Config, root: &str) -> Vec<Example> {
    let is_known = |(prompt, style, _): &(&str, &str, u64)| {
        let encoded = config.vocabulary.encode(prompt);
        encoded.unknown.is_empty() && config.style_index(style).is_some()
    };
    let example = |(prompt, style, seed): (&'static str, &str, u64)| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("model", &config.name).append_pair("prompt", prompt).append_pair("style", style);
        let query = query.append_pair("seed", &seed.to_string()).finish();
        Example { prompt, address: format!("{root}/?{query}") }
    };
    EXAMPLES.into_iter().filter(is_known).map(example).collect()
}
