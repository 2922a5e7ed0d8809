//! The page in a real browser: headless Chromium, driven over WebDriver, against the real program with the shipped
//! weights. Needs Debian's `chromium` and `chromium-driver`, and axe-core from npm, which `scripts/test` installs.
//!
//! All browser tests are one program, so that candle is linked once. Each part of the page has a module.

mod accessibility;
mod code;
mod compare;
mod docs;
mod edit;
mod embedding;
mod gallery;
mod how;
mod inspector;
mod interpolation;
mod models;
#[path = "../program/mod.rs"]
mod program;
mod prompt;
mod recovery;
mod results;
mod server_gallery;
mod settings;
mod shortcuts;
mod site;
mod tokenize;
mod tools;
mod viewer;
mod without_scripts;
