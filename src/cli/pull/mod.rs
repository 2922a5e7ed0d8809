//! Models by address: `rdpm pull`, and the folder of a model that `--weights` names by its address.
//!
//! | file | contents |
//! |---|---|
//! | `address` | where a model is served, the user and password for it, and its pin |
//! | `checksum_list` | `SHA256SUMS`: the names and hashes of a model's files |
//! | `client` | requests, redirects, time limits |
//! | `download` | one file, with attempts, resumption and its hash |
//! | `staging` | all files of a model, checked, and the rename that makes them visible |
//! | `cache`, `target` | the two kinds of folders that models are pulled into |
//! | `hash`, `lock`, `report` | SHA-256; locks between processes; progress and warnings |

mod address;
mod cache;
mod checksum_list;
mod client;
mod download;
mod hash;
mod lock;
mod report;
mod staging;
mod target;

use std::path::PathBuf;

use clap::Args;

pub use self::address::Address;
use self::cache::MAX_BYTES;
pub use self::cache::{CachedModel, cache_folder};
pub use self::client::Unreachable;
use self::hash::FileHash;
use self::target::pull_to;
use super::output::print;

#[derive(Args)]
pub struct Pull {
    /// Address of a model's folder on a server, as in https://example.org/models/emoji. It has a file SHA256SUMS. The address may
    /// contain a user and a password, and end with #sha256= and the hash of SHA256SUMS.
    // Not checked here, because clap's errors would contain the password.
    #[arg(env = "RDPM_ADDRESS", hide_env_values = true)]
    address: String,
    /// Folder that becomes the model's. If it exists, it must be one of an earlier `rdpm pull` of this address. If omitted, the
    /// model is kept in the cache.
    #[arg(long, env = "RDPM_PULL_TO", value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// Hash that SHA256SUMS must have, as `sha256sum SHA256SUMS` prints it. Otherwise nothing else is downloaded.
    #[arg(long, env = "RDPM_SHA256", value_name = "HEX")]
    sha256: Option<FileHash>,
    /// Bytes that the files of the model may have together.
    #[arg(long, env = "RDPM_MAX_BYTES", value_name = "BYTES", default_value_t = MAX_BYTES)]
    max_bytes: u64,
    /// Folder in which models are kept that were pulled. If omitted, rdpm in $XDG_CACHE_HOME or in ~/.cache.
    #[arg(long, env = "RDPM_CACHE", value_name = "FOLDER")]
    cache: Option<PathBuf>,
}

impl Pull {
    /// Pulls the model and prints the path of its folder.
    ///
    /// # Errors
    /// If the address or the folder can't be used, if the server can't be reached, if the model is invalid or too large.
    pub fn run(self) -> anyhow::Result<()> {
        let address = Address::parse(&self.address)?.with_pin(self.sha256)?;
        let folder = match &self.to {
            Some(folder) => pull_to(&address, folder, self.max_bytes)?,
            None => {
                let cache = cache_folder(self.cache.as_deref())?;
                CachedModel::new(&cache, &address).pull(self.max_bytes)?
            }
        };
        print(format!("{}\n", folder.display()))
    }
}

/// Without the address, which may contain a password.
impl std::fmt::Debug for Pull {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pull").field("to", &self.to).finish_non_exhaustive()
    }
}
