//! Servers and lists that can't be used: each has an error, and nothing becomes visible.

use std::fs;

use crate::file_server::{Fault, hash};
use crate::system::{LIST, MODEL, SMALL, System, files, fixture};

/// The names of the versions and of all other files of the only address in the cache, without those of its parts.
fn visible(system: &System) -> Vec<String> {
    let mut names = files(&system.entry());
    names.retain(|name| !name.starts_with("part/"));
    names
}

#[test]
fn addresses_that_can_not_be_used_are_refused() {
    let system = System::new();
    for (url, expected) in [
        ("ftp://127.0.0.1/m", "begins with ftp://; allowed: http://, https://"),
        ("file:///etc", "begins with file://; allowed: http://, https://"),
        ("http://", "empty host"),
        ("http://127.0.0.1:1/m?version=1", "must not be followed by a query"),
        ("http://127.0.0.1:1/m#main", "allowed: #sha256="),
    ] {
        for arguments in [["pull", url].as_slice(), &["info", "--weights", url]] {
            let said = system.fail(arguments);
            assert!(said.contains(expected), "{url}: {said}");
        }
    }
    assert!(system.fail(&["pull", "weights"]).contains("the address of the model is invalid"));
    assert!(!system.path("cache").exists());
}

#[test]
fn missing_list_says_how_to_make_one() {
    let system = System::new();
    let said = system.fail(&["pull", &system.server.url("/models")]);
    let expected = "/models/SHA256SUMS does not exist (404). Make it in the model's folder: \
                    sha256sum $(find . -type f ! -name SHA256SUMS | sed 's|^\\./||') > SHA256SUMS";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn web_page_instead_of_the_list_is_named() {
    let system = System::new();
    let page = "<!doctype html><title>Sign in</title>";
    for (kind, content) in [("text/html; charset=utf-8", "Sign in"), ("text/plain", page)] {
        system.server.put(LIST, content);
        system.server.fail(LIST, Fault::Typed(kind));
        let said = system.fail(&["pull", &system.url()]);
        assert!(said.contains("with a web page instead of "), "{said}");
    }
    assert_eq!(system.server.paths(), [LIST, LIST]);
    assert_eq!(visible(&system), ["lock"]);
}

#[test]
fn lists_that_are_too_long_are_refused() {
    let system = System::new();
    system.server.put(LIST, " ".repeat(1024 * 1024 + 1));
    assert!(system.fail(&["pull", &system.url()]).contains("SHA256SUMS has more than 1048576 bytes"));
    system.server.fail(LIST, Fault::Endless);
    assert!(system.fail(&["pull", &system.url()]).contains("SHA256SUMS has more than 1048576 bytes"));
    system.server.fail(LIST, None);
    let hash = hash(b"");
    let lines: String = (0..2001).map(|number| format!("{hash}  {number}\n")).collect();
    system.server.put(LIST, lines);
    assert!(system.fail(&["pull", &system.url()]).contains("SHA256SUMS has more than 2000 files"));
    assert_eq!(system.server.paths(), [LIST; 3]);
}

#[test]
fn names_that_leave_the_folder_are_refused() {
    let system = System::new();
    let good = String::from_utf8(fs::read(pulled_list(&system)).unwrap()).unwrap();
    for (name, expected) in [
        ("../evil", "the part .."),
        ("/tmp/evil", "not relative"),
        ("a\\evil", "a backslash"),
        ("a\u{1b}evil", "a control or bidirectional character"),
        ("a\u{202e}evil", "a control or bidirectional character"),
        ("a//evil", "a part of it is empty"),
        ("a/b/c/evil", "more than 3 levels"),
        ("config.json", "\"config.json\" twice"),
        ("evil.part", "rdpm uses it itself"),
        ("SHA256SUMS", "rdpm uses it itself"),
    ] {
        system.server.put(LIST, format!("{good}{}  {name}\n", hash(b"evil")));
        let said = system.fail(&["pull", &system.url()]);
        assert!(said.contains(expected) && said.contains(&system.url()), "{name:?}: {said}");
        assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said:?}");
    }
    assert_eq!(system.server.paths(), [LIST; 10]);
}

/// The list of the small model, from a pull.
fn pulled_list(system: &System) -> std::path::PathBuf {
    let list = system.pull(&system.url()).join("SHA256SUMS");
    system.server.received();
    list
}

