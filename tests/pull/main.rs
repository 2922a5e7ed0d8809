//! `rdpm pull`, and `--weights` with an address: the program against servers of files on this machine.

mod cached_use;
mod file_server;
mod misuse;
#[path = "../program/mod.rs"]
mod program;
mod pulls;
mod resumption;
mod secrets;
mod system;
mod target;
