//! `rdpm pull --to`.

use std::fs;
use std::process::Stdio;

use crate::file_server::Fault;
use crate::system::{FILES, LIST, MODEL, SMALL, System, files, fixture, succeeded};

/// The names in the folder of a test.
fn names(system: &System) -> Vec<String> {
    let entries = fs::read_dir(system.folder.path()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn folder_becomes_the_model_and_is_updated() {
    let system = System::new();
    let model = system.path("models/mine");
    let pull = || system.succeed(&["pull", &system.url(), "--to", "models/mine"]).0;
    assert_eq!(pull().trim(), model.to_str().unwrap());
    let expected = [&[".rdpm-pull", "SHA256SUMS"], &FILES[..]].concat();
    assert_eq!(files(&model), expected);
    assert_eq!(
        files(&system.path("models")),
        expected.iter().map(|name| format!("mine/{name}")).collect::<Vec<_>>()
    );
    // Not in the cache as well.
    assert_eq!(names(&system), ["models"]);
    system.succeed(&["info", "--weights", "models/mine"]);
    system.server.received();

    pull();
    assert_eq!(system.server.paths(), [LIST]);
    fs::write(model.join("model.safetensors"), "damaged").unwrap();
    pull();
    assert_eq!(system.server.paths(), [LIST, MODEL]);
    assert_eq!(
        fs::read(model.join("model.safetensors")).unwrap(),
        fs::read(fixture("words/model.safetensors")).unwrap()
    );
    system.server.put("/models/small/classes/0.png", "png");
    system.server.list(SMALL);
    pull();
    assert_eq!(system.server.paths(), [LIST, "/models/small/classes/0.png"]);
    assert!(model.join("classes/0.png").is_file());
    assert_eq!(names(&system), ["models"]);
    assert_eq!(fs::read_dir(system.path("models")).unwrap().count(), 1);
    // The variable names it, too.
    let mut command = system.command(&["pull", &system.url()]);
    let (printed, _) = succeeded(&command.env("RDPM_PULL_TO", &model).output().unwrap());
    assert_eq!(printed.trim(), model.to_str().unwrap());
}

#[test]
fn other_folders_are_refused() {
    let system = System::new();
    fs::create_dir(system.path("mine")).unwrap();
    fs::write(system.path("mine/diary.txt"), "text").unwrap();
    fs::create_dir(system.path("empty")).unwrap();
    fs::write(system.path("file"), "text").unwrap();
    for name in ["mine", "empty", "file", "."] {
        let said = system.fail(&["pull", &system.url(), "--to", name]);
        assert!(said.contains("exists and was not made by `rdpm pull`"), "{said}");
    }
    assert!(system.fail(&["pull", &system.url(), "--to", "/"]).contains("/ can't be the folder of a model"));
    assert!(system.server.paths().is_empty());
    assert_eq!(names(&system), ["empty", "file", "mine"]);

    system.succeed(&["pull", &system.url(), "--to", "model"]);
    system.server.publish("/models/other", &fixture("words"), &FILES);
    system.server.received();
    let said = system.fail(&["pull", &system.server.url("/models/other"), "--to", "model"]);
    assert!(said.contains(&format!("is a model of another address, {}; choose", system.url())), "{said}");
    assert!(system.server.paths().is_empty());
}

#[test]
fn files_of_the_user_are_not_lost_in_an_update() {
    let system = System::new();
    let pull = ["pull", &system.url(), "--to", "model"];
    system.succeed(&pull);
    fs::create_dir(system.path("model/notes")).unwrap();
    fs::write(system.path("model/notes/mine.txt"), "mine").unwrap();
    // Nothing is new.
    system.succeed(&pull);
    system.server.put("/models/small/README.md", "new");
    system.server.list(SMALL);
    let said = system.fail(&pull);
    assert!(said.contains("model/notes/mine.txt was not pulled and would be lost in the update"), "{said}");
    assert!(!system.path("model/README.md").exists());
    fs::rename(system.path("model/notes/mine.txt"), system.path("mine.txt")).unwrap();
    system.succeed(&pull);
    assert!(system.path("model/README.md").is_file());
}

#[test]
fn failed_update_leaves_the_model_and_is_resumed() {
    let system = System::new();
    let pull = ["pull", &system.url(), "--to", "model"];
    system.succeed(&pull);
    let before = files(&system.path("model"));
    for name in ["a.txt", "b.txt"] {
        system.server.put(&format!("/models/small/{name}"), name);
    }
    system.server.list(SMALL);
    system.server.fail("/models/small/b.txt", Fault::Status(404));
    assert!(system.fail(&pull).contains("b.txt, which SHA256SUMS lists, is answered with status 404"));
    assert_eq!(files(&system.path("model")), before);
    assert_eq!(names(&system), [".model.part", "model"]);
    system.server.fail("/models/small/b.txt", None);
    system.server.received();
    system.succeed(&pull);
    assert_eq!(system.server.paths(), [LIST, "/models/small/b.txt"]);
    assert_eq!(names(&system), ["model"]);
    assert!(system.path("model/a.txt").is_file() && system.path("model/b.txt").is_file());
}

#[test]
fn two_pulls_to_one_folder_download_once() {
    let system = System::new();
    system.server.fail_once(MODEL, Fault::Cut(1000));
    let start = || {
        let mut command = system.command(&["pull", &system.url(), "--to", "model"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let pulls: Vec<_> = (0..3).map(|_| start()).collect();
    for pull in pulls {
        succeeded(&pull.wait_with_output().unwrap());
    }
    assert_eq!(system.server.paths().iter().filter(|path| *path == MODEL).count(), 2);
    assert_eq!(names(&system), ["model"]);
}

#[test]
fn pinned_folder_needs_no_server() {
    let system = System::new();
    let pin = system.server.list(SMALL);
    let pull = ["pull", &system.url(), "--to", "model", "--sha256", &pin];
    system.succeed(&pull);
    system.server.received();
    system.succeed(&pull);
    assert!(system.server.paths().is_empty());
}
