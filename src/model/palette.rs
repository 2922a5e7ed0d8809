//! Colours of codes: codes with near vectors have near colours.
//!
//! The codebook's vectors are projected on their three principal axes. The first becomes the lightness, the other two the
//! hue and chroma in OKLab (Ottosson 2020), where equal distances look equally large.

use super::trajectory::Codebook;

/// The sRGB colours of the V codes.
pub fn colors(codebook: &Codebook) -> Vec<[u8; 3]> {
    let axes = principal_axes(codebook);
    let coordinates: Vec<[f32; 3]> =
        codebook.vectors().chunks_exact(codebook.channels()).map(|vector| project(vector, &axes)).collect();
    // Scale each axis by its own standard deviation, so that all three are used, and clamp the few outliers.
    let mut deviation = [0f32; 3];
    for axis in 0..3 {
        let sum: f32 = coordinates.iter().map(|point| point[axis] * point[axis]).sum();
        deviation[axis] = (sum / coordinates.len() as f32).sqrt().max(f32::MIN_POSITIVE);
    }
    coordinates
        .iter()
        .map(|point| {
            let unit = |axis: usize| (point[axis] / (2.2 * deviation[axis])).clamp(-1.0, 1.0);
            oklab_to_srgb(0.66 + 0.24 * unit(0), 0.15 * unit(1), 0.15 * unit(2))
        })
        .collect()
}

/// A colour in CSS notation, `#rrggbb`.
pub fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn project(vector: &[f32], axes: &[Vec<f32>]) -> [f32; 3] {
    let mut point = [0.0; 3];
    for (coordinate, axis) in point.iter_mut().zip(axes) {
        *coordinate = dot(vector, axis);
    }
    point
}

/// Up to three orthonormal axes along which the vectors vary most, by power iteration with deflation.
fn principal_axes(codebook: &Codebook) -> Vec<Vec<f32>> {
    const ITERATIONS: usize = 200;
    let channels = codebook.channels();
    let mut axes: Vec<Vec<f32>> = Vec::new();
    for start in 0..channels.min(3) {
        // Any start that isn't orthogonal to the axis converges; a fixed one makes the colours reproducible.
        let mut axis: Vec<f32> =
            (0..channels).map(|i| if i == start { 1.0 } else { 0.1 + 0.01 * i as f32 }).collect();
        for _ in 0..ITERATIONS {
            let mut next = vec![0.0; channels];
            for vector in codebook.vectors().chunks_exact(channels) {
                let projection = dot(vector, &axis);
                next.iter_mut().zip(vector).for_each(|(next, x)| *next += projection * x);
            }
            for earlier in &axes {
                let projection = dot(&next, earlier);
                next.iter_mut().zip(earlier).for_each(|(next, x)| *next -= projection * x);
            }
            let norm = dot(&next, &next).sqrt();
            if norm <= f32::EPSILON {
                break;
            }
            axis = next.into_iter().map(|x| x / norm).collect();
        }
        axes.push(axis);
    }
    axes
}

/// OKLab to 8-bit sRGB, out-of-gamut values clamped.
fn oklab_to_srgb(lightness: f32, a: f32, b: f32) -> [u8; 3] {
    let l = (lightness + 0.396_337_78 * a + 0.215_803_76 * b).powi(3);
    let m = (lightness - 0.105_561_346 * a - 0.063_854_17 * b).powi(3);
    let s = (lightness - 0.089_484_18 * a - 1.291_485_5 * b).powi(3);
    let linear = [
        4.076_741_7 * l - 3.307_711_6 * m + 0.230_969_94 * s,
        -1.268_438 * l + 2.609_757_4 * m - 0.341_319_4 * s,
        -0.004_196_086_3 * l - 0.703_418_6 * m + 1.707_614_7 * s,
    ];
    linear.map(|x| {
        let x = x.clamp(0.0, 1.0);
        let encoded = if x <= 0.003_130_8 { 12.92 * x } else { 1.055 * x.powf(1.0 / 2.4) - 0.055 };
        (255.0 * encoded).round() as u8
    })
}
