//! What a step of the sampler allocates on a CPU. A program of its own: the allocator is everybody's.

use std::path::Path;

use candle_core::Device;
use rdpm::model::{Model, SamplerState, SamplingSettings};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const IMAGES: usize = 8;

/// Bytes that each step of a batch allocates, and bytes that are held more after it than before.
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
fn a_step_keeps_nothing_and_needs_no_fresh_memory_for_activations() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/fashion-mnist");
    let model = Model::load(&folder, &Device::Cpu).unwrap();
    let positions = model.config().positions() * IMAGES;
    // One layer's widest activations for these images, with guidance: what would be allocated many times a step.
    let activations = (2 * positions * 4 * model.config().denoiser.width * size_of::<f32>()) as u64;
    let is_warm = |seen: &Vec<(u64, i64)>| {
        seen.iter().all(|(allocated, kept)| *allocated < activations / 8 && *kept <= 0)
    };
    // Buffers grow to what the threads need, and each pair of timestep and class has its modulation made. Which threads
    // work at once is up to chance, so that any run may be some thread's first; but there are only so many.
    let most = 4 + 2 * rayon::current_num_threads();
    let mut seen = Vec::new();
    while !seen.last().is_some_and(is_warm) {
        assert!(seen.len() < most, "{seen:?}; activations: {activations}");
        seen.push(steps(&model));
    }
}
