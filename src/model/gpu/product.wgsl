// A matrix product C = A · B + bias with what follows it, for linear layers and for 3 × 3 convolutions.
//
// A is (m, k), B (k, n) and the bias (n,), padded with zeros to a multiple of 4 columns. A convolution is the sum of nine
// products, one for each tap of the kernel (`taps`), with the rows of A that are the pixels below that tap.
//
// A thread computes ROWS rows of QUADS times four columns. All threads of a workgroup compute the same rows, THREADS of them
// successive columns: so they read the same numbers of A, and neighbours neighbouring ones of B. k is divided into SLICES
// parts, whose sums are added in the end: PARALLEL of them are computed at the same time, by THREADS each. The order of
// a sum depends neither on the tile (ROWS, QUADS, THREADS, PARALLEL) nor on the size of the batch.
//
// This text is a template, because loops over local arrays would put these into memory on some devices: a line with `#` is
// repeated for each of the rows, one with `$` for each of the quads. Constants that are set before it: ROWS, QUADS, THREADS,
// PARALLEL (1 or SLICES), IS_CONVOLUTION, EPILOGUE.

// What follows the product.
const SET: u32 = 0u; // C = product
const SILU: u32 = 1u; // C = silu(product)
const ADD: u32 = 2u; // C += product
const ADD_GATED: u32 = 3u; // C += gate · product, with the gate of the sequence
const SHUFFLE: u32 = 4u; // C = pixel-shuffled product: 4 channels of a pixel become 2 × 2 pixels

const SLICES: u32 = 4u;

struct Batch {
    // Sequences or images.
    rows: u32,
    padding0: u32,
    padding1: u32,
    padding2: u32,
}

struct Shape {
    // Rows of A for each sequence or image.
    rows: u32,
    // k (of a tap) and n, divided by 4.
    k: u32,
    n: u32,
    // Length of a slice of k, divided by 4.
    slice: u32,
    // Convolutions: side of input and output, stride.
    side_in: u32,
    side_out: u32,
    stride: u32,
    padding0: u32,
    // ADD_GATED: the length of a sequence's modulation, and where the gate begins in it.
    modulation: u32,
    gate: u32,
    padding1: u32,
    padding2: u32,
}

@group(0) @binding(0) var<uniform> batch: Batch;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> modulation: array<f32>;
@group(0) @binding(6) var<storage, read> offset: array<f32>;
@group(0) @binding(7) var<storage, read_write> c: array<f32>;

// The sums of the slices but the first, for one row of each thread.
var<workgroup> sums: array<vec4<f32>, THREADS * (SLICES - 1u)>;

// Where a row of A begins, in vectors of four, for a convolution at a tap.
struct Start {
    at: u32,
    // 0 beyond the border of the image, otherwise 1.
    mask: f32,
}

fn start_of(number: u32, tap: u32) -> Start {
    // Rows beyond the last are computed again and not stored.
    let row = min(number, batch.rows * shape.rows - 1u);
    if (!IS_CONVOLUTION) {
        return Start(row * shape.k, 1.0);
    }
    let image = row / shape.rows;
    let position = row - image * shape.rows;
    let y = i32(position / shape.side_out * shape.stride + tap / 3u) - 1;
    let x = i32(position % shape.side_out * shape.stride + tap % 3u) - 1;
    let side = i32(shape.side_in);
    if (y < 0 || x < 0 || y >= side || x >= side) {
        return Start(0u, 0.0);
    }
    return Start(u32((i32(image) * side + y) * side + x) * shape.k, 1.0);
}

fn load(start: Start, k: u32) -> vec4<f32> {
    let loaded = a[start.at + k];
    if (IS_CONVOLUTION) {
        return loaded * start.mask;
    }
    return loaded;
}

fn store(at: u32, value: vec4<f32>) {
    c[at] = value.x;
    c[at + 1u] = value.y;
    c[at + 2u] = value.z;
    c[at + 3u] = value.w;
}

fn stored(at: u32) -> vec4<f32> {
    return vec4<f32>(c[at], c[at + 1u], c[at + 2u], c[at + 3u]);
}

