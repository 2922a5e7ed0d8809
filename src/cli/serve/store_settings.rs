//! The settings of a server's store.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use rdpm::store::{Options, Store};
use serde::Serialize;

/// What outlives the server.
#[derive(Debug, Args, Serialize)]
#[command(next_help_heading = "Store")]
pub struct StoreArguments {
    /// Folder in which generations and their pictures are kept, so that a restart loses none. Without it they are kept in memory
    /// only.
    #[arg(long, env = "RDPM_STORE", value_name = "DIR")]
    store: Option<PathBuf>,
    /// Days that a generation is kept in the store; 0 is no limit. Those with a favourite are kept whatever the limits.
    #[arg(long, env = "RDPM_STORE_DAYS", default_value_t = 0, value_name = "DAYS")]
    store_days: u32,
    /// Pictures in the store at most; the oldest generations are removed first. 0 is no limit.
    #[arg(long, env = "RDPM_STORE_PICTURES", default_value_t = Options::MAX_PICTURES as u32, value_name = "COUNT")]
    store_pictures: u32,
    /// Size of the store in MiB at most; the oldest generations are removed first. 0 is no limit.
    #[arg(long, env = "RDPM_STORE_MIB", default_value_t = (Options::MAX_BYTES >> 20) as u32, value_name = "MIB")]
    store_mib: u32,
}

impl StoreArguments {
    /// Opens the store, if the settings name one. Blocks.
    pub fn open(&self) -> anyhow::Result<Option<Store>> {
        let Some(folder) = &self.store else { return Ok(None) };
        let limit = |value: u32| (value > 0).then_some(u64::from(value));
        let options = Options {
            max_age: limit(self.store_days).map(|days| Duration::from_secs(days * 24 * 60 * 60)),
            max_pictures: limit(self.store_pictures),
            max_bytes: limit(self.store_mib).map(|mib| mib << 20),
            ..Options::new(folder)
        };
        Store::open(options).map(Some).context("no thread for the store")
    }
}
