//! Flags, environment and configuration file; `serve --check`; `rdpm health`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use tokio::net::TcpSocket;
use toml::Table;

use crate::program::{Program, rdpm};

const KEY: &str = "a-key-of-some-length";

/// A configuration file in a folder of its own.
fn config(text: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("rdpm.toml");
    fs::write(&path, text).unwrap();
    (folder, path)
}

/// `rdpm serve --check` without any setting of the environment but the weights.
fn check(config: Option<&Path>) -> Command {
    let mut command = rdpm();
    command.env_remove("RDPM_LOG").env_remove("RDPM_DEVICE").args(["serve", "--check"]);
    if let Some(path) = config {
        command.arg("--config").arg(path);
    }
    command
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn settings(command: &mut Command) -> Table {
    succeeded(&command.output().unwrap()).parse().unwrap()
}

/// What `rdpm` says where it must end with status 2.
fn failed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty() && !said.contains("panicked"), "{said}");
    said
}

#[test]
fn flags_go_before_the_environment_before_the_file_before_the_defaults() {
    let (_folder, path) = config(
        "port = 4001\nmax_queue = 11\nmax_batch = 3\nopen_health = false\ncors_origin = [\"https://a.example\", \"https://b.example\"]",
    );
    let mut command = check(None);
    command.env("RDPM_CONFIG", &path);
    command.env("RDPM_PORT", "4002").env("RDPM_MAX_QUEUE", "12").args(["--port", "4003"]);
    let seen = settings(&mut command);
    let number = |key: &str| seen[key].as_integer().unwrap();
    let found = ["port", "max_queue", "max_batch", "retention"].map(number);
    assert_eq!(found, [4003, 12, 3, 600], "{seen}");
    assert_eq!(seen["open_health"].as_bool(), Some(false));
    assert_eq!(seen["cors_origin"].as_array().unwrap().len(), 2);
    // A list too is taken from one place only.
    let seen = settings(command.env("RDPM_CORS_ORIGIN", "https://c.example"));
    assert_eq!(seen["cors_origin"].as_array().unwrap().len(), 1);
}

#[test]
fn what_check_prints_is_a_file_that_means_the_same() {
    let (_folder, path) = config("rate_limit = 60\ntrust_proxy = \"x-real-ip\"\nlog_format = \"json\"");
    let printed = succeeded(&check(Some(&path)).output().unwrap());
    let (_folder, again) = config(&printed);
    assert_eq!(succeeded(&check(Some(&again)).output().unwrap()), printed);
}

#[test]
fn check_hides_secrets() {
    let (folder, path) = config(&format!("api_keys = [\"phone:{KEY}\", \"{KEY}2\"]"));
    let file = folder.path().join("keys");
    fs::write(&file, format!("laptop:{KEY}3\n")).unwrap();
    let printed = succeeded(&check(Some(&path)).arg("--api-keys-file").arg(&file).output().unwrap());
    assert!(!printed.contains(KEY), "{printed}");
    assert!(printed.contains("api_keys = [\"phone:***\", \"***\"]"), "{printed}");
    // Nor does --help show those of the environment, or an error one that is no good.
    let help = rdpm().args(["serve", "--help"]).env("RDPM_API_KEYS", KEY).output().unwrap();
    assert!(!succeeded(&help).contains(KEY));
    let said = failed(check(None).env("RDPM_API_KEYS", "secret"));
    assert!(said.contains("API key 1: the key must have 16 or more") && !said.contains("secret"), "{said}");
    fs::write(&file, "secret").unwrap();
    let said = failed(check(None).env("RDPM_API_KEYS_FILE", &file));
    assert!(said.contains("keys: line 1: the key must") && !said.contains("secret"), "{said}");
    fs::write(&file, "# none yet\n").unwrap();
    assert!(failed(check(None).env("RDPM_API_KEYS_FILE", &file)).contains("has no API key"));
}

