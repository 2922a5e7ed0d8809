//! The denoiser of [`crate::model::denoiser`] and the drawing of codes, on a GPU.

use std::sync::{Mutex, PoisonError};

use candle_nn::VarBuilder;
use rayon::prelude::*;

use super::adapters::Gpu;
use super::context::{GpuError, Result};
use super::kernels::{Matrix, Modulation, Output, Program, Recorder};
use crate::model::condition::Condition;
use crate::model::config::Config;
use crate::model::denoiser::{MODULATION_ROWS, guidance_row, input_scale, word_weight};
use crate::model::device_sampling::{self, SampleSpec};
use crate::model::guidance::{GuidanceBatch, RowsOfImage};
use crate::model::sampler_state::SamplerState;
use crate::model::step::{Alternatives, Step};
use crate::model::trajectory::Schedule;
use crate::model::weights::load_values;

/// The most positions of a sequence: MAX_POSITIONS in `attention.wgsl`.
pub const MAX_POSITIONS: usize = 128;
/// The largest V: MAX_CODES in `draw.wgsl`.
pub const MAX_CODES: usize = 1536;
/// The most sequences of a submission.
const MAX_ROWS: usize = 512;
/// Numbers of a position's result: RESULTS in `draw.wgsl`.
const RESULTS: usize = 16;
/// For a position without a given code: NONE in `draw.wgsl`.
const NONE: u32 = u32::MAX;
/// Numbers of a sequence in the inputs of `condition.wgsl`, before the words of all.
const INPUTS: usize = 8;

struct Block {
    qkv: Matrix,
    proj: Matrix,
    up: Matrix,
    down: Matrix,
    /// This layer's addition to the shared modulation, (6d,).
    offset: wgpu::Buffer,
}

/// The embedding of styles and words.
struct WordsEmbedding {
    style: wgpu::Buffer,
    word: wgpu::Buffer,
    words_in: Matrix,
    words_out: Matrix,
}

/// Sizes of the model.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// n, c, d, V.
    positions: usize,
    channels: usize,
    width: usize,
    codes: usize,
    heads: usize,
}

/// The denoiser's transformer.
pub struct Denoiser {
    sizes: Sizes,
    /// (c, d)
    input: wgpu::Buffer,
    /// Position embedding plus input bias, (n, d).
    position: wgpu::Buffer,
    /// The embeddings of the timesteps, then those of the guidance scales 0, 1, 2, …, if the denoiser is told it.
    timestep: wgpu::Buffer,
    /// T.
    steps: usize,
    /// Number of embeddings of guidance scales.
    guidance_rows: usize,
    label: wgpu::Buffer,
    /// `None` if the model is told classes only.
    words: Option<WordsEmbedding>,
    condition: Matrix,
    modulation: Matrix,
    last: Matrix,
    /// The last layer's addition to its modulation: zeros, (2d,).
    no_offset: wgpu::Buffer,
    blocks: Vec<Block>,
    output: Matrix,
    input_scale: Vec<f32>,
    max_rows: usize,
    workspace: Mutex<Option<Workspace>>,
}

/// Buffers for a number of sequences and images, and the calls that use them.
struct Workspace {
    capacity: Capacity,
    /// Inputs of the denoiser.
    z: wgpu::Buffer,
    inputs: wgpu::Buffer,
    /// (rows, n, d)
    x: wgpu::Buffer,
    x_host: wgpu::Buffer,
    /// (rows, n, V)
    logits: wgpu::Buffer,
    logits_host: Option<wgpu::Buffer>,
    /// How to draw.
    images: wgpu::Buffer,
    uniforms: wgpu::Buffer,
    given: wgpu::Buffer,
    results: wgpu::Buffer,
    results_host: wgpu::Buffer,
    /// With a mark after each block.
    forward: Program,
    draw: Program,
}

#[derive(Debug, Clone, Copy)]
struct Capacity {
    rows: usize,
    images: usize,
    /// Numbers of the inputs of `condition.wgsl`.
    inputs: usize,
}

impl Capacity {
    fn max(self, other: Self) -> Self {
        Self {
            rows: self.rows.max(other.rows),
            images: self.images.max(other.images),
            inputs: self.inputs.max(other.inputs),
        }
    }
}

/// The inputs of a part of a guidance batch.
struct Inputs<'a> {
    z: &'a [f32],
    t: &'a [usize],
    y: &'a [Condition],
}

