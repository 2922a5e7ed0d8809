// The input of the first block: x = z · W + position, where z is scaled to unit variance and `position` includes the bias.
// One thread for each element of x.

struct Shape {
    positions: u32,
    channels: u32,
    width: u32,
    padding0: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
// (rows, n, c)
@group(0) @binding(1) var<storage, read> z: array<f32>;
// (c, d)
@group(0) @binding(2) var<storage, read> weight: array<f32>;
// (n, d)
@group(0) @binding(3) var<storage, read> position: array<f32>;
// (rows, n, d)
@group(0) @binding(4) var<storage, read_write> x: array<f32>;

// One workgroup for each position of each sequence.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = workgroup.y * shape.positions + workgroup.x;
    for (var j = thread; j < shape.width; j += 64u) {
        var sum = 0.0;
        for (var channel = 0u; channel < shape.channels; channel++) {
            sum = fma(z[row * shape.channels + channel], weight[channel * shape.width + j], sum);
        }
        x[row * shape.width + j] = sum + position[workgroup.x * shape.width + j];
    }
}
