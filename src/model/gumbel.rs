//! Draws codes where the logits are: on the device that computed them.
//!
//! What [`super::sampler::sample_code`] does to one position, in tensors for a whole batch. The uniforms come from the
//! images' own generators on the host, so a device draws what the host would, up to rounding. Only what was drawn comes
//! back.

use candle_core::{D, DType, Result, Tensor};

use super::SamplingSettings;
use super::sampler::{Alternatives, Step};

/// What is to be drawn for one image.
pub(super) struct Wish<'a> {
    pub settings: &'a SamplingSettings,
    /// t, which the step will say.
    pub step: usize,
    pub alternatives: bool,
}

/// Stands for −∞: its exponential is 0 too, and it can be multiplied by that.
const NEVER: f32 = -1e30;

/// Draws C_t from guided logits (b, n, V) with uniforms (b, n, V) of (0, 1).
pub(super) fn draw(logits: &Tensor, uniforms: &Tensor, wishes: &[Wish]) -> Result<Vec<Step>> {
    let device = logits.device();
    let column = |value: &dyn Fn(&SamplingSettings) -> f32| {
        let values: Vec<f32> = wishes.iter().map(|wish| value(wish.settings)).collect();
        Tensor::from_vec(values, (wishes.len(), 1, 1), device)
    };
    let is_greedy = |settings: &SamplingSettings| settings.temperature() == 0.0;
    let inverse = |settings: &SamplingSettings| {
        if is_greedy(settings) { 1.0 } else { (1.0 / settings.temperature()) as f32 }
    };
    let noisy = |settings: &SamplingSettings| f32::from(u8::from(!is_greedy(settings)));
    let mut logits = logits.broadcast_mul(&column(&inverse)?)?;
    let mut gumbel = uniforms.log()?.neg()?.log()?.neg()?.broadcast_mul(&column(&noisy)?)?;

    // Sorting is for those who ask for ranks; the codes are then drawn among ranks.
    let asks =
        |wish: &Wish| wish.alternatives || wish.settings.top_k().is_some() || wish.settings.top_p().is_some();
    let order = if wishes.iter().any(asks) {
        let (sorted, order) = logits.contiguous()?.sort_last_dim(false)?;
        let codes = sorted.dim(D::Minus1)?;
        let top_k =
            column(&|settings| settings.top_k().filter(|_| !is_greedy(settings)).unwrap_or(codes) as f32)?;
        let top_p =
            column(&|settings| settings.top_p().filter(|_| !is_greedy(settings)).unwrap_or(2.0) as f32)?;
        logits = keep_most_probable(&sorted, &top_k, &top_p)?;
        gumbel = gumbel.gather(&order, D::Minus1)?;
        Some(order)
    } else {
        None
    };

    let highest = logits.max_keepdim(D::Minus1)?;
    let distance = logits.broadcast_sub(&highest)?;
    let weights = distance.exp()?;
    let total = weights.sum_keepdim(D::Minus1)?; // (b, n, 1)
    // H = ln Σ w − Σ w ln w / Σ w for unnormalized weights w.
    let mean = ((&weights * &distance)?.sum_keepdim(D::Minus1)? / &total)?;
    let entropy = ((total.log()? - mean)? * std::f64::consts::LOG2_E)?;
    let drawn = (&logits + gumbel)?.argmax_keepdim(D::Minus1)?;
    let probability = (weights.gather(&drawn, D::Minus1)? / &total)?;

    let noted = Alternatives::COUNT.min(logits.dim(D::Minus1)?);
    let (mut integers, mut numbers) = (vec![drawn.clone()], vec![entropy, probability]);
    if let Some(order) = &order {
        integers = vec![order.gather(&drawn, D::Minus1)?, order.narrow(D::Minus1, 0, noted)?];
        numbers.push(weights.narrow(D::Minus1, 0, noted)?.broadcast_div(&total)?);
    }
    let integers = Tensor::cat(&integers, D::Minus1)?.flatten_to(1)?.to_vec2::<u32>()?;
    let numbers = Tensor::cat(&numbers, D::Minus1)?.flatten_to(1)?.to_vec2::<f32>()?;

    let n = integers.len() / wishes.len().max(1);
    let steps = wishes.iter().zip(integers.chunks(n).zip(numbers.chunks(n)));
    Ok(steps.map(|(wish, (integers, numbers))| step(wish, integers, numbers)).collect())
}

/// Logits by falling value (b, n, V), those outside the k first, and outside the first that hold the share p of what is
/// left, made impossible.
fn keep_most_probable(sorted: &Tensor, top_k: &Tensor, top_p: &Tensor) -> Result<Tensor> {
    let codes = sorted.dim(D::Minus1)?;
    let never = Tensor::full(NEVER, sorted.shape(), sorted.device())?;
    let ranks =
        Tensor::arange(0u32, codes as u32, sorted.device())?.to_dtype(DType::F32)?.reshape((1, 1, codes))?;
    let first = ranks.broadcast_as(sorted.shape())?.broadcast_lt(top_k)?;
    let sorted = first.where_cond(sorted, &never)?;
    let probability = candle_nn::ops::softmax_last_dim(&sorted)?;
    // What is held by those before a code: it stays while that is too little.
    let before = (probability.cumsum(D::Minus1)? - &probability)?;
    before.broadcast_lt(top_p)?.where_cond(&sorted, &never)
}

/// One image's step from its n rows: the code and those noted; entropy, probability and those of the noted.
fn step(wish: &Wish, integers: &[Vec<u32>], numbers: &[Vec<f32>]) -> Step {
    let is_greedy = wish.settings.temperature() == 0.0;
    let certain = |rank: usize| f32::from(u8::from(rank == 0));
    let alternatives = wish.alternatives.then(|| Alternatives {
        codes: integers.iter().flat_map(|row| &row[1..]).copied().collect(),
        probabilities: numbers
            .iter()
            .flat_map(|row| row[2..].iter().enumerate())
            .map(|(rank, &probability)| if is_greedy { certain(rank) } else { probability })
            .collect(),
    });
    Step {
        step: wish.step,
        tokens: integers.iter().map(|row| row[0]).collect(),
        entropy: numbers.iter().map(|row| if is_greedy { 0.0 } else { row[0].max(0.0) }).collect(),
        probability: numbers.iter().map(|row| if is_greedy { 1.0 } else { row[1] }).collect(),
        alternatives,
    }
}