/// How to draw the codes of an image, as `draw.wgsl` reads it.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct ImageDraw {
    conditional: u32,
    unconditional: u32,
    guidance: f32,
    inverse_temperature: f32,
    is_greedy: u32,
    has_ranks: u32,
    top_k: u32,
    top_p: f32,
}

impl Denoiser {
    /// A denoiser that is told the guidance scale if it has some rows of embeddings for it.
    pub fn new(
        gpu: &Gpu,
        config: &Config,
        schedule: &Schedule,
        guidance_rows: Option<usize>,
        vb: &VarBuilder,
    ) -> candle_core::Result<Self> {
        let (width, steps, classes) = (config.denoiser.width, config.steps(), config.classes.len() + 1);
        let (n, c) = (config.positions(), config.latent.channels);
        let context = &gpu.context;
        let upload = |numbers: &[f32]| context.upload("weights", numbers).map_err(candle_core::Error::wrap);
        let table = |shape: (usize, usize), name: &str| upload(&load_values(vb, shape, name)?);
        let linear = |inputs, outputs, vb: VarBuilder| Matrix::linear(context, inputs, outputs, &vb);
        let input = vb.pp("input");
        let bias = load_values(&input, width, "bias")?;
        let mut position = load_values(vb, (n, width), "position")?;
        for row in position.chunks_exact_mut(width) {
            row.iter_mut().zip(&bias).for_each(|(position, bias)| *position += bias);
        }
        let mut timestep = load_values(vb, (steps, width), "timestep.weight")?;
        if let Some(rows) = guidance_rows {
            timestep.extend(load_values(vb, (rows, width), "guidance.weight")?);
        }
        let words = || -> candle_core::Result<WordsEmbedding> {
            Ok(WordsEmbedding {
                style: table((config.styles.len() + 1, width), "style.weight")?,
                word: table((config.vocabulary.words().len() + 1, width), "word.weight")?,
                words_in: linear(width, width, vb.pp("words_in"))?,
                words_out: linear(width, width, vb.pp("words_out"))?,
            })
        };
        let block = |number: usize| -> candle_core::Result<Block> {
            let vb = vb.pp("blocks").pp(number);
            Ok(Block {
                qkv: linear(width, 3 * width, vb.pp("qkv"))?,
                proj: linear(width, width, vb.pp("proj"))?,
                up: linear(width, 4 * width, vb.pp("up"))?,
                down: linear(4 * width, width, vb.pp("down"))?,
                offset: upload(&load_values(&vb, MODULATION_ROWS * width, "offset")?)?,
            })
        };
        let sizes = Sizes {
            positions: n,
            channels: c,
            width,
            codes: config.trajectory.codes,
            heads: config.denoiser.heads,
        };
        let largest = 4 * n * (4 * width).max(sizes.codes);
        Ok(Self {
            sizes,
            input: upload(&transpose(&load_values(&input, (width, c), "weight")?, c))?,
            position: upload(&position)?,
            timestep: upload(&timestep)?,
            steps,
            guidance_rows: guidance_rows.unwrap_or(0),
            label: table((classes, width), "label.weight")?,
            words: config.has_words().then(words).transpose()?,
            condition: linear(width, width, vb.pp("condition"))?,
            modulation: linear(width, MODULATION_ROWS * width, vb.pp("modulation"))?,
            last: linear(width, 2 * width, vb.pp("final"))?,
            no_offset: upload(&vec![0.0; 2 * width])?,
            blocks: (0..config.denoiser.layers).map(block).collect::<candle_core::Result<_>>()?,
            output: linear(width, sizes.codes, vb.pp("output"))?,
            input_scale: input_scale(schedule),
            max_rows: (context.max_buffer_bytes() as usize / largest).clamp(1, MAX_ROWS),
            workspace: Mutex::default(),
        })
    }

    /// Logits (rows, n, V) of the batch, before guidance.
    pub fn logits(&self, gpu: &Gpu, batch: &GuidanceBatch) -> Result<Vec<f32>> {
        let mut all = Vec::with_capacity(batch.rows() * self.sizes.positions * self.sizes.codes);
        for first in (0..batch.rows()).step_by(self.max_rows) {
            let rows = first..batch.rows().min(first + self.max_rows);
            let inputs = self.inputs(batch, rows.clone());
            self.with_workspace(gpu, &inputs, 1, |workspace| {
                let len = rows.len() * self.sizes.positions * self.sizes.codes;
                if workspace.logits_host.is_none() {
                    let capacity = workspace.capacity.rows * self.sizes.positions * self.sizes.codes;
                    workspace.logits_host = Some(gpu.context.readback("logits", capacity)?);
                }
                let Some(host) = &workspace.logits_host else { return Ok(()) };
                let calls = workspace.forward.dispatches(&gpu.kernels, rows.len(), None, None);
                let read = gpu.context.run(calls, &[(&workspace.logits, host, len)])?;
                all.extend(read.into_iter().flatten().map(f32::from_bits));
                Ok(())
            })?;
        }
        Ok(all)
    }

