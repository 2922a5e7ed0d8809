//! The kernels, and the recording of calls: which kernel runs on which buffers, in which order.

use candle_nn::VarBuilder;

use super::context::{Access, Context, Dispatch, GpuError, Kernel, Result};
use crate::model::weights::load_values;

/// Parts into which the sums of a product are divided: SLICES in `product.wgsl`.
const SLICES: usize = 4;
/// What a workgroup computes of a matrix product; see `product.wgsl`.
#[derive(Debug, Clone, Copy)]
struct Tile {
    rows: u32,
    /// Of four columns.
    quads: u32,
    threads: u32,
    /// Slices that are computed at the same time.
    parallel: u32,
}

/// For products that would have too few large tiles to occupy a GPU.
const SMALL: Tile = Tile { rows: 4, quads: 1, threads: 16, parallel: SLICES as u32 };
const LARGE: Tile = Tile { rows: 8, quads: 2, threads: 16, parallel: SLICES as u32 };
/// For programs that run on the CPU, which need long for reading memory and have many registers.
const SOFTWARE: Tile = Tile { rows: 16, quads: 4, threads: 8, parallel: 1 };
/// A product with fewer large tiles uses small ones.
const ENOUGH_TILES: u32 = 512;

impl Tile {
    /// The kernel's text for this tile.
    fn expand(self, template: &str) -> String {
        let mut text = String::new();
        for line in template.lines() {
            let rows = if line.contains('#') && !line.starts_with("//") { self.rows } else { 1 };
            let quads = if line.contains('$') && !line.starts_with("//") { self.quads } else { 1 };
            for (row, quad) in (0..rows).flat_map(|row| (0..quads).map(move |quad| (row, quad))) {
                text += &line.replace('#', &row.to_string()).replace('$', &quad.to_string());
                text.push('\n');
            }
        }
        text
    }

    /// Workgroups for a product with this many rows, and columns divided by four.
    fn grid(self, rows: u32, quads: u32) -> [u32; 3] {
        [quads.div_ceil(self.quads * self.threads), rows.div_ceil(self.rows), 1]
    }
}

/// What follows a matrix product, in the order of the constants in `product.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Epilogue {
    Bias,
    Silu,
    Add,
    AddGated,
    Shuffle,
}

/// What is multiplied, and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Variant {
    is_convolution: bool,
    epilogue: Epilogue,
}

/// The variants that networks use.
const VARIANTS: [Variant; 7] = [
    Variant { is_convolution: false, epilogue: Epilogue::Bias },
    Variant { is_convolution: false, epilogue: Epilogue::Silu },
    Variant { is_convolution: false, epilogue: Epilogue::Add },
    Variant { is_convolution: false, epilogue: Epilogue::AddGated },
    Variant { is_convolution: true, epilogue: Epilogue::Bias },
    Variant { is_convolution: true, epilogue: Epilogue::Add },
    Variant { is_convolution: true, epilogue: Epilogue::Shuffle },
];

/// All kernels, compiled for a device.
pub struct Kernels {
    /// By variant, each with all tiles.
    products: Vec<(Variant, Vec<Kernel>)>,
    /// The tiles, the smallest first.
    tiles: Vec<Tile>,
    embed: Kernel,
    condition: Kernel,
    layer_norm: Kernel,
    attention: Kernel,
    group_norm: Kernel,
    draw: Kernel,
}

impl Kernels {
    pub fn compile(context: &Context) -> Result<Self> {
        let tiles = if context.is_software() { vec![SOFTWARE] } else { vec![SMALL, LARGE] };
        Self::compile_with(context, tiles)
    }

