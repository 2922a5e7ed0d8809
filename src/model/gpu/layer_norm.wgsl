// Layer norm without weights of its own, then the condition's scale and shift: h = norm(x) · (1 + scale) + shift.
// A workgroup normalizes four positions with 16 threads each.

struct Batch {
    rows: u32,
    padding0: u32,
    padding1: u32,
    padding2: u32,
}

struct Shape {
    positions: u32,
    width: u32,
    // The length of a sequence's modulation, and where the shift begins in it; the scale follows.
    modulation: u32,
    first: u32,
}

@group(0) @binding(0) var<uniform> batch: Batch;
@group(0) @binding(1) var<uniform> shape: Shape;
// (rows, n, d)
@group(0) @binding(2) var<storage, read> x: array<f32>;
// (rows, modulation), and this layer's addition to it, (modulation,)
@group(0) @binding(3) var<storage, read> modulation: array<f32>;
@group(0) @binding(4) var<storage, read> offset: array<f32>;
// (rows, n, d)
@group(0) @binding(5) var<storage, read_write> h: array<f32>;

const EPSILON: f32 = 1e-6;
const THREADS: u32 = 16u;

var<workgroup> partial: array<f32, 64>;

// The sum of a value over the threads of a position.
fn reduce(thread: u32, value: f32) -> f32 {
    workgroupBarrier();
    partial[thread] = value;
    workgroupBarrier();
    let first = thread / THREADS * THREADS;
    var sum = 0.0;
    for (var i = 0u; i < THREADS; i++) {
        sum += partial[first + i];
    }
    return sum;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let d = shape.width;
    // Threads beyond the last position compute it again, because all must reach the barriers.
    let row = min(4u * workgroup.x + thread / THREADS, batch.rows * shape.positions - 1u);
    let lane = thread % THREADS;
    var sum = 0.0;
    for (var j = lane; j < d; j += THREADS) {
        sum += x[row * d + j];
    }
    let mean = reduce(thread, sum) / f32(d);
    var squares = 0.0;
    for (var j = lane; j < d; j += THREADS) {
        let distance = x[row * d + j] - mean;
        squares = fma(distance, distance, squares);
    }
    let scale = 1.0 / sqrt(reduce(thread, squares) / f32(d) + EPSILON);
    let shift_at = row / shape.positions * shape.modulation + shape.first;
    for (var j = lane; j < d; j += THREADS) {
        let shift = modulation[shift_at + j] + offset[shape.first + j];
        let gain = 1.0 + modulation[shift_at + d + j] + offset[shape.first + d + j];
        h[row * d + j] = fma((x[row * d + j] - mean) * scale, gain, shift);
    }
}
