//! Rounding to bf16 in plain Rust.

/// The nearest bf16 of a number, of two equally near ones the even one: the upper half of its bits as f32.
pub(super) fn round_to_bf16(x: f32) -> u16 {
    if x.is_nan() {
        return 0x7fc0;
    }
    let bits = x.to_bits();
    (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_to_bf16_rounds_to_nearest_even() {
        let rounded = |bits: u32| round_to_bf16(f32::from_bits(bits));
        assert_eq!(rounded(0x3f80_7fff), 0x3f80);
        assert_eq!(rounded(0x3f80_8000), 0x3f80);
        assert_eq!(rounded(0x3f81_8000), 0x3f82);
        assert_eq!(rounded(0x3f80_8001), 0x3f81);
        assert_eq!(rounded(0xbf80_8001), 0xbf81);
        assert_eq!(round_to_bf16(f32::MAX), 0x7f80);
        assert_eq!(round_to_bf16(f32::INFINITY), 0x7f80);
        assert!(f32::from_bits(u32::from(rounded(0x7fff_ffff)) << 16).is_nan());
        assert!(f32::from_bits(u32::from(rounded(0xffff_ffff)) << 16).is_nan());
    }
}
