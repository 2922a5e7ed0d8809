// Sums the embeddings of what each sequence is told: timestep and class, for models that know words also style and words, and
// the guidance scale for a denoiser that computes guided logits in one pass.
// One workgroup for each sequence.

struct Shape {
    width: u32,
    // 1 if the model knows styles and words.
    has_words: u32,
    padding0: u32,
    padding1: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
// For each sequence eight numbers: timestep from 0, class, style, where its words begin in this array, their number, the
// bits of their weight (f32); where the guidance scale's embedding is in the table of timesteps, 0 if it isn't told, and the
// bits of the weight (f32) of the embedding after it. Then the words of all.
@group(0) @binding(1) var<storage, read> inputs: array<u32>;
@group(0) @binding(2) var<storage, read> timestep: array<f32>;
@group(0) @binding(3) var<storage, read> label: array<f32>;
@group(0) @binding(4) var<storage, read> style: array<f32>;
@group(0) @binding(5) var<storage, read> word: array<f32>;
// (rows, d): the sum, without words.
@group(0) @binding(6) var<storage, read_write> sum: array<f32>;
// (rows, d): the words' embeddings, pooled.
@group(0) @binding(7) var<storage, read_write> pooled: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = workgroup.x;
    let input = 8u * row;
    let d = shape.width;
    for (var j = thread; j < d; j += 64u) {
        var total = timestep[inputs[input] * d + j] + label[inputs[input + 1u] * d + j];
        let guidance = inputs[input + 6u];
        if (guidance != 0u) {
            let lower = timestep[guidance * d + j];
            total += lower + bitcast<f32>(inputs[input + 7u]) * (timestep[(guidance + 1u) * d + j] - lower);
        }
        if (shape.has_words != 0u) {
            total += style[inputs[input + 2u] * d + j];
            var words = 0.0;
            for (var i = 0u; i < inputs[input + 4u]; i++) {
                words += word[inputs[inputs[input + 3u] + i] * d + j];
            }
            pooled[row * d + j] = words * bitcast<f32>(inputs[input + 5u]);
        }
        sum[row * d + j] = total;
    }
}
