//! Token files and masks.

use image::{DynamicImage, GrayImage, ImageFormat, Luma, RgbaImage};
use proptest::prelude::*;
use rdpm::picture::{InputError, MaskFile, TokenFile, TokenFileError};

fn grids(steps: usize, side: usize, largest: u32) -> Vec<Vec<u32>> {
    let code = |at: usize| (at as u32).wrapping_mul(2_654_435_761) % (largest + 1);
    (0..steps).map(|step| (0..side * side).map(|at| code(step * 1000 + at)).collect()).collect()
}

#[test]
fn token_files_are_read_as_they_were_written() {
    for (steps, side, largest) in [(10, 7, 255), (10, 14, 511), (1, 1, 0), (3, 2, 1), (2, 5, 65_535)] {
        for version in [None, Some("abc123")] {
            let grids = grids(steps, side, largest);
            let file = TokenFile::new("emoji", version, (1 << 53) - 1, 7, &grids).unwrap();
            let binary = file.to_binary();
            assert_eq!(TokenFile::read(&binary).unwrap(), file);
            assert_eq!(TokenFile::read(file.to_json().as_bytes()).unwrap(), file);
            assert_eq!(TokenFile::from_base64(&file.to_base64()).unwrap(), file);
            assert_eq!((file.grids(), file.side()), (grids, side));
            let version_len = version.map_or(0, str::len);
            assert!(binary.len() <= 34 + version_len + (steps * side * side * 16).div_ceil(8));
        }
    }
}

#[test]
fn invalid_token_files_are_errors() {
    let file = TokenFile::new("m", None, 1, 0, &grids(2, 3, 7)).unwrap();
    let binary = file.to_binary();
    for end in 0..binary.len() {
        assert!(TokenFile::read(&binary[..end]).is_err(), "{end} bytes");
    }
    for at in 0..binary.len() {
        let mut damaged = binary.clone();
        damaged[at] ^= 1;
        assert!(TokenFile::read(&damaged).is_err(), "byte {at}");
    }
    let new = |grids: &[Vec<u32>]| TokenFile::new("m", None, 0, 0, grids).unwrap_err();
    assert_eq!(new(&[]), TokenFileError::Shape);
    assert_eq!(new(&[vec![0; 3]]), TokenFileError::Shape);
    assert_eq!(new(&[vec![0; 4], vec![0; 9]]), TokenFileError::Shape);
    assert_eq!(new(&[vec![65_536]]), TokenFileError::TooLarge);
    assert_eq!(new(&vec![vec![0]; 256]), TokenFileError::TooLarge);
    assert_eq!(TokenFile::read(b"GIF89a"), Err(TokenFileError::UnknownFormat));
    let json = r#"{"format": "other/1", "model": "m", "seed": 1, "tokens": [[[0]]]}"#;
    assert_eq!(TokenFile::read(json.as_bytes()), Err(TokenFileError::UnknownFormat));
    assert!(matches!(TokenFile::read(b"{}"), Err(TokenFileError::Json(_))));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = TokenFile::read(&bytes);
        // With a valid checksum.
        let mut file = [b"RDPM\x01", &bytes[..]].concat();
        file.extend(crc32fast::hash(&file).to_be_bytes());
        if let Ok(read) = TokenFile::read(&file) {
            prop_assert_eq!(read.to_binary(), file);
        }
    }
}

fn open(image: impl Into<DynamicImage>) -> MaskFile {
    let mut file = std::io::Cursor::new(Vec::new());
    image.into().write_to(&mut file, ImageFormat::Png).unwrap();
    MaskFile::open(file.into_inner()).unwrap()
}

/// The marked cells of a 4 × 4 grid, as text.
fn cells(image: impl Into<DynamicImage>, size: (u32, u32)) -> String {
    let cells = open(image).cells(size, 4).unwrap();
    let row = |row: &[bool]| row.iter().map(|free| if *free { '#' } else { '.' }).collect::<String>();
    cells.chunks(4).map(row).collect::<Vec<_>>().join("|")
}

#[test]
fn masks_mark_cells_that_are_white_or_transparent() {
    let left = |side: u32| GrayImage::from_fn(side, side, |x, _| Luma([if x < side / 2 { 255 } else { 0 }]));
    for side in [4, 8, 100, 2] {
        assert_eq!(cells(left(side), (8, 8)), "##..|##..|##..|##..", "{side} pixels");
    }
    assert_eq!(cells(GrayImage::from_pixel(1, 1, Luma([255])), (8, 8)), "####|####|####|####");
    // Colours of a mask with transparency don't count.
    let corner =
        RgbaImage::from_fn(8, 8, |x, y| image::Rgba([255, 255, 255, if x < 2 && y < 2 { 0 } else { 255 }]));
    assert_eq!(cells(corner.clone(), (8, 8)), "#...|....|....|....");
    assert_eq!(open(corner).transparent_cells(4).unwrap().unwrap().iter().filter(|cell| **cell).count(), 1);
    assert_eq!(open(left(8)).transparent_cells(4).unwrap(), None);
    // A quarter of a cell marks it, less doesn't.
    let dot =
        |pixels: u32| GrayImage::from_fn(16, 16, |x, y| Luma([if x < pixels && y < 1 { 255 } else { 0 }]));
    assert_eq!(cells(dot(4), (16, 16)), "#...|....|....|....");
    assert_eq!(cells(dot(3), (16, 16)), "....|....|....|....");
    // Of a wide image, the central square has the grid.
    let middle = GrayImage::from_fn(16, 8, |x, _| Luma([if (4..6).contains(&x) { 255 } else { 0 }]));
    assert_eq!(cells(middle.clone(), (16, 8)), "#...|#...|#...|#...");
    assert_eq!(cells(middle, (160, 80)), "#...|#...|#...|#...");
}

#[test]
fn damaged_and_large_masks_are_refused() {
    assert!(matches!(MaskFile::open(b"text".to_vec()), Err(InputError::UnknownFormat { .. })));
    let mut file = std::io::Cursor::new(Vec::new());
    GrayImage::new(64, 64).write_to(&mut file, ImageFormat::Png).unwrap();
    let mut file = file.into_inner();
    file.truncate(50);
    assert!(MaskFile::open(file).and_then(|mask| mask.cells((64, 64), 4)).is_err());
    let mut large = std::io::Cursor::new(Vec::new());
    GrayImage::new(5000, 4000).write_to(&mut large, ImageFormat::Png).unwrap();
    assert!(matches!(MaskFile::open(large.into_inner()), Err(InputError::TooLarge { .. })));
}
