//! `SHA256SUMS`: the list of a model's files with their hashes, as `sha256sum` writes it.

use std::collections::HashSet;
use std::path::{Component, Path};

use anyhow::{Context, bail, ensure};
use rdpm::model::config::CONFIG_FILE;
use rdpm::model::{VOCABULARY_FILE, WEIGHTS_FILE};

use super::super::escape::is_unsafe;
use super::hash::FileHash;

/// The name of the list.
pub const LIST_FILE: &str = "SHA256SUMS";
/// The ending of a file that is being downloaded.
pub const PART: &str = ".part";
/// The ending of the file beside it that says which version of the file on the server it is a part of.
pub const VALIDATOR: &str = ".part.validator";
/// The file in a folder of `rdpm pull --to` that names the address.
pub const ORIGIN_FILE: &str = ".rdpm-pull";
/// Bytes of a list at most.
pub const MAX_LIST: u64 = 1024 * 1024;
/// Files of a list at most.
const MAX_FILES: usize = 2000;
/// Parts of a file's name at most.
const MAX_LEVELS: usize = 3;
/// Bytes of a part of a file's name at most; file systems allow 255, and the endings above must fit in.
const MAX_PART: usize = 200;

/// A checked list.
#[derive(Debug)]
pub struct ChecksumList {
    /// As the server sent it.
    pub text: String,
    /// The hash of the text, which stands for the version of the whole model.
    pub hash: FileHash,
    /// The files, the small ones that describe the model first.
    pub files: Vec<ListedFile>,
}

/// A file of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// A relative path whose parts are separated by `/`.
    pub name: String,
    pub hash: FileHash,
}

impl ListedFile {
    /// Whether the file is needed to read the model's configuration.
    pub fn is_configuration(&self) -> bool {
        [CONFIG_FILE, VOCABULARY_FILE].contains(&self.name.as_str())
    }
}

impl ChecksumList {
    /// Reads a list.
    ///
    /// # Errors
    /// With the number of the line, if a line or a name is not allowed; if there are too many files, or if one is missing that
    /// each model has.
    pub fn parse(content: &[u8]) -> anyhow::Result<Self> {
        ensure!(content.len() as u64 <= MAX_LIST, "{LIST_FILE} has more than {MAX_LIST} bytes");
        let is_page = content.trim_ascii_start().starts_with(b"<");
        ensure!(!is_page, "the server answers with a web page instead of {LIST_FILE}");
        let text = std::str::from_utf8(content).ok().with_context(|| format!("{LIST_FILE} is not UTF-8"))?;
        let mut files = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let file = parse_line(line).with_context(|| format!("{LIST_FILE}, line {number}"))?;
            ensure!(files.len() < MAX_FILES, "{LIST_FILE} has more than {MAX_FILES} files");
            files.push(file);
        }
        check_together(&files)?;
        files.sort_by_key(|file| !file.is_configuration());
        Ok(Self { text: text.to_owned(), hash: FileHash::of(content), files })
    }

    /// Reads the list of a folder, if it has one.
    pub fn of_folder(folder: &Path) -> Option<Self> {
        Self::parse(&std::fs::read(folder.join(LIST_FILE)).ok()?).ok()
    }

    /// Whether a folder has all files. Their content is not read.
    pub fn is_in(&self, folder: &Path) -> bool {
        self.files.iter().all(|file| folder.join(&file.name).is_file())
    }

    /// Whether a folder has all files with the right content.
    pub fn is_intact_in(&self, folder: &Path) -> bool {
        let is_intact = |file: &ListedFile| {
            FileHash::of_file(&folder.join(&file.name)).is_ok_and(|hash| hash == file.hash)
        };
        self.files.iter().all(is_intact)
    }
}

/// Reads `HASH  NAME` or `HASH *NAME`.
fn parse_line(line: &str) -> anyhow::Result<ListedFile> {
    let (hash, name) = line
        .split_once("  ")
        .filter(|(hash, _)| hash.len() == 64)
        .or_else(|| line.split_once(" *"))
        .context("not a hash and a name as sha256sum writes them")?;
    let hash = hash.parse().map_err(anyhow::Error::msg)?;
    check_name(name).with_context(|| format!("the file name {name:?} is not allowed"))?;
    Ok(ListedFile { name: name.to_owned(), hash })
}

/// Checks that a name stays inside the model's folder and is no name of a file that `rdpm pull` writes itself.
fn check_name(name: &str) -> anyhow::Result<()> {
    ensure!(!name.contains('\\'), "it has a backslash");
    ensure!(!name.contains(is_unsafe), "it has a control or bidirectional character");
    ensure!(!name.starts_with('/'), "it is not relative");
    let parts: Vec<&str> = name.split('/').collect();
    ensure!(parts.len() <= MAX_LEVELS, "it has more than {MAX_LEVELS} levels");
    for part in parts {
        ensure!(!part.is_empty(), "a part of it is empty");
        ensure!(part != ".." && part != ".", "it has the part {part}");
        ensure!(part.len() <= MAX_PART, "a part of it has more than {MAX_PART} bytes");
        let is_own = [LIST_FILE, ORIGIN_FILE].iter().any(|own| part.eq_ignore_ascii_case(own));
        let part = part.to_ascii_lowercase();
        ensure!(!is_own && !part.ends_with(PART) && !part.ends_with(VALIDATOR), "rdpm uses it itself");
    }
    // What else a system may read into a name, such as the drives of Windows.
    let is_normal = |part: Component<'_>| matches!(part, Component::Normal(_));
    ensure!(Path::new(name).components().all(is_normal), "it is not relative");
    Ok(())
}

