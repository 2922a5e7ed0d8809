//! The denoiser: a bidirectional transformer that predicts the next step's codes. Mirrors
//! `training/rdpm_training/denoiser.py`.
//!
//! Its inputs are z_{t−1}, the timestep t and the condition y: a class and, for some models, a drawing style and words. One that
//! computes guided logits in one pass is also told the guidance scale. eps must not be an input, because z_{t−1} and eps
//! together determine v. Adaptive layer norm as in DiT (Peebles & Xie, arXiv 2212.09748), shared by all layers as in PixArt-α (arXiv
//! 2310.00426).

use candle_core::{D, Result, Tensor};
use candle_nn::ops::{layer_norm, softmax_last_dim};
use candle_nn::{Linear, Module, VarBuilder, linear};

use super::condition::Condition;
use super::config::Config;
use super::trajectory::Schedule;

pub(super) const NORM_EPS: f32 = 1e-6;
/// Rows of d numbers that a layer's modulation has: shift, scale and gate, for attention and for the MLP.
pub(super) const MODULATION_ROWS: usize = 6;

/// Adaptive layer norm: layer norm without weights of its own, then the condition's scale and shift.
struct AdaLayerNorm {
    ones: Tensor,
    zeros: Tensor,
}

impl AdaLayerNorm {
    fn new(width: usize, vb: &VarBuilder) -> Result<Self> {
        let ones = Tensor::ones(width, vb.dtype(), vb.device())?;
        Ok(Self { zeros: ones.zeros_like()?, ones })
    }

    /// x (b, n, d), shift and scale (b, 1, d) to (b, n, d).
    fn forward(&self, x: &Tensor, shift: &Tensor, scale: &Tensor) -> Result<Tensor> {
        let x = layer_norm(x, &self.ones, &self.zeros, NORM_EPS)?;
        x.broadcast_mul(&(scale + 1.0)?)?.broadcast_add(shift)
    }
}

struct Block {
    heads: usize,
    norm: AdaLayerNorm,
    qkv: Linear,
    proj: Linear,
    /// First layer of the MLP, d to 4d.
    up: Linear,
    /// Second layer of the MLP, 4d to d.
    down: Linear,
    /// This layer's addition to the shared modulation, (6d,).
    offset: Tensor,
}

impl Block {
    fn new(width: usize, heads: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            heads,
            norm: AdaLayerNorm::new(width, &vb)?,
            qkv: linear(width, 3 * width, vb.pp("qkv"))?,
            proj: linear(width, width, vb.pp("proj"))?,
            up: linear(width, 4 * width, vb.pp("up"))?,
            down: linear(4 * width, width, vb.pp("down"))?,
            offset: vb.get(MODULATION_ROWS * width, "offset")?,
        })
    }

    /// x (b, n, d) and the shared modulation (b, 6d) to (b, n, d).
    fn forward(&self, x: &Tensor, modulation: &Tensor) -> Result<Tensor> {
        let modulation = modulation.broadcast_add(&self.offset)?.unsqueeze(1)?; // (b, 1, 6d)
        let chunks = modulation.chunk(MODULATION_ROWS, D::Minus1)?; // six of (b, 1, d)
        let [shift1, scale1, gate1, shift2, scale2, gate2] = &chunks[..] else {
            candle_core::bail!("modulation has {} chunks", chunks.len())
        };
        let attended = self.attention(&self.norm.forward(x, shift1, scale1)?)?;
        let x = (x + attended.broadcast_mul(gate1)?)?;
        let h = self.up.forward(&self.norm.forward(&x, shift2, scale2)?)?.silu()?; // (b, n, 4d)
        let h = self.down.forward(&h)?; // (b, n, d)
        x + h.broadcast_mul(gate2)?
    }

    /// (b, n, d) to (b, n, d).
    fn attention(&self, x: &Tensor) -> Result<Tensor> {
        let (b, n, d) = x.dims3()?;
        let size = d / self.heads;
        let qkv = self.qkv.forward(x)?.reshape((b, n, 3, self.heads, size))?; // (b, n, 3, heads, d / heads)
        let qkv = qkv.permute((2, 0, 3, 1, 4))?.contiguous()?; // (3, b, heads, n, d / heads)
        let (q, k, v) = (qkv.get(0)?, qkv.get(1)?, qkv.get(2)?);
        let scores = (q.matmul(&k.t()?)? * (size as f64).powf(-0.5))?; // (b, heads, n, n)
        let attended = softmax_last_dim(&scores)?.matmul(&v)?; // (b, heads, n, d / heads)
        self.proj.forward(&attended.transpose(1, 2)?.flatten_from(2)?) // (b, n, d)
    }
}

