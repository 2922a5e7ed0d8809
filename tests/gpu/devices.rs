//! Names of devices, and what `rdpm devices` prints of them.

use std::process::Command;

use rdpm::model::gpu::{AdapterKind, adapters};
use rdpm::model::{Model, ModelError, Precision, open_device};
use serde_json::Value;

use super::program::rdpm;
use super::{device, folder};

fn output(command: &mut Command) -> (bool, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn devices_are_listed_as_text_and_as_json() {
    let first = device().name();
    let (ok, text, error) = output(rdpm().arg("devices"));
    assert!(ok, "{error}");
    assert!(text.contains("\ncpu         ") && text.contains(&format!("\n{first} ")), "{text}");
    let (ok, json, error) = output(rdpm().args(["devices", "--json"]));
    assert!(ok, "{error}");
    let list: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(list["has_gpu_support"], true);
    assert!(list["cpu"]["threads"].as_u64().unwrap() > 0);
    let (gpus, known) = (list["gpus"].as_array().unwrap(), adapters());
    assert_eq!(gpus.len(), known.len());
    for (number, (gpu, known)) in gpus.iter().zip(&known).enumerate() {
        assert_eq!(gpu["device"], format!("gpu:{number}"));
        assert_eq!((&gpu["name"], &gpu["kind"]), (&known.name.clone().into(), &known.kind.name().into()));
        assert!(gpu["max_binding_bytes"].as_u64().unwrap() >= 128 << 20, "{gpu}");
    }
    // `auto` chooses no program that stands in for a GPU.
    if known.iter().all(|gpu| !gpu.kind.is_real()) {
        assert_eq!(list["auto"], "cpu");
    }
}

#[test]
fn gpu_is_the_best_device_and_auto_never_a_program() {
    let known = adapters();
    let best = known.iter().min_by_key(|gpu| gpu.kind).unwrap();
    assert_eq!(device().name(), best.device);
    assert_eq!(open_device(&best.device).unwrap().name(), best.device);
    let auto = open_device("auto").unwrap();
    assert_eq!(auto.is_cpu(), !best.kind.is_real());
    assert!(
        AdapterKind::Discrete < AdapterKind::Integrated && AdapterKind::Integrated < AdapterKind::Software
    );
}

#[test]
fn missing_devices_and_other_precisions_are_refused() {
    let error = |name: &str| open_device(name).err().unwrap().to_string();
    assert!(error("gpu:99").contains("there is no gpu:99; `rdpm devices` lists"), "{}", error("gpu:99"));
    for name in ["gpu:", "gpu:x", "gpu:-1", "gpus"] {
        assert!(error(name).contains("allowed are auto, cpu, cuda, cuda:N, gpu and gpu:N"), "{name}");
    }
    let device = device();
    assert_eq!(Precision::available(&device), [Precision::F32]);
    for precision in [Precision::Bf16, Precision::F16] {
        let refused = Model::load_with(&folder("tests/fixtures/words"), &device, precision);
        assert!(matches!(refused.err(), Some(ModelError::Precision { .. })));
    }
}

#[test]
fn commands_use_the_gpu() {
    let words = folder("tests/fixtures/words");
    let with_gpu = |arguments: &[&str]| {
        let (ok, text, error) =
            output(rdpm().args(arguments).arg("--weights").arg(&words).args(["--device", "gpu"]));
        assert!(ok, "{error}");
        text
    };
    let name = device().name();
    assert!(with_gpu(&["info"]).contains(&format!("device      {name}\nprecision   f32")));
    let text = with_gpu(&["bench", "--seconds", "0", "--batches", "1,3"]);
    let rate = |batch: &str| -> f64 {
        let row = text.lines().find(|line| line.trim_start().starts_with(&format!("{batch} "))).unwrap();
        row.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    assert!(rate("1") > 0.0 && rate("3") > 0.0, "{text}");
}
