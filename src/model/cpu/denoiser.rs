//! The denoiser of [`crate::model::denoiser`], optimized for a CPU.

use std::borrow::Cow;
use std::ops::Range;
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
use crate::model::denoiser::{MODULATION_ROWS, NORM_EPS, guidance_row, input_scale, word_weight};
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

/// The least number of positions that a thread computes of a sequence.
const MIN_POSITIONS: usize = 16;

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
    /// The embeddings of the guidance scales 0, 1, 2, …, (rows, d); empty if the denoiser isn't told it.
    guidance: Vec<f32>,
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
    /// For each timestep and class, without style and words, with the usual guidance; computed on first use and cached.
    modulations: Vec<OnceLock<Modulation>>,
    /// The model's default guidance scale, if the denoiser is told it.
    usual_guidance: Option<f32>,
    buffers: BufferPool<Buffers>,
    sequences: BufferPool<Sequence>,
}

/// Reusable memory of a thread.
#[derive(Default)]
struct Buffers {
    /// (m, d): the residual stream of its sequences.
    x: Vec<f32>,
    activations: Activations,
}

/// Reusable memory for the activations of m positions.
#[derive(Default)]
struct Activations {
    /// (m, d): input and output of a layer.
    h: Vec<f32>,
    /// (m, 3d), later (m, 4d).
    wide: Vec<f32>,
    /// (positions, n)
    scores: Vec<f32>,
    /// (positions, d / heads)
    head: Vec<f32>,
    /// A layer's input in bf16.
    rounded: Vec<u16>,
    attention: AttentionBuffers,
}

/// Reusable memory for a sequence whose positions are divided among threads.
#[derive(Default)]
struct Sequence {
    /// (n, d): the residual stream.
    x: Vec<f32>,
    /// (n, 3d): queries, keys and values of a block.
    qkv: Vec<f32>,
    /// (n, 3d): those of the next block.
    next_qkv: Vec<f32>,
}

