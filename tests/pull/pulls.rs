//! What a pull makes: folders, versions, the list as documented; TLS, redirects, pins.

use std::fs;
use std::process::{Command, Stdio};

use crate::file_server::{Fault, FileServer, hash};
use crate::system::{FILES, LIST, MODEL, SMALL, System, files, fixture, openssl, shipped, succeeded};

#[test]
fn pull_prints_a_folder_with_the_files_of_the_server() {
    let system = System::new();
    let names =
        ["README.md", "classes/0.png", "classes/9.png", "config.json", "model.safetensors", "training.json"];
    system.server.publish("/m/clothes", &shipped("fashion-mnist"), &names);
    let folder = system.pull(&system.server.url("/m/clothes/"));
    assert_eq!(files(&folder), [&["README.md", "SHA256SUMS"], &names[1..]].concat());
    for name in names {
        assert_eq!(
            fs::read(folder.join(name)).unwrap(),
            fs::read(shipped("fashion-mnist").join(name)).unwrap()
        );
    }
    let entry = folder.parent().unwrap().file_name().unwrap().to_str().unwrap();
    assert!(entry.starts_with("127.0.0.1-clothes-"), "{entry}");
    // The list first, and nothing twice.
    let mut paths = system.server.paths();
    assert_eq!(paths[0], "/m/clothes/SHA256SUMS");
    paths.sort();
    assert_eq!(paths, files(&folder).iter().map(|name| format!("/m/clothes/{name}")).collect::<Vec<_>>());
    assert!(system.succeed(&["info", "--weights", folder.to_str().unwrap()]).0.contains("Fashion-MNIST"));
}

#[test]
fn second_pull_downloads_the_list_only() {
    let system = System::new();
    let folder = system.pull(&system.url());
    assert_eq!(system.server.paths().len(), 1 + FILES.len());
    assert_eq!(system.pull(&system.url()), folder);
    assert_eq!(system.server.paths(), [LIST]);
    // A user and a slash at the end make no difference.
    assert_eq!(system.pull(&format!("{}/", system.server.url_of("somebody", SMALL))), folder);
    assert_eq!(system.server.paths(), [LIST]);
}

#[test]
fn damaged_file_is_downloaded_again() {
    let system = System::new();
    let folder = system.pull(&system.url());
    fs::write(folder.join("model.safetensors"), "x").unwrap();
    fs::remove_file(folder.join("vocabulary.json")).unwrap();
    system.server.received();
    assert_eq!(system.pull(&system.url()), folder);
    assert_eq!(system.server.paths(), [LIST, "/models/small/vocabulary.json", MODEL]);
    assert_eq!(
        fs::read(folder.join("model.safetensors")).unwrap(),
        fs::read(fixture("words/model.safetensors")).unwrap()
    );
}

#[test]
fn changed_model_is_a_new_version_and_other_files_are_taken_from_the_old_one() {
    let system = System::new();
    let first = system.pull(&system.url());
    let config = fs::read_to_string(first.join("config.json")).unwrap();
    let change = |title: &str| {
        let config: serde_json::Value = serde_json::from_str(&config).unwrap();
        let mut config = config.as_object().unwrap().clone();
        config["title"] = title.into();
        system.server.put("/models/small/config.json", serde_json::to_vec(&config).unwrap());
        system.server.list(SMALL);
        system.server.received();
        let folder = system.pull(&system.url());
        assert_eq!(system.server.paths(), [LIST, "/models/small/config.json"]);
        assert!(fs::read_to_string(folder.join("config.json")).unwrap().contains(title));
        folder
    };
    let second = change("Second");
    assert_ne!(first, second);
    // Whoever uses the old version still can.
    assert_eq!(fs::read_to_string(first.join("config.json")).unwrap(), config);
    assert_eq!(files(&first), files(&second));
    let third = change("Third");
    assert!(!first.exists() && second.is_dir() && third.is_dir());
    // Back to a version that is there.
    system.server.put("/models/small/config.json", fs::read(second.join("config.json")).unwrap());
    system.server.list(SMALL);
    system.server.received();
    assert_eq!(system.pull(&system.url()), second);
    assert_eq!(system.server.paths(), [LIST]);
}