    fn compile_with(context: &Context, tiles: Vec<Tile>) -> Result<Self> {
        use Access::{Read, Uniform, Write};
        let product = |variant: Variant, tile: Tile| {
            let Tile { rows, quads, threads, parallel } = tile;
            let source = format!(
                "const ROWS: u32 = {rows}u; const QUADS: u32 = {quads}u; const THREADS: u32 = {threads}u; \
                 const PARALLEL: u32 = {parallel}u; const IS_CONVOLUTION: bool = {}; const EPILOGUE: u32 = {}u;\n{}",
                variant.is_convolution,
                variant.epilogue as u32,
                tile.expand(include_str!("product.wgsl"))
            );
            let bindings = [Uniform, Uniform, Read, Read, Read, Read, Read, Write];
            context.kernel("product", &source, &bindings)
        };
        let products = VARIANTS.into_iter().map(|variant| {
            Ok((variant, tiles.iter().map(|&tile| product(variant, tile)).collect::<Result<Vec<_>>>()?))
        });
        Ok(Self {
            products: products.collect::<Result<_>>()?,
            tiles: tiles.clone(),
            embed: context.kernel(
                "embed",
                include_str!("embed.wgsl"),
                &[Uniform, Read, Read, Read, Write],
            )?,
            condition: context.kernel(
                "condition",
                include_str!("condition.wgsl"),
                &[Uniform, Read, Read, Read, Read, Read, Write, Write],
            )?,
            layer_norm: context.kernel(
                "layer norm",
                include_str!("layer_norm.wgsl"),
                &[Uniform, Uniform, Read, Read, Read, Write],
            )?,
            attention: context.kernel(
                "attention",
                include_str!("attention.wgsl"),
                &[Uniform, Read, Write],
            )?,
            group_norm: context.kernel(
                "group norm",
                include_str!("group_norm.wgsl"),
                &[Uniform, Read, Read, Read, Write],
            )?,
            draw: context.kernel(
                "draw",
                include_str!("draw.wgsl"),
                &[Uniform, Read, Read, Read, Read, Write],
            )?,
        })
    }

    /// The index of the tile for a product, and its workgroups.
    fn tile(&self, rows: u32, quads: u32) -> (usize, [u32; 3]) {
        let last = self.tiles.len() - 1;
        let large = self.tiles[last].grid(rows, quads);
        let index = if large[0] * large[1] < ENOUGH_TILES { 0 } else { last };
        (index, self.tiles[index].grid(rows, quads))
    }

