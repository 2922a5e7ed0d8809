//! The views of the page.

use std::fmt;

/// A part of the page with its own address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Draw,
    Compare,
    Tokenize,
    Edit,
    How,
}

impl View {
    pub const ALL: [Self; 5] = [Self::Draw, Self::Compare, Self::Tokenize, Self::Edit, Self::How];

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Draw => "draw",
            Self::Compare => "compare",
            Self::Tokenize => "tokenize",
            Self::Edit => "edit",
            Self::How => "how",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Draw => "Draw",
            Self::Compare => "Compare",
            Self::Tokenize => "Tokenize",
            Self::Edit => "Edit",
            Self::How => "How it works",
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
