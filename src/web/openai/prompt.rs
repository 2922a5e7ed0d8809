//! Which class a prompt asks for.
//!
//! The model knows classes, not language: a prompt must name one of them, as a word or several, in any case, singular or
//! plural. A name of several parts (`T-shirt/top`, `Food & drink`) may be given by each of them. Where one name lies within another
//! ("shirt" in "T-shirt") the longer one counts.

/// What a prompt says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Index of the class.
    Class(usize),
    /// No class is named.
    Nothing,
    /// Several classes are named, by rising index.
    Several(Vec<usize>),
}

/// A name found in the prompt.
struct Match {
    class: usize,
    /// Words of the prompt.
    words: std::ops::Range<usize>,
    /// Letters of the name.
    length: usize,
}

/// Reads a prompt.
pub(super) fn read(prompt: &str, classes: &[String]) -> Reading {
    let words = words(prompt);
    let names: Vec<(usize, String)> = classes
        .iter()
        .enumerate()
        .flat_map(|(class, name)| names(name).into_iter().map(move |name| (class, name)))
        .collect();
    let mut matches: Vec<Match> = Vec::new();
    let longest = names.iter().map(|(_, name)| name.len()).max().unwrap_or(0);
    for start in 0..words.len() {
        // "T shirt", "T-shirt" and "tshirt" are one name: what counts is the letters.
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
    let mut found: Vec<usize> =
        matches.iter().filter(|found| !lies_within_longer(found)).map(|found| found.class).collect();
    found.sort_unstable();
    found.dedup();
    match found[..] {
        [] => Reading::Nothing,
        [class] => Reading::Class(class),
        _ => Reading::Several(found),
    }
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

/// An English noun without its plural's ending. It needn't be right, but the same for both numbers.
fn singular(mut word: String) -> String {
    let hissing = ["sses", "shes", "ches", "xes", "zes"];
    if hissing.iter().any(|ending| word.ends_with(ending)) {
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

    fn fashion(prompt: &str) -> Reading {
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
        read(prompt, &classes.map(String::from))
    }

    #[test]
    fn a_class_is_found_in_any_case_and_number() {
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
            assert_eq!(fashion(prompt), Reading::Class(class), "{prompt}");
        }
    }

    #[test]
    fn the_longer_name_counts() {
        for prompt in ["a T-shirt", "t shirts", "tshirt", "a t-shirt top"] {
            assert_eq!(fashion(prompt), Reading::Class(0), "{prompt}");
        }
        assert_eq!(fashion("a shirt"), Reading::Class(6));
    }

    #[test]
    fn words_count_whole() {
        for prompt in ["", "a cat", "bagpipes", "undershirted", "boot", "7", "ßs", "…"] {
            assert_eq!(fashion(prompt), Reading::Nothing, "{prompt}");
        }
    }

    #[test]
    fn parts_of_a_name_will_do() {
        let classes = ["Food & drink", "Fruit & vegetable"].map(String::from);
        for (prompt, class) in [("a drink", 0), ("food and drinks", 0), ("Food & drink", 0), ("fruits", 1)] {
            assert_eq!(read(prompt, &classes), Reading::Class(class), "{prompt}");
        }
    }

    #[test]
    fn several_classes_are_told() {
        assert_eq!(fashion("a bag and a coat"), Reading::Several(vec![4, 8]));
        assert_eq!(fashion("a shirt over a t-shirt"), Reading::Several(vec![0, 6]));
    }
}