    fn get(&self, kind: Kind, tile: usize) -> &Kernel {
        match kind {
            Kind::Product { number, .. } => &self.products[number].1[tile],
            Kind::Embed => &self.embed,
            Kind::Condition => &self.condition,
            Kind::LayerNorm => &self.layer_norm,
            Kind::Attention => &self.attention,
            Kind::GroupNorm => &self.group_norm,
            Kind::Draw => &self.draw,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Product {
        /// Index of the variant.
        number: usize,
        /// Rows for each sequence or image.
        rows: u32,
        /// Columns divided by four.
        quads: u32,
    },
    Embed,
    Condition,
    LayerNorm,
    Attention,
    GroupNorm,
    Draw,
}

/// The weights (inputs, outputs) and the bias of a linear layer or of a convolution, on a device.
pub struct Matrix {
    weights: wgpu::Buffer,
    bias: wgpu::Buffer,
    inputs: usize,
    outputs: usize,
}

impl Matrix {
    /// From weights (inputs, outputs), row by row, and a bias. The number of inputs (of each tap for a convolution) is a
    /// multiple of 4.
    pub fn upload(context: &Context, rows: &[f32], bias: &[f32]) -> Result<Self> {
        let (inputs, outputs) = (rows.len() / bias.len(), bias.len());
        // The kernel reads vectors of four columns.
        let padding = vec![0.0; outputs.next_multiple_of(4) - outputs];
        let padded: Vec<f32> =
            rows.chunks_exact(outputs).flat_map(|row| row.iter().chain(&padding)).copied().collect();
        let bias: Vec<f32> = bias.iter().chain(&padding).copied().collect();
        Ok(Self {
            weights: context.upload("weights", &padded)?,
            bias: context.upload("bias", &bias)?,
            inputs,
            outputs,
        })
    }

    /// The linear layer of this name.
    pub fn linear(
        context: &Context,
        inputs: usize,
        outputs: usize,
        vb: &VarBuilder,
    ) -> candle_core::Result<Self> {
        let weights = load_values(vb, (outputs, inputs), "weight")?;
        let rows: Vec<f32> =
            (0..weights.len()).map(|i| weights[i % outputs * inputs + i / outputs]).collect();
        let bias = load_values(vb, outputs, "bias")?;
        Self::upload(context, &rows, &bias).map_err(candle_core::Error::wrap)
    }

    /// The 3 × 3 convolution of this name. Missing input channels, up to a multiple of 4, are zero.
    pub fn convolution(
        context: &Context,
        inputs: usize,
        outputs: usize,
        vb: &VarBuilder,
    ) -> candle_core::Result<Self> {
        let weights = load_values(vb, (outputs, inputs, 3, 3), "weight")?;
        let padded = inputs.next_multiple_of(4);
        let mut rows = vec![0.0; 9 * padded * outputs];
        for (i, &weight) in weights.iter().enumerate() {
            let (tap, input, output) = (i % 9, i / 9 % inputs, i / 9 / inputs);
            rows[(tap * padded + input) * outputs + output] = weight;
        }
        let bias = load_values(vb, outputs, "bias")?;
        Self::upload(context, &rows, &bias).map_err(candle_core::Error::wrap)
    }

    /// Columns of the result: the outputs, up to a multiple of 4.
    pub fn columns(&self) -> usize {
        self.outputs.next_multiple_of(4)
    }
}

/// The shape of a 3 × 3 convolution with zero padding of 1.
#[derive(Debug, Clone, Copy)]
pub struct Convolution {
    /// Side of the input.
    pub side: usize,
    pub stride: usize,
}

/// The modulation of sequences: `buffer` has `len` numbers for each, `offset` is what a layer adds to them.
#[derive(Clone, Copy)]
pub struct Modulation<'a> {
    pub buffer: &'a wgpu::Buffer,
    pub offset: &'a wgpu::Buffer,
    pub len: usize,
}

/// What becomes of a matrix product.
#[derive(Clone, Copy)]
pub enum Output<'a> {
    Set,
    Silu,
    Add,
    /// Adds it times the gate that begins at this number of the modulation.
    AddGated(Modulation<'a>, usize),
    /// Four channels of a pixel become 2 × 2 pixels.
    Shuffle,
}

/// Workgroups for a number of sequences or images.
type Grid = Box<dyn Fn(u32) -> [u32; 3] + Send + Sync>;

struct Call {
    kind: Kind,
    buffers: wgpu::BindGroup,
    grid: Grid,
}

/// Recorded calls for a batch of any number of sequences or images, up to what the buffers have room for.
pub struct Program {
    /// The number of sequences or images, which kernels read.
    batch: wgpu::Buffer,
    calls: Vec<Call>,
    marks: Vec<usize>,
}

impl Program {
    /// Sets the number of sequences or images of the next submission.
    pub fn set_rows(&self, context: &Context, rows: usize) {
        context.write(&self.batch, &[rows as u32, 0, 0, 0]);
    }

    /// The calls before a mark, or all, after another mark or from the start.
    pub fn dispatches<'a>(
        &'a self,
        kernels: &'a Kernels,
        rows: usize,
        after: Option<usize>,
        until: Option<usize>,
    ) -> impl Iterator<Item = Dispatch<'a>> {
        let first = after.map_or(0, |mark| self.marks[mark]);
        let last = until.map_or(self.calls.len(), |mark| self.marks[mark]);
        let dispatch = move |call: &'a Call| {
            let (tile, workgroups) = match call.kind {
                Kind::Product { rows: each, quads, .. } => kernels.tile(rows as u32 * each, quads),
                _ => (0, (call.grid)(rows as u32)),
            };
            Dispatch { kernel: kernels.get(call.kind, tile), buffers: &call.buffers, workgroups }
        };
        self.calls[first..last].iter().map(dispatch)
    }
}

