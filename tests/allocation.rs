//! The memory that a step of the sampler allocates on a CPU. A test program of its own, as the allocator is global.

use std::path::Path;

use candle_core::Device;
use rdpm::model::{Model, SamplerState, SamplingSettings};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const IMAGES: usize = 8;

/// For each step of a batch, the bytes that it allocates and the bytes that it keeps.
fn steps(model: &Model) -> Vec<(u64, i64)> {
    let start = |image| model.start(&SamplingSettings::new(model.config(), image).unwrap(), image as u64, 0);
    let mut states: Vec<SamplerState> = (0..IMAGES).map(start).collect();
    let step = |_| {
        let before = dhat::HeapStats::get();
        drop(model.step(&mut states.iter_mut().collect::<Vec<_>>()).unwrap());
        let after = dhat::HeapStats::get();
        (after.total_bytes - before.total_bytes, after.curr_bytes as i64 - before.curr_bytes as i64)
    };
    (0..model.config().steps()).map(step).collect()
}

#[test]
fn steps_keep_no_memory_and_allocate_no_activations() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/fashion-mnist");
    let model = Model::load(&folder, &Device::Cpu).unwrap();
    let positions = model.config().positions() * IMAGES;
    // The size of one layer's widest activations for these images, with guidance. Without reuse of buffers, a step would
    // allocate this many times.
    let activations = (2 * positions * 4 * model.config().denoiser.width * size_of::<f32>()) as u64;
    let is_warm = |steps: &Vec<(u64, i64)>| {
        !steps.is_empty() && steps.iter().all(|(allocated, kept)| *allocated < activations / 8 && *kept <= 0)
    };
    // In the first runs buffers grow, and the modulation of each timestep and class is computed. Which threads work is
    // random, so any run may be the first of some thread; but the number of threads is limited.
    let max_runs = 4 + 2 * rayon::current_num_threads();
    let mut runs = Vec::new();
    while !runs.last().is_some_and(is_warm) {
        assert!(runs.len() < max_runs, "{runs:?}; activations: {activations}");
        runs.push(steps(&model));
    }
}
