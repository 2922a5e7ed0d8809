//! `--weights` with an address: the same pictures as from the folder, with and without the server.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::file_server::{Fault, FileServer};
use crate::program::Program;
use crate::system::{FILES, LIST, MODEL, SMALL, System, failed, files, fixture, shipped, succeeded};

#[test]
fn pictures_are_those_of_the_folder() {
    let system = System::new();
    let names = ["config.json", "model.safetensors"];
    system.server.publish("/m/clothes", &shipped("fashion-mnist"), &names);
    let url = system.server.url("/m/clothes");
    let folder = shipped("fashion-mnist");
    for (weights, output) in [(url.as_str(), "a.png"), (folder.to_str().unwrap(), "b.png")] {
        let flags = ["--class", "Bag", "--seed", "7", "--output", output];
        system.succeed(&[&["generate", "--weights", weights], &flags[..]].concat());
    }
    let [of_url, of_folder] = ["a.png", "b.png"].map(|name| fs::read(system.path(name)).unwrap());
    assert!(of_url == of_folder && of_url.len() > 100);
    assert_eq!(system.server.paths().len(), 3);
    // The environment names it, too, and only the list is downloaded.
    let mut command = system.command(&["info"]);
    let (said, _) = succeeded(&command.env("RDPM_WEIGHTS", &url).output().unwrap());
    assert!(said.contains("Fashion-MNIST (") && said.contains("cache/127.0.0.1-clothes-"), "{said}");
    assert_eq!(system.server.paths(), ["/m/clothes/SHA256SUMS"]);
}

#[test]
fn server_is_ready_with_a_model_by_address() {
    let system = System::new();
    let config = system.path("rdpm.toml");
    fs::write(&config, format!("weights = \"{}\"\nport = 0\n", system.url())).unwrap();
    let serve = |arguments: &[&str]| {
        let mut command = system.command(&[&["serve"], arguments].concat());
        command.env_remove("RDPM_WEIGHTS");
        command
    };
    let by_flag = ["--port", "0", "--weights", &system.url()];
    for arguments in [&by_flag[..], &["--config", config.to_str().unwrap()]] {
        let (_server, address) = Program::start(&mut serve(arguments), "http://");
        let port = address.rsplit_once(':').unwrap().1;
        let (printed, _) = system.succeed(&["health", "--port", port]);
        assert_eq!(printed, "ready\n");
    }
    assert_eq!(system.server.paths().len(), 1 + FILES.len() + 1);
    let (printed, _) = succeeded(&serve(&[&by_flag[..], &["--check"]].concat()).output().unwrap());
    assert!(printed.contains(&format!("\nweights = \"{}\"\n", system.url())), "{printed}");
}

#[test]
fn cached_copy_is_used_where_the_server_is_down() {
    let system = System::new();
    let (folder, url) = (system.pull(&system.url()), system.url());
    let (expected, _) = system.succeed(&["info", "--weights", folder.to_str().unwrap()]);
    let warning = format!("{url} can't be pulled; the copy in {} is used: ", folder.display());
    // It answers with errors to all requests, or only to those of a new version's files.
    for path in [LIST, "/models/small/README.md"] {
        system.server.put("/models/small/README.md", path);
        system.server.list(SMALL);
        system.server.fail(path, Fault::Status(500));
        let (printed, said) = system.succeed(&["info", "--weights", &url]);
        assert_eq!(printed, expected);
        assert_eq!(said, format!("rdpm: {warning}{} is answered with status 500\n", system.server.url(path)));
        // Whoever asks for the present version gets an error.
        assert!(system.fail(&["pull", &url]).contains("is answered with status 500"));
        system.server.fail(path, None);
    }
    // It refuses connections.
    let System { folder: system_folder, server } = system;
    let _port = server.stop();
    let system = System { folder: system_folder, server: FileServer::start() };
    let (printed, said) = system.succeed(&["info", "--weights", &url]);
    assert_eq!(printed, expected);
    assert!(said.contains(&warning) && said.contains(" can't be reached: "), "{said}");
    assert!(system.fail(&["pull", &url]).contains(" can't be reached: "));
    // A server has it in its log.
    let log = system.path("log");
    let mut serve = system.command(&["serve", "--port", "0", "--weights", &url]);
    serve.stderr(Stdio::from(fs::File::create(&log).unwrap()));
    let _server = Program::start(&mut serve, "http://");
    let logged = fs::read_to_string(&log).unwrap();
    assert!(logged.contains(" WARN ") && logged.contains(&warning), "{logged}");
}

