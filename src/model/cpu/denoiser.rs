//! The denoiser of [`crate::model::denoiser`], optimized for a CPU.

use std::borrow::Cow;
use std::sync::OnceLock;

use candle_core::Result;
use candle_nn::VarBuilder;
use rayon::prelude::*;
use rten_gemm::GemmExecutor;
use rten_simd::{SimdOp, SimdUnaryOp};
use rten_vecmath::{Silu, Softmax};

use super::bf16::{self, AttentionBuffers};
use super::buffers::{BufferPool, scratch};
use super::f32_linear::{F32Linear, matmul, matrix_view};
use super::linear::{Arithmetic, Linear};
use super::norm::layer_norm;
use crate::model::condition::Condition;
use crate::model::config::Config;
use crate::model::denoiser::{MODULATION_ROWS, NORM_EPS, input_scale, word_weight};
use crate::model::trajectory::Schedule;
use crate::model::weights::load_values;

/// The maximum of sequences that a thread processes together: these make matrix products efficient, and their activations
/// still fit into its cache.
fn sequences_per_thread(arithmetic: Arithmetic) -> usize {
    match arithmetic {
        Arithmetic::F32 => 2,
        // Products so fast that reading the weights takes most of their time.
        Arithmetic::Bf16(_) => 4,
    }
}

struct Block {
    qkv: Linear,
    proj: Linear,
    up: Linear,
    down: Linear,
    /// This layer's addition to the shared modulation, (6d,).
    offset: Vec<f32>,
}

/// The modulation of all layers by a timestep and a condition: six rows of d numbers for each layer (shift, scale, gate; shift,
/// scale, gate) and two for the last one (shift, scale). Scales include the added 1.
type Modulation = Vec<f32>;

/// The embedding of styles and words.
struct WordsEmbedding {
    /// (styles + 1, d); the last row stands for no style.
    style: Vec<f32>,
    /// (words + 1, d); the last row is zero.
    word: Vec<f32>,
    words_in: F32Linear,
    words_out: F32Linear,
}

impl WordsEmbedding {
    fn new(gemm: &GemmExecutor, config: &Config, vb: &VarBuilder) -> Result<Self> {
        let width = config.denoiser.width;
        Ok(Self {
            style: load_values(vb, (config.styles.len() + 1, width), "style.weight")?,
            word: load_values(vb, (config.vocabulary.words().len() + 1, width), "word.weight")?,
            words_in: F32Linear::new(gemm, width, width, &vb.pp("words_in"))?,
            words_out: F32Linear::new(gemm, width, width, &vb.pp("words_out"))?,
        })
    }

    /// Adds the embedding of each condition's style and words to its row of `sums`, (m, d).
    fn add_to(&self, gemm: &GemmExecutor, conditions: &[&Condition], sums: &mut [f32]) -> Result<()> {
        let width = sums.len() / conditions.len();
        let mut pooled = vec![0.0; sums.len()];
        let rows = sums.chunks_exact_mut(width).zip(pooled.chunks_exact_mut(width));
        for (y, (sum, pooled)) in conditions.iter().zip(rows) {
            add(sum, &self.style[y.style as usize * width..][..width]);
            for &word in &*y.words {
                add(pooled, &self.word[word as usize * width..][..width]);
            }
            pooled.iter_mut().for_each(|x| *x *= word_weight(y));
        }
        let mut hidden = self.words_in.apply(gemm, &pooled)?;
        Silu {}.map_mut(&mut hidden);
        add(sums, &self.words_out.apply(gemm, &hidden)?);
        Ok(())
    }
}

/// The denoiser's transformer.
pub struct Denoiser {
    gemm: GemmExecutor,
    arithmetic: Arithmetic,
    width: usize,
    heads: usize,
    positions: usize,
    channels: usize,
    input: F32Linear,
    /// Position embedding plus input bias, (n, d).
    position: Vec<f32>,
    /// (T, d)
    timestep: Vec<f32>,
    /// (classes, d)
    label: Vec<f32>,
    /// `None` if the model is told classes only.
    words: Option<WordsEmbedding>,
    condition: F32Linear,
    modulation: F32Linear,
    last: F32Linear,
    blocks: Vec<Block>,
    output: Linear,
    /// V.
    codes: usize,
    input_scale: Vec<f32>,
    /// Number of classes, including the null class.
    classes: usize,
    /// Number of styles.
    styles: usize,
    /// For each timestep and class, without style and words; computed on first use and cached.
    modulations: Vec<OnceLock<Modulation>>,
    buffers: BufferPool<Buffers>,
}

