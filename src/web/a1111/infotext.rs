//! The settings of a picture as text, as AUTOMATIC1111 writes them into its files: the prompt, and a line of pairs.

use serde_json::{Map, Value};

/// Pairs that a last line needs at least; with fewer it belongs to the prompt.
const MIN_PAIRS: usize = 3;
const NEGATIVE: &str = "Negative prompt:";
/// The name under which our way to sample appears.
pub(super) const SAMPLER: &str = "RDPM";

/// A text that readers of these files understand.
pub(super) fn write(prompt: &str, pairs: &[(&str, String)]) -> String {
    let is_text = |letter: &char| *letter == '\n' || !letter.is_control();
    let prompt: String = prompt.chars().filter(is_text).collect();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}: {}", quote(value))).collect();
    format!("{}\n{}", prompt.trim(), pairs.join(", ")).trim().to_owned()
}

/// A value with a comma, a colon or a line break as JSON.
fn quote(value: &str) -> String {
    if value.contains([',', ':', '\n']) { Value::from(value).to_string() } else { value.to_owned() }
}

/// The prompt and the pairs of a text. Sizes become two numbers, `Size-1` and `Size-2`.
pub(super) fn parse(text: &str) -> Map<String, Value> {
    let mut parsed = Map::new();
    let text = text.trim();
    if text.is_empty() {
        return parsed;
    }
    let (body, last) = text.rsplit_once('\n').unwrap_or(("", text));
    let mut found = pairs(last);
    let mut prompts = body;
    if found.len() < MIN_PAIRS {
        (prompts, found) = (text, Vec::new());
    }
    let (prompt, negative) = match prompts.find(NEGATIVE) {
        Some(at) => (&prompts[..at], &prompts[at + NEGATIVE.len()..]),
        None => (prompts, ""),
    };
    parsed.insert("Prompt".into(), prompt.trim().into());
    parsed.insert("Negative prompt".into(), negative.trim().into());
    for (name, value) in found {
        match size(&value) {
            Some((width, height)) => {
                parsed.insert(format!("{name}-1"), width.into());
                parsed.insert(format!("{name}-2"), height.into());
            }
            None => {
                parsed.insert(name, value.into());
            }
        }
    }
    parsed
}

/// The numbers of `512x768`.
fn size(value: &str) -> Option<(&str, &str)> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    value.split_once('x').filter(|(width, height)| is_number(width) && is_number(height))
}

/// The pairs of a line: `Name: value, Name: "quoted, value"`.
fn pairs(line: &str) -> Vec<(String, String)> {
    let (mut pairs, mut rest) = (Vec::new(), line);
    while !rest.is_empty() {
        let Some((name, after)) = rest.split_once(':') else { break };
        let name = name.rsplit(',').next().unwrap_or_default().trim();
        let value = after.trim_start();
        let (value, after) = match quoted(value) {
            Some((value, after)) => (value, after.split_once(',').map_or("", |(_, after)| after)),
            None => {
                let (value, after) = value.split_once(',').unwrap_or((value, ""));
                (value.trim().to_owned(), after)
            }
        };
        let in_name = |letter: char| letter.is_alphanumeric() || " _-/".contains(letter);
        if name.chars().count() > 1 && name.chars().all(in_name) {
            pairs.push((name.to_owned(), value));
        }
        rest = after;
    }
    pairs
}

/// The text in quotes at the beginning, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut is_escaped = false;
    let end = inside.char_indices().find(|(_, letter)| match letter {
        _ if is_escaped => {
            is_escaped = false;
            false
        }
        '\\' => {
            is_escaped = true;
            false
        }
        letter => *letter == '"',
    });
    let (json, after) = text.split_at(end?.0 + 2);
    Some((serde_json::from_str(json).ok()?, after))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_parsed() {
        let pairs = [
            ("Steps", "10".to_owned()),
            ("Sampler", SAMPLER.to_owned()),
            ("CFG scale", "2.5".to_owned()),
            ("Size", "512x768".to_owned()),
            ("Model", "a, \"strange\": name".to_owned()),
        ];
        let text = write("a (red:1.2) heart,\nbig\u{0}\u{7}", &pairs);
        assert_eq!(
            text,
            "a (red:1.2) heart,\nbig\nSteps: 10, Sampler: RDPM, CFG scale: 2.5, Size: 512x768, \
             Model: \"a, \\\"strange\\\": name\""
        );
        let expected = json!({
            "Prompt": "a (red:1.2) heart,\nbig", "Negative prompt": "", "Steps": "10", "Sampler": "RDPM", "CFG scale": "2.5",
            "Size-1": "512", "Size-2": "768", "Model": "a, \"strange\": name",
        });
        assert_eq!(Value::from(parse(&text)), expected);
    }

    #[test]
    fn texts_of_other_programs_are_parsed() {
        let text = "a cat\nNegative prompt: blurry,\nugly\nSteps: 20, Sampler: Euler a, Schedule type: Karras, Seed: 1";
        let parsed = parse(text);
        assert_eq!(
            (&parsed["Prompt"], &parsed["Negative prompt"]),
            (&json!("a cat"), &json!("blurry,\nugly"))
        );
        assert_eq!((&parsed["Sampler"], &parsed["Schedule type"]), (&json!("Euler a"), &json!("Karras")));
        // Too few pairs for settings.
        assert_eq!(
            Value::from(parse("a: b, c d: e")),
            json!({"Prompt": "a: b, c d: e", "Negative prompt": ""})
        );
        assert!(parse(" \n ").is_empty());
        for odd in [
            ":",
            "::::",
            "a:\"",
            "Steps: \"1, 2, 3",
            ",,,:,",
            "ab: \"\\\"x\", cd: 1, ef: \"é\\",
            "é: é, éé: ü, öö: ä",
        ] {
            parse(odd);
        }
    }
}
