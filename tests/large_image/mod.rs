//! An image file that is small and takes much memory.

use std::io::Write;

/// A PNG file of 7,071 × 7,071 transparent pixels of 16 bits, to be rotated: 400 MB in 400 kB.
pub fn large_png() -> Vec<u8> {
    let side: u32 = 7_071;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side, side);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Sixteen);
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header().unwrap();
    // Orientation 6, the only entry of the first directory.
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    writer.write_chunk(png::chunk::ChunkType(*b"eXIf"), exif).unwrap();
    let mut stream = writer.stream_writer().unwrap();
    let row = vec![0; side as usize * 8];
    for _ in 0..side {
        stream.write_all(&row).unwrap();
    }
    stream.finish().unwrap();
    drop(writer);
    file
}