/// Records the calls of a program.
pub struct Recorder<'a> {
    context: &'a Context,
    kernels: &'a Kernels,
    /// Bound where a kernel uses no buffer.
    unused: wgpu::Buffer,
    program: Program,
}

impl<'a> Recorder<'a> {
    pub fn new(context: &'a Context, kernels: &'a Kernels) -> Result<Self> {
        let program =
            Program { batch: context.uniform("batch", &[1, 0, 0, 0])?, calls: Vec::new(), marks: Vec::new() };
        Ok(Self { context, kernels, unused: context.buffer("unused", 4)?, program })
    }

    /// Ends the recording.
    pub fn finish(self) -> Program {
        self.program
    }

    /// A place between calls, numbered from 0.
    pub fn mark(&mut self) {
        self.program.marks.push(self.program.calls.len());
    }

    /// c = a · matrix + bias and what follows, with `rows` rows of a for each sequence or image. For a convolution a row is a
    /// pixel of the output.
    pub fn product(
        &mut self,
        matrix: &Matrix,
        a: &wgpu::Buffer,
        c: &wgpu::Buffer,
        rows: usize,
        convolution: Option<Convolution>,
        output: Output,
    ) -> Result<()> {
        let epilogue = match output {
            Output::Set => Epilogue::Bias,
            Output::Silu => Epilogue::Silu,
            Output::Add => Epilogue::Add,
            Output::AddGated(..) => Epilogue::AddGated,
            Output::Shuffle => Epilogue::Shuffle,
        };
        let variant = Variant { is_convolution: convolution.is_some(), epilogue };
        let number = self.kernels.products.iter().position(|(other, _)| *other == variant);
        let number = number.ok_or_else(|| GpuError::Other(format!("no kernel for {variant:?}")))?;
        let Convolution { side, stride } = convolution.unwrap_or(Convolution { side: 1, stride: 1 });
        let (modulation, gate) = match output {
            Output::AddGated(modulation, gate) => (Some(modulation), gate),
            _ => (None, 0),
        };
        let k = matrix.inputs / if convolution.is_some() { 9 } else { 1 } / 4;
        let quads = matrix.outputs.div_ceil(4) as u32;
        let shape = [
            rows,
            k,
            quads as usize,
            k.div_ceil(SLICES),
            side,
            side.div_ceil(stride),
            stride,
            0,
            modulation.map_or(0, |modulation| modulation.len),
            gate,
            0,
            0,
        ];
        let shape = self.shape(&shape)?;
        let (batch, unused) = (self.program.batch.clone(), self.unused.clone());
        let modulation_buffer = modulation.map_or(&unused, |modulation| modulation.buffer);
        let offset = modulation.map_or(&unused, |modulation| modulation.offset);
        let buffers = [&batch, &shape, a, &matrix.weights, &matrix.bias, modulation_buffer, offset, c];
        let kind = Kind::Product { number, rows: rows as u32, quads };
        self.push(kind, &buffers, |_| [0, 0, 0])
    }

    /// x (rows, n, d) from z (rows, n, c), the weights (c, d) and the positions (n, d).
    pub fn embed(
        &mut self,
        [z, weight, position, x]: [&wgpu::Buffer; 4],
        [n, c, d]: [usize; 3],
    ) -> Result<()> {
        let shape = self.shape(&[n, c, d, 0])?;
        let buffers = [&shape, z, weight, position, x];
        self.push(Kind::Embed, &buffers, move |rows| [n as u32, rows, 1])
    }

    /// The summed embeddings (rows, d) of the inputs, and the pooled ones of their words. The tables are those of timesteps,
    /// classes and, if the model knows words, styles and words.
    pub fn condition(
        &mut self,
        inputs: &wgpu::Buffer,
        timestep: &wgpu::Buffer,
        label: &wgpu::Buffer,
        words: Option<[&wgpu::Buffer; 2]>,
        [sum, pooled]: [&wgpu::Buffer; 2],
        d: usize,
    ) -> Result<()> {
        let shape = self.shape(&[d, usize::from(words.is_some()), 0, 0])?;
        let unused = self.unused.clone();
        let [style, word] = words.unwrap_or([&unused, &unused]);
        let buffers = [&shape, inputs, timestep, label, style, word, sum, pooled];
        self.push(Kind::Condition, &buffers, |rows| [rows, 1, 1])
    }