    /// The residual stream (n, d) after each of these blocks, numbered from 1 and sorted, for one image.
    pub fn residual_streams(
        &self,
        gpu: &Gpu,
        z: &[f32],
        t: usize,
        y: &Condition,
        blocks: &[usize],
    ) -> Result<Vec<Vec<f32>>> {
        let inputs = Inputs { z, t: &[t], y: std::slice::from_ref(y) };
        self.with_workspace(gpu, &inputs, 1, |workspace| {
            let (mut streams, mut after) = (Vec::with_capacity(blocks.len()), None);
            for &block in blocks {
                let until = Some(block - 1);
                let calls = workspace.forward.dispatches(&gpu.kernels, 1, after, until);
                let len = self.sizes.positions * self.sizes.width;
                let read = gpu.context.run(calls, &[(&workspace.x, &workspace.x_host, len)])?;
                streams
                    .extend(read.into_iter().map(|stream| stream.into_iter().map(f32::from_bits).collect()));
                after = until;
            }
            Ok(streams)
        })
    }

    /// Samples C_t for each image. `batch` must have been made from these states, in this order. After an error the states
    /// are unchanged.
    pub fn sample(
        &self,
        gpu: &Gpu,
        batch: &GuidanceBatch,
        states: &mut [&mut SamplerState],
    ) -> Result<Vec<Step>> {
        let images: Vec<RowsOfImage> = batch.images().collect();
        let mut steps = Vec::with_capacity(states.len());
        let mut first = 0;
        while first < images.len() {
            // As many images as fit.
            let start = images[first].conditional;
            let fits = |image: &&RowsOfImage| image.unconditional < start + self.max_rows;
            let count = images[first..].iter().take_while(fits).count().max(1);
            let part = first..first + count;
            steps.extend(self.sample_part(gpu, batch, &images[part.clone()], &states[part])?);
            first += count;
        }
        let numbers = self.sizes.positions * self.sizes.codes;
        states.iter_mut().for_each(|state| state.skip_uniform(numbers));
        Ok(steps)
    }

    fn sample_part(
        &self,
        gpu: &Gpu,
        batch: &GuidanceBatch,
        images: &[RowsOfImage],
        states: &[&mut SamplerState],
    ) -> Result<Vec<Step>> {
        let (n, codes) = (self.sizes.positions, self.sizes.codes);
        let specs: Vec<SampleSpec> = states.iter().map(|state| state.sample_spec()).collect();
        let (Some(first), Some(last)) = (images.first(), images.last()) else { return Ok(Vec::new()) };
        let start = first.conditional;
        let rows = start..last.unconditional + 1;
        let draw: Vec<ImageDraw> =
            images.iter().zip(&specs).map(|(image, spec)| self.image_draw(image, start, spec)).collect();
        let given: Vec<u32> = specs
            .iter()
            .flat_map(|spec| {
                (0..n).map(|position| spec.given.and_then(|given| given[position]).unwrap_or(NONE))
            })
            .collect();
        let mut uniforms = vec![0.5_f32; images.len() * n * codes];
        let drawn = uniforms.par_chunks_mut(n * codes).zip(states.par_iter());
        drawn.filter(|(_, state)| !state.settings.is_greedy()).for_each(|(uniforms, state)| {
            state.peek_uniform(uniforms);
        });

        let inputs = self.inputs(batch, rows.clone());
        let results = self.with_workspace(gpu, &inputs, images.len(), |workspace| {
            gpu.context.write(&workspace.images, &draw);
            gpu.context.write(&workspace.given, &given);
            gpu.context.write(&workspace.uniforms, &uniforms);
            let forward = workspace.forward.dispatches(&gpu.kernels, rows.len(), None, None);
            let draw = workspace.draw.dispatches(&gpu.kernels, images.len(), None, None);
            let reads = [(&workspace.results, &workspace.results_host, images.len() * n * RESULTS)];
            gpu.context.run(forward.chain(draw), &reads)
        })?;
        let results: Vec<&[u32]> = results.iter().flat_map(|results| results.chunks_exact(RESULTS)).collect();
        if results.iter().any(|result| result[3] != 0) {
            return Err(GpuError::Other("the denoiser's logits aren't finite".into()));
        }
        Ok(specs.iter().zip(results.chunks(n)).map(|(spec, results)| self.step(spec, results)).collect())
    }

