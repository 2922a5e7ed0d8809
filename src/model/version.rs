//! The version of a model: what determines the pictures that it draws, as a short text.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::computation::Computation;
use super::config::CONFIG_FILE;
use super::error::ModelError;
use super::pass_count::PassCount;
use super::vocabulary::VOCABULARY_FILE;
use super::weights::{ONE_PASS_FILE, WEIGHTS_FILE};

/// Increase it with each change of the program after which the same request may give another picture.
const RENDERER_REVISION: u32 = 2;
/// Hexadecimal digits of a version are twice as many.
const BYTES: usize = 8;
/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// The version of the model in a folder: a hash of its files and of the way in which the program computes.
///
/// # Errors
/// [`ModelError::Read`].
pub(super) fn version(folder: &Path, computation: Computation) -> Result<String, ModelError> {
    let mut hash = Sha256::new();
    let (passes, precision) = (computation.passes, computation.precision.name());
    hash.update(format!("renderer {RENDERER_REVISION}, {} passes, {precision}\n", passes.number()));
    for name in [CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE] {
        hash_file(&mut hash, folder, name)?;
    }
    if passes == PassCount::One {
        hash_file(&mut hash, folder, ONE_PASS_FILE)?;
    }
    Ok(hash.finalize().iter().take(BYTES).map(|byte| format!("{byte:02x}")).collect())
}

/// Adds a file's name, contents and length. Models that know no words have no vocabulary.
fn hash_file(hash: &mut Sha256, folder: &Path, name: &str) -> Result<(), ModelError> {
    let path = folder.join(name);
    let read = |source| ModelError::Read { path: path.clone(), source };
    let mut file = match File::open(&path) {
        Err(error) if name == VOCABULARY_FILE && error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(read)?,
    };
    hash.update(format!("{name}\n"));
    let (mut piece, mut length) = (vec![0; PIECE], 0);
    loop {
        let count = file.read(&mut piece).map_err(read)?;
        if count == 0 {
            break;
        }
        hash.update(&piece[..count]);
        length += count;
    }
    hash.update(format!("\n{length}\n"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::precision::Precision;
    use super::*;

    #[test]
    fn version_depends_on_each_file_and_on_the_computation() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let read = || version(folder.path(), Computation::default()).unwrap();
        assert!(version(folder.path(), Computation::default()).is_err());
        write(CONFIG_FILE, "a");
        write(WEIGHTS_FILE, "b");
        let first = read();
        assert!(first.len() == 16 && first == read());
        assert_ne!(version(folder.path(), Precision::Bf16.into()).unwrap(), first);
        let one_pass = Computation { passes: PassCount::One, ..Computation::default() };
        assert!(version(folder.path(), one_pass).is_err());
        write(ONE_PASS_FILE, "f");
        assert_eq!(read(), first);
        let of_one_pass = version(folder.path(), one_pass).unwrap();
        assert_ne!(of_one_pass, first);
        write(ONE_PASS_FILE, "g");
        assert_ne!(version(folder.path(), one_pass).unwrap(), of_one_pass);
        let mut seen = vec![first];
        for (name, text) in
            [(WEIGHTS_FILE, "c"), (CONFIG_FILE, "d"), (VOCABULARY_FILE, ""), (VOCABULARY_FILE, "e")]
        {
            write(name, text);
            let version = read();
            assert!(!seen.contains(&version), "{name} {text}");
            seen.push(version);
        }
    }
}
