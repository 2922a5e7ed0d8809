//! What the denoiser is told of an image.

use std::sync::Arc;

use super::config::Config;

/// Class, drawing style and words of an image. Each may be missing: a class and a style then have the index that stands for
/// none, and there are no words.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Index of the class, or the number of classes.
    pub class: u32,
    /// Index of the style, or the number of styles.
    pub style: u32,
    /// Indices of words in the model's vocabulary.
    pub words: Arc<[u32]>,
    /// The guidance scale w, for a denoiser that computes guided logits in one pass; `None` for others.
    pub guidance: Option<f32>,
}

impl Condition {
    /// The condition that says nothing.
    pub fn null(config: &Config) -> Self {
        let (class, style) = (config.classes.len() as u32, config.styles.len() as u32);
        Self { class, style, words: Arc::default(), guidance: None }
    }

    /// Whether it has no style of these, and no words.
    pub(super) fn is_class_only(&self, styles: usize) -> bool {
        self.style as usize == styles && self.words.is_empty()
    }
}