#[test]
fn file_that_is_listed_and_missing_is_named() {
    let system = System::new();
    system.server.fail(MODEL, Fault::Status(404));
    let said = system.fail(&["pull", &system.url()]);
    assert!(
        said.contains("model.safetensors, which SHA256SUMS lists, is answered with status 404"),
        "{said}"
    );
    assert_eq!(system.server.paths().iter().filter(|path| *path == MODEL).count(), 1);
    assert_eq!(visible(&system), ["lock"]);
}

#[test]
fn configuration_that_is_no_models_is_refused_before_the_rest_is_downloaded() {
    let system = System::new();
    let config = fs::read_to_string(fixture("words/config.json")).unwrap();
    for (content, expected) in [
        (config.replace("\"format_version\": 2", "\"format_version\": 9"), "format_version is 9"),
        ("{}".to_owned(), "missing field"),
        ("".to_owned(), "EOF"),
    ] {
        assert_ne!(content, config);
        system.server.put("/models/small/config.json", content);
        system.server.list(SMALL);
        let said = system.fail(&["pull", &system.url()]);
        assert!(said.contains(expected), "{said}");
        assert!(said.contains(&format!("{}/config.json: ", system.url())), "{said}");
        assert!(!system.server.paths().contains(&MODEL.to_owned()));
        assert_eq!(visible(&system), ["lock"]);
    }
}

#[test]
fn files_have_a_limit_together() {
    let system = System::new();
    let names = ["captioner.safetensors", "config.json", "model.safetensors", "vocabulary.json"];
    let sizes: Vec<u64> =
        names.iter().map(|name| fs::metadata(fixture("words").join(name)).unwrap().len()).collect();
    let all: u64 = sizes.iter().sum();
    let limit = |bytes: u64| ["--max-bytes".to_owned(), bytes.to_string()];
    let pull = |bytes: u64| {
        let [flag, bytes] = limit(bytes);
        system.fail(&["pull", &system.url(), &flag, &bytes])
    };
    let said = pull(all - 1);
    assert!(
        said.contains("the model is too large: with model.safetensors, its files have more bytes"),
        "{said}"
    );
    // The announced length is enough to know it.
    assert!(!system.entry().join("part/model.safetensors.part").exists_with_content());
    // A server that announces no length and doesn't end.
    system.server.fail(MODEL, Fault::Endless);
    let said = pull(all + 50_000);
    assert!(said.contains("the model is too large: with model.safetensors"), "{said}");
    let part = fs::metadata(system.entry().join("part/model.safetensors.part")).unwrap().len();
    assert!(part > sizes[2] && part <= sizes[2] + 50_000, "{part}");
    assert_eq!(visible(&system), ["lock"]);
    system.server.fail(MODEL, None);
    let [flag, bytes] = limit(all);
    system.succeed(&["pull", &system.url(), &flag, &bytes]);
}

trait ExistsWithContent {
    fn exists_with_content(&self) -> bool;
}

impl ExistsWithContent for std::path::PathBuf {
    fn exists_with_content(&self) -> bool {
        fs::metadata(self).is_ok_and(|metadata| metadata.len() > 0)
    }
}

#[test]
fn redirects_lead_to_web_addresses_only() {
    let system = System::new();
    for (location, expected) in [
        ("file:///etc/passwd", " redirects to file, which is not allowed"),
        ("ftp://127.0.0.1/x", " redirects to ftp, which is not allowed"),
        ("http://127.0.0.1:99999/", " redirects to an invalid address"),
    ] {
        system.server.fail(LIST, Fault::Redirect(location.into()));
        let said = system.fail(&["pull", &system.url()]);
        assert!(said.contains(expected), "{said}");
    }
    system.server.fail(LIST, Fault::Redirect(LIST.into()));
    system.server.received();
    assert!(system.fail(&["pull", &system.url()]).contains("is redirected more than 5 times"));
    assert_eq!(system.server.paths(), [LIST; 6]);
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk_is_reported() {
    let system = System::new();
    system.server.fail(MODEL, Fault::Status(404));
    system.fail(&["pull", &system.url()]);
    system.server.fail(MODEL, None);
    // A device to which every write fails, as to a full disk.
    let part = system.entry().join("part/model.safetensors.part");
    let _ = fs::remove_file(&part);
    std::os::unix::fs::symlink("/dev/full", &part).unwrap();
    let said = system.fail(&["pull", &system.url()]);
    assert!(said.contains("model.safetensors.part can't be written: No space left on device"), "{said}");
    assert_eq!(visible(&system), ["lock"]);
    fs::remove_file(&part).unwrap();
    system.pull(&system.url());
}
