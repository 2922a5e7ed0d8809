//! Generations that outlive the server: real processes that end, are killed, and start again.

#[path = "../common/mod.rs"]
mod common;
#[path = "../program/mod.rs"]
mod program;
#[path = "../store_check/mod.rs"]
mod store_check;

mod backup;
#[cfg(target_os = "linux")]
mod disk;
mod gallery;
mod kept;
#[cfg(unix)]
mod kill;
mod process;
#[cfg(unix)]
mod restart;
mod size;