#[test]
fn without_a_complete_copy_the_error_is_that_of_the_server() {
    let system = System::new();
    system.server.fail(MODEL, Fault::Status(503));
    for _ in 0..2 {
        let said = system.fail(&["info", "--weights", &system.url()]);
        assert!(
            said.contains(&format!("{} is answered with status 503", system.server.url(MODEL))),
            "{said}"
        );
    }
    // A restart of a server or a worker may help.
    let mut serve = system.command(&["serve", "--port", "0", "--weights", &system.url()]);
    let output = serve.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("is answered with status 503"), "{said}");
    system.server.fail(MODEL, None);
    let folder = system.pull(&system.url());
    // A damaged copy is none.
    fs::remove_file(folder.join("model.safetensors")).unwrap();
    system.server.fail(LIST, Fault::Status(503));
    assert!(system.fail(&["info", "--weights", &system.url()]).contains("status 503"));
    // Other answers mean that the model has changed.
    system.server.fail(LIST, None);
    system.pull(&system.url());
    for (status, expected) in
        [(404, "does not exist (404)"), (403, "is refused with status 403"), (410, "410")]
    {
        system.server.fail(LIST, Fault::Status(status));
        assert!(system.fail(&["info", "--weights", &system.url()]).contains(expected), "{status}");
    }
}

#[test]
fn other_versions_are_not_used_instead_of_a_pinned_one() {
    let system = System::new();
    let pin = system.server.list(SMALL);
    let url = format!("{}#sha256={pin}", system.url());
    system.server.put("/models/small/README.md", "new");
    system.server.list(SMALL);
    system.pull(&system.url());
    system.server.fail(LIST, Fault::Status(500));
    assert!(system.fail(&["info", "--weights", &url]).contains("is answered with status 500"));
}

#[test]
fn version_that_a_server_uses_stays() {
    let system = System::new();
    let mut serve = system.command(&["serve", "--port", "0", "--load", "lazy", "--weights", &system.url()]);
    let (server, _) = Program::start(&mut serve, "http://");
    let first = system.pull(&system.url());
    let change = |text: &str| {
        system.server.put("/models/small/README.md", text);
        system.server.list(SMALL);
        system.pull(&system.url())
    };
    let versions = [change("second"), change("third"), change("fourth")];
    assert!(first.is_dir() && !versions[0].exists() && versions[1].is_dir() && versions[2].is_dir());
    drop(server);
    change("fifth");
    assert!(!first.exists());
}

#[cfg(unix)]
#[test]
fn names_of_models_are_looked_for_in_the_pulled_one() {
    let system = System::new();
    let said = system.fail(&["info", "--weights", &system.url(), "--model", "third"]);
    assert!(
        said.contains(&format!("{}: no model \"third\" in this folder; there: ", system.url())),
        "{said}"
    );
}

#[test]
fn folders_are_used_as_before() {
    let system = System::new();
    let copy = system.path("https:");
    fs::create_dir(&copy).unwrap();
    for name in FILES {
        fs::copy(fixture("words").join(name), copy.join(name)).unwrap();
    }
    // A path is none of an address because of a colon.
    system.succeed(&["info", "--weights", "https:"]);
    system.succeed(&["info", "--weights", "./https:"]);
    let said = system.fail(&["info", "--weights", "nowhere"]);
    assert!(said.starts_with("rdpm: nowhere: "), "{said}");
    assert!(
        failed(&system.command(&["info"]).env("RDPM_WEIGHTS", "").output().unwrap())
            .contains("a value is required")
    );
    assert!(!Path::new(&system.path("cache")).exists() && system.server.paths().is_empty());
    assert_eq!(files(&copy), FILES);
}