#[test]
fn two_pulls_at_once_download_once() {
    let system = System::new();
    // Long enough for the second one to find the first at work.
    system.server.fail_once(MODEL, Fault::Cut(1000));
    let start = || {
        let mut command = system.command(&["pull", &system.url()]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let pulls: Vec<_> = (0..3).map(|_| start()).collect();
    let printed: Vec<String> =
        pulls.into_iter().map(|pull| succeeded(&pull.wait_with_output().unwrap()).0).collect();
    assert!(printed.iter().all(|folder| *folder == printed[0]), "{printed:?}");
    let received = system.server.received();
    let of_model: Vec<_> = received.iter().filter(|request| request.path == MODEL).collect();
    assert_eq!(of_model.len(), 2, "{received:?}");
    assert_eq!(received.iter().filter(|request| request.path == LIST).count(), 3);
    let mut names = files(&system.entry());
    let folder = std::path::Path::new(printed[0].trim()).file_name().unwrap().to_str().unwrap().to_owned();
    names.retain(|name| !name.starts_with(&folder));
    assert_eq!(names, ["address", "current", "lock"]);
}

#[test]
fn documented_command_makes_the_list() {
    let system = System::new();
    let folder = system.path("model");
    fs::create_dir_all(folder.join("classes")).unwrap();
    for name in FILES {
        fs::copy(fixture("words").join(name), folder.join(name)).unwrap();
    }
    fs::write(folder.join("classes/0.png"), "png").unwrap();
    let manual = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    let line = "sha256sum $(find . -type f ! -name SHA256SUMS | sed 's|^\\./||') > SHA256SUMS";
    assert!(manual.contains(line));
    assert!(system.fail(&["pull", &system.server.url("/nothing")]).contains(line));
    assert!(Command::new("sh").args(["-c", line]).current_dir(&folder).status().unwrap().success());
    for name in files(&folder) {
        system.server.put(&format!("/made/{name}"), fs::read(folder.join(&name)).unwrap());
    }
    assert_eq!(files(&system.pull(&system.server.url("/made"))), files(&folder));
    // In the form for binary files, too.
    let list = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    system.server.put("/made/SHA256SUMS", list.replace("  ", " *"));
    assert_eq!(files(&system.pull(&system.server.url("/made"))), files(&folder));
}

#[test]
fn redirects_are_followed_five_times() {
    let system = System::new();
    let steps = |count: usize| {
        system.server.fail_once(MODEL, Fault::Redirect("/step/1".into()));
        for step in 1..count {
            let next = format!("/step/{}", step + 1);
            system.server.fail_once(&format!("/step/{step}"), Fault::Redirect(next));
        }
        system.server.put(&format!("/step/{count}"), fs::read(fixture("words/model.safetensors")).unwrap());
    };
    steps(5);
    let folder = system.pull(&system.url());
    assert!(system.server.paths().contains(&"/step/5".into()));
    fs::remove_dir_all(folder).unwrap();
    steps(6);
    let said = system.fail(&["pull", &system.url()]);
    assert!(said.contains("model.safetensors is redirected more than 5 times"), "{said}");
    assert!(!system.server.paths().contains(&"/step/6".into()));
}

#[test]
fn https_works_with_the_certificates_of_ssl_cert_file() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path();
    let key = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(path, &format!("{key} -x509 -days 2 -subj /CN=ca -keyout ca.key -out ca.pem"));
    openssl(path, &format!("{key} -subj /CN=server -keyout server.key -out server.csr"));
    fs::write(path.join("extensions"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    let sign = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2";
    openssl(path, &format!("{sign} -extfile extensions -out server.pem"));
    let file = |name: &str| path.join(name).to_str().unwrap().to_owned();
    let system = System::with(FileServer::start_with_tls(&file("server.pem"), &file("server.key")));
    assert!(system.url().starts_with("https://"));
    let pull = |certificates: Option<&str>| {
        let mut command = system.command(&["pull", &system.url()]);
        if let Some(certificates) = certificates {
            command.env("SSL_CERT_FILE", certificates);
        }
        command.output().unwrap()
    };
    let said = crate::system::failed(&pull(None));
    assert!(said.contains(" can't be used: ") && said.contains("UnknownIssuer"), "{said}");
    assert!(system.server.paths().is_empty());
    let (printed, _) = succeeded(&pull(Some(&file("ca.pem"))));
    assert!(std::path::Path::new(printed.trim()).join("model.safetensors").is_file());
    // To http, no redirect of https leads.
    let plain = FileServer::start();
    plain.publish(SMALL, &fixture("words"), &FILES);
    system.server.fail(LIST, Fault::Redirect(plain.url(LIST)));
    let said = crate::system::failed(&pull(Some(&file("ca.pem"))));
    assert!(said.contains("redirects from https to http, which is not allowed"), "{said}");
    assert!(plain.paths().is_empty());
}

#[test]
fn pinned_version_is_the_only_one_that_is_pulled() {
    let system = System::new();
    let (pin, other) = (system.server.list(SMALL), hash(b"another"));
    let with_fragment = |pin: &str| format!("{}#sha256={pin}", system.url());
    for arguments in [vec!["pull", &with_fragment(&other)], vec!["pull", &system.url(), "--sha256", &other]] {
        let said = system.fail(&arguments);
        assert!(said.contains(&format!("SHA256SUMS has the hash {pin} instead of {other}")), "{said}");
        assert_eq!(system.server.paths(), [LIST]);
    }
    let said = system.fail(&["info", "--weights", &with_fragment(&other)]);
    assert!(said.contains(&format!("instead of {other}, which is pinned")), "{said}");
    assert_eq!(system.server.paths(), [LIST]);
    let said = system.fail(&["pull", &with_fragment(&pin), "--sha256", &other]);
    assert!(said.contains("--sha256 is ") && system.server.paths().is_empty(), "{said}");
    assert!(system.fail(&["pull", &system.url(), "--sha256", "12"]).contains("64 hexadecimal digits"));

    let (printed, _) = system.succeed(&["pull", &system.url(), "--sha256", &pin.to_uppercase()]);
    assert_eq!(system.server.paths().len(), 1 + FILES.len());
    // What it contains is known now, also where the server has another version.
    system.server.put("/models/small/README.md", "new");
    system.server.list(SMALL);
    assert_eq!(system.succeed(&["pull", &with_fragment(&pin)]).0, printed);
    assert!(system.succeed(&["info", "--weights", &with_fragment(&pin)]).0.contains(printed.trim()));
    assert!(system.server.paths().is_empty());
    assert_ne!(system.pull(&system.url()).to_str(), Some(printed.trim()));
}

#[test]
fn cache_is_that_of_the_flag_or_of_the_user() {
    let system = System::new();
    let pull = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = system.command(&[&["pull", &system.url()], arguments].concat());
        command.env_remove("RDPM_CACHE").env_remove("XDG_CACHE_HOME");
        for (name, folder) in variables {
            command.env(name, system.path(folder));
        }
        succeeded(&command.output().unwrap()).0
    };
    let is_below = |printed: &str, folder: &str| printed.starts_with(system.path(folder).to_str().unwrap());
    assert!(is_below(&pull(&[("HOME", "home")], &[]), "home/.cache/rdpm/127.0.0.1-small-"));
    assert!(is_below(
        &pull(&[("HOME", "home"), ("XDG_CACHE_HOME", "xdg")], &[]),
        "xdg/rdpm/127.0.0.1-small-"
    ));
    let given = system.path("given");
    let flag = ["--cache", given.to_str().unwrap()];
    assert!(is_below(&pull(&[("RDPM_CACHE", "other")], &flag), "given/127.0.0.1-small-"));
}
