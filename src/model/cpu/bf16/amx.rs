//! Products by AMX: the processor multiplies tiles of 16 rows of 32 bf16.
//!
//! A tile register is named in the text of an instruction, so each loop over the inputs is one block of assembly. The standard
//! library's functions for these instructions are unstable.

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, __get_cpuid_max};
use std::sync::LazyLock;

use super::avx512::Avx512Bf16;
use super::packed::{INPUT_BLOCK, PANEL, PANEL_VECTORS, PackedMatrix, Product, VECTOR, Vector, WeightPairs};

/// Rows of a tile.
const TILE_ROWS: usize = 16;
/// Columns of two tiles.
const COLUMNS: usize = 2 * VECTOR;

/// Evidence that this processor has AMX for bf16, and that the operating system lets this process use it.
#[derive(Debug, Clone, Copy)]
pub struct Amx {
    avx512: Avx512Bf16,
}

impl Amx {
    /// `None` if the processor lacks it, or the operating system refuses it.
    pub fn detect(avx512: Avx512Bf16) -> Option<Self> {
        static IS_AVAILABLE: LazyLock<bool> = LazyLock::new(|| processor_has_amx() && request_tiles());
        IS_AVAILABLE.then_some(Self { avx512 })
    }

    pub(super) fn avx512(self) -> Avx512Bf16 {
        self.avx512
    }

    /// Computes y = x W + b for each row.
    pub(super) fn multiply(self, matrix: &PackedMatrix, product: Product) {
        multiply(self, matrix, product);
    }
}

/// Whether the processor has tiles and products of bf16 tiles. The standard library's detection of them is unstable.
fn processor_has_amx() -> bool {
    const BF16: u32 = 1 << 22;
    const TILES: u32 = 1 << 24;
    // Leaf 7, "structured extended feature flags".
    let has_leaf = __get_cpuid_max(0).0 >= 7;
    has_leaf && __cpuid_count(7, 0).edx & (BF16 | TILES) == BF16 | TILES
}

/// Asks Linux to let this process use tile registers (kernel documentation, "Using XSTATE features in user space").
fn request_tiles() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_ulong = 18;
    // SAFETY: this call takes two numbers and accesses none of the process's memory.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

/// This thread's tile registers, in use. Dropping it frees them, so that the system needn't save them any more.
struct Tiles(());

