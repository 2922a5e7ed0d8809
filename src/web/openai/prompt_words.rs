//! What a prompt asks a model for: words, if it is told any, or a class.

use super::prompt::classes_of_prompt;
use crate::model::{Config, SamplingOptions};
use crate::request::shorten_to;

/// The longest prompt, in characters: that of OpenAI's API.
const MAX_CHARACTERS: usize = 32_000;
/// Unknown words that a warning names.
const MAX_NAMED: usize = 10;
/// Longer words are quoted in part.
const MAX_QUOTED: usize = 40;

/// What a prompt asks for.
#[derive(Debug, Default)]
pub(in crate::web) struct PromptReading {
    /// The prompt for the model; `None` if it has no known word, but names a class.
    pub prompt: Option<String>,
    pub class: Option<usize>,
    /// What has no effect, each a sentence.
    pub warnings: Vec<String>,
}

/// Reads a prompt, which may be paragraphs long. Of a model that is told words all known words count, of another one the first
/// class that the prompt names.
///
/// # Errors
/// What is allowed, if the prompt names nothing that the model knows.
pub(in crate::web) fn read_any_prompt(config: &Config, text: &str) -> Result<PromptReading, String> {
    if config.has_words() {
        return read_words(config, text);
    }
    let classes = &config.classes;
    let named = classes_of_prompt(text, classes);
    let Some((&first, others)) = named.split_first() else {
        return Err(format!("a prompt that names one of the classes {}", classes.join(", ")));
    };
    let mut read = PromptReading { class: Some(first), ..PromptReading::default() };
    if !others.is_empty() {
        let name = |class: &usize| classes.get(*class).map(String::as_str).unwrap_or_default();
        let others: Vec<&str> = others.iter().map(name).collect();
        let (first, others) = (name(&first), others.join(", "));
        let warning = format!("The prompt names several classes. {first} was drawn, and not {others}.");
        read.warnings.push(warning);
    }
    Ok(read)
}

/// Reads a prompt for a model that is told words.
///
/// # Errors
/// What is allowed, if it is too long, or has no known word and names no class.
fn read_words(config: &Config, text: &str) -> Result<PromptReading, String> {
    if text.chars().count() > MAX_CHARACTERS {
        return Err(format!("up to {MAX_CHARACTERS} characters"));
    }
    let encoded = config.vocabulary.encode(text);
    let mut read = PromptReading::default();
    if encoded.words.is_empty() {
        read.class = classes_of_prompt(text, &config.classes).first().copied();
        return match read.class {
            Some(_) => Ok(read),
            None => Err(SamplingOptions::near_words(config, &encoded.unknown)),
        };
    }
    if !encoded.unknown.is_empty() {
        let named = encoded.unknown.iter().take(MAX_NAMED);
        let named: Vec<String> = named.map(|word| shorten_to(word, MAX_QUOTED)).collect();
        let others = encoded.unknown.len() - named.len();
        let others = if others > 0 { format!(" and {others} more") } else { String::new() };
        read.warnings.push(format!("Unknown words have no effect: {}{others}.", named.join(", ")));
    }
    if text.len() <= SamplingOptions::MAX_PROMPT {
        read.prompt = SamplingOptions::parse_prompt(config, text)?;
        return Ok(read);
    }
    let mut prompt = String::new();
    for (count, word) in known_words(config, &encoded.words).enumerate() {
        if prompt.len() + 1 + word.len() > SamplingOptions::MAX_PROMPT {
            read.warnings.push(format!("Only the first {count} known words of the prompt were used."));
            break;
        }
        if count > 0 {
            prompt.push(' ');
        }
        prompt.push_str(word);
    }
    read.prompt = Some(prompt);
    Ok(read)
}

fn known_words<'c>(config: &'c Config, words: &'c [u32]) -> impl Iterator<Item = &'c str> {
    words.iter().filter_map(|&word| config.vocabulary.words().get(word as usize)).map(String::as_str)
}
