//! Samples codes on the device that computed the logits.
//!
//! Does to a whole batch, in tensors, what [`sample_code`](super::code_sampling::sample_code) does to one position. The
//! uniforms come from the images' own generators on the host, so a device samples what the host would, up to rounding.
//! Only the results are copied back.

use candle_core::{D, DType, Device, Result, Tensor};

use super::sampling_settings::SamplingSettings;
use super::step::{Alternatives, Step};

/// How to sample the next step of one image.
pub(super) struct SampleSpec<'a> {
    pub settings: &'a SamplingSettings,
    /// The timestep t, 1..=T.
    pub step: usize,
    /// Whether to record [`Alternatives`].
    pub alternatives: bool,
    /// The codes that are given, n entries; `None` if none is.
    pub given: Option<&'a [Option<u32>]>,
}

impl SampleSpec<'_> {
    /// Whether the codes must be sorted by probability.
    pub fn needs_ranks(&self) -> bool {
        self.alternatives || self.settings.top_k().is_some() || self.settings.top_p().is_some()
    }
}

/// A logit whose exponential is 0, as that of −∞ is. It is finite, so that its product with 0 is 0 and not NaN.
const MASKED_LOGIT: f32 = -1e30;

/// Samples C_t from guided logits (b, n, V) with uniforms (b, n, V) of (0, 1).
pub(super) fn sample(logits: &Tensor, uniforms: &Tensor, specs: &[SampleSpec]) -> Result<Vec<Step>> {
    let device = logits.device();
    let column = |value: &dyn Fn(&SampleSpec) -> f32| {
        let values: Vec<f32> = specs.iter().map(value).collect();
        Tensor::from_vec(values, (specs.len(), 1, 1), device)
    };
    let inverse_temperature = |spec: &SampleSpec| {
        if spec.settings.is_greedy() { 1.0 } else { (1.0 / spec.settings.temperature()) as f32 }
    };
    let noise_scale = |spec: &SampleSpec| f32::from(u8::from(!spec.settings.is_greedy()));
    let mut logits = logits.broadcast_mul(&column(&inverse_temperature)?)?;
    let mut gumbel = uniforms.log()?.neg()?.log()?.neg()?.broadcast_mul(&column(&noise_scale)?)?;

    // Sort only where ranks are needed; the samples are then ranks, to be converted back to codes.
    let order = if specs.iter().any(SampleSpec::needs_ranks) {
        let (sorted, order) = logits.contiguous()?.sort_last_dim(false)?;
        let codes = sorted.dim(D::Minus1)?;
        let top_k = column(&|spec| {
            spec.settings.top_k().filter(|_| !spec.settings.is_greedy()).unwrap_or(codes) as f32
        })?;
        let top_p = column(&|spec| {
            spec.settings.top_p().filter(|_| !spec.settings.is_greedy()).unwrap_or(2.0) as f32
        })?;
        logits = mask_improbable(&sorted, &top_k, &top_p)?;
        gumbel = gumbel.gather(&order, D::Minus1)?;
        Some(order)
    } else {
        None
    };

    let max_logit = logits.max_keepdim(D::Minus1)?; // (b, n, 1)
    let distance = logits.broadcast_sub(&max_logit)?;
    let weights = distance.exp()?;
    let total = weights.sum_keepdim(D::Minus1)?; // (b, n, 1)
    // H = ln Σ w − Σ w ln w / Σ w for unnormalized weights w.
    let mean = ((&weights * &distance)?.sum_keepdim(D::Minus1)? / &total)?;
    let entropy = ((total.log()? - mean)? * std::f64::consts::LOG2_E)?;
    let sampled = (&logits + gumbel)?.argmax_keepdim(D::Minus1)?; // (b, n, 1)
    let probability = (weights.gather(&sampled, D::Minus1)? / &total)?;

    // Two copies to the host: integers (code, alternatives, rank of the code, that of the given code) and floats (entropy, probability, that of the given code,
    // alternatives').
    let count = Alternatives::COUNT.min(logits.dim(D::Minus1)?);
    let given = match given_codes(specs, logits.dim(1)?, device)? {
        Some(codes) => Some(match &order {
            // The rank of each code.
            Some(order) => order.broadcast_eq(&codes)?.to_dtype(DType::F32)?.argmax_keepdim(D::Minus1)?,
            None => codes,
        }),
        None => None,
    };
    let of_given = match &given {
        Some(at) => (weights.gather(at, D::Minus1)? / &total)?,
        None => probability.clone(),
    };
    let (mut integers, mut floats) = (vec![sampled.clone()], vec![entropy, probability, of_given]);
    if let Some(order) = &order {
        let rank_of_given = given.unwrap_or_else(|| sampled.clone());
        let codes = [order.gather(&sampled, D::Minus1)?, order.narrow(D::Minus1, 0, count)?];
        integers = codes.into_iter().chain([sampled, rank_of_given]).collect();
        floats.push(weights.narrow(D::Minus1, 0, count)?.broadcast_div(&total)?);
    }
    let integers = Tensor::cat(&integers, D::Minus1)?.flatten_to(1)?.to_vec2::<u32>()?; // (b · n, 3 + count)
    let floats = Tensor::cat(&floats, D::Minus1)?.flatten_to(1)?.to_vec2::<f32>()?; // (b · n, 3 + count)

    let n = integers.len() / specs.len().max(1);
    let rows = specs.iter().zip(integers.chunks(n).zip(floats.chunks(n)));
    Ok(rows.map(|(spec, (integers, floats))| step(spec, integers, floats)).collect())
}

