//! What `--weights` names: a folder, or the address of a model on a server.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde::{Serialize, Serializer};

use super::pull::{Address, CachedModel, cache_folder};

/// A folder of models, or the address of a model. No text of this type contains the password of an address.
#[derive(Debug, Clone)]
pub enum Weights {
    Folder(PathBuf),
    /// The address, or why it can't be used. An error of clap would contain the text.
    Address(Result<Box<Address>, String>),
}

impl Weights {
    /// The folder of the models. A model with an address is pulled first, or taken from the cache if its server can't be reached.
    ///
    /// # Errors
    /// If the address is invalid, or the model can't be pulled and is not in the cache.
    pub fn folder(&self, cache: Option<&Path>) -> anyhow::Result<PathBuf> {
        match self {
            Self::Folder(folder) => Ok(folder.clone()),
            Self::Address(Ok(address)) => CachedModel::new(&cache_folder(cache)?, address).use_folder(),
            Self::Address(Err(reason)) => Err(anyhow!("--weights: {reason}")),
        }
    }
}

impl From<PathBuf> for Weights {
    fn from(path: PathBuf) -> Self {
        match path.to_str().filter(|text| Address::is_address(text)) {
            Some(text) => {
                Self::Address(Address::parse(text).map(Box::new).map_err(|error| format!("{error:#}")))
            }
            None => Self::Folder(path),
        }
    }
}

/// The folder's path, or the address without user information.
impl fmt::Display for Weights {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(formatter),
            Self::Address(Ok(address)) => address.fmt(formatter),
            Self::Address(Err(_)) => formatter.write_str("an invalid address"),
        }
    }
}

/// As the setting is written, without user information.
impl Serialize for Weights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Folder(folder) => folder.serialize(serializer),
            Self::Address(Ok(address)) => serializer.serialize_str(&address.setting()),
            Self::Address(Err(_)) => serializer.collect_str(self),
        }
    }
}