/// Reusable memory for the activations of a thread's sequences; m = sequences · n.
#[derive(Default)]
struct Buffers {
    /// (m, d): the residual stream.
    x: Vec<f32>,
    /// (m, d): input and output of a layer.
    h: Vec<f32>,
    /// (m, 3d), later (m, 4d).
    wide: Vec<f32>,
    /// (n, n)
    scores: Vec<f32>,
    /// (n, d / heads)
    head: Vec<f32>,
    /// A layer's input in bf16.
    rounded: Vec<u16>,
    attention: AttentionBuffers,
}

impl Denoiser {
    pub fn new(config: &Config, schedule: &Schedule, arithmetic: Arithmetic, vb: VarBuilder) -> Result<Self> {
        let gemm = GemmExecutor::new();
        let (width, steps, classes) = (config.denoiser.width, config.steps(), config.classes.len() + 1);
        let (n, c) = (config.positions(), config.latent.channels);
        let linear = |inputs, outputs, name: &str| F32Linear::new(&gemm, inputs, outputs, &vb.pp(name));
        let input = linear(c, width, "input")?;
        let mut position = load_values(&vb, (n, width), "position")?;
        for row in position.chunks_exact_mut(width) {
            add(row, input.bias());
        }
        let block = |number: usize| -> Result<Block> {
            let vb = vb.pp("blocks").pp(number);
            let linear =
                |inputs, outputs, name: &str| Linear::new(arithmetic, &gemm, inputs, outputs, &vb.pp(name));
            Ok(Block {
                qkv: linear(width, 3 * width, "qkv")?,
                proj: linear(width, width, "proj")?,
                up: linear(width, 4 * width, "up")?,
                down: linear(4 * width, width, "down")?,
                offset: load_values(&vb, MODULATION_ROWS * width, "offset")?,
            })
        };
        Ok(Self {
            arithmetic,
            width,
            heads: config.denoiser.heads,
            positions: n,
            channels: c,
            input,
            position,
            timestep: load_values(&vb, (steps, width), "timestep.weight")?,
            label: load_values(&vb, (classes, width), "label.weight")?,
            words: config.has_words().then(|| WordsEmbedding::new(&gemm, config, &vb)).transpose()?,
            condition: linear(width, width, "condition")?,
            modulation: linear(width, MODULATION_ROWS * width, "modulation")?,
            last: linear(width, 2 * width, "final")?,
            blocks: (0..config.denoiser.layers).map(block).collect::<Result<_>>()?,
            output: Linear::new(arithmetic, &gemm, width, config.trajectory.codes, &vb.pp("output"))?,
            codes: config.trajectory.codes,
            input_scale: input_scale(schedule),
            classes,
            styles: config.styles.len(),
            modulations: std::iter::repeat_with(OnceLock::new).take(steps * classes).collect(),
            buffers: BufferPool::new(),
            gemm,
        })
    }

