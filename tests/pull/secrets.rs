//! The user and the password of an address are sent to its server, and to nobody else.

use std::fs;
use std::process::Stdio;

use crate::file_server::{Fault, FileServer};
use crate::program::Program;
use crate::system::{FILES, LIST, MODEL, SMALL, System, failed, fixture, succeeded};

/// User and password as an address has them, and the header that they make: printf 'ann:s3cr%t' | base64
const USER: &str = "ann:s3cr%25t";
const HEADER: &str = "Basic YW5uOnMzY3IldA==";

fn assert_hidden(text: &str) {
    for secret in ["ann:", "s3cr", "YW5u"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn user_and_password_are_sent_and_not_shown() {
    let system = System::new();
    system.server.protect(HEADER);
    let url = system.server.url_of(USER, SMALL);
    let (printed, said) = system.succeed(&["pull", &url]);
    let received = system.server.received();
    assert_eq!(received.len(), 1 + FILES.len());
    assert!(received.iter().all(|request| request.authorization.as_deref() == Some(HEADER)));
    assert_hidden(&format!("{printed}{said}"));
    for name in crate::system::files(&system.path("cache")) {
        assert_hidden(&name);
    }
    assert_hidden(&fs::read_to_string(system.entry().join("address")).unwrap());

    let check =
        |command: &mut std::process::Command| succeeded(&command.env("RDPM_WEIGHTS", &url).output().unwrap());
    let (printed, said) = check(&mut system.command(&["serve", "--check"]));
    assert!(printed.contains(&format!("weights = \"{}\"", system.url())), "{printed}");
    assert_hidden(&format!("{printed}{said}"));
    for arguments in [["info"].as_slice(), &["serve", "--help"], &["generate", "--help"]] {
        let (printed, said) = check(&mut system.command(arguments));
        assert_hidden(&format!("{printed}{said}"));
    }
    let mut help = system.command(&["pull", "--help"]);
    assert_hidden(&succeeded(&help.env("RDPM_ADDRESS", &url).output().unwrap()).0);
}

#[test]
fn errors_do_not_show_the_password() {
    let system = System::new();
    system.server.protect("Basic other");
    let url = system.server.url_of(USER, SMALL);
    let said = system.fail(&["pull", &url]);
    assert!(
        said.contains(&format!("access to {} is refused with status 401", system.server.url(LIST))),
        "{said}"
    );
    assert_hidden(&said);
    for bad in [
        format!("{url}?x"),
        format!("{url}#x"),
        url.replace("http:", "ftp:"),
        url.replace("127.0.0.1", "127.0.0.1:1"),
        format!("http://{USER}@"),
    ] {
        for arguments in [
            ["pull", &bad].as_slice(),
            &["info", "--weights", &bad],
            &["serve", "--port", "0", "--weights", &bad],
        ] {
            assert_hidden(&system.fail(arguments));
        }
        let output = system.command(&["serve", "--check"]).env("RDPM_WEIGHTS", &bad).output().unwrap();
        assert_hidden(&failed(&output));
        let config = system.path("rdpm.toml");
        fs::write(&config, format!("weights = \"{bad}\"\nport = \"x\"\n")).unwrap();
        assert_hidden(&system.fail(&["serve", "--config", config.to_str().unwrap()]));
    }
    // A variable that is no setting.
    let (_, said) = succeeded(&system.command(&["devices"]).env("RDPM_WEIGHT", &url).output().unwrap());
    assert!(said.contains("RDPM_WEIGHT is not a setting"), "{said}");
    assert_hidden(&said);
}

#[test]
fn log_does_not_contain_the_password() {
    let system = System::new();
    system.server.protect(HEADER);
    let url = system.server.url_of(USER, SMALL);
    let log = system.path("log");
    for filter in ["trace", "ureq_proto=trace,ureq_proto::util=trace,ureq=trace,rdpm=info"] {
        let _ = fs::remove_dir_all(system.path("cache"));
        let mut serve = system.command(&["serve", "--port", "0", "--weights", &url, "--log", filter]);
        serve.stderr(Stdio::from(fs::File::create(&log).unwrap()));
        let _server = Program::start(&mut serve, "http://");
        let logged = fs::read_to_string(&log).unwrap();
        assert!(logged.contains(&format!("{} was pulled into ", system.url())), "{logged}");
        // Requests are logged.
        assert!(logged.contains("ureq"), "{logged}");
        assert_hidden(&logged);
    }
}

#[test]
fn other_hosts_are_not_sent_the_password() {
    let system = System::new();
    system.server.protect(HEADER);
    let other = FileServer::start();
    other.publish(SMALL, &fixture("words"), &FILES);
    system.server.fail(MODEL, Fault::Redirect(other.url(MODEL)));
    let list = fs::read(fixture("words/vocabulary.json")).unwrap();
    system.server.put("/moved/vocabulary.json", list);
    system.server.fail("/models/small/vocabulary.json", Fault::Redirect("/moved/vocabulary.json".into()));
    system.pull_quietly(&system.server.url_of(USER, SMALL));
    let received = other.received();
    assert_eq!(received.len(), 1);
    assert_eq!((received[0].path.as_str(), received[0].authorization.as_ref()), (MODEL, None));
    // The same host is.
    let moved = system.server.received().into_iter().find(|request| request.path == "/moved/vocabulary.json");
    assert_eq!(moved.unwrap().authorization.as_deref(), Some(HEADER));
    // Not even if the redirect names a user.
    let back = other.url_of("bob:pw", LIST);
    system.server.fail(LIST, Fault::Redirect(back));
    other.received();
    system.pull_quietly(&system.server.url_of(USER, SMALL));
    assert_eq!(other.received()[0].authorization, None);
}

impl System {
    fn pull_quietly(&self, url: &str) {
        assert_hidden(&self.succeed(&["pull", url]).0);
    }
}
