//! The program, a cache of its own, and a server with a small model.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::file_server::FileServer;
use crate::program::rdpm;

/// The files of the model at `/models/small`.
pub const FILES: [&str; 4] = ["captioner.safetensors", "config.json", "model.safetensors", "vocabulary.json"];
/// The path of the small model, and those of its list and of its largest file.
pub const SMALL: &str = "/models/small";
pub const LIST: &str = "/models/small/SHA256SUMS";
pub const MODEL: &str = "/models/small/model.safetensors";

pub struct System {
    pub folder: TempDir,
    pub server: FileServer,
}

impl System {
    pub fn new() -> Self {
        Self::with(FileServer::start())
    }

    pub fn with(server: FileServer) -> Self {
        server.publish(SMALL, &fixture("words"), &FILES);
        Self { folder: TempDir::new().unwrap(), server }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The address of the small model.
    pub fn url(&self) -> String {
        self.server.url(SMALL)
    }

    /// The program with this cache. Its server is reached without a proxy.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = rdpm();
        command.args(arguments).current_dir(self.folder.path()).env("RDPM_CACHE", self.path("cache"));
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        command
    }

    /// Standard output and standard error of a command that must succeed.
    pub fn succeed(&self, arguments: &[&str]) -> (String, String) {
        succeeded(&self.command(arguments).output().unwrap())
    }

    /// Standard error of a command that must end with status 2.
    pub fn fail(&self, arguments: &[&str]) -> String {
        failed(&self.command(arguments).output().unwrap())
    }

    /// Pulls an address, which must succeed, and returns the folder that is printed.
    pub fn pull(&self, url: &str) -> PathBuf {
        let (printed, said) = self.succeed(&["pull", url]);
        // The bar is for terminals.
        assert_eq!(said, "");
        let folder = PathBuf::from(printed.strip_suffix('\n').unwrap());
        assert!(folder.is_absolute() && folder.is_dir(), "{printed}");
        folder
    }

    /// The only folder of an address in the cache.
    pub fn entry(&self) -> PathBuf {
        let entries = fs::read_dir(self.path("cache")).unwrap();
        let entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries[0].clone()
    }
}

pub fn succeeded(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

pub fn failed(output: &Output) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty() && !said.contains("panicked"), "{said}");
    said
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("weights").join(name)
}

/// The names of all files below a folder, sorted.
pub fn files(folder: &Path) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

pub fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    let output =
        command.current_dir(folder).args(arguments.split(' ')).output().expect("openssl is installed");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}
