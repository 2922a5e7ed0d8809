//! The prompt of a model that is told words.

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
pub(super) struct WordsPrompt {
    /// The prompt for the model; `None` if it has no known word, but names a class.
    pub prompt: Option<String>,
    pub class: Option<usize>,
    /// What has no effect, each a sentence.
    pub warnings: Vec<String>,
}

/// Reads a prompt, which may be paragraphs long: all known words count.
///
/// # Errors
/// What is allowed, if it is too long, or has no known word and names no class.
pub(super) fn read(config: &Config, text: &str) -> Result<WordsPrompt, String> {
    if text.chars().count() > MAX_CHARACTERS {
        return Err(format!("up to {MAX_CHARACTERS} characters"));
    }
    let encoded = config.vocabulary.encode(text);
    let mut read = WordsPrompt::default();
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
