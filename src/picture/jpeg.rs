//! Segments of JPEG files (ITU-T T.81, annex B), as far as the `image` crate doesn't read them.

/// Start of scan: the compressed pixels follow.
const SOS: u8 = 0xda;
/// End of image.
const EOI: [u8; 2] = [0xff, 0xd9];
/// Application segment 1: EXIF, XMP.
const APP1: u8 = 0xe1;
/// The prefix of the EXIF segment.
const EXIF: &[u8] = b"Exif\0\0";

/// A segment before the pixels: its marker, its content, and where the content ends in the file.
struct Segment<'a> {
    marker: u8,
    content: &'a [u8],
    end: usize,
}

/// All segments up to the first start of scan.
fn segments(file: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut at = 2;
    let mut is_done = !file.starts_with(&[0xff, 0xd8]);
    std::iter::from_fn(move || {
        if is_done {
            return None;
        }
        // Any number of fill bytes.
        while file.get(at) == Some(&0xff) && file.get(at + 1) == Some(&0xff) {
            at += 1;
        }
        let &[0xff, marker, high, low] = file.get(at..at + 4)? else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let end = at + 2 + length;
        let content = file.get(at + 4..end)?;
        at = end;
        is_done = marker == SOS;
        Some(Segment { marker, content, end })
    })
}

/// Finds the EXIF data of a file.
pub(super) fn find_exif(file: &[u8]) -> Option<&[u8]> {
    segments(file)
        .filter(|segment| segment.marker == APP1)
        .find_map(|segment| segment.content.strip_prefix(EXIF))
}

/// Whether the compressed pixels have an end: decoders fill the rest of a truncated file with grey. (An end marker before
/// them may be a thumbnail's.)
pub(super) fn has_end(file: &[u8]) -> bool {
    let scan = segments(file).find(|segment| segment.marker == SOS);
    scan.is_some_and(|scan| file[scan.end..].windows(2).any(|bytes| bytes == EOI))
}

/// Bytes that a decoder keeps for each pixel beside the result: the coefficients, two bytes each, of all components where
/// they come in several scans (progressive files, mostly), a fourth of them for a component at half the size.
pub(super) fn buffered_bytes_per_pixel(file: &[u8]) -> u64 {
    let mut components: &[u8] = &[];
    for segment in segments(file) {
        match segment.marker {
            // Start of frame. Excludes the tables DHT, JPG and DAC, whose markers are in this range.
            0xc0..=0xcf if ![0xc4, 0xc8, 0xcc].contains(&segment.marker) => {
                components = segment.content.get(6..).unwrap_or_default();
                if segment.marker == 0xc2 {
                    return coefficients(components);
                }
            }
            SOS if usize::from(segment.content.first().copied().unwrap_or(0)) < components.len() / 3 => {
                return coefficients(components);
            }
            _ => {}
        }
    }
    0
}

/// Two bytes for each sample of the components, each of which has three bytes in the frame's header.
fn coefficients(components: &[u8]) -> u64 {
    let factor = |component: &[u8]| {
        let sampling = component.get(1).copied().unwrap_or(0x11);
        u64::from(sampling >> 4).max(1) * u64::from(sampling & 15).max(1)
    };
    let factors: Vec<u64> = components.chunks_exact(3).map(factor).collect();
    let largest = factors.iter().copied().max().unwrap_or(1);
    (2 * factors.iter().sum::<u64>()).div_ceil(largest)
}
