//! The class that a prompt names.
//!
//! The model knows classes, not language: a prompt must contain the name of one of them, in any case, singular or plural. Of a
//! name with several parts (`T-shirt/top`, `Food & drink`) each part is enough. Where one name is part of another ("shirt" in
//! "T-shirt") the longer one counts.

/// A name found in the prompt.
struct Match {
    class: usize,
    /// Words of the prompt.
    words: std::ops::Range<usize>,
    /// Letters of the name.
    length: usize,
}

/// The classes that a prompt names, by index, in the order of the text, each once.
pub(super) fn classes_of_prompt(prompt: &str, classes: &[String]) -> Vec<usize> {
    let words = words(prompt);
    let names: Vec<(usize, String)> = classes
        .iter()
        .enumerate()
        .flat_map(|(class, name)| names(name).into_iter().map(move |name| (class, name)))
        .collect();
    let mut matches: Vec<Match> = Vec::new();
    let longest = names.iter().map(|(_, name)| name.len()).max().unwrap_or(0);
    for start in 0..words.len() {
        // "T shirt", "T-shirt" and "tshirt" are one name: only letters are compared.
        let mut letters = String::new();
        for (end, word) in words.iter().enumerate().skip(start) {
            letters.push_str(word);
            if letters.len() > longest {
                break;
            }
            let found = names.iter().filter(|(_, name)| *name == letters);
            matches.extend(found.map(|&(class, _)| Match {
                class,
                words: start..end + 1,
                length: letters.len(),
            }));
        }
    }
    let lies_within_longer = |one: &Match| {
        let overlaps = |other: &Match| other.words.start < one.words.end && one.words.start < other.words.end;
        matches.iter().any(|other| other.length > one.length && overlaps(other))
    };
    let mut found = Vec::new();
    for one in matches.iter().filter(|one| !lies_within_longer(one)) {
        if !found.contains(&one.class) {
            found.push(one.class);
        }
    }
    found
}

/// The letters of a class's name and, where it has several parts, of each.
fn names(class: &str) -> Vec<String> {
    let mut names: Vec<String> = class.split(['/', '&']).map(|part| words(part).concat()).collect();
    names.push(words(class).concat());
    names.retain(|name| !name.is_empty());
    names.dedup();
    names
}

/// Words in small letters, in the singular.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| singular(word.to_lowercase())).collect()
}

/// Removes the ending of a plural. The result need not be a word, but must be the same for singular and plural.
fn singular(mut word: String) -> String {
    let sibilant = ["sses", "shes", "ches", "xes", "zes"];
    if sibilant.iter().any(|ending| word.ends_with(ending)) {
        word.truncate(word.len() - 2);
    } else if word.ends_with("ies") && word.len() > 4 {
        word.truncate(word.len() - 3);
        word.push('y');
    } else if word.ends_with('s') && !word.ends_with("ss") && word.len() > 3 {
        word.pop();
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fashion(prompt: &str) -> Vec<usize> {
        let classes = [
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ];
        classes_of_prompt(prompt, &classes.map(String::from))
    }

    #[test]
    fn class_is_found_in_any_case_singular_or_plural() {
        for (prompt, class) in [
            ("Sneaker", 7),
            ("a photo of a sneaker", 7),
            ("SNEAKERS, please!", 7),
            ("two dresses", 3),
            ("dress", 3),
            ("trousers", 1),
            ("ankle boots on snow", 9),
            ("ankle-boot", 9),
            ("an ankleboot", 9),
            ("a top", 0),
            ("T-shirt/top", 0),
            ("bag, bags and baggage", 8),
        ] {
            assert_eq!(fashion(prompt), [class], "{prompt}");
        }
    }

    #[test]
    fn longer_name_wins() {
        for prompt in ["a T-shirt", "t shirts", "tshirt", "a t-shirt top"] {
            assert_eq!(fashion(prompt), [0], "{prompt}");
        }
        assert_eq!(fashion("a shirt"), [6]);
    }

    #[test]
    fn parts_of_words_are_ignored() {
        for prompt in ["", "a cat", "bagpipes", "undershirted", "boot", "7", "ßs", "…"] {
            assert!(fashion(prompt).is_empty(), "{prompt}");
        }
    }

    #[test]
    fn parts_of_a_class_name_are_found() {
        let classes = ["Food & drink", "Fruit & vegetable"].map(String::from);
        for (prompt, class) in [("a drink", 0), ("food and drinks", 0), ("Food & drink", 0), ("fruits", 1)] {
            assert_eq!(classes_of_prompt(prompt, &classes), [class], "{prompt}");
        }
    }

    #[test]
    fn several_classes_are_returned_in_the_order_of_the_text() {
        assert_eq!(fashion("a bag, a coat and another bag"), [8, 4]);
        assert_eq!(fashion("a shirt over a t-shirt"), [6, 0]);
    }
}
