// Group norm of images with channels last, then SiLU. One workgroup for each group of channels of each image.

struct Shape {
    // Pixels of an image.
    positions: u32,
    channels: u32,
    // Channels of a group.
    group: u32,
    padding0: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
// (images, positions, channels)
@group(0) @binding(1) var<storage, read> x: array<f32>;
// (channels,) each
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
// (images, positions, channels)
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

const EPSILON: f32 = 1e-5;
const THREADS: u32 = 256u;

var<workgroup> partial: array<f32, THREADS>;

// The sum of a value over all threads.
fn reduce(thread: u32, value: f32) -> f32 {
    workgroupBarrier();
    partial[thread] = value;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (thread < half) {
            partial[thread] += partial[thread + half];
        }
    }
    workgroupBarrier();
    return partial[0];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let first = workgroup.x * shape.group;
    let start = workgroup.y * shape.positions * shape.channels + first;
    let count = shape.positions * shape.group;
    let inverse = 1.0 / f32(shape.group);
    var sum = 0.0;
    for (var i = thread; i < count; i += THREADS) {
        let position = u32((f32(i) + 0.5) * inverse);
        sum += x[start + position * shape.channels + i - position * shape.group];
    }
    let mean = reduce(thread, sum) / f32(count);
    var squares = 0.0;
    for (var i = thread; i < count; i += THREADS) {
        let position = u32((f32(i) + 0.5) * inverse);
        let distance = x[start + position * shape.channels + i - position * shape.group] - mean;
        squares = fma(distance, distance, squares);
    }
    let scale = 1.0 / sqrt(reduce(thread, squares) / f32(count) + EPSILON);
    for (var i = thread; i < count; i += THREADS) {
        let position = u32((f32(i) + 0.5) * inverse);
        let channel = i - position * shape.group;
        let at = start + position * shape.channels + channel;
        let value = fma((x[at] - mean) * scale, weight[first + channel], bias[first + channel]);
        y[at] = value / (1.0 + exp(-value));
    }
}