    /// How to draw the codes of an image, in a submission whose first sequence is number `start` of the batch.
    fn image_draw(&self, image: &RowsOfImage, start: usize, spec: &SampleSpec) -> ImageDraw {
        let settings = spec.settings;
        ImageDraw {
            conditional: (image.conditional - start) as u32,
            unconditional: (image.unconditional - start) as u32,
            guidance: image.guidance,
            inverse_temperature: match settings.is_greedy() {
                true => 1.0,
                false => (1.0 / settings.temperature()) as f32,
            },
            is_greedy: u32::from(settings.is_greedy()),
            has_ranks: u32::from(spec.needs_ranks()),
            top_k: settings.top_k().unwrap_or(self.sizes.codes) as u32,
            top_p: settings.top_p().unwrap_or(2.0) as f32,
        }
    }

    /// One image's step from the results of its positions.
    fn step(&self, spec: &SampleSpec, results: &[&[u32]]) -> Step {
        let alternatives = Alternatives::COUNT.min(self.sizes.codes);
        let integers = |result: &&[u32]| -> Vec<u32> {
            [&result[..1], &result[8..8 + alternatives], &result[1..3]].concat()
        };
        let floats = |result: &&[u32]| -> Vec<f32> {
            let numbers = result[4..7].iter().chain(&result[12..12 + alternatives]);
            numbers.map(|&bits| f32::from_bits(bits)).collect()
        };
        let integers: Vec<Vec<u32>> = results.iter().map(integers).collect();
        let floats: Vec<Vec<f32>> = results.iter().map(floats).collect();
        device_sampling::step(spec, &integers, &floats)
    }

