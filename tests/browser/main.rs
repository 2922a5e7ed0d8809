//! The page in a real browser: headless Chromium, driven over WebDriver, against the real program with the shipped
//! weights. Needs Debian's `chromium` and `chromium-driver`, and axe-core from npm, which `scripts/test` installs.
//!
//! One program for all of them, so that candle is linked once; a module for each part of the page.

mod access;
mod compare;
mod controls;
mod how;
mod inspect;
mod models;
mod practical;
#[path = "../program/mod.rs"]
mod program;
mod site;
mod stage;
mod tokenize;
mod tools;
mod without_scripts;