    /// Layer norm of x (rows, n, d) into h, with the shift that begins at number `first` of the modulation and the scale after it.
    pub fn layer_norm(
        &mut self,
        [x, h]: [&wgpu::Buffer; 2],
        modulation: Modulation,
        first: usize,
        [n, d]: [usize; 2],
    ) -> Result<()> {
        let shape = self.shape(&[n, d, modulation.len, first])?;
        let batch = self.program.batch.clone();
        let buffers = [&batch, &shape, x, modulation.buffer, modulation.offset, h];
        self.push(Kind::LayerNorm, &buffers, move |rows| [(rows * n as u32).div_ceil(4), 1, 1])
    }

    /// Attention of qkv (rows, n, 3, d) into `out` (rows, n, d).
    pub fn attention(
        &mut self,
        [qkv, out]: [&wgpu::Buffer; 2],
        heads: usize,
        [n, d]: [usize; 2],
    ) -> Result<()> {
        let shape = self.shape(&[n, d / 4, d / heads / 4, 0])?;
        let grid = move |rows| [(n as u32).div_ceil(16), heads as u32, rows];
        self.push(Kind::Attention, &[&shape, qkv, out], grid)
    }

    /// Group norm and SiLU of x (images, pixels, channels) into y.
    pub fn group_norm(
        &mut self,
        norm: &Norm,
        [x, y]: [&wgpu::Buffer; 2],
        pixels: usize,
        groups: usize,
    ) -> Result<()> {
        let shape = self.shape(&[pixels, norm.channels, norm.channels / groups, 0])?;
        let buffers = [&shape, x, &norm.weight, &norm.bias, y];
        self.push(Kind::GroupNorm, &buffers, move |images| [groups as u32, images, 1])
    }

    /// The codes of images (see `draw.wgsl`), from logits, how to draw, uniforms and given codes. The number of the
    /// submission's sequences is that of images here.
    pub fn draw(&mut self, buffers: [&wgpu::Buffer; 5], n: usize, codes: usize) -> Result<()> {
        let shape = self.shape(&[n, codes, 0, 0])?;
        let [logits, images, uniforms, given, results] = buffers;
        let buffers = [&shape, logits, images, uniforms, given, results];
        self.push(Kind::Draw, &buffers, move |images| [n as u32, images, 1])
    }

    fn shape(&self, numbers: &[usize]) -> Result<wgpu::Buffer> {
        let numbers: Vec<u32> = numbers.iter().map(|&number| number as u32).collect();
        self.context.uniform("shape", &numbers)
    }

    fn push(
        &mut self,
        kind: Kind,
        buffers: &[&wgpu::Buffer],
        grid: impl Fn(u32) -> [u32; 3] + Send + Sync + 'static,
    ) -> Result<()> {
        let buffers = self.context.bind(self.kernels.get(kind, 0), buffers);
        self.program.calls.push(Call { kind, buffers, grid: Box::new(grid) });
        self.context.check()
    }
}

/// The weights of a group norm, on a device.
pub struct Norm {
    weight: wgpu::Buffer,
    bias: wgpu::Buffer,
    channels: usize,
}

impl Norm {
    /// The group norm of this name.
    pub fn new(context: &Context, channels: usize, vb: &VarBuilder) -> candle_core::Result<Self> {
        let upload = |name: &str| {
            let numbers = load_values(vb, channels, name)?;
            context.upload("norm", &numbers).map_err(candle_core::Error::wrap)
        };
        Ok(Self { weight: upload("weight")?, bias: upload("bias")?, channels })
    }
}

