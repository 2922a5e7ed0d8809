//! The vocabulary of a model that is told words: `vocabulary.json`, and how a text becomes words.
//!
//! A text's words are compared in lower case and without accents; letters and digits make words, everything else separates
//! them. `training/rdpm_training/emoji/words.py` splits the names of the training images by the same rule. An emoji in a text
//! stands for its name.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::error::ModelError;

/// The file's name in a weights folder.
pub const VOCABULARY_FILE: &str = "vocabulary.json";

/// Longer words, in characters, are compared with none of the vocabulary: the time grows with the length.
const MAX_SIMILAR: usize = 40;

/// The words that a model knows, and what each of its classes can show.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vocabulary {
    words: Vec<String>,
    index: HashMap<String, u32>,
    /// For each word the class in which it occurs most often.
    classes: Vec<usize>,
    /// By class.
    subjects: Vec<Vec<Subject>>,
    /// Names of emoji by their characters, without variation selectors.
    emoji: HashMap<String, String>,
    /// The first characters of `emoji`, each with the number of characters of the longest that it begins.
    emoji_starts: HashMap<char, usize>,
}

/// Something that a class can show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub name: String,
    /// Indices of the name's words.
    pub words: Arc<[u32]>,
    /// Indices of the styles in which training shows it, at least one.
    pub styles: Arc<[u32]>,
}

/// A prompt in terms of a vocabulary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncodedPrompt {
    /// Indices of the known words, in the prompt's order, each once.
    pub words: Vec<u32>,
    /// The words and symbols that the vocabulary doesn't have, each once.
    pub unknown: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    words: Vec<String>,
    classes: Vec<usize>,
    subjects: BTreeMap<String, BTreeMap<String, Vec<u32>>>,
    emoji: HashMap<String, String>,
}

impl Vocabulary {
    /// Reads and validates `FOLDER/vocabulary.json` for a model with these classes, and so many styles.
    ///
    /// # Errors
    /// [`ModelError::Read`] if the file can't be read; [`ModelError::Config`] if it is invalid.
    pub(super) fn read(folder: &Path, classes: &[String], styles: usize) -> Result<Self, ModelError> {
        let path = folder.join(VOCABULARY_FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ModelError::Read { path: path.clone(), source })?;
        let invalid = |reason: String| ModelError::Config { path: path.clone(), reason };
        let File { words, classes: word_classes, mut subjects, emoji } =
            serde_json::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        if let Some(word) = words.iter().find(|word| split_words(word) != [word.as_str()]) {
            return Err(invalid(format!("words has {word:?}, which isn't one word in lower case")));
        }
        let index: HashMap<String, u32> = words.iter().cloned().zip(0..).collect();
        if words.is_empty() || index.len() != words.len() {
            return Err(invalid("words is empty or has a word twice".into()));
        }
        if word_classes.len() != words.len() || word_classes.iter().any(|&class| class >= classes.len()) {
            return Err(invalid("classes must have the index of a class for each word".into()));
        }
        let mut emoji_starts = HashMap::new();
        for text in emoji.keys() {
            let Some(first) = text.chars().next() else {
                return Err(invalid("emoji has an empty key".into()));
            };
            let longest: &mut usize = emoji_starts.entry(first).or_default();
            *longest = text.chars().count().max(*longest);
        }
        let subjects_of_classes = Vec::new();
        let mut vocabulary =
            Self { words, index, classes: word_classes, subjects: subjects_of_classes, emoji, emoji_starts };
        for class in classes {
            let names = subjects.remove(class).unwrap_or_default();
            if names.is_empty() {
                return Err(invalid(format!("subjects has none for the class {class:?}")));
            }
            let of_class = names.into_iter().map(|(name, shown)| vocabulary.subject(name, shown, styles));
            vocabulary.subjects.push(of_class.collect::<Result<_, _>>().map_err(invalid)?);
        }
        match subjects.keys().next() {
            Some(class) => Err(invalid(format!("subjects has {class:?}, which is no class"))),
            None => Ok(vocabulary),
        }
    }

    /// A subject with its words, all of which must be known, and its styles, of which there are `count`.
    fn subject(&self, name: String, styles: Vec<u32>, count: usize) -> Result<Subject, String> {
        let EncodedPrompt { words, unknown } = self.encode(&name);
        if styles.is_empty() || styles.iter().any(|&style| style as usize >= count) {
            return Err(format!(
                "subjects has {name:?}, whose styles must be indices of styles, at least one"
            ));
        }
        match &unknown[..] {
            [] => Ok(Subject { name, words: words.into(), styles: styles.into() }),
            _ => Err(format!("subjects has {name:?}, with a word that words doesn't have")),
        }
    }

    /// Whether the model is told no words.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The words by their index.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// What a class can show, sorted by name. Empty if the model is told no words, or has no such class.
    pub fn subjects(&self, class: usize) -> &[Subject] {
        self.subjects.get(class).map_or(&[], Vec::as_slice)
    }

    /// The subject of whose name all words are among these; the one with the most words.
    pub fn subject_in(&self, words: &[u32]) -> Option<&Subject> {
        let is_named = |subject: &&Subject| subject.words.iter().all(|word| words.contains(word));
        self.subjects.iter().flatten().filter(is_named).max_by_key(|subject| subject.words.len())
    }

    /// The known and the unknown words of a text.
    pub fn encode(&self, text: &str) -> EncodedPrompt {
        let mut encoded = EncodedPrompt::default();
        for word in words_and_symbols(&self.name_emoji(text)) {
            match self.find(&word) {
                Some(index) if !encoded.words.contains(&index) => encoded.words.push(index),
                Some(_) => {} // a plural beside its singular
                None => encoded.unknown.push(word),
            }
        }
        encoded
    }