    /// Rows of a batch.
    fn inputs<'a>(&self, batch: &'a GuidanceBatch, rows: std::ops::Range<usize>) -> Inputs<'a> {
        let latent = self.sizes.positions * self.sizes.channels;
        Inputs {
            z: &batch.z[rows.start * latent..rows.end * latent],
            t: &batch.t[rows.clone()],
            y: &batch.y[rows],
        }
    }

    /// Writes the denoiser's inputs to the workspace, which grows if necessary, and calls `run`.
    fn with_workspace<T>(
        &self,
        gpu: &Gpu,
        inputs: &Inputs,
        images: usize,
        run: impl FnOnce(&mut Workspace) -> Result<T>,
    ) -> Result<T> {
        let (rows, latent) = (inputs.t.len(), self.sizes.positions * self.sizes.channels);
        let scaled: Vec<f32> = inputs
            .z
            .chunks_exact(latent)
            .zip(inputs.t)
            .flat_map(|(z, &t)| z.iter().map(move |z| z * self.input_scale[t - 1]))
            .collect();
        let mut numbers = vec![0; rows * INPUTS];
        for (row, (&t, y)) in inputs.t.iter().zip(inputs.y).enumerate() {
            let words = [numbers.len() as u32, y.words.len() as u32, word_weight(y).to_bits()];
            let own = &mut numbers[row * INPUTS..];
            own[..3].copy_from_slice(&[t as u32 - 1, y.class, y.style]);
            own[3..6].copy_from_slice(&words);
            if let (Some(w), true) = (y.guidance, self.guidance_rows > 0) {
                let (guidance_row, weight) = guidance_row(w, self.guidance_rows);
                own[6..8].copy_from_slice(&[(self.steps + guidance_row) as u32, weight.to_bits()]);
            }
            numbers.extend_from_slice(&y.words);
        }

        let mut workspace = self.workspace.lock().unwrap_or_else(PoisonError::into_inner);
        let needed = Capacity { rows, images, inputs: numbers.len() };
        let has_room = |Workspace { capacity, .. }: &Workspace| {
            capacity.rows >= rows && capacity.images >= images && capacity.inputs >= needed.inputs
        };
        let present = match workspace.take() {
            Some(present) if has_room(&present) => present,
            present => {
                let old = present.map_or(needed, |present| present.capacity);
                self.allocate(gpu, needed.max(old))?
            }
        };
        let workspace = workspace.insert(present);
        workspace.forward.set_rows(&gpu.context, rows);
        gpu.context.write(&workspace.z, &scaled);
        gpu.context.write(&workspace.inputs, &numbers);
        run(workspace)
    }

    /// Allocates buffers for at least this many, and records the calls.
    fn allocate(&self, gpu: &Gpu, needed: Capacity) -> Result<Workspace> {
        let Sizes { positions: n, channels: c, width: d, codes, heads } = self.sizes;
        let context = &gpu.context;
        let room = |number: usize| number.next_power_of_two().min(self.max_rows.max(number));
        let capacity = Capacity {
            rows: room(needed.rows),
            images: room(needed.images),
            inputs: needed.inputs.next_power_of_two(),
        };
        let of_rows = |label: &str, len: usize| context.buffer(label, capacity.rows * len);
        let (z, inputs) = (of_rows("z", n * c)?, context.buffer("inputs", capacity.inputs)?);
        let [sum, pooled, hidden, told] =
            ["sum", "pooled", "hidden", "condition"].map(|label| of_rows(label, d));
        let (sum, pooled, hidden, told) = (sum?, pooled?, hidden?, told?);
        let (shared, last) = (of_rows("modulation", MODULATION_ROWS * d)?, of_rows("last", 2 * d)?);
        let (x, h, wide) = (of_rows("x", n * d)?, of_rows("h", n * d)?, of_rows("wide", n * 4 * d)?);
        let logits = of_rows("logits", n * codes)?;
        let of_images = |label: &str, len: usize| context.buffer(label, capacity.images * len);
        let images = of_images("images", size_of::<ImageDraw>() / 4)?;
        let (uniforms, given) = (of_images("uniforms", n * codes)?, of_images("given", n)?);
        let results = of_images("results", n * RESULTS)?;

        let mut forward = Recorder::new(context, &gpu.kernels)?;
        let tables = self.words.as_ref().map(|words| [&words.style, &words.word]);
        forward.condition(&inputs, &self.timestep, &self.label, tables, [&sum, &pooled], d)?;
        if let Some(words) = &self.words {
            forward.product(&words.words_in, &pooled, &hidden, 1, None, Output::Silu)?;
            forward.product(&words.words_out, &hidden, &sum, 1, None, Output::Add)?;
        }
        forward.product(&self.condition, &sum, &told, 1, None, Output::Silu)?;
        forward.product(&self.modulation, &told, &shared, 1, None, Output::Set)?;
        forward.product(&self.last, &told, &last, 1, None, Output::Set)?;
        forward.embed([&z, &self.input, &self.position, &x], [n, c, d])?;
        for block in &self.blocks {
            let modulation = Modulation { buffer: &shared, offset: &block.offset, len: MODULATION_ROWS * d };
            forward.layer_norm([&x, &h], modulation, 0, [n, d])?;
            forward.product(&block.qkv, &h, &wide, n, None, Output::Set)?;
            forward.attention([&wide, &h], heads, [n, d])?;
            forward.product(&block.proj, &h, &x, n, None, Output::AddGated(modulation, 2 * d))?;
            forward.layer_norm([&x, &h], modulation, 3 * d, [n, d])?;
            forward.product(&block.up, &h, &wide, n, None, Output::Silu)?;
            forward.product(&block.down, &wide, &x, n, None, Output::AddGated(modulation, 5 * d))?;
            forward.mark();
        }
        let modulation = Modulation { buffer: &last, offset: &self.no_offset, len: 2 * d };
        forward.layer_norm([&x, &h], modulation, 0, [n, d])?;
        forward.product(&self.output, &h, &logits, n, None, Output::Set)?;

        let mut draw = Recorder::new(context, &gpu.kernels)?;
        draw.draw([&logits, &images, &uniforms, &given, &results], n, codes)?;
        Ok(Workspace {
            capacity,
            x_host: context.readback("x", n * d)?,
            logits_host: None,
            results_host: context.readback("results", capacity.images * n * RESULTS)?,
            forward: forward.finish(),
            draw: draw.finish(),
            z,
            inputs,
            x,
            logits,
            images,
            uniforms,
            given,
            results,
        })
    }
}

/// Numbers (rows, columns) to (columns, rows).
pub fn transpose(numbers: &[f32], columns: usize) -> Vec<f32> {
    let rows = numbers.len() / columns;
    (0..numbers.len()).map(|i| numbers[i % rows * columns + i / rows]).collect()
}