/// 1 / standard deviation of x_t for t = 0..=T, which gives the network inputs of unit variance at every step.
pub(super) fn input_scale(schedule: &Schedule) -> Vec<f32> {
    let scale = |t| (schedule.alpha(t).powi(2) + schedule.beta(t).powi(2)).sqrt().recip();
    (0..=schedule.steps()).map(scale).collect()
}

/// The embedding of styles and words.
struct WordsEmbedding {
    /// (styles + 1, d); the last row stands for no style.
    style: Tensor,
    /// (words + 1, d); the last row is zero.
    word: Tensor,
    words_in: Linear,
    words_out: Linear,
}

impl WordsEmbedding {
    fn new(config: &Config, vb: &VarBuilder) -> Result<Self> {
        let width = config.denoiser.width;
        Ok(Self {
            style: vb.get((config.styles.len() + 1, width), "style.weight")?,
            word: vb.get((config.vocabulary.words().len() + 1, width), "word.weight")?,
            words_in: linear(width, width, vb.pp("words_in"))?,
            words_out: linear(width, width, vb.pp("words_out"))?,
        })
    }

    /// The embeddings (b, d) of b conditions.
    fn forward(&self, y: &[Condition]) -> Result<Tensor> {
        let device = self.style.device();
        let styles: Vec<u32> = y.iter().map(|y| y.style).collect();
        let style = self.style.index_select(&Tensor::from_vec(styles, y.len(), device)?, 0)?;
        let (padding, width) = (self.word.dim(0)? as u32 - 1, self.word.dim(1)?);
        let longest = y.iter().map(|y| y.words.len()).max().unwrap_or(0).max(1);
        let padded = |y: &Condition| -> Vec<u32> {
            y.words.iter().copied().chain(std::iter::repeat(padding)).take(longest).collect()
        };
        let words = Tensor::from_vec(y.iter().flat_map(padded).collect(), y.len() * longest, device)?;
        let words = self.word.index_select(&words, 0)?.reshape((y.len(), longest, width))?.sum(1)?; // (b, d)
        let weights: Vec<f32> = y.iter().map(word_weight).collect();
        let weights = Tensor::from_vec(weights, (y.len(), 1), device)?.to_dtype(words.dtype())?;
        let pooled = words.broadcast_mul(&weights)?;
        style + self.words_out.forward(&self.words_in.forward(&pooled)?.silu()?)
    }
}

/// The factor of each word's embedding: with it the norm of their sum doesn't depend on their number.
pub(super) fn word_weight(y: &Condition) -> f32 {
    (y.words.len().max(1) as f32).sqrt().recip()
}

/// The embeddings (b, d) of the guidance scales of b conditions.
fn embed_guidance(table: &Tensor, y: &[Condition]) -> Result<Tensor> {
    let (rows, device) = (table.dim(0)?, table.device());
    let places = y.iter().map(|y| guidance_row(y.guidance.unwrap_or(1.0), rows));
    let (lower, weights): (Vec<u32>, Vec<f32>) = places.map(|(row, weight)| (row as u32, weight)).unzip();
    let upper = lower.iter().map(|row| row + 1).collect();
    let select = |rows: Vec<u32>| table.index_select(&Tensor::from_vec(rows, y.len(), device)?, 0);
    let (lower, upper) = (select(lower)?, select(upper)?); // (b, d)
    let weights = Tensor::from_vec(weights, (y.len(), 1), device)?.to_dtype(table.dtype())?;
    &lower + (upper - &lower)?.broadcast_mul(&weights)?
}

/// The place of a guidance scale w in a table of its embeddings, with a row for each whole number: the row below, and the
/// weight of the next row.
pub(super) fn guidance_row(w: f32, rows: usize) -> (usize, f32) {
    let row = (w.max(0.0) as usize).min(rows.saturating_sub(2));
    (row, w - row as f32)
}

