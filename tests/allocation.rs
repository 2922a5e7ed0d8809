//! What a step of the sampler allocates on a CPU. A program of its own: the allocator is everybody's.

use std::path::Path;

use candle_core::Device;
use rdpm::model::{Drawing, Model, Settings};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const IMAGES: usize = 8;

/// Bytes that each step of a batch allocates, and bytes that are held more after it than before.
fn steps(model: &Model) -> Vec<(u64, i64)> {
    let start = |image| model.start(&Settings::new(model.config(), image).unwrap(), image as u64, 0);
    let mut drawings: Vec<Drawing> = (0..IMAGES).map(start).collect();
    let step = |_| {
        let before = dhat::HeapStats::get();
        drop(model.step(&mut drawings.iter_mut().collect::<Vec<_>>()).unwrap());
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
    // Buffers grow to what the threads need, and each pair of timestep and class has its modulation made.
    steps(&model);
    steps(&model);
    let seen = steps(&model);
    let positions = model.config().positions() * IMAGES;
    // One layer's widest activations for these images, with guidance: what would be allocated many times a step.
    let activations = (2 * positions * 4 * model.config().denoiser.width * size_of::<f32>()) as u64;
    for (allocated, kept) in &seen {
        assert!(*allocated < activations / 8, "{seen:?}; activations: {activations}");
        assert!(*kept <= 0, "{seen:?}");
    }
}
