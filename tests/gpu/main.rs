//! Tests of `--features gpu`, on any Vulkan device. Debian's mesa-vulkan-drivers has one that runs on the CPU (lavapipe).

#[path = "../pairs/mod.rs"]
mod pairs;
#[path = "../program/mod.rs"]
mod program;

mod devices;
mod networks;
mod sampling;
mod serve;

use std::path::{Path, PathBuf};

use candle_core::Device;
use rdpm::model::{ComputeDevice, Model, open_device};

/// The two shipped models: Fashion-MNIST and emoji.
const SHIPPED: [&str; 2] = ["weights/fashion-mnist", "weights/emoji"];
/// Small models with random weights: with words, with three levels of the tokenizer, with a larger decoder.
const FIXTURES: [&str; 3] = ["tests/fixtures/words", "tests/fixtures/eighth", "tests/fixtures/upsampled"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn device() -> ComputeDevice {
    open_device("gpu").unwrap_or_else(|error| {
        panic!("{error}. These tests need a Vulkan device: apt-get install mesa-vulkan-drivers")
    })
}

/// A model on the CPU and on the GPU.
fn models(name: &str) -> [Model; 2] {
    let folder = folder(name);
    [Model::load(&folder, &Device::Cpu).unwrap(), Model::load(&folder, device()).unwrap()]
}
