//! `rdpm store`: looks after a store.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use rdpm::store;

use super::output::print;

#[derive(Debug, Args)]
pub struct Store {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Copy a store as it is at this moment. A server may use it meanwhile. The copy is a store: to restore it, start the server
    /// with it.
    Backup(Backup),
}

#[derive(Debug, Args)]
struct Backup {
    /// Folder to copy to. It must not exist or be empty.
    target: PathBuf,
    /// Folder of the store.
    #[arg(long, env = "RDPM_STORE", value_name = "DIR")]
    store: PathBuf,
}

impl Store {
    pub fn run(self) -> anyhow::Result<()> {
        let Command::Backup(Backup { target, store }) = self.command;
        let files = store::backup(&store, &target)
            .with_context(|| format!("{} can't be copied to {}", store.display(), target.display()))?;
        print(format!("{files} files and the database\n"))
    }
}