/// Checks that no name is there twice or is also a folder's, and that the files of each model are there.
fn check_together(files: &[ListedFile]) -> anyhow::Result<()> {
    let mut names = HashSet::new();
    for file in files {
        ensure!(names.insert(file.name.as_str()), "{LIST_FILE} has the file {:?} twice", file.name);
    }
    for file in files {
        let folders = file.name.match_indices('/').map(|(at, _)| &file.name[..at]);
        if let Some(folder) = folders.into_iter().find(|folder| names.contains(folder)) {
            bail!("{LIST_FILE} has {folder:?} as a file and as a folder");
        }
    }
    for name in [CONFIG_FILE, WEIGHTS_FILE] {
        ensure!(names.contains(name), "{LIST_FILE} has no {name}, which each model has");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{ChecksumList, FileHash, MAX_FILES, MAX_LIST};

    fn hash() -> FileHash {
        FileHash::of(b"")
    }

    /// A list of the files that each model has and of these.
    fn with(names: &[&str]) -> String {
        let names = ["model.safetensors", "config.json"].iter().chain(names);
        names.map(|name| format!("{}  {name}\n", hash())).collect()
    }

    fn refused(text: impl AsRef<[u8]>) -> String {
        format!("{:#}", ChecksumList::parse(text.as_ref()).unwrap_err())
    }

    #[test]
    fn text_and_binary_lines_are_read() {
        let text = format!("{0} *model.safetensors\n{0}  classes/a b.png\n{0}  config.json", hash());
        let list = ChecksumList::parse(text.as_bytes()).unwrap();
        let names: Vec<&str> = list.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["config.json", "model.safetensors", "classes/a b.png"]);
        assert!(list.files.iter().all(|file| file.hash == hash()));
        assert_eq!((list.hash, list.text), (FileHash::of(text.as_bytes()), text));
    }

    #[test]
    fn a_second_space_or_star_belongs_to_the_name() {
        let list = ChecksumList::parse(with(&[" a", "*b", "c  d", "e *f"]).as_bytes()).unwrap();
        let names: Vec<&str> = list.files[2..].iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, [" a", "*b", "c  d", "e *f"]);
    }

    #[test]
    fn names_that_leave_the_folder_or_hide_something_are_refused() {
        let long = "x".repeat(201);
        for (name, expected) in [
            ("/etc/passwd", "not relative"),
            ("../x", "part .."),
            ("a/../x", "part .."),
            ("./x", "part ."),
            ("a//x", "empty"),
            ("a/", "empty"),
            ("", "empty"),
            ("a\\x", "backslash"),
            ("a\u{1b}x", "control or bidirectional"),
            ("a\rx", "control or bidirectional"),
            ("a\u{202e}x", "control or bidirectional"),
            ("a\u{2028}x", "control or bidirectional"),
            ("a/b/c/d", "more than 3 levels"),
            ("SHA256SUMS", "uses it itself"),
            ("a/sha256sums", "uses it itself"),
            (".rdpm-pull", "uses it itself"),
            (".part", "uses it itself"),
            ("x.part", "uses it itself"),
            ("x.part/y", "uses it itself"),
            ("x.part.validator", "uses it itself"),
            (&long, "more than 200 bytes"),
        ] {
            let said = refused(with(&["good", name]));
            assert!(said.contains("line 4: ") && said.contains(expected), "{name:?}: {said}");
            assert!(!said.contains(super::is_unsafe), "{said:?}");
        }
        ChecksumList::parse(with(&["a/b/c", "..x", "a.partial", "é.png"]).as_bytes()).unwrap();
    }

    #[test]
    fn lines_that_sha256sum_does_not_write_are_refused() {
        let whole = with(&[]);
        for line in ["", "x", "SHA256 (a) = 00", &hash().to_string(), &format!("{} a", hash())] {
            assert!(refused(format!("{whole}{line}\n")).contains("line 3: not a hash and a name"), "{line}");
        }
        for line in [format!("{}g  a", &hash().to_string()[1..]), format!("{} *a", &hash().to_string()[1..])]
        {
            assert!(refused(format!("{whole}{line}\n")).contains("64 hexadecimal digits"), "{line}");
        }
        // sha256sum writes a backslash before names with line breaks.
        assert!(refused(format!("{whole}\\{}  a\\nb\n", hash())).contains("line 3: not a hash"));
        assert!(refused(format!("{whole}\r\n")).contains("line 3: "));
        assert!(refused(b"\xff\xfe").contains("not UTF-8"));
    }

    #[test]
    fn web_pages_are_named() {
        for page in ["<!doctype html><title>Sign in</title>", "\n <html>"] {
            assert!(refused(page).contains("web page instead of SHA256SUMS"), "{page}");
        }
    }

    #[test]
    fn files_are_distinct_and_complete() {
        assert!(refused(with(&["a", "b", "a"])).contains("\"a\" twice"));
        assert!(refused(with(&["a/b", "a"])).contains("\"a\" as a file and as a folder"));
        assert!(refused(with(&["a/b/c", "a/b"])).contains("\"a/b\" as a file and as a folder"));
        assert!(refused(format!("{}  config.json\n", hash())).contains("no model.safetensors"));
        assert!(refused(format!("{}  model.safetensors\n", hash())).contains("no config.json"));
        assert!(refused("").contains("no config.json"));
    }

    #[test]
    fn lists_have_limits() {
        let names: Vec<String> = (0..MAX_FILES - 2).map(|number| number.to_string()).collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        ChecksumList::parse(with(&names).as_bytes()).unwrap();
        names.push("one more");
        assert!(refused(with(&names)).contains("more than 2000 files"));
        let long = " ".repeat(MAX_LIST as usize + 1);
        assert!(refused(long).contains("more than 1048576 bytes"));
    }
}
