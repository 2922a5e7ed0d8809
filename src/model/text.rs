//! Characters of texts that are displayed.

/// Whether a character is neither a control nor a bidirectional one: those could rewrite a terminal's lines.
pub fn is_printable(c: char) -> bool {
    let is_bidirectional =
        matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !is_bidirectional
}
