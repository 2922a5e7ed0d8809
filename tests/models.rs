//! Several models as an operator has them: folders of weights, good and bad, and the program that serves them.

mod program;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use program::{Program, rdpm};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder of models: the shipped one, and a small one of random numbers in colour, of 24 × 24 pixels.
struct Weights(TempDir);

impl Weights {
    fn new() -> Self {
        let weights = Self(TempDir::new().unwrap());
        weights.copy("weights/fashion-mnist", "fashion-mnist");
        weights.copy("tests/fixtures/eighth", "eighth");
        weights
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn copy(&self, from: &str, to: &str) -> PathBuf {
        let (from, to) = (Path::new(env!("CARGO_MANIFEST_DIR")).join(from), self.path(to));
        fs::create_dir(&to).unwrap();
        for file in ["config.json", "model.safetensors"] {
            fs::copy(from.join(file), to.join(file)).unwrap();
        }
        to
    }

    /// The small model with its configuration changed.
    fn variant(&self, name: &str, from: &str, to: &str) {
        let config = self.copy("tests/fixtures/eighth", name).join("config.json");
        let text = fs::read_to_string(&config).unwrap();
        assert!(text.contains(from));
        fs::write(config, text.replacen(from, to, 1)).unwrap();
    }

    /// Adds folders that can't be used: no JSON, half the tensors, a name that another has, tensors that don't fit.
    fn spoil(&self) {
        let broken = self.copy("tests/fixtures/eighth", "broken");
        fs::write(broken.join("config.json"), "{").unwrap();
        let half = self.copy("tests/fixtures/eighth", "half");
        self.rename(&half, "half");
        let tensors = fs::read(half.join("model.safetensors")).unwrap();
        fs::write(half.join("model.safetensors"), &tensors[..tensors.len() / 2]).unwrap();
        self.copy("tests/fixtures/eighth", "twin");
        self.variant("unfit", "\"name\": \"eighth\"", "\"name\": \"unfit\"");
        let config = self.path("unfit/config.json");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(config, text.replacen("\"layers\": 1", "\"layers\": 2", 1)).unwrap();
        fs::create_dir(self.path("no-model")).unwrap();
    }

    fn rename(&self, folder: &Path, name: &str) {
        let config = folder.join("config.json");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(config, text.replacen("\"name\": \"eighth\"", &format!("\"name\": \"{name}\""), 1))
            .unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = rdpm();
        command.env("RDPM_WEIGHTS", self.0.path()).current_dir(self.0.path()).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard error of a run that must end with status 2.
    fn fail(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        said
    }

    /// A server with further flags, its address, and the file of its log.
    fn serve(&self, flags: &[&str]) -> (Program, String, PathBuf) {
        let log = self.path("log");
        let mut command = self.command(&["serve", "--port", "0"]);
        command.args(flags).stderr(File::create(&log).unwrap());
        let (server, address) = Program::start(&mut command, "http://");
        (server, format!("http://{address}"), log)
    }
}

const BAD: [(&str, &str); 4] =
    [("broken", "EOF"), ("half", "truncated"), ("twin", "names must differ"), ("unfit", "denoiser.blocks.1")];

async fn get(url: String) -> Value {
    let response = reqwest::get(&url).await.unwrap();
    assert_eq!(response.status(), 200, "{url}");
    response.json().await.unwrap()
}

async fn names(url: &str) -> Vec<String> {
    let models = get(format!("{url}/api/v1/models")).await;
    models["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Posts a generation and waits for its end.
async fn draw(url: &str, body: Value) -> Value {
    let client = reqwest::Client::new();
    let request = client.post(format!("{url}/api/v1/generations?wait=true")).json(&body);
    request.send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn two_models_drawn_together_give_the_same_bytes_as_each_alone() {
    let weights = Weights::new();
    let (_server, url, _) = weights.serve(&[]);
    assert_eq!(names(&url).await, ["fashion-mnist", "eighth"]);
    let bodies = [
        json!({"class": "Bag", "seed": 5, "count": 2}),
        json!({"class": "one", "seed": 5, "model": "eighth", "count": 3}),
        json!({"class": "Coat", "seed": 6, "model": "fashion-mnist"}),
        json!({"class": "two", "seed": 7, "model": "eighth", "guidance": 1}),
    ];
    let draw_each = |body: &Value| draw(&url, body.clone());
    let together = futures_util::future::join_all(bodies.iter().map(draw_each)).await;
    for (body, job) in bodies.iter().zip(together) {
        for image in job["images"].as_array().unwrap_or_else(|| panic!("{job}")) {
            use base64::Engine as _;
            let file = image["png_base64"].as_str().unwrap();
            let file = base64::engine::general_purpose::STANDARD.decode(file).unwrap();
            let text = |field: &str| {
                body[field].as_str().map(str::to_owned).unwrap_or_else(|| body[field].to_string())
            };
            let model = body["model"].as_str().unwrap_or("fashion-mnist");
            let (first, seed, guidance) =
                (image["index"].to_string(), text("seed"), job["guidance"].to_string());
            let mut command = vec!["generate", "--model", model, "--output", "alone.png", "--first", &first];
            let class = text("class");
            command.extend(["--class", &class, "--seed", &seed, "--guidance", &guidance]);
            let output = weights.run(&command);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(fs::read(weights.path("alone.png")).unwrap() == file, "{body}, image {first}");
        }
    }
}

#[tokio::test]
async fn bad_folders_are_reported_and_skipped() {
    let weights = Weights::new();
    weights.spoil();
    let (_server, url, log) = weights.serve(&[]);
    assert_eq!(names(&url).await, ["fashion-mnist", "eighth"]);
    assert_eq!(draw(&url, json!({"class": "one", "model": "eighth"})).await["status"], "completed");
    let log = fs::read_to_string(log).unwrap();
    for (folder, reason) in BAD {
        let said = |line: &&str| {
            line.contains("a model is skipped") && line.contains(weights.path(folder).to_str().unwrap())
        };
        let line = log.lines().find(said).unwrap_or_else(|| panic!("{folder} in {log}"));
        assert!(line.contains(reason), "{reason} in {line}");
    }

    let check = weights.run(&["serve", "--check"]);
    assert!(check.status.success());
    let said = String::from_utf8(check.stderr).unwrap();
    let info = weights.run(&["info"]);
    let listed = String::from_utf8(info.stdout).unwrap();
    assert!(info.status.success());
    for (folder, reason) in BAD {
        let path = weights.path(folder);
        let path = path.to_str().unwrap();
        let line =
            said.lines().find(|line| line.contains(path)).unwrap_or_else(|| panic!("{folder} in {said}"));
        assert!(line.contains("would be skipped") && line.contains(reason), "{line}");
        let line =
            listed.lines().find(|line| line.contains(path)).unwrap_or_else(|| panic!("{folder} in {listed}"));
        assert!(line.starts_with("unusable") && line.contains(reason), "{line}");
    }
    for title in ["Fashion-MNIST", "Three levels"] {
        assert!(listed.contains(&format!("model       {title}")), "{listed}");
    }
}

#[test]
fn a_bad_folder_that_was_asked_for_is_fatal() {
    let weights = Weights::new();
    weights.spoil();
    for (folder, reason) in BAD {
        for command in [["serve", "--check"], ["serve", "--port=0"]] {
            let said = weights.fail(&[command[0], command[1], "--model", &format!("fashion-mnist,{folder}")]);
            assert!(said.contains(reason), "{folder}: {said}");
        }
    }
    let said = weights.fail(&["serve", "--check", "--model", "fashion-mnist,third"]);
    assert!(
        said.contains(
            "no model \"third\" in this folder; there: broken, eighth, fashion-mnist, half, twin, unfit"
        ),
        "{said}"
    );
    let said = weights.fail(&["serve", "--check", "--model", "eighth", "--model", "eighth"]);
    assert!(said.contains("named twice"), "{said}");

    // Where nothing is left there is nothing to serve.
    for good in ["fashion-mnist", "eighth", "twin", "unfit", "half"] {
        fs::remove_dir_all(weights.path(good)).unwrap();
    }
    for command in [vec!["serve", "--port", "0"], vec!["info"]] {
        assert!(weights.fail(&command).contains("broken/config.json: EOF"));
    }
    fs::remove_dir_all(weights.path("broken")).unwrap();
    assert!(weights.fail(&["info"]).contains("no model in this folder; there: none"));
}

#[tokio::test]
async fn the_first_model_that_is_named_is_the_default() {
    let weights = Weights::new();
    let (server, url, _) = weights.serve(&["--model", "eighth", "--model", "fashion-mnist"]);
    assert_eq!(names(&url).await, ["eighth", "fashion-mnist"]);
    assert_eq!(draw(&url, json!({"class": "two", "seed": 1})).await["model"], "eighth");
    drop(server);
    let (server, url, _) = weights.serve(&["--model", "eighth"]);
    assert_eq!(names(&url).await, ["eighth"]);
    drop(server);
    // A variable that is set to nothing says nothing.
    let (_server, url, _) = weights.serve(&["--model", ""]);
    assert_eq!(names(&url).await, ["fashion-mnist", "eighth"]);

    let output =
        weights.run(&["generate", "--model", "eighth,fashion-mnist", "--class", "two", "--output", "a.png"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = weights.run(&["info", "a.png"]).stdout;
    assert!(String::from_utf8(said).unwrap().contains("rdpm generate --model eighth --class two"));
}

#[tokio::test]
async fn a_lazy_server_is_ready_before_its_models_are_loaded() {
    let weights = Weights::new();
    weights.spoil();
    let (_server, url, log) = weights.serve(&["--load", "lazy", "--log", "info"]);
    // What only loading tells is not known yet.
    assert_eq!(names(&url).await, ["fashion-mnist", "eighth", "unfit"]);
    let loaded = || fs::read_to_string(&log).unwrap().matches("model loaded").count();
    assert_eq!((get(format!("{url}/health/ready")).await["status"].clone(), loaded()), (json!("ready"), 0));
    for seed in 0..2 {
        assert_eq!(
            draw(&url, json!({"class": "one", "model": "eighth", "seed": seed})).await["status"],
            "completed"
        );
        assert_eq!(loaded(), 1);
    }
    let failed = draw(&url, json!({"class": "one", "model": "unfit"})).await;
    assert_eq!((&failed["status"], &failed["title"]), (&json!(500), &json!("Generation failed")));
    assert!(fs::read_to_string(&log).unwrap().contains("denoiser.blocks.1"));
    assert_eq!(draw(&url, json!({"class": "Bag"})).await["status"], "completed");
    assert_eq!(loaded(), 2);
}