// The gates of a sequence for four columns from `column` on.
fn gates(row: u32, column: u32) -> vec4<f32> {
    let own = row / shape.rows * shape.modulation + shape.gate + column;
    let added = shape.gate + column;
    return vec4<f32>(modulation[own], modulation[own + 1u], modulation[own + 2u], modulation[own + 3u])
        + vec4<f32>(offset[added], offset[added + 1u], offset[added + 2u], offset[added + 3u]);
}

// Stores four columns of a row.
fn finish(row: u32, quad: u32, value: vec4<f32>) {
    if (row >= batch.rows * shape.rows || quad >= shape.n) {
        return;
    }
    let at = 4u * (row * shape.n + quad);
    if (EPILOGUE == SET) {
        store(at, value);
    } else if (EPILOGUE == SILU) {
        store(at, value / (1.0 + exp(-value)));
    } else if (EPILOGUE == ADD) {
        store(at, stored(at) + value);
    } else if (EPILOGUE == ADD_GATED) {
        store(at, stored(at) + gates(row, 4u * quad) * value);
    } else {
        // Channel `quad` of 2 × 2 pixels.
        let image = row / shape.rows;
        let position = row - image * shape.rows;
        let y = position / shape.side_out;
        let x = position - y * shape.side_out;
        let side = 2u * shape.side_out;
        let upper = ((image * side + 2u * y) * side + 2u * x) * shape.n + quad;
        let lower = upper + side * shape.n;
        c[upper] = value.x;
        c[upper + shape.n] = value.y;
        c[lower] = value.z;
        c[lower + shape.n] = value.w;
    }
}

// The columns of a thread and a quad are `column + $ * THREADS` vectors of four.
@compute @workgroup_size(THREADS, PARALLEL)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_id) invocation: vec3<u32>) {
    let thread = invocation.x;
    let first_row = workgroup.y * ROWS;
    let column = workgroup.x * THREADS * QUADS + thread;
    // Columns beyond the last are computed again and not stored.
    let quad$ = min(column + $u * THREADS, shape.n - 1u);

    var total#_$ = bias[quad$];
    for (var round = 0u; round < SLICES / PARALLEL; round++) {
        let slice = round + invocation.y;
        let begin = min(slice * shape.slice, shape.k);
        let end = min(begin + shape.slice, shape.k);
        var sum#_$ = vec4<f32>();
        for (var tap = 0u; tap < select(1u, 9u, IS_CONVOLUTION); tap++) {
            let start# = start_of(first_row + #u, tap);
            for (var k = begin; k < end; k++) {
                let row_of_b = (tap * shape.k + k) * 4u * shape.n;
                let b0_$ = b[row_of_b + quad$];
                let b1_$ = b[row_of_b + shape.n + quad$];
                let b2_$ = b[row_of_b + 2u * shape.n + quad$];
                let b3_$ = b[row_of_b + 3u * shape.n + quad$];
                let a# = load(start#, k);
                sum#_$ = fma(a#.xxxx, b0_$, sum#_$);
                sum#_$ = fma(a#.yyyy, b1_$, sum#_$);
                sum#_$ = fma(a#.zzzz, b2_$, sum#_$);
                sum#_$ = fma(a#.wwww, b3_$, sum#_$);
            }
        }
        if (PARALLEL > 1u) {
            total#_$ = add_slices(thread, slice, total#_$, sum#_$);
        } else {
            total#_$ += sum#_$;
        }
    }
    if (invocation.y == 0u) {
        finish(first_row + #u, column + $u * THREADS, total#_$);
    }
}

// The total of all slices, for the threads of the first one.
fn add_slices(thread: u32, slice: u32, total: vec4<f32>, sum: vec4<f32>) -> vec4<f32> {
    workgroupBarrier();
    if (slice > 0u) {
        sums[(slice - 1u) * THREADS + thread] = sum;
    }
    workgroupBarrier();
    var result = total + sum;
    for (var other = 0u; other < SLICES - 1u; other++) {
        result += sums[other * THREADS + thread];
    }
    return result;
}
