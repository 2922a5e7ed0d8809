//! Tests the program with several models: valid and invalid folders of weights.

mod pairs;
mod program;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pairs::pairs;
use program::{Program, rdpm};
use rdpm::model::{Model, Precision, Sampler, SamplingSettings};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with two models: the shipped one, and a small one with random weights, in colour, of 24 × 24 pixels.
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

    /// Adds a copy of the small model with a changed configuration.
    fn add_variant(&self, name: &str, from: &str, to: &str) {
        let config = self.copy("tests/fixtures/eighth", name).join("config.json");
        let text = fs::read_to_string(&config).unwrap();
        assert!(text.contains(from));
        fs::write(config, text.replacen(from, to, 1)).unwrap();
    }

    /// Adds the [`INVALID`] folders: malformed JSON, a truncated file of tensors, a name that another has, tensors of wrong
    /// shapes. Adds a folder without a model, too.
    fn add_invalid(&self) {
        let broken = self.copy("tests/fixtures/eighth", "broken");
        fs::write(broken.join("config.json"), "{").unwrap();
        let half = self.copy("tests/fixtures/eighth", "half");
        self.rename(&half, "half");
        let tensors = fs::read(half.join("model.safetensors")).unwrap();
        fs::write(half.join("model.safetensors"), &tensors[..tensors.len() / 2]).unwrap();
        self.copy("tests/fixtures/eighth", "twin");
        self.add_variant("unfit", "\"name\": \"eighth\"", "\"name\": \"unfit\"");
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

    /// Standard error of a run, which must fail with status 2.
    fn fail(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        stderr
    }

    /// Starts a server with further flags. Returns it, its URL and the path of its log.
    fn serve(&self, flags: &[&str]) -> (Program, String, PathBuf) {
        let log = self.path("log");
        let mut command = self.command(&["serve", "--port", "0"]);
        command.args(flags).stderr(File::create(&log).unwrap());
        let (server, address) = Program::start(&mut command, "http://");
        (server, format!("http://{address}"), log)
    }
}

/// Invalid folders, and a part of the error that each must cause.
const INVALID: [(&str, &str); 4] =
    [("broken", "EOF"), ("half", "truncated"), ("twin", "names must differ"), ("unfit", "denoiser.blocks.1")];

async fn get(url: String) -> Value {
    let response = reqwest::get(&url).await.unwrap();
    assert_eq!(response.status(), 200, "{url}");
    response.json().await.unwrap()
}