impl Denoiser {
    /// A denoiser that is told the guidance scale if it has some rows of embeddings for it.
    pub fn new(
        config: &Config,
        schedule: &Schedule,
        arithmetic: Arithmetic,
        guidance_rows: Option<usize>,
        vb: VarBuilder,
    ) -> Result<Self> {
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
            guidance: match guidance_rows {
                Some(rows) => load_values(&vb, (rows, width), "guidance.weight")?,
                None => Vec::new(),
            },
            usual_guidance: guidance_rows.map(|_| config.sampling.guidance as f32),
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
            sequences: BufferPool::new(),
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
        let threads = rayon::current_num_threads();
        let logits = scratch(logits, t.len() * logits_len);
        let modulations = self.modulations(t, y)?;
        // With fewer sequences than threads, threads share a sequence.
        let parts = (threads / t.len().max(1)).min(self.positions / MIN_POSITIONS);
        if parts > 1 {
            logits
                .par_chunks_mut(logits_len)
                .zip(z.par_chunks(latent_len))
                .zip(t.par_iter().zip(modulations.par_chunks(1)))
                .try_for_each(|((logits, z), (&t, modulation))| {
                    self.forward_in_parts(parts, z, t, modulation, logits)
                })?;
            return Ok(logits);
        }
        // Use all threads before giving one two sequences: a single image with guidance is two sequences.
        let together = t.len().div_ceil(threads).clamp(1, sequences_per_thread(self.arithmetic));
        logits
            .par_chunks_mut(together * logits_len)
            .zip(z.par_chunks(together * latent_len))
            .zip(t.par_chunks(together).zip(modulations.par_chunks(together)))
            .try_for_each(|((logits, z), (t, modulations))| {
                self.buffers.with(|Buffers { x, activations }| {
                    let x = self.forward_blocks(z, t, modulations, x, activations, |_, _| {})?;
                    self.forward_output(x, modulations, activations, logits)
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
        self.buffers.with(|Buffers { x, activations }| {
            let after_block = |number, x: &[f32]| {
                if blocks.contains(&number) {
                    streams.push(x.to_vec());
                }
            };
            self.forward_blocks(z, &[t], &modulations, x, activations, after_block).map(drop)
        })?;
        Ok(streams)
    }

    /// The modulation of each timestep t and condition y, from the cache if it has no style, no words and the usual guidance.
    fn modulations(&self, t: &[usize], y: &[Condition]) -> Result<Vec<Cow<'_, [f32]>>> {
        let cell = |(t, y): (usize, &Condition)| {
            let is_cached = y.is_class_only(self.styles) && y.guidance == self.usual_guidance;
            is_cached.then(|| &self.modulations[(t - 1) * self.classes + y.class as usize])
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
            if let (Some(w), false) = (y.guidance, self.guidance.is_empty()) {
                let (row, weight) = guidance_row(w, self.guidance.len() / width);
                let (lower, upper) = self.guidance[row * width..][..2 * width].split_at(width);
                let start = sums.len() - width;
                for ((sum, lower), upper) in sums[start..].iter_mut().zip(lower).zip(upper) {
                    *sum += lower + weight * (upper - lower);
                }
            }
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

    /// Applies the network to the positions of one sequence in parts, each by a thread. They wait for each other once a block:
    /// attention needs the keys and values of all positions.
    fn forward_in_parts(
        &self,
        parts: usize,
        z: &[f32],
        t: usize,
        modulation: &[Cow<'_, [f32]>],
        logits: &mut [f32],
    ) -> Result<()> {
        let (d, n) = (self.width, self.positions);
        let rows = n.div_ceil(parts);
        self.sequences.with(|Sequence { x, qkv, next_qkv }| {
            let (x, mut qkv) = (scratch(x, n * d), scratch(qkv, n * 3 * d));
            let mut next_qkv = scratch(next_qkv, n * 3 * d);
            x.par_chunks_mut(rows * d)
                .zip(qkv.par_chunks_mut(rows * 3 * d))
                .zip(z.par_chunks(rows * self.channels))
                .enumerate()
                .try_for_each(|(part, ((x, qkv), z))| {
                    self.buffers.with(|buffers| {
                        self.embed(z, t, part * rows, x)?;
                        self.project(0, x, modulation, &mut buffers.activations, qkv)
                    })
                })?;
            let attend = |number, qkv: &[f32], part: usize, x: &mut [f32], activations: &mut Activations| {
                let queries = part * rows..part * rows + x.len() / d;
                activations.h.resize(x.len(), 0.0);
                self.attend(qkv, queries, 0, activations)?;
                self.finish(number, x, modulation, activations)
            };
            let last = self.blocks.len() - 1;
            for number in 0..last {
                x.par_chunks_mut(rows * d)
                    .zip(next_qkv.par_chunks_mut(rows * 3 * d))
                    .enumerate()
                    .try_for_each(|(part, (x, next_qkv))| {
                        self.buffers.with(|Buffers { activations, .. }| {
                            attend(number, qkv, part, x, activations)?;
                            self.project(number + 1, x, modulation, activations, next_qkv)
                        })
                    })?;
                std::mem::swap(&mut qkv, &mut next_qkv);
            }
            x.par_chunks_mut(rows * d).zip(logits.par_chunks_mut(rows * self.codes)).enumerate().try_for_each(
                |(part, (x, logits))| {
                    self.buffers.with(|Buffers { activations, .. }| {
                        attend(last, qkv, part, x, activations)?;
                        self.forward_output(x, modulation, activations, logits)
                    })
                },
            )
        })
    }

    /// Applies the blocks to a thread's sequences, each with its own timestep and modulation, and returns the residual stream
    /// (m, d) in `x`; `after_block` sees it after each block, with the block's number from 1.
    fn forward_blocks<'x>(
        &self,
        z: &[f32],
        t: &[usize],
        modulations: &[Cow<'_, [f32]>],
        x: &'x mut Vec<f32>,
        activations: &mut Activations,
        mut after_block: impl FnMut(usize, &[f32]),
    ) -> Result<&'x [f32]> {
        let (d, n) = (self.width, self.positions);
        let m = t.len() * n;
        let x = scratch(x, m * d);
        let sequences = x.chunks_exact_mut(n * d).zip(z.chunks_exact(n * self.channels)).zip(t);
        for ((x, z), &t) in sequences {
            self.embed(z, t, 0, x)?;
        }
        for number in 0..self.blocks.len() {
            // The same memory serves later layers, so that it stays in the cache.
            let mut wide = std::mem::take(&mut activations.wide);
            let qkv = scratch(&mut wide, m * 3 * d);
            self.project(number, x, modulations, activations, qkv)?;
            for (sequence, qkv) in qkv.chunks_exact(n * 3 * d).enumerate() {
                self.attend(qkv, 0..n, sequence * n, activations)?;
            }
            activations.wide = wide;
            self.finish(number, x, modulations, activations)?;
            after_block(number + 1, x);
        }
        Ok(x)
    }

    /// The embeddings (rows, d) of the positions from number `first` on of a sequence: z_{t−1} (rows, c), t as in
    /// [`Denoiser::forward`].
    fn embed(&self, z: &[f32], t: usize, first: usize, x: &mut [f32]) -> Result<()> {
        x.copy_from_slice(&self.position[first * self.width..][..x.len()]);
        let scaled: Vec<f32> = z.iter().map(|z| z * self.input_scale[t - 1]).collect();
        self.input.add_to(&self.gemm, &scaled, x)
    }

    /// Begins a block: layer norm of x (m, d), which are as many rows of each sequence, and the projection to queries, keys and
    /// values, (m, 3d).
    fn project(
        &self,
        number: usize,
        x: &[f32],
        modulations: &[Cow<'_, [f32]>],
        activations: &mut Activations,
        qkv: &mut [f32],
    ) -> Result<()> {
        self.normalize(x, &mut activations.h, modulations, number * MODULATION_ROWS);
        let Activations { h, rounded, .. } = activations;
        self.blocks[number].qkv.forward(&self.gemm, h, qkv, rounded)
    }

    /// Self-attention of some positions of a sequence, qkv (n, 3d). They are written to as many rows of `activations.h`, from
    /// number `row` on.
    fn attend(
        &self,
        qkv: &[f32],
        queries: Range<usize>,
        row: usize,
        activations: &mut Activations,
    ) -> Result<()> {
        let Activations { h, scores, head, attention, .. } = activations;
        let (d, n) = (self.width, self.positions);
        let out = &mut h[row * d..][..queries.len() * d];
        match self.arithmetic {
            Arithmetic::F32 => {
                let scores = scratch(scores, queries.len() * n);
                let head = scratch(head, queries.len() * d / self.heads);
                self.f32_attention(qkv, queries, scores, head, out)
            }
            Arithmetic::Bf16(instructions) => {
                bf16::attention(instructions, self.heads, qkv, queries, out, attention, n);
                Ok(())
            }
        }
    }

    /// Ends a block: adds to x (m, d) what attention gave, which is in `activations.h`, and what the MLP makes of that.
    fn finish(
        &self,
        number: usize,
        x: &mut [f32],
        modulations: &[Cow<'_, [f32]>],
        activations: &mut Activations,
    ) -> Result<()> {
        let (d, gemm, block) = (self.width, &self.gemm, &self.blocks[number]);
        let (m, first) = (x.len() / d, number * MODULATION_ROWS);
        let Activations { h, wide, rounded, .. } = activations;
        let attended = scratch(wide, m * d);
        block.proj.forward(gemm, h, attended, rounded)?;
        self.add_gated(x, attended, modulations, first + 2);

        self.normalize(x, h, modulations, first + 3);
        let up = scratch(wide, m * 4 * d);
        block.up.forward(gemm, h, up, rounded)?;
        block.down.forward_silu(gemm, up, h, rounded)?;
        self.add_gated(x, h, modulations, first + 5);
        Ok(())
    }

    /// Applies the last layer to x (m, d): the logits (m, V).
    fn forward_output(
        &self,
        x: &[f32],
        modulations: &[Cow<'_, [f32]>],
        activations: &mut Activations,
        logits: &mut [f32],
    ) -> Result<()> {
        let Activations { h, rounded, .. } = activations;
        self.normalize(x, h, modulations, self.blocks.len() * MODULATION_ROWS);
        self.output.forward(&self.gemm, h, logits, rounded)
    }

    /// Layer norm of each sequence's rows of x (m, d) into h, with the shift and the scale in the rows `first` and `first + 1`
    /// of its modulation.
    fn normalize(&self, x: &[f32], h: &mut Vec<f32>, modulations: &[Cow<'_, [f32]>], first: usize) {
        let d = self.width;
        h.clear();
        for (x, modulation) in x.chunks_exact(x.len() / modulations.len()).zip(modulations) {
            let (shift, scale) =
                (modulation_row(modulation, first, d), modulation_row(modulation, first + 1, d));
            layer_norm(x, h, scale, shift, NORM_EPS);
        }
    }

    /// Adds h (m, d) to each sequence's rows of x, times the gate in this row of its modulation.
    fn add_gated(&self, x: &mut [f32], h: &[f32], modulations: &[Cow<'_, [f32]>], number: usize) {
        let (d, len) = (self.width, x.len() / modulations.len());
        for ((x, h), modulation) in x.chunks_exact_mut(len).zip(h.chunks_exact(len)).zip(modulations) {
            let gate = modulation_row(modulation, number, d);
            for (x, h) in x.chunks_exact_mut(d).zip(h.chunks_exact(d)) {
                for ((x, h), gate) in x.iter_mut().zip(h).zip(gate) {
                    *x += h * gate;
                }
            }
        }
    }

    /// Self-attention in f32 of some positions of a sequence: qkv (n, 3d) to `out` (positions, d).
    fn f32_attention(
        &self,
        qkv: &[f32],
        queries: Range<usize>,
        scores: &mut [f32],
        head: &mut [f32],
        out: &mut [f32],
    ) -> Result<()> {
        let (d, n) = (self.width, self.positions);
        let size = d / self.heads;
        let alpha = (size as f32).powf(-0.5);
        for number in 0..self.heads {
            let part = |index: usize, rows: Range<usize>| {
                let start = rows.start * 3 * d + index * d + number * size;
                matrix_view(&qkv[start..], rows.len(), size, 3 * d)
            };
            let keys = part(1, 0..n)?;
            matmul(&self.gemm, part(0, queries.clone())?, keys.transposed(), alpha, scores)?;
            for row in scores.chunks_exact_mut(n) {
                Softmax::new_mut(row).dispatch();
            }
            matmul(&self.gemm, matrix_view(scores, queries.len(), n, n)?, part(2, 0..n)?, 1.0, head)?;
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
