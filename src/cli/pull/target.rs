//! `rdpm pull --to`: a model in a folder that the user names.
//!
//! While it is pulled, `.NAME.part` is beside the folder, and `.NAME.lock`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use super::address::Address;
use super::checksum_list::{ChecksumList, LIST_FILE, ORIGIN_FILE};
use super::client::Client;
use super::lock::Lock;
use super::staging::{Staging, fetch_list, publish};

/// Brings the model in a folder up to date, and returns the folder's path.
///
/// # Errors
/// If the folder exists and is none of this address; if it has files of its own; if the server can't be reached, if the model is
/// invalid or too large, and if the folder can't be written.
pub fn pull_to(address: &Address, folder: &Path, max_bytes: u64) -> anyhow::Result<PathBuf> {
    let whole = fs::canonicalize(folder).or_else(|_| std::path::absolute(folder));
    let folder = whole.with_context(|| format!("{} can't be used", folder.display()))?;
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
        bail!("{} can't be the folder of a model", folder.display());
    };
    let beside = |ending: &str| parent.join(format!(".{}.{ending}", name.to_string_lossy()));
    check_origin(address, &folder)?;
    let lock = Lock::acquire(&beside("lock"))?;
    let pulled = update(address, &folder, beside("part"), max_bytes);
    lock.remove();
    pulled.map(|()| folder)
}

/// Checks that a folder is a model of this address, or doesn't exist.
fn check_origin(address: &Address, folder: &Path) -> anyhow::Result<()> {
    if fs::symlink_metadata(folder).is_err() {
        return Ok(());
    }
    let origin = fs::read_to_string(folder.join(ORIGIN_FILE)).unwrap_or_default();
    let name = folder.display();
    match origin.trim_end() {
        "" => bail!("{name} exists and was not made by `rdpm pull`; choose another folder"),
        other if other != address.to_string() => {
            bail!("{name} is a model of another address, {other}; choose another folder")
        }
        _ => Ok(()),
    }
}

fn update(address: &Address, folder: &Path, staging: PathBuf, max_bytes: u64) -> anyhow::Result<()> {
    // Another process may have made it meanwhile.
    check_origin(address, folder)?;
    let own = ChecksumList::of_folder(folder);
    let is_intact = own.as_ref().is_some_and(|own| own.is_intact_in(folder));
    let intact = own.as_ref().filter(|_| is_intact).map(|own| own.hash);
    // What a pinned version contains is known without the server.
    if intact.is_some() && intact == address.pin() {
        return Ok(());
    }
    let client = Client::new(address);
    let list = fetch_list(&client, address)?;
    if intact == Some(list.hash) {
        return Ok(());
    }
    check_files(folder, "", own.as_ref())?;
    let earlier = vec![folder.to_owned()];
    Staging { client: &client, address, list: &list, folder: staging.clone(), earlier, max_bytes }.fill()?;
    let origin = staging.join(ORIGIN_FILE);
    fs::write(&origin, format!("{address}\n"))
        .with_context(|| format!("{} can't be written", origin.display()))?;
    check_files(folder, "", own.as_ref())?;
    publish(&staging, folder)
}

/// Checks that a folder, if there is one, has no files but those that were pulled: an update removes the others.
fn check_files(folder: &Path, prefix: &str, list: Option<&ChecksumList>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.with_context(|| format!("{} can't be read", folder.display()))?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            check_files(&entry.path(), &format!("{name}/"), list)?;
        } else {
            let is_listed = list.is_some_and(|list| list.files.iter().any(|file| file.name == name));
            let is_pulled = is_listed || [LIST_FILE, ORIGIN_FILE].contains(&name.as_str());
            let path = entry.path();
            ensure!(
                is_pulled,
                "{} was not pulled and would be lost in the update; move it to another folder",
                path.display()
            );
        }
    }
    Ok(())
}