async fn model_names(url: &str) -> Vec<String> {
    let models = get(format!("{url}/api/v1/models")).await;
    models["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Posts a generation and waits until it ends.
async fn generate(url: &str, body: Value) -> Value {
    let client = reqwest::Client::new();
    let request = client.post(format!("{url}/api/v1/generations?wait=true")).json(&body);
    request.send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn images_of_two_models_at_once_have_the_same_bytes_as_of_each_alone() {
    let weights = Weights::new();
    let (_server, url, _) = weights.serve(&[]);
    assert_eq!(model_names(&url).await, ["fashion-mnist", "eighth"]);
    let requests = [
        json!({"class": "Bag", "seed": 5, "count": 2}),
        json!({"class": "one", "seed": 5, "model": "eighth", "count": 3}),
        json!({"class": "Coat", "seed": 6, "model": "fashion-mnist"}),
        json!({"class": "two", "seed": 7, "model": "eighth", "guidance": 1}),
    ];
    let generate_one = |body: &Value| generate(&url, body.clone());
    let jobs = futures_util::future::join_all(requests.iter().map(generate_one)).await;
    for (body, job) in pairs(&requests, jobs) {
        let images = job["images"].as_array().unwrap_or_else(|| panic!("{job}"));
        assert_eq!(images.len() as u64, body["count"].as_u64().unwrap_or(1), "{job}");
        for image in images {
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
async fn invalid_folders_are_logged_and_skipped() {
    let weights = Weights::new();
    weights.add_invalid();
    let (_server, url, log) = weights.serve(&[]);
    assert_eq!(model_names(&url).await, ["fashion-mnist", "eighth"]);
    assert_eq!(generate(&url, json!({"class": "one", "model": "eighth"})).await["status"], "completed");
    let log = fs::read_to_string(log).unwrap();
    for (folder, reason) in INVALID {
        let is_about_folder = |line: &&str| {
            line.contains("a model is skipped") && line.contains(weights.path(folder).to_str().unwrap())
        };
        let line = log.lines().find(is_about_folder).unwrap_or_else(|| panic!("{folder} in {log}"));
        assert!(line.contains(reason), "{reason} in {line}");
    }

    let check = weights.run(&["serve", "--check"]);
    assert!(check.status.success());
    let checked = String::from_utf8(check.stderr).unwrap();
    let info = weights.run(&["info"]);
    let listed = String::from_utf8(info.stdout).unwrap();
    assert!(info.status.success());
    for (folder, reason) in INVALID {
        let path = weights.path(folder);
        let path = path.to_str().unwrap();
        let line = checked
            .lines()
            .find(|line| line.contains(path))
            .unwrap_or_else(|| panic!("{folder} in {checked}"));
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
fn requested_invalid_folder_is_fatal() {
    let weights = Weights::new();
    weights.add_invalid();
    for (folder, reason) in INVALID {
        for command in [["serve", "--check"], ["serve", "--port=0"]] {
            let error =
                weights.fail(&[command[0], command[1], "--model", &format!("fashion-mnist,{folder}")]);
            assert!(error.contains(reason), "{folder}: {error}");
        }
    }
    let error = weights.fail(&["serve", "--check", "--model", "fashion-mnist,third"]);
    assert!(
        error.contains(
            "no model \"third\" in this folder; there: broken, eighth, fashion-mnist, half, twin, unfit"
        ),
        "{error}"
    );
    let error = weights.fail(&["serve", "--check", "--model", "eighth", "--model", "eighth"]);
    assert!(error.contains("named twice"), "{error}");

    // A server without any valid model doesn't start.
    for folder in ["fashion-mnist", "eighth", "twin", "unfit", "half"] {
        fs::remove_dir_all(weights.path(folder)).unwrap();
    }
    for command in [vec!["serve", "--port", "0"], vec!["info"]] {
        assert!(weights.fail(&command).contains("broken/config.json: EOF"));
    }
    fs::remove_dir_all(weights.path("broken")).unwrap();
    assert!(weights.fail(&["info"]).contains("no model in this folder; there: none"));
}

#[tokio::test]
async fn first_requested_model_is_the_default() {
    let weights = Weights::new();
    let (server, url, _) = weights.serve(&["--model", "eighth", "--model", "fashion-mnist"]);
    assert_eq!(model_names(&url).await, ["eighth", "fashion-mnist"]);
    assert_eq!(generate(&url, json!({"class": "two", "seed": 1})).await["model"], "eighth");
    drop(server);
    let (server, url, _) = weights.serve(&["--model", "eighth"]);
    assert_eq!(model_names(&url).await, ["eighth"]);
    drop(server);
    // An empty value counts as none.
    let (_server, url, _) = weights.serve(&["--model", ""]);
    assert_eq!(model_names(&url).await, ["fashion-mnist", "eighth"]);

    let output =
        weights.run(&["generate", "--model", "eighth,fashion-mnist", "--class", "two", "--output", "a.png"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let info = weights.run(&["info", "a.png"]).stdout;
    assert!(String::from_utf8(info).unwrap().contains("rdpm generate --model eighth --class two"));
}

#[tokio::test]
async fn lazy_server_is_ready_before_its_models_are_loaded() {
    let weights = Weights::new();
    weights.add_invalid();
    let (_server, url, log) = weights.serve(&["--load", "lazy", "--log", "info"]);
    // Errors that only loading finds aren't known yet.
    assert_eq!(model_names(&url).await, ["fashion-mnist", "eighth", "unfit"]);
    let loaded = || fs::read_to_string(&log).unwrap().matches("model loaded").count();
    assert_eq!((get(format!("{url}/health/ready")).await["status"].clone(), loaded()), (json!("ready"), 0));
    for seed in 0..2 {
        assert_eq!(
            generate(&url, json!({"class": "one", "model": "eighth", "seed": seed})).await["status"],
            "completed"
        );
        assert_eq!(loaded(), 1);
    }
    let failed = generate(&url, json!({"class": "one", "model": "unfit"})).await;
    assert_eq!((&failed["status"], &failed["title"]), (&json!(500), &json!("Generation failed")));
    assert!(fs::read_to_string(&log).unwrap().contains("denoiser.blocks.1"));
    assert_eq!(generate(&url, json!({"class": "Bag"})).await["status"], "completed");
    assert_eq!(loaded(), 2);
}

/// Replaces one value of a tensor in a folder's weights.
fn set_value(folder: &Path, tensor: &str, value: f32) {
    let path = folder.join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &candle_core::Device::Cpu).unwrap();
    let old = tensors.get(tensor).unwrap();
    let mut values = old.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values[0] = value;
    let new = candle_core::Tensor::from_vec(values, old.shape(), &candle_core::Device::Cpu).unwrap();
    tensors.insert(tensor.into(), new);
    candle_core::safetensors::save(&tensors, &path).unwrap();
}

#[test]
fn weights_that_are_not_finite_are_refused_by_tensor() {
    for (tensor, value, text) in [
        ("denoiser.output.bias", f32::NAN, "NaN"),
        ("codebook", f32::INFINITY, "inf"),
        ("denoiser.blocks.0.qkv.weight", f32::NEG_INFINITY, "-inf"),
    ] {
        let weights = Weights::new();
        set_value(&weights.path("eighth"), tensor, value);
        let error = weights.fail(&["serve", "--check", "--model", "eighth"]);
        assert!(error.contains(&format!("tensor {tensor} has the value {text} at index 0")), "{error}");
    }
}

#[tokio::test]
async fn logits_that_are_not_finite_fail_the_job_and_not_the_server() {
    let weights = Weights::new();
    // Finite weights whose logits overflow. Loading takes a trial step, which finds that.
    set_value(&weights.path("eighth"), "denoiser.output.weight", 3e38);
    let error = weights.fail(&["generate", "--model", "eighth", "--class", "two", "--output", "two.png"]);
    assert!(error.contains("logits aren't finite"), "{error}");
    let (_server, url, _) = weights.serve(&[]);
    assert_eq!(model_names(&url).await, ["fashion-mnist"]);
    assert_eq!(
        generate(&url, json!({"class": "Bag", "model": "fashion-mnist"})).await["status"],
        "completed"
    );
}

#[test]
fn logits_that_are_not_finite_are_an_error_of_all_networks() {
    let weights = Weights::new();
    let folder = weights.path("eighth");
    set_value(&folder, "denoiser.output.weight", 3e38);
    let device = candle_core::Device::Cpu;
    let cpu = Model::load(&folder, &device).unwrap();
    let candle = Model::load_with_candle(&folder, &device, Precision::F32).unwrap();
    for model in [cpu, candle] {
        for temperature in [0.0, 1.0] {
            let settings = SamplingSettings::new(model.config(), 0).unwrap();
            let settings = settings.with_temperature(temperature).unwrap();
            let error = Sampler::new(&model, &settings, 1, 0..2).find_map(Result::err).unwrap();
            assert!(error.to_string().contains("logits aren't finite"), "{error}");
        }
    }
}

#[test]
fn configurations_that_could_mislead_are_refused_by_key() {
    for (from, to, reason) in [
        (r#""name": "eighth""#, r#""name": "..""#, "but not dots only"),
        (r#""title": "Three levels""#, r#""title": "a\u001b[2Jb""#, "title is"),
        (r#""title": "Three levels""#, r#""title": "a\u202eb""#, "title is"),
        (r#""one""#, r#"" ""#, "classes[0] is"),
        (r#""one""#, r#""TWO""#, "names must differ in more than case"),
        ("0.1", "1e-46", "in 32-bit precision too"),
        (
            r#""tokenizer": {"#,
            r#""tokenizer": {"upsample_widths": [8],"#,
            "upsample_blocks []; both must have the same number of levels, at most two",
        ),
        (
            r#""tokenizer": {"#,
            r#""tokenizer": {"upsample_widths": [8], "upsample_blocks": [1],"#,
            "size must be 16 × grid",
        ),
    ] {
        let weights = Weights::new();
        let config = weights.path("eighth/config.json");
        let text = fs::read_to_string(&config).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(&config, text.replacen(from, to, 1)).unwrap();
        for command in [&["serve", "--check", "--model", "eighth"][..], &["info", "--weights", "eighth"]] {
            let error = weights.fail(command);
            assert!(error.contains(reason), "{to}: {error}");
            assert!(!error.contains('\u{1b}') && !error.contains('\u{202e}'), "{error:?}");
        }
    }
}