/// The operand of `ldtilecfg`.
#[repr(C, align(64))]
struct TileConfig {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_per_row: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    /// Shapes the tiles: those of sums (0 to 3) and inputs (4, 5) get this many rows, 1 to 16; those of weights (6, 7) 16.
    fn new(_: Amx, rows: usize) -> Self {
        debug_assert!((1..=TILE_ROWS).contains(&rows));
        let mut config =
            TileConfig { palette: 1, start_row: 0, reserved: [0; 14], bytes_per_row: [0; 16], rows: [0; 16] };
        config.bytes_per_row[..8].fill(64);
        config.rows[..6].fill(rows as u8);
        config.rows[6..8].fill(TILE_ROWS as u8);
        // SAFETY: an `Amx` exists only if the processor has this instruction; it reads 64 bytes, the size of the operand.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly)) };
        Self(())
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: a value of `Tiles` exists only if the processor has this instruction.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

fn multiply(amx: Amx, matrix: &PackedMatrix, mut product: Product) {
    let rows = product.rows;
    let in_pairs = rows / (2 * TILE_ROWS) * 2 * TILE_ROWS;
    let in_tiles = rows / TILE_ROWS * TILE_ROWS;
    if in_tiles > 0 {
        let tiles = Tiles::new(amx, TILE_ROWS);
        // Rows of inputs stay in the cache while the weights pass.
        for first in (0..in_pairs).step_by(2 * TILE_ROWS) {
            multiply_pair(&tiles, matrix, product.part(first, 2 * TILE_ROWS, 0));
        }
        if in_pairs < in_tiles {
            multiply_single(&tiles, matrix, product.part(in_pairs, TILE_ROWS, 0));
        }
    }
    if in_tiles < rows {
        let tiles = Tiles::new(amx, rows - in_tiles);
        multiply_single(&tiles, matrix, product.part(in_tiles, rows - in_tiles, 0));
    }
}

/// Multiplies 32 rows by all weights.
fn multiply_pair(tiles: &Tiles, matrix: &PackedMatrix, mut product: Product) {
    for (panel, (weights, bias)) in matrix.panels().enumerate() {
        for half in [0, PANEL_VECTORS / 2] {
            let column = panel * PANEL + half * VECTOR;
            if column < matrix.outputs {
                let columns = matrix.outputs - column;
                multiply_two(tiles, weights, bias, half, columns, product.part(0, 2 * TILE_ROWS, column));
            }
        }
    }
}

/// Multiplies the rows of a tile by all weights.
fn multiply_single(tiles: &Tiles, matrix: &PackedMatrix, mut product: Product) {
    let rows = product.rows;
    for (panel, (weights, bias)) in matrix.panels().enumerate() {
        let column = panel * PANEL;
        multiply_one(tiles, weights, bias, matrix.outputs - column, product.part(0, rows, column));
    }
}

/// Multiplies 32 rows by two vectors of a panel's weights, from number `half` on, and adds the bias. The first `columns` sums are
/// outputs.
fn multiply_two(
    tiles: &Tiles,
    weights: &[WeightPairs],
    bias: &[Vector<f32>; PANEL_VECTORS],
    half: usize,
    columns: usize,
    product: Product,
) {
    if columns >= COLUMNS {
        return multiply_two_fully(tiles, weights, bias, half, product);
    }
    // The tiles have more columns than the outputs.
    let mut sums = [0.0_f32; 2 * TILE_ROWS * COLUMNS];
    let Product { rows, x, x_stride, y, y_stride } = product;
    let all = Product { rows, x, x_stride, y: &mut sums, y_stride: COLUMNS };
    multiply_two_fully(tiles, weights, bias, half, all);
    copy_columns(&sums, COLUMNS, y, y_stride, columns);
}

/// Multiplies 32 rows by two vectors of a panel's weights, from number `half` on, and adds the bias. All sums are outputs.
fn multiply_two_fully(
    _: &Tiles,
    weights: &[WeightPairs],
    bias: &[Vector<f32>; PANEL_VECTORS],
    half: usize,
    product: Product,
) {
    let Product { rows, x, x_stride, y, y_stride } = product;
    let width = 2 * weights.len();
    check(x, x_stride, width, rows);
    check(y, y_stride, COLUMNS, rows);
    assert!(rows == 2 * TILE_ROWS && width > 0 && width.is_multiple_of(INPUT_BLOCK));
    // SAFETY: a value of `Tiles` exists only if the processor has these instructions. By the assertions above, all reads are
    // inside of `x`, `weights` (two of four vectors of each pair of inputs) and `bias`, whose rows are the same one; all writes
    // are inside of `out`.
    unsafe {
        asm!(
            "tileloadd tmm0, [{bias} + {zero}]",
            "tileloadd tmm1, [{bias} + {zero} + 64]",
            "tileloadd tmm2, [{bias} + {zero}]",
            "tileloadd tmm3, [{bias} + {zero} + 64]",
            "2:",
            "tileloadd tmm6, [{weights} + {weights_stride}]",
            "tileloadd tmm7, [{weights} + {weights_stride} + 64]",
            "tileloadd tmm4, [{upper} + {x_stride}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{lower} + {x_stride}]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {upper}, 64",
            "add {lower}, 64",
            "add {weights}, {tile_of_weights}",
            "dec {count}",
            "jnz 2b",
            "tilestored [{out_upper} + {out_stride}], tmm0",
            "tilestored [{out_upper} + {out_stride} + 64], tmm1",
            "tilestored [{out_lower} + {out_stride}], tmm2",
            "tilestored [{out_lower} + {out_stride} + 64], tmm3",
            bias = in(reg) bias[half..].as_ptr(),
            zero = in(reg) 0_usize,
            weights = inout(reg) (&raw const weights[0][half]) => _,
            weights_stride = in(reg) size_of::<WeightPairs>(),
            tile_of_weights = const TILE_ROWS * size_of::<WeightPairs>(),
            upper = inout(reg) x.as_ptr() => _,
            lower = inout(reg) x[TILE_ROWS * x_stride..].as_ptr() => _,
            x_stride = in(reg) x_stride * size_of::<u16>(),
            count = inout(reg) width / INPUT_BLOCK => _,
            out_upper = in(reg) y.as_mut_ptr(),
            out_lower = in(reg) y[TILE_ROWS * y_stride..].as_mut_ptr(),
            out_stride = in(reg) y_stride * size_of::<f32>(),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// Multiplies up to 16 rows, the rows of the tiles, by a panel of weights, and adds the bias. The first `columns` sums are
/// outputs.
fn multiply_one(
    tiles: &Tiles,
    weights: &[WeightPairs],
    bias: &[Vector<f32>; PANEL_VECTORS],
    columns: usize,
    product: Product,
) {
    if columns >= PANEL {
        return multiply_one_fully(tiles, weights, bias, product);
    }
    // The tiles have more columns than the outputs.
    let mut sums = [0.0_f32; TILE_ROWS * PANEL];
    let Product { rows, x, x_stride, y, y_stride } = product;
    let all = Product { rows, x, x_stride, y: &mut sums, y_stride: PANEL };
    multiply_one_fully(tiles, weights, bias, all);
    copy_columns(&sums[..rows * PANEL], PANEL, y, y_stride, columns);
}

/// Multiplies up to 16 rows, the rows of the tiles, by a panel of weights, and adds the bias. All sums are outputs.
fn multiply_one_fully(
    _: &Tiles,
    weights: &[WeightPairs],
    bias: &[Vector<f32>; PANEL_VECTORS],
    product: Product,
) {
    let Product { rows, x, x_stride, y, y_stride } = product;
    let width = 2 * weights.len();
    check(x, x_stride, width, rows);
    check(y, y_stride, PANEL, rows);
    assert!(rows <= TILE_ROWS && width > 0 && width.is_multiple_of(INPUT_BLOCK));
    // SAFETY: as in `multiply_two`; the tiles of inputs and sums have `rows` rows.
    unsafe {
        asm!(
            "tileloadd tmm0, [{bias} + {zero}]",
            "tileloadd tmm1, [{bias} + {zero} + 64]",
            "tileloadd tmm2, [{bias} + {zero} + 128]",
            "tileloadd tmm3, [{bias} + {zero} + 192]",
            "2:",
            "tileloadd tmm4, [{x} + {x_stride}]",
            "tileloadd tmm6, [{weights} + {weights_stride}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{weights} + {weights_stride} + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm6, [{weights} + {weights_stride} + 128]",
            "tdpbf16ps tmm2, tmm4, tmm6",
            "tileloadd tmm7, [{weights} + {weights_stride} + 192]",
            "tdpbf16ps tmm3, tmm4, tmm7",
            "add {x}, 64",
            "add {weights}, {tile_of_weights}",
            "dec {count}",
            "jnz 2b",
            "tilestored [{out} + {out_stride}], tmm0",
            "tilestored [{out} + {out_stride} + 64], tmm1",
            "tilestored [{out} + {out_stride} + 128], tmm2",
            "tilestored [{out} + {out_stride} + 192], tmm3",
            bias = in(reg) bias.as_ptr(),
            zero = in(reg) 0_usize,
            weights = inout(reg) weights.as_ptr() => _,
            weights_stride = in(reg) size_of::<WeightPairs>(),
            tile_of_weights = const TILE_ROWS * size_of::<WeightPairs>(),
            x = inout(reg) x.as_ptr() => _,
            x_stride = in(reg) x_stride * size_of::<u16>(),
            count = inout(reg) width / INPUT_BLOCK => _,
            out = in(reg) y.as_mut_ptr(),
            out_stride = in(reg) y_stride * size_of::<f32>(),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// Panics if rows of `width` numbers that begin `stride` numbers apart reach beyond the slice.
fn check<T>(matrix: &[T], stride: usize, width: usize, rows: usize) {
    assert!((rows - 1) * stride + width <= matrix.len());
}

/// Copies the first `columns` columns of `sums` (rows, width) to rows of y that begin `y_stride` numbers apart.
fn copy_columns(sums: &[f32], width: usize, y: &mut [f32], y_stride: usize, columns: usize) {
    for (sums, y) in sums.chunks_exact(width).zip(y.chunks_mut(y_stride)) {
        y[..columns].copy_from_slice(&sums[..columns]);
    }
}
