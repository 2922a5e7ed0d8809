//! Prompts as they are written for Stable Diffusion.
//!
//! `(red:1.3) [cat] <lora:style:0.8>` weighs words, and names networks that change the model. Ours knows neither: what remains
//! are the words.

/// The longest number of a weight.
const MAX_WEIGHT: usize = 6;

/// A prompt without weights and networks, and the networks that it named.
pub(super) fn plain_prompt(prompt: &str) -> (String, Vec<String>) {
    let (mut plain, mut networks) = (String::with_capacity(prompt.len()), Vec::new());
    let mut rest = prompt;
    while let Some(at) = rest.find(['<', ':']) {
        let (before, from) = rest.split_at(at);
        plain.push_str(before);
        if let Some((network, after)) = network(from) {
            networks.push(network.to_owned());
            plain.push(' ');
            rest = after;
        } else if let Some(after) = after_weight(from) {
            rest = after;
        } else {
            let next = from.chars().next().map_or(0, char::len_utf8);
            plain.push_str(&from[..next]);
            rest = &from[next..];
        }
    }
    plain.push_str(rest);
    (plain, networks)
}

/// What is between angle brackets, if it has a colon, and what follows them.
fn network(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('<')?;
    let (network, after) = inside.split_at(inside.find(['<', '>', '\n'])?);
    Some((network, after.strip_prefix('>')?)).filter(|(network, _)| network.contains(':'))
}

/// What follows the number in `:1.3)`, with the bracket.
fn after_weight(text: &str) -> Option<&str> {
    let text = text.strip_prefix(':')?.trim_start_matches(' ');
    let length = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (number, after) = text.split_at(length);
    ((1..=MAX_WEIGHT).contains(&length) && number.parse::<f64>().is_ok() && after.starts_with([')', ']']))
        .then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_and_networks_are_removed() {
        for (prompt, plain, networks) in [
            ("a red heart", "a red heart", &[][..]),
            ("(red:1.3) heart", "(red) heart", &[]),
            ("[red: 0.5] (heart)", "[red] (heart)", &[]),
            ("heart <lora:sketch:0.8>, <hypernet:x:1>", "heart  ,  ", &["lora:sketch:0.8", "hypernet:x:1"]),
            ("a <3 heart: 7) :1.2", "a <3 heart) :1.2", &[]),
            ("<3 <3: <a:<b:c>", "<3 <3: <a: ", &["b:c"]),
            ("ratio 16:9, 👍:👎", "ratio 16:9, 👍:👎", &[]),
            ("(x:1.2.3) (y:)", "(x:1.2.3) (y:)", &[]),
        ] {
            let (found, named) = plain_prompt(prompt);
            assert_eq!(
                (found.as_str(), named),
                (plain, networks.iter().map(|n| n.to_string()).collect()),
                "{prompt}"
            );
        }
    }
}