#[test]
fn errors_in_a_file_do_not_quote_its_text() {
    for (text, place) in [
        (format!("port = 1\napi_keys = [\"phone:{KEY}, \"b\"]"), "line 2, column "),
        (format!("api_keys = [\"{KEY}\n]"), "line 1, column "),
        (format!("api_keys = '{KEY}"), "line 1, column "),
        (format!("api_keys = [{KEY}]"), "line 1, column "),
        (format!("api_keys = \"{KEY}\" x"), "line 1, column "),
        (format!("\n\n  {KEY}:"), "line 3, column "),
        (format!("api_keys = [\"{KEY}\"]\napi_keys = []"), "line 2, column "),
    ] {
        let (_folder, path) = config(&text);
        let said = failed(&mut check(Some(&path)));
        assert!(said.contains(place) && !said.contains(KEY), "{text}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name_and_the_key() {
    for (text, expected) in [
        ("prot = 1", "unknown key prot; allowed: host, port, weights"),
        ("config = \"other.toml\"", "unknown key config; allowed"),
        ("check = true", "unknown key check; allowed"),
        ("port = \"x\"", "port: invalid value 'x'"),
        ("port = 70000", "port: invalid value '70000'"),
        ("port = true", "port: invalid value 'true'"),
        ("port = [1, 2]", "port: the argument"),
        ("port = 1979-05-27", "port: not text, a number, true, false or a list of these"),
        ("[http]\nport = 1", "http: not text, a number, true, false or a list of these"),
        ("open_health = 1", "open_health: invalid value '1'"),
        ("max_streams = 0", "max_streams: invalid value '0'"),
        ("trust_proxy = \"forwarded-by\"", "trust_proxy: invalid value 'forwarded-by'"),
        ("cors_origin = [\"*\"]", "cors_origin: invalid value '*'"),
        ("port = ", "TOML parse error at line 1"),
    ] {
        let (_folder, path) = config(text);
        let said = failed(&mut check(Some(&path)));
        assert!(said.contains("rdpm.toml: ") && said.contains(expected), "{text}: {said}");
    }
    assert!(failed(&mut check(Some(Path::new("nowhere.toml")))).contains("nowhere.toml can't be read"));
    // What only shows when it is used, check says too.
    assert!(failed(check(None).args(["--log", "a=b=c"])).contains("log filter \"a=b=c\""));
    assert!(failed(check(None).args(["--weights", "nowhere"])).contains("nowhere"));
    assert!(failed(check(None).args(["--device", "tpu"])).contains("device \"tpu\""));
    assert!(failed(check(None).args(["--max-batch", "0"])).contains("invalid value '0' for '--max-batch"));
    let collector = ["--otlp-endpoint", "no address"];
    assert!(failed(check(None).args(collector)).contains("traces can't be sent"));
}

#[test]
fn origins_are_written_as_browsers_send_them() {
    for good in [
        "https://a.example",
        "http://127.0.0.1:3000",
        "http://[::1]:8080",
        "http://localhost",
        "https://*.a.example",
        "tauri://localhost",
        "null",
    ] {
        settings(check(None).args(["--cors-origin", good]));
    }
    for bad in [
        "a.example",
        "https://a.example/",
        "https://A.example",
        "https://a.example:443",
        "http://a.example:80",
        "ftp://a.example",
        "https://u@a.example",
        "",
    ] {
        let said = failed(check(None).arg(format!("--cors-origin={bad}")));
        assert!(said.contains("not an origin as browsers send it"), "{bad}: {said}");
    }
}

/// The keys that `serve --check` can print.
fn keys() -> BTreeSet<String> {
    let said = failed(&mut check(Some(&config("nothing = 1").1)));
    said.trim_end().split_once("allowed: ").unwrap().1.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_example_file_has_every_setting_at_its_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/rdpm.toml");
    assert_eq!(settings(&mut check(Some(&path))), settings(&mut check(None)));
    let text = fs::read_to_string(path).unwrap();
    let set = |line: &str| Some(line.trim_start_matches("# ").split_once(" = ")?.0.to_owned());
    let mentioned: BTreeSet<String> = text.lines().filter_map(set).collect();
    assert_eq!(mentioned, keys());
}

#[test]
fn the_manual_has_every_setting_with_its_variable_and_default() {
    let manual =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap();
    let defaults = settings(&mut check(None));
    for key in keys() {
        let flag = key.replace('_', "-");
        let row = format!("| `--{flag}` | `RDPM_{}` | ", key.to_uppercase());
        let row =
            manual.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("no row {row}"));
        let default = match defaults.get(&key) {
            None => "none".into(),
            Some(value) if key == "weights" => value.as_str().map(|_| "`weights`".into()).unwrap(),
            Some(toml::Value::Array(_)) => "none".into(),
            Some(toml::Value::String(text)) => format!("`{text}`"),
            Some(value) => format!("`{value}`"),
        };
        assert_eq!(row.split(" | ").nth(2), Some(default.as_str()), "{row}");
    }
}

#[test]
fn health_is_for_container_runtimes() {
    let (_server, address) = Program::start(rdpm().args(["serve", "--port", "0"]), "http://");
    let port = address.rsplit_once(':').unwrap().1;
    let ready = rdpm().arg("health").env("RDPM_HOST", "0.0.0.0").env("RDPM_PORT", port).output().unwrap();
    assert_eq!(succeeded(&ready), "ready\n");
    let (_folder, path) = config(&format!("port = {port}\nmax_batch = 2"));
    assert_eq!(succeeded(&rdpm().arg("health").env("RDPM_CONFIG", &path).output().unwrap()), "ready\n");
    // A port that is bound and not listened on; one that is free may be taken by another test just then.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = deaf.local_addr().unwrap().port().to_string();
    assert!(failed(rdpm().args(["health", "--port", &port])).contains("can't be reached"));
    // Somebody who listens and says nothing isn't ready either.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    assert!(
        failed(rdpm().args(["health", "--port", &port, "--timeout", "1"])).contains("no answer within 1s")
    );
}