    /// A text with the names of emoji in the place of their characters.
    fn name_emoji<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if text.is_ascii() || self.emoji.is_empty() {
            return text.into();
        }
        let characters: Vec<char> = text.chars().filter(|&c| !is_modifier(c)).collect();
        let (mut named, mut rest) = (String::new(), &characters[..]);
        while let [first, others @ ..] = rest {
            let name_of = |len: usize| {
                let name = self.emoji.get(&rest.get(..len)?.iter().collect::<String>())?;
                Some((name, &rest[len..]))
            };
            // Digits are emoji's first characters, too, but letters and digits stand for themselves.
            let longest = if first.is_ascii() { None } else { self.emoji_starts.get(first).copied() };
            let found = longest.and_then(|longest| (1..=longest).rev().find_map(name_of));
            rest = match found {
                Some((name, rest)) => {
                    named.extend([" ", name, " "]);
                    rest
                }
                None => {
                    named.push(*first);
                    others
                }
            };
        }
        named.into()
    }

    /// The index of a word, or of its singular: hearts, foxes, strawberries, wolves, knives.
    fn find(&self, word: &str) -> Option<u32> {
        const ENDINGS: [(&str, &str); 5] = [("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("ves", "fe")];
        let singular = |(plural, singular): (&str, &str)| {
            let stem = word.strip_suffix(plural)?;
            self.index.get(&format!("{stem}{singular}"))
        };
        self.index.get(word).or_else(|| ENDINGS.into_iter().find_map(singular)).copied()
    }

    /// The class of what a text names: that of the subject which shares the most words with it and has the fewest others. If
    /// no subject shares one, the class in which the first of its words occurs most often. `None` if it has no known word.
    pub fn class_of(&self, text: &str) -> Option<usize> {
        let words = self.encode(text).words;
        let score = |subject: &Subject| {
            let shared = subject.words.iter().filter(|word| words.contains(word)).count();
            (shared > 0).then_some((shared, Reverse(subject.words.len())))
        };
        let best = |class: usize| self.subjects[class].iter().filter_map(score).max();
        let of_subject = (0..self.subjects.len())
            .rev() // `max_by_key` takes the last of equal ones
            .filter_map(|class| Some((class, best(class)?)))
            .max_by_key(|&(_, score)| score)
            .map(|(class, _)| class);
        of_subject.or_else(|| self.classes.get(*words.first()? as usize).copied())
    }

    /// Up to `count` words that begin with a text, the shortest first.
    pub fn complete_word(&self, prefix: &str, count: usize) -> Vec<&str> {
        let words = self.words.iter().map(String::as_str).filter(|word| word.starts_with(prefix));
        shortest(words, count)
    }

    /// Up to `count` names of subjects that have all words of a text, the last of which may be incomplete; the shortest first.
    pub fn complete_subject(&self, text: &str, count: usize) -> Vec<&str> {
        let typed = split_words(text);
        let Some((last, whole)) = typed.split_last() else { return Vec::new() };
        let fits = |name: &&str| {
            let words = split_words(name);
            whole.iter().all(|word| words.contains(word)) && words.iter().any(|word| word.starts_with(last))
        };
        shortest(self.subjects.iter().flatten().map(|subject| subject.name.as_str()).filter(fits), count)
    }

    /// Up to `count` words of the vocabulary that resemble a word, the nearest first. Nothing resembles a word that is much
    /// longer than any of them.
    pub fn similar(&self, word: &str, count: usize) -> Vec<&str> {
        if word.chars().count() > MAX_SIMILAR {
            return Vec::new();
        }
        let mut found: Vec<(f64, &str)> = self
            .words
            .iter()
            .map(|known| (strsim::jaro_winkler(word, known), known.as_str()))
            .filter(|&(similarity, _)| similarity >= 0.8)
            .collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        found.into_iter().take(count).map(|(_, word)| word).collect()
    }
}

/// The first `count` texts by length and alphabet, each once.
fn shortest<'a>(texts: impl Iterator<Item = &'a str>, count: usize) -> Vec<&'a str> {
    let mut found: Vec<&str> = texts.collect();
    found.sort_by_key(|text| (text.len(), *text));
    found.dedup();
    found.truncate(count);
    found
}

/// The different words of a text, in its order: lower case, without accents, letters a to z and digits only.
pub fn split_words(text: &str) -> Vec<String> {
    let is_word = |word: &String| word.chars().all(|c| c.is_ascii_alphanumeric());
    words_and_symbols(text).into_iter().filter(is_word).collect()
}

/// The different words of a text, in its order, those of other scripts included, and its symbols.
fn words_and_symbols(text: &str) -> Vec<String> {
    let plain: String = text
        .to_lowercase()
        .nfkd()
        .filter(|&c| !is_combining_mark(c) && !is_modifier(c) && c != '’' && c != '\'')
        .collect();
    let runs = plain.split(|c: char| !c.is_alphanumeric() && !is_symbol(c));
    // A symbol ends the word before it, and is one itself.
    let words = runs.flat_map(|run| run.split_inclusive(is_symbol)).flat_map(|part| {
        let (word, symbol) = part.split_at(part.find(is_symbol).unwrap_or(part.len()));
        [word, symbol]
    });
    let mut seen = HashSet::new();
    words.filter(|word| !word.is_empty() && seen.insert(*word)).map(str::to_owned).collect()
}

/// Whether a character is a symbol, such as an emoji, which has a meaning of its own.
fn is_symbol(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

/// Whether a character only modifies an emoji: joiner, variation selectors, skin tones.
fn is_modifier(c: char) -> bool {
    matches!(c, '\u{200d}' | '\u{fe0e}' | '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}')
}