    /// z_{t−1} of b images (b, n, c), the timestep t in 1..=T and the condition y of each, to logits (b, n, V) for C_t. They
    /// are written to the reusable buffer `logits`, which grows if necessary, and returned.
    pub fn forward<'a>(
        &self,
        z: &[f32],
        t: &[usize],
        y: &[Condition],
        logits: &'a mut Vec<f32>,
    ) -> Result<&'a mut [f32]> {
        let (latent_len, logits_len) = (self.positions * self.channels, self.positions * self.codes);
        // Use all threads before giving one two sequences: a single image with guidance is two sequences.
        let most = sequences_per_thread(self.arithmetic);
        let together = t.len().div_ceil(rayon::current_num_threads()).clamp(1, most);
        let logits = scratch(logits, t.len() * logits_len);
        let modulations = self.modulations(t, y)?;
        logits
            .par_chunks_mut(together * logits_len)
            .zip(z.par_chunks(together * latent_len))
            .zip(t.par_chunks(together).zip(modulations.par_chunks(together)))
            .try_for_each(|((logits, z), (t, modulations))| {
                self.buffers.with(|buffers| {
                    self.forward_blocks(z, t, modulations, buffers, |_, _| {})?;
                    self.forward_output(modulations, buffers, logits)
                })
            })?;
        Ok(logits)
    }

    /// The residual stream (n, d) after each of these blocks, numbered from 1, for one image: z_{t−1} (n, c), t and y as in
    /// [`Denoiser::forward`].
    pub fn residual_streams(
        &self,
        z: &[f32],
        t: usize,
        y: &Condition,
        blocks: &[usize],
    ) -> Result<Vec<Vec<f32>>> {
        let modulations = self.modulations(&[t], std::slice::from_ref(y))?;
        let mut streams = Vec::with_capacity(blocks.len());
        self.buffers.with(|buffers| {
            self.forward_blocks(z, &[t], &modulations, buffers, |number, x| {
                if blocks.contains(&number) {
                    streams.push(x.to_vec());
                }
            })
        })?;
        Ok(streams)
    }

    /// The modulation of each timestep t and condition y, from the cache if it has no style and no words.
    fn modulations(&self, t: &[usize], y: &[Condition]) -> Result<Vec<Cow<'_, [f32]>>> {
        let cell = |(t, y): (usize, &Condition)| {
            y.is_class_only(self.styles).then(|| &self.modulations[(t - 1) * self.classes + y.class as usize])
        };
        let rows = || t.iter().copied().zip(y);
        let cached: Vec<Option<&Modulation>> = rows().map(|row| cell(row).and_then(OnceLock::get)).collect();
        // The others are computed together, which reads the weights once.
        let others = rows().zip(&cached).filter(|(_, cached)| cached.is_none()).map(|(row, _)| row);
        let mut computed = self.compute_modulations(&others.collect::<Vec<_>>())?.into_iter();
        let mut modulations = Vec::with_capacity(t.len());
        for (row, cached) in rows().zip(cached) {
            modulations.push(match (cached, cell(row)) {
                (Some(cached), _) => Cow::Borrowed(cached.as_slice()),
                (None, cell) => {
                    let modulation = computed.next().unwrap_or_default();
                    match cell {
                        Some(cell) => Cow::Borrowed(cell.get_or_init(|| modulation).as_slice()),
                        None => Cow::Owned(modulation),
                    }
                }
            });
        }
        Ok(modulations)
    }

    /// The modulation of each timestep and condition.
    fn compute_modulations(&self, rows: &[(usize, &Condition)]) -> Result<Vec<Modulation>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let width = self.width;
        let conditions: Vec<&Condition> = rows.iter().map(|&(_, y)| y).collect();
        let mut sums = Vec::with_capacity(rows.len() * width);
        for (t, y) in rows {
            let timestep = &self.timestep[(t - 1) * width..][..width];
            let label = &self.label[y.class as usize * width..][..width];
            sums.extend(timestep.iter().zip(label).map(|(timestep, label)| timestep + label));
        }
        if let Some(words) = &self.words {
            words.add_to(&self.gemm, &conditions, &mut sums)?;
        }
        let mut condition = self.condition.apply(&self.gemm, &sums)?;
        Silu {}.map_mut(&mut condition);
        let shared = self.modulation.apply(&self.gemm, &condition)?;
        let last = self.last.apply(&self.gemm, &condition)?;
        let modulation = |(shared, last): (&[f32], &[f32])| {
            let mut all = Vec::with_capacity((self.blocks.len() * MODULATION_ROWS + 2) * width);
            for block in &self.blocks {
                all.extend(shared.iter().zip(&block.offset).map(|(shared, offset)| shared + offset));
            }
            all.extend(last);
            // Scales are the second of every three rows, and the very last row.
            for (number, row) in all.chunks_exact_mut(width).enumerate() {
                let is_last = number == self.blocks.len() * MODULATION_ROWS + 1;
                if is_last || (number < self.blocks.len() * MODULATION_ROWS && number % 3 == 1) {
                    row.iter_mut().for_each(|scale| *scale += 1.0);
                }
            }
            all
        };
        let rows = shared.chunks_exact(MODULATION_ROWS * width).zip(last.chunks_exact(2 * width));
        Ok(rows.map(modulation).collect())
    }

    /// Applies the blocks to a thread's sequences, each with its own timestep and modulation. The result is in `buffers.x`;
    /// `after_block` sees it after each block, with the block's number from 1.
    fn forward_blocks(
        &self,
        z: &[f32],
        t: &[usize],
        modulations: &[Cow<'_, [f32]>],
        buffers: &mut Buffers,
        mut after_block: impl FnMut(usize, &[f32]),
    ) -> Result<()> {
        let (d, n, gemm) = (self.width, self.positions, &self.gemm);
        let m = t.len() * n;
        let add_gated = |x: &mut [f32], h: &[f32], number: usize| {
            for ((x, h), modulation) in x.chunks_exact_mut(n * d).zip(h.chunks_exact(n * d)).zip(modulations)
            {
                let gate = modulation_row(modulation, number, d);
                for (x, h) in x.chunks_exact_mut(d).zip(h.chunks_exact(d)) {
                    for ((x, h), gate) in x.iter_mut().zip(h).zip(gate) {
                        *x += h * gate;
                    }
                }
            }
        };

        let Buffers { x, h, wide, scores, head, rounded, attention } = buffers;
        x.clear();
        t.iter().for_each(|_| x.extend_from_slice(&self.position));
        let scaled: Vec<f32> = z
            .chunks_exact(n * self.channels)
            .zip(t)
            .flat_map(|(z, &t)| z.iter().map(move |z| z * self.input_scale[t - 1]))
            .collect();
        self.input.add_to(gemm, &scaled, x)?;

        for (number, block) in self.blocks.iter().enumerate() {
            let first = number * MODULATION_ROWS;
            self.normalize(x, h, modulations, first);
            let qkv = scratch(wide, m * 3 * d);
            block.qkv.forward(gemm, h, qkv, rounded)?;
            for (qkv, out) in qkv.chunks_exact(n * 3 * d).zip(h.chunks_exact_mut(n * d)) {
                match self.arithmetic {
                    Arithmetic::F32 => {
                        self.attention(qkv, scratch(scores, n * n), scratch(head, n * d / self.heads), out)?;
                    }
                    Arithmetic::Bf16(instructions) => {
                        bf16::attention(instructions, self.heads, qkv, out, attention, n);
                    }
                }
            }
            let attended = scratch(wide, m * d);
            block.proj.forward(gemm, h, attended, rounded)?;
            add_gated(x, attended, first + 2);

            self.normalize(x, h, modulations, first + 3);
            let up = scratch(wide, m * 4 * d);
            block.up.forward(gemm, h, up, rounded)?;
            block.down.forward_silu(gemm, up, h, rounded)?;
            add_gated(x, h, first + 5);
            after_block(number + 1, x);
        }
        Ok(())
    }

    /// Applies the last layer to `buffers.x`: the logits (m, V).
    fn forward_output(
        &self,
        modulations: &[Cow<'_, [f32]>],
        buffers: &mut Buffers,
        logits: &mut [f32],
    ) -> Result<()> {
        let Buffers { x, h, rounded, .. } = buffers;
        self.normalize(x, h, modulations, self.blocks.len() * MODULATION_ROWS);
        self.output.forward(&self.gemm, h, logits, rounded)
    }

    /// Layer norm of each sequence of x (m, d) into h, with the shift and the scale in the rows `first` and `first + 1` of its
    /// modulation.
    fn normalize(&self, x: &[f32], h: &mut Vec<f32>, modulations: &[Cow<'_, [f32]>], first: usize) {
        let d = self.width;
        h.clear();
        for (x, modulation) in x.chunks_exact(self.positions * d).zip(modulations) {
            let (shift, scale) =
                (modulation_row(modulation, first, d), modulation_row(modulation, first + 1, d));
            layer_norm(x, h, scale, shift, NORM_EPS);
        }
    }

    /// Self-attention of a sequence: qkv (n, 3d) to `out` (n, d).
    fn attention(&self, qkv: &[f32], scores: &mut [f32], head: &mut [f32], out: &mut [f32]) -> Result<()> {
        let (d, n) = (self.width, self.positions);
        let size = d / self.heads;
        let alpha = (size as f32).powf(-0.5);
        for number in 0..self.heads {
            let part = |index: usize| matrix_view(&qkv[index * d + number * size..], n, size, 3 * d);
            matmul(&self.gemm, part(0)?, part(1)?.transposed(), alpha, scores)?;
            for row in scores.chunks_exact_mut(n) {
                Softmax::new_mut(row).dispatch();
            }
            matmul(&self.gemm, matrix_view(scores, n, n, n)?, part(2)?, 1.0, head)?;
            for (head, out) in head.chunks_exact(size).zip(out.chunks_exact_mut(d)) {
                out[number * size..][..size].copy_from_slice(head);
            }
        }
        Ok(())
    }
}

/// A row of d numbers of a modulation.
fn modulation_row(modulation: &[f32], number: usize, d: usize) -> &[f32] {
    &modulation[number * d..][..d]
}

fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}