#[cfg(test)]
mod tests {
    use super::super::adapters::enumerate;
    use super::*;

    /// Numbers of −0.5..0.5.
    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..count).map(|_| next()).collect()
    }

    /// 1 × 1 or 3 × 3 convolution of images (side, side, inputs) in f64.
    fn expected(
        x: &[f32],
        weights: &[f32],
        bias: &[f32],
        side: usize,
        stride: usize,
        taps: usize,
    ) -> Vec<f64> {
        let outputs = bias.len();
        let inputs = weights.len() / outputs / taps;
        let mut y = Vec::new();
        for image in x.chunks_exact(side * side * inputs) {
            for position in
                (0..side).step_by(stride).flat_map(|row| (0..side).step_by(stride).map(move |c| (row, c)))
            {
                for output in 0..outputs {
                    let mut sum = f64::from(bias[output]);
                    for tap in 0..taps {
                        let (down, right) = if taps == 9 { (tap / 3, tap % 3) } else { (1, 1) };
                        let (row, column) = (position.0 + down, position.1 + right);
                        if !(1..=side).contains(&row) || !(1..=side).contains(&column) {
                            continue;
                        }
                        for input in 0..inputs {
                            let at = ((row - 1) * side + column - 1) * inputs + input;
                            let weight = weights[(tap * inputs + input) * outputs + output];
                            sum += f64::from(image[at]) * f64::from(weight);
                        }
                    }
                    y.push(sum);
                }
            }
        }
        y
    }

    #[test]
    fn products_and_convolutions_are_the_same_bit_for_bit_with_all_tiles() {
        let adapters = enumerate();
        let adapter = adapters.first().expect("a Vulkan device: apt-get install mesa-vulkan-drivers");
        let context = Context::open(adapter).unwrap();
        let kernels = Kernels::compile_with(&context, vec![SMALL, LARGE, SOFTWARE]).unwrap();
        let images = 3;
        // Side, stride, taps, inputs and outputs, of which few are multiples of a tile.
        for (side, stride, taps, inputs, outputs) in
            [(7, 1, 1, 36, 84), (5, 1, 9, 20, 36), (6, 2, 9, 4, 12), (1, 1, 1, 192, 4)]
        {
            let convolution = (taps == 9).then_some(Convolution { side, stride });
            let x = numbers(images * side * side * inputs, 1);
            let (weights, bias) = (numbers(taps * inputs * outputs, 2), numbers(outputs, 3));
            let matrix = Matrix::upload(&context, &weights, &bias).unwrap();
            let rows = side.div_ceil(stride).pow(2);
            let len = images * rows * outputs;
            let input = context.upload("x", &x).unwrap();
            let (output, host) = (context.buffer("y", len).unwrap(), context.readback("y", len).unwrap());
            let mut recorder = Recorder::new(&context, &kernels).unwrap();
            recorder.product(&matrix, &input, &output, rows, convolution, Output::Set).unwrap();
            let program = recorder.finish();
            program.set_rows(&context, images);
            let call = &program.calls[0];
            let results: Vec<Vec<u32>> = (0..kernels.tiles.len())
                .map(|tile| {
                    context.write(&output, &vec![f32::NAN; len]);
                    let workgroups = kernels.tiles[tile].grid((images * rows) as u32, (outputs / 4) as u32);
                    let kernel = kernels.get(call.kind, tile);
                    let dispatch = Dispatch { kernel, buffers: &call.buffers, workgroups };
                    context.run([dispatch], &[(&output, &host, len)]).unwrap().remove(0)
                })
                .collect();
            assert_eq!(results[0], results[1]);
            assert_eq!(results[0], results[2]);
            let expected = expected(&x, &weights, &bias, side, stride, taps);
            assert_eq!(results[0].len(), expected.len());
            for (bits, expected) in results[0].iter().zip(expected) {
                assert!((f64::from(f32::from_bits(*bits)) - expected).abs() < 1e-5);
            }
        }
    }
}