/// The denoiser's transformer.
pub struct Denoiser {
    input: Linear,
    position: Tensor,
    timestep: Tensor,
    label: Tensor,
    /// `None` if the model is told classes only.
    words: Option<WordsEmbedding>,
    /// The embeddings of the guidance scales 0, 1, 2, …; `None` if the denoiser isn't told it.
    guidance: Option<Tensor>,
    condition: Linear,
    modulation: Linear,
    blocks: Vec<Block>,
    last: Linear,
    norm: AdaLayerNorm,
    output: Linear,
    input_scale: Vec<f32>,
}

impl Denoiser {
    /// A denoiser that is told the guidance scale if it has some rows of embeddings for it.
    pub fn new(
        config: &Config,
        schedule: &Schedule,
        guidance_rows: Option<usize>,
        vb: VarBuilder,
    ) -> Result<Self> {
        let (width, steps, classes) = (config.denoiser.width, config.steps(), config.classes.len());
        let blocks = vb.pp("blocks");
        Ok(Self {
            input: linear(config.latent.channels, width, vb.pp("input"))?,
            position: vb.get((config.positions(), width), "position")?,
            timestep: vb.get((steps, width), "timestep.weight")?,
            label: vb.get((classes + 1, width), "label.weight")?,
            words: config.has_words().then(|| WordsEmbedding::new(config, &vb)).transpose()?,
            guidance: guidance_rows.map(|rows| vb.get((rows, width), "guidance.weight")).transpose()?,
            condition: linear(width, width, vb.pp("condition"))?,
            modulation: linear(width, MODULATION_ROWS * width, vb.pp("modulation"))?,
            blocks: (0..config.denoiser.layers)
                .map(|i| Block::new(width, config.denoiser.heads, blocks.pp(i)))
                .collect::<Result<_>>()?,
            last: linear(width, 2 * width, vb.pp("final"))?,
            norm: AdaLayerNorm::new(width, &vb)?,
            output: linear(width, config.trajectory.codes, vb.pp("output"))?,
            input_scale: input_scale(schedule),
        })
    }

    /// z = z_{t−1} (b, n, c), the timestep t in 1..=T and the condition y of each image, to logits (b, n, V) for C_t, in the
    /// number format of the weights.
    pub fn forward(&self, z: &Tensor, t: &[usize], y: &[Condition]) -> Result<Tensor> {
        let (x, condition) = self.embed(z, t, y)?;
        let modulation = self.modulation.forward(&condition)?; // (b, 6d)
        let x = self.blocks.iter().try_fold(x, |x, block| block.forward(&x, &modulation))?;
        let last = self.last.forward(&condition)?.unsqueeze(1)?.chunk(2, D::Minus1)?; // two of (b, 1, d)
        self.output.forward(&self.norm.forward(&x, &last[0], &last[1])?)
    }

    /// The residual stream (b, n, d) after each block, of the same arguments.
    pub fn residual_streams(&self, z: &Tensor, t: &[usize], y: &[Condition]) -> Result<Vec<Tensor>> {
        let (mut x, condition) = self.embed(z, t, y)?;
        let modulation = self.modulation.forward(&condition)?; // (b, 6d)
        let mut streams = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            x = block.forward(&x, &modulation)?;
            streams.push(x.clone());
        }
        Ok(streams)
    }

    /// The embeddings of the positions (b, n, d) and of the condition and the timestep (b, d).
    fn embed(&self, z: &Tensor, t: &[usize], y: &[Condition]) -> Result<(Tensor, Tensor)> {
        let (b, device) = (z.dim(0)?, z.device());
        let scale: Vec<f32> = t.iter().map(|&t| self.input_scale[t - 1]).collect();
        let z =
            z.broadcast_mul(&Tensor::from_vec(scale, (b, 1, 1), device)?)?.to_dtype(self.position.dtype())?;
        let x = self.input.forward(&z)?.broadcast_add(&self.position)?; // (b, n, d)

        let t: Vec<u32> = t.iter().map(|&t| t as u32 - 1).collect();
        let timestep = self.timestep.index_select(&Tensor::from_vec(t, b, device)?, 0)?;
        let classes: Vec<u32> = y.iter().map(|y| y.class).collect();
        let label = self.label.index_select(&Tensor::from_vec(classes, b, device)?, 0)?;
        let mut condition = (timestep + label)?; // (b, d)
        if let Some(words) = &self.words {
            condition = (condition + words.forward(y)?)?;
        }
        if let Some(table) = &self.guidance {
            condition = (condition + embed_guidance(table, y)?)?;
        }
        Ok((x, self.condition.forward(&condition)?.silu()?))
    }
}
