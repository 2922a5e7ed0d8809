// Draws the code of one position of one image from its logits: guidance, temperature, top-k, top-p, Gumbel-max. The same as
// `code_sampling.rs`, by a workgroup for each position.

struct Shape {
    positions: u32,
    // V, at most 1,536.
    codes: u32,
    padding0: u32,
    padding1: u32,
}

// How to draw the codes of an image.
struct Image {
    // The sequences with and without its condition; the same if there is no guidance.
    conditional: u32,
    unconditional: u32,
    guidance: f32,
    // 1 / temperature; 1 at temperature 0.
    inverse_temperature: f32,
    // 1 at temperature 0: the most probable code.
    is_greedy: u32,
    // 1 if codes must be ranked by probability: for top-k, top-p and alternatives.
    has_ranks: u32,
    // Number of codes, V if there is no limit.
    top_k: u32,
    // Larger than 1 if there is no limit.
    top_p: f32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
// (rows, n, V)
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> images: array<Image>;
// (images, n, V), of the open interval (0, 1)
@group(0) @binding(3) var<storage, read> uniforms: array<f32>;
// (images, n): the given code, or NONE
@group(0) @binding(4) var<storage, read> given: array<u32>;
// (images, n, RESULTS)
@group(0) @binding(5) var<storage, read_write> results: array<u32>;

const THREADS: u32 = 256u;
const MAX_CODES: u32 = 1536u;
const NONE: u32 = 0xffffffffu;
// Numbers of a result: code, rank of the code, rank of the given code, 1 if a logit isn't finite; entropy, probability, that
// of the given code, unused; four alternatives; their probabilities.
const RESULTS: u32 = 16u;
const ALTERNATIVES: u32 = 4u;
// A logit whose exponential is 0.
const MASKED_LOGIT: f32 = -1e30;

var<workgroup> values: array<f32, MAX_CODES>;
// The codes in the order of their ranks.
var<workgroup> order: array<u32, MAX_CODES>;
var<workgroup> partial: array<f32, THREADS>;
var<workgroup> partial_codes: array<u32, THREADS>;
var<workgroup> kept: atomic<u32>;
var<workgroup> not_finite: atomic<u32>;

fn sum_of(thread: u32, value: f32) -> f32 {
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

// The code with the smallest value, of equal ones the lowest.
fn first_of(thread: u32, value: f32, code: u32) -> u32 {
    workgroupBarrier();
    partial[thread] = value;
    partial_codes[thread] = code;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (thread < half) {
            let other = partial[thread + half];
            let other_code = partial_codes[thread + half];
            if (other < partial[thread] || (other == partial[thread] && other_code < partial_codes[thread])) {
                partial[thread] = other;
                partial_codes[thread] = other_code;
            }
        }
    }
    workgroupBarrier();
    return partial_codes[0];
}

// Sets the order: the rank of a code is the number of those with a larger logit, and of lower ones with an equal one.
fn rank_codes(thread: u32, codes: u32) {
    // Four codes at once, so that each logit is read less often.
    for (var first = thread; first < codes; first += 4u * THREADS) {
        let own = first + THREADS * vec4<u32>(0u, 1u, 2u, 3u);
        let at = min(own, vec4<u32>(codes - 1u));
        let logits = vec4<f32>(values[at.x], values[at.y], values[at.z], values[at.w]);
        var rank = vec4<u32>();
        for (var other = 0u; other < codes; other++) {
            let logit = vec4<f32>(values[other]);
            let is_before = (logit > logits) | ((logit == logits) & (vec4<u32>(other) < own));
            rank += select(vec4<u32>(0u), vec4<u32>(1u), is_before);
        }
        order[rank.x] = own.x;
        if (own.y < codes) {
            order[rank.y] = own.y;
        }
        if (own.z < codes) {
            order[rank.z] = own.z;
        }
        if (own.w < codes) {
            order[rank.w] = own.w;
        }
    }
    workgroupBarrier();
}

// −ln u. `log` is inaccurate near 1, where the largest Gumbel noise comes from: there it is a series.
fn minus_log(u: f32) -> f32 {
    if (u < 0.5) {
        return -log(u);
    }
    // ln u = −2 artanh((1 − u) / (1 + u))
    let s = (1.0 - u) / (1.0 + u);
    let q = s * s;
    return 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0
        + q * (1.0 / 13.0)))))));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let position = workgroup.x;
    let image = images[workgroup.y];
    let codes = shape.codes;
    let at = workgroup.y * shape.positions + position;
    let conditional = (image.conditional * shape.positions + position) * codes;
    let unconditional = (image.unconditional * shape.positions + position) * codes;
    if (thread == 0u) {
        atomicStore(&not_finite, 0u);
        atomicStore(&kept, codes);
    }
    workgroupBarrier();

    var largest_own = -3.4e38;
    for (var code = thread; code < codes; code += THREADS) {
        let l = logits[conditional + code];
        let u = logits[unconditional + code];
        var logit = l;
        if (image.conditional != image.unconditional) {
            logit = u + image.guidance * (l - u);
        }
        if ((bitcast<u32>(logit) & 0x7f800000u) == 0x7f800000u) {
            atomicStore(&not_finite, 1u);
            logit = 0.0;
        }
        logit *= image.inverse_temperature;
        values[code] = logit;
        largest_own = max(largest_own, logit);
    }
    // The largest logit, and its code.
    var best_own = NONE;
    for (var code = thread; code < codes; code += THREADS) {
        if (best_own == NONE && values[code] == largest_own) {
            best_own = code;
        }
    }
    let best = first_of(thread, -largest_own, best_own);
    let largest = values[best];

    // Ranks, and the number of codes that top-k and top-p keep.
    if (image.has_ranks != 0u) {
        rank_codes(thread, codes);
        if (image.is_greedy == 0u) {
            // A code is kept while the more probable ones sum to less than top_p, of those that top-k keeps.
            let part = (codes + THREADS - 1u) / THREADS;
            let end = min(codes, image.top_k);
            var own = 0.0;
            for (var i = 0u; i < part && thread * part + i < end; i++) {
                own += exp(values[order[thread * part + i]] - largest);
            }
            let all = sum_of(thread, own);
            workgroupBarrier();
            partial[thread] = own;
            workgroupBarrier();
            var before = 0.0;
            for (var i = 0u; i < thread; i++) {
                before += partial[i];
            }
            for (var i = 0u; i < part && thread * part + i < codes; i++) {
                let rank = thread * part + i;
                if (rank > 0u && (rank >= end || before >= image.top_p * all)) {
                    atomicMin(&kept, rank);
                    break;
                }
                before += exp(values[order[rank]] - largest);
            }
        }
        workgroupBarrier();
    }
    let limit = atomicLoad(&kept);
    // The least probable code that is kept.
    var last = 0u;
    if (limit < codes) {
        last = order[limit - 1u];
    }
    let last_value = values[last];

    var arrival_own = 3.4e38;
    var drawn_own = NONE;
    var total_own = 0.0;
    var weighted_own = 0.0;
    for (var code = thread; code < codes; code += THREADS) {
        let value = values[code];
        if (limit < codes && (value < last_value || (value == last_value && code > last))) {
            continue;
        }
        let distance = value - largest;
        let weight = exp(distance);
        total_own += weight;
        weighted_own += weight * distance;
        // The argmax of logit + Gumbel noise is the first arrival of exponential clocks.
        let arrival = minus_log(uniforms[at * codes + code]) / weight;
        if (weight > 0.0 && arrival < arrival_own) {
            arrival_own = arrival;
            drawn_own = code;
        }
    }
    let total = sum_of(thread, total_own);
    let weighted = sum_of(thread, weighted_own);
    let drawn_code = first_of(thread, arrival_own, drawn_own);
    let drawn = select(drawn_code, best, image.is_greedy != 0u);

    let code_given = given[at];
    let result = at * RESULTS;
    if (image.has_ranks != 0u) {
        for (var rank = thread; rank < codes; rank += THREADS) {
            if (order[rank] == drawn) {
                results[result + 1u] = rank;
            }
            if (order[rank] == code_given) {
                results[result + 2u] = rank;
            }
            if (rank < ALTERNATIVES) {
                let probability = select(0.0, exp(values[order[rank]] - largest) / total, rank < limit);
                results[result + 8u + rank] = order[rank];
                results[result + 12u + rank] = bitcast<u32>(probability);
            }
        }
    }
    if (thread == 0u) {
        var given_probability = 0.0;
        if (code_given != NONE) {
            let value = values[code_given];
            if (limit >= codes || value > last_value || (value == last_value && code_given <= last)) {
                given_probability = exp(value - largest) / total;
            }
        }
        // H = ln Σ w − Σ w ln w / Σ w for unnormalized weights w, in bits.
        let entropy = (log(total) - weighted / total) * 1.4426950408889634;
        results[result] = drawn;
        results[result + 3u] = atomicLoad(&not_finite);
        results[result + 4u] = bitcast<u32>(max(entropy, 0.0));
        results[result + 5u] = bitcast<u32>(exp(values[drawn] - largest) / total);
        results[result + 6u] = bitcast<u32>(given_probability);
    }
}
