//! Text of foreign files that is safe to print on a terminal.

use std::fmt::{self, Display};

use rdpm::model::is_printable;

/// Displays a text with its control and bidirectional formatting characters escaped, as `\u{1b}`.
///
/// A terminal interprets the former, and shows the text after the latter in another order.
pub struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        for character in text.chars() {
            if is_unsafe(character) {
                write!(formatter, "{}", character.escape_unicode())?;
            } else {
                write!(formatter, "{character}")?;
            }
        }
        Ok(())
    }
}

/// Whether a character is one that [`Escaped`] escapes.
pub fn is_unsafe(character: char) -> bool {
    let is_separator = matches!(character, '\u{2028}' | '\u{2029}'); // of lines, of paragraphs
    is_separator || !is_printable(character)
}
