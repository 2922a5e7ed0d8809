// Self-attention. A workgroup computes one head of 16 positions (queries) of one sequence, with 16 threads for each: a
// thread computes the scores of every 16th key, then every 16th four numbers of the result.

struct Shape {
    // At most 128.
    positions: u32,
    // Widths of a position and of a head, divided by 4.
    width: u32,
    head: u32,
    padding0: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
// (rows, n, 3, d): query, key and value of each position
@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;
// (rows, n, d)
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

const THREADS: u32 = 16u;
const MAX_POSITIONS: u32 = 128u;

var<workgroup> scores: array<f32, THREADS * MAX_POSITIONS>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let n = shape.positions;
    let d = shape.width;
    let own = thread / THREADS * MAX_POSITIONS;
    let lane = thread % THREADS;
    let query = workgroup.x * THREADS + thread / THREADS;
    let sequence = workgroup.z * n;
    let head = workgroup.y * shape.head;
    let is_inside = query < n;
    let from_query = (sequence + query) * 3u * d + head;
    if (is_inside) {
        let factor = 1.0 / sqrt(f32(4u * shape.head));
        for (var key = lane; key < n; key += THREADS) {
            let from_key = (sequence + key) * 3u * d + d + head;
            var sum = 0.0;
            for (var i = 0u; i < shape.head; i++) {
                sum += dot(qkv[from_query + i], qkv[from_key + i]);
            }
            scores[own + key] = sum * factor;
        }
    }
    workgroupBarrier();
    var largest = -3.4e38;
    if (is_inside) {
        for (var key = 0u; key < n; key++) {
            largest = max(largest, scores[own + key]);
        }
    }
    workgroupBarrier();
    if (is_inside) {
        for (var key = lane; key < n; key += THREADS) {
            scores[own + key] = exp(scores[own + key] - largest);
        }
    }
    workgroupBarrier();
    if (is_inside) {
        var total = 0.0;
        for (var key = 0u; key < n; key++) {
            total += scores[own + key];
        }
        for (var i = lane; i < shape.head; i += THREADS) {
            var sum = vec4<f32>();
            for (var key = 0u; key < n; key++) {
                sum += scores[own + key] * qkv[(sequence + key) * 3u * d + 2u * d + head + i];
            }
            out[(sequence + query) * d + head + i] = sum / total;
        }
    }
}
