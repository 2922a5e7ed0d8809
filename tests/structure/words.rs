//! Names that were replaced by the field's terms.

use super::imports::code_only;

/// Folders that are not checked: the list of words itself.
pub const UNCHECKED: [&str; 1] = ["tests/structure/"];

/// Identifiers that say what a thing resembles instead of what it is. See the table of words in CONTRIBUTING.md.
const REPLACED: [&str; 60] = [
    "Closing",
    "Contender",
    "Control",
    "Desk",
    "Drawing",
    "Drawn",
    "Errand",
    "Keeper",
    "Lane",
    "Ledger",
    "Look",
    "NEVER",
    "OF_ONE_MODEL",
    "Order",
    "Pace",
    "Pages",
    "Passes",
    "Place",
    "Room",
    "Shelf",
    "Shown",
    "Theater",
    "Turn",
    "Wanted",
    "Which",
    "Wish",
    "colophon",
    "contender",
    "dress",
    "dressed",
    "errand",
    "errands",
    "exhibit",
    "intake",
    "invite",
    "is_guess",
    "keeper",
    "lane",
    "lanes",
    "ledger",
    "load_plain",
    "pace",
    "patiently",
    "plates",
    "shelf",
    "tell_places",
    "theater",
    "toy_engine",
    "wish",
    "wishes",
    "Toy",
    "Toys",
    "deed",
    "Exhibit",
    "Intake",
    "Plates",
    "Stage",
    "bodies",
    "deal",
    "care",
];

/// The same for scripts only: elsewhere these words mean what they say.
const REPLACED_IN_SCRIPTS: [&str; 2] = ["Outcome", "outcome"];

/// The replaced names that are identifiers in some code, sorted.
pub fn replaced_names(text: &str, ending: &str) -> Vec<&'static str> {
    let code = code_only(text, if ending == ".py" { "#" } else { "//" });
    let words: Vec<&str> = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
    let in_scripts: &[&str] = if ending == ".js" { &REPLACED_IN_SCRIPTS } else { &[] };
    REPLACED.iter().chain(in_scripts).copied().filter(|name| words.contains(name)).collect()
}