/// The given codes (b, n, 1), with code 0 where none is given; `None` if no image has any.
fn given_codes(specs: &[SampleSpec], positions: usize, device: &Device) -> Result<Option<Tensor>> {
    if specs.iter().all(|spec| spec.given.is_none()) {
        return Ok(None);
    }
    let mut codes = vec![0; specs.len() * positions];
    for (codes, spec) in codes.chunks_exact_mut(positions).zip(specs) {
        for (code, given) in codes.iter_mut().zip(spec.given.unwrap_or_default()) {
            *code = given.unwrap_or(0);
        }
    }
    Tensor::from_vec(codes, (specs.len(), positions, 1), device).map(Some)
}

/// Masks logits (b, n, V), sorted in descending order, outside the first `top_k` ranks, and outside the first ranks of
/// those whose probabilities sum to `top_p`; both are (b, 1, 1).
fn mask_improbable(sorted: &Tensor, top_k: &Tensor, top_p: &Tensor) -> Result<Tensor> {
    let codes = sorted.dim(D::Minus1)?;
    let masked = Tensor::full(MASKED_LOGIT, sorted.shape(), sorted.device())?;
    let ranks =
        Tensor::arange(0u32, codes as u32, sorted.device())?.to_dtype(DType::F32)?.reshape((1, 1, codes))?;
    let is_top_k = ranks.broadcast_as(sorted.shape())?.broadcast_lt(top_k)?;
    let sorted = is_top_k.where_cond(sorted, &masked)?;
    let probability = candle_nn::ops::softmax_last_dim(&sorted)?;
    // A code is kept while the more probable ones sum to less than top_p.
    let before = (probability.cumsum(D::Minus1)? - &probability)?;
    before.broadcast_lt(top_p)?.where_cond(&sorted, &masked)
}

/// One image's step from its n rows of integers (code, alternatives, rank of the code, that of the given code) and floats
/// (entropy, probability, that of the given code, alternatives'). Ranks begin with 0.
pub(super) fn step(spec: &SampleSpec, integers: &[Vec<u32>], floats: &[Vec<f32>]) -> Step {
    let is_greedy = spec.settings.is_greedy();
    let one_hot = |rank: usize| f32::from(u8::from(rank == 0));
    let given_at = |position: usize| spec.given.and_then(|given| given[position]);
    let rank = |(position, row): (usize, &Vec<u32>)| {
        row[row.len() - if given_at(position).is_some() { 1 } else { 2 }] + 1
    };
    let alternatives = spec.alternatives.then(|| Alternatives {
        codes: integers.iter().flat_map(|row| &row[1..row.len() - 2]).copied().collect(),
        ranks: integers.iter().enumerate().map(rank).collect(),
        probabilities: floats
            .iter()
            .flat_map(|row| row[3..].iter().enumerate())
            .map(|(rank, &probability)| if is_greedy { one_hot(rank) } else { probability })
            .collect(),
    });
    let probability = |(position, row): (usize, &Vec<f32>)| match given_at(position) {
        Some(code) if is_greedy => f32::from(u8::from(integers[position][0] == code)),
        Some(_) => row[2],
        None if is_greedy => 1.0,
        None => row[1],
    };
    let code = |(position, row): (usize, &Vec<u32>)| given_at(position).unwrap_or(row[0]);
    Step {
        step: spec.step,
        tokens: integers.iter().enumerate().map(code).collect(),
        entropy: floats.iter().map(|row| if is_greedy { 0.0 } else { row[0].max(0.0) }).collect(),
        probability: floats.iter().enumerate().map(probability).collect(),
        alternatives,
        given: spec.given.map(|given| given.iter().map(Option::is_some).collect()).unwrap_or_default(),
    }
}
