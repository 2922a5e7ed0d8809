//! Tests picture files with other decoders.

use std::io::Cursor;
use std::time::Duration;

use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{AnimationDecoder, ColorType, DynamicImage, Frame, GrayImage, ImageDecoder, Luma, Rgb, RgbImage};
use rdpm::model::{preprocess, preprocess_oriented};
use rdpm::picture::{
    Animation, AnimationFormat, Format, MetadataError, Provenance, encode_png, enlarge, read_provenance,
    sheet,
};

use crate::pairs::pairs;

fn grey() -> DynamicImage {
    GrayImage::from_fn(5, 3, |x, y| Luma([(x * 50 + y) as u8])).into()
}

fn color() -> DynamicImage {
    RgbImage::from_fn(5, 3, |x, y| Rgb([(x * 50) as u8, (y * 80) as u8, 7])).into()
}

fn provenance() -> Provenance {
    serde_json::from_value(serde_json::json!({
        "model": "toy", "class": "Große Schuhe 👟", "seed": 7, "index": 2, "count": 1, "guidance": 2.5,
        "temperature": 0.1, "top_k": 3, "top_p": null, "scale": 4, "version": "0.1.0",
    }))
    .unwrap()
}

#[test]
fn lossless_formats_preserve_pixels() {
    for picture in [grey(), color()] {
        for format in [Format::Png, Format::WebP] {
            let file = format.encode(&picture, 90, None).unwrap();
            let back = image::load_from_memory(&file).unwrap();
            assert_eq!(back.to_rgb8(), picture.to_rgb8(), "{format:?}");
            assert_eq!(image::guess_format(&file).unwrap().to_mime_type(), format.media_type());
        }
        assert_eq!(image::load_from_memory(&encode_png(&picture, None).unwrap()).unwrap(), picture);
    }
}

#[test]
fn jpeg_preserves_grey_levels_roughly_and_is_smaller_with_less_quality() {
    let picture = enlarge(&grey(), 20);
    let fine = Format::Jpeg.encode(&picture, 95, None).unwrap();
    let coarse = Format::Jpeg.encode(&picture, 10, None).unwrap();
    assert!(coarse.len() < fine.len());
    let back = image::load_from_memory(&fine).unwrap();
    assert_eq!(back.color(), ColorType::L8);
    let (back, picture) = (back.to_luma8(), picture.to_luma8());
    let off = pairs(back.iter(), picture.iter()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(off.unwrap() < 40, "off by {off:?}");
}

#[test]
fn enlarge_turns_pixels_into_squares() {
    let large = enlarge(&color(), 4).to_rgb8();
    assert_eq!((large.width(), large.height()), (20, 12));
    let small = color().to_rgb8();
    assert!(large.enumerate_pixels().all(|(x, y, pixel)| pixel == small.get_pixel(x / 4, y / 4)));
}

#[test]
fn sheet_arranges_pictures_in_rows() {
    let pictures = vec![grey(); 5];
    let sheet = sheet(&pictures, 3, 10).to_rgb8();
    assert_eq!((sheet.width(), sheet.height()), (34, 22));
    // The last cell of the second row is empty.
    assert_eq!(sheet.get_pixel(33, 21), &Rgb([255; 3]));
    assert_eq!(sheet.get_pixel(12, 12), sheet.get_pixel(0, 0));
}

/// Decodes the pixels and milliseconds of each frame.
fn read(file: &[u8], format: AnimationFormat) -> Vec<(RgbImage, u32)> {
    let file = Cursor::new(file);
    let frames: Vec<Frame> = match format {
        AnimationFormat::Gif => GifDecoder::new(file).unwrap().into_frames().collect_frames(),
        AnimationFormat::Png => {
            let decoder = PngDecoder::new(file).unwrap();
            assert!(decoder.is_apng().unwrap());
            decoder.apng().unwrap().into_frames().collect_frames()
        }
        AnimationFormat::WebP => {
            let decoder = WebPDecoder::new(file).unwrap();
            assert!(decoder.has_animation());
            assert_eq!(decoder.dimensions(), (5, 3));
            decoder.into_frames().collect_frames()
        }
    }
    .unwrap();
    let milliseconds = |frame: &Frame| frame.delay().numer_denom_ms().0 / frame.delay().numer_denom_ms().1;
    frames
        .iter()
        .map(|frame| (DynamicImage::from(frame.buffer().clone()).to_rgb8(), milliseconds(frame)))
        .collect()
}

#[test]
fn animations_contain_every_frame_with_its_duration() {
    let frames = vec![grey(), color(), grey(), color()];
    let animation = Animation::new(frames.clone()).with_delay(Duration::from_millis(120));
    for format in [AnimationFormat::Gif, AnimationFormat::Png, AnimationFormat::WebP] {
        let file = animation.encode(format, None).unwrap();
        let decoded = read(&file, format);
        assert_eq!(decoded.len(), 4, "{format:?}");
        for (index, (pixels, milliseconds)) in decoded.into_iter().enumerate() {
            assert_eq!(pixels, frames[index].to_rgb8(), "{format:?}, frame {index}");
            assert_eq!(milliseconds, if index == 3 { 720 } else { 120 }, "{format:?}");
        }
    }
    // Viewers without animation show the last frame of an APNG.
    let still = image::load_from_memory(&animation.encode(AnimationFormat::Png, None).unwrap()).unwrap();
    assert_eq!(still.to_rgb8(), color().to_rgb8());
}

#[test]
fn animations_without_frames_or_with_different_sizes_are_errors() {
    for format in [AnimationFormat::Gif, AnimationFormat::Png, AnimationFormat::WebP] {
        assert!(Animation::new(Vec::new()).encode(format, None).is_err());
        assert!(Animation::new(vec![grey(), enlarge(&grey(), 2)]).encode(format, None).is_err());
    }
}

#[test]
fn png_files_contain_their_provenance() {
    let provenance = provenance();
    let file = encode_png(&grey(), Some(&provenance)).unwrap();
    assert_eq!(read_provenance(Cursor::new(&file)).unwrap(), provenance);
    assert_eq!(image::load_from_memory(&file).unwrap(), grey());
    let reader = png::Decoder::new(Cursor::new(&file)).read_info().unwrap();
    let software = &reader.info().uncompressed_latin1_text[0];
    assert_eq!((software.keyword.as_str(), software.text.as_str()), ("Software", "rdpm 0.1.0"));
    let texts: Vec<(String, String)> = reader
        .info()
        .utf8_text
        .iter()
        .map(|chunk| (chunk.keyword.clone(), chunk.get_text().unwrap()))
        .collect();
    assert_eq!(texts[0], ("Title".into(), "Große Schuhe 👟".into()));
    assert_eq!(texts[1].0, "Description");
    assert!(texts[1].1.starts_with("Große Schuhe 👟, image 2 of seed 7"));
    let json: serde_json::Value = serde_json::from_str(&texts[2].1).unwrap();
    assert_eq!((texts[2].0.as_str(), &json["temperature"]), ("rdpm", &serde_json::json!(0.1)));

    let animation = Animation::new(vec![grey()]).encode(AnimationFormat::Png, Some(&provenance)).unwrap();
    assert_eq!(read_provenance(Cursor::new(&animation)).unwrap(), provenance);
}

#[test]
fn command_is_quoted_for_a_shell() {
    let expected = "rdpm generate --model toy --class 'Große Schuhe 👟' --seed 7 --first 2 --guidance 2.5 \
                    --temperature 0.1 --top-k 3 --scale 4 --output 'a b.png'";
    assert_eq!(provenance().command("a b.png").unwrap(), expected);
    let malicious = Provenance { class: "$(reboot); 'x".into(), ..provenance() };
    let words = shlex::split(&malicious.command("x.png").unwrap()).unwrap();
    assert_eq!(words[5], "$(reboot); 'x");
    // The file doesn't contain the other image, so no command can generate the variation again.
    let variation = Provenance { from_step: Some(3), ..provenance() };
    assert_eq!(variation.command("x.png"), None);
    let file = encode_png(&grey(), Some(&variation)).unwrap();
    assert_eq!(read_provenance(Cursor::new(&file)).unwrap(), variation);
}

#[test]
fn files_without_valid_provenance_are_errors() {
    let plain = encode_png(&grey(), None).unwrap();
    assert!(matches!(read_provenance(Cursor::new(&plain)), Err(MetadataError::Missing)));
    assert!(matches!(read_provenance(Cursor::new(b"text")), Err(MetadataError::Png(_))));
    let file = encode_png(&grey(), Some(&provenance())).unwrap();
    assert!(matches!(read_provenance(Cursor::new(&file[..200])), Err(MetadataError::Png(_))));
    let malicious = Provenance { class: "\u{1b}[2J".into(), ..provenance() };
    let file = encode_png(&grey(), Some(&malicious)).unwrap();
    assert!(matches!(read_provenance(Cursor::new(&file)), Err(MetadataError::ControlCharacters)));
}

#[test]
fn stored_orientations_are_preprocessed_like_upright_images() {
    let config: rdpm::model::Config = {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/emoji/config.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    // One side is odd and the other even, so that the central square is off by half a pixel.
    for (width, height) in [(97, 70), (70, 97), (65, 64)] {
        let stored: DynamicImage = RgbImage::from_fn(width, height, |x, y| {
            Rgb([(x * 5 + y * 3) as u8, (x * x / 40) as u8, (y * 2) as u8])
        })
        .into();
        for exif in 1..=8 {
            let orientation = Orientation::from_exif(exif).unwrap();
            let mut upright = stored.clone();
            upright.apply_orientation(orientation);
            let expected = preprocess(&upright, &config.image).to_rgb8();
            let found = preprocess_oriented(&stored, orientation, &config.image).to_rgb8();
            assert_eq!(found.dimensions(), expected.dimensions());
            let off = found.iter().zip(expected.iter()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(off <= Some(1), "{width} × {height}, orientation {exif}: off by {off:?}");
        }
    }
}

#[test]
fn gif_palettes_are_exact_up_to_256_colours_and_keep_white() {
    let frame = |first: u32| {
        RgbImage::from_fn(16, 8, |x, y| Rgb([(first + x + 16 * y) as u8, 3, (x * 9) as u8])).into()
    };
    let frames: Vec<DynamicImage> = vec![frame(0), frame(128)];
    let file = Animation::new(frames.clone()).encode(AnimationFormat::Gif, None).unwrap();
    let seen = GifDecoder::new(Cursor::new(file)).unwrap().into_frames().collect_frames().unwrap();
    for (seen, frame) in pairs(&seen, &frames) {
        assert_eq!(DynamicImage::from(seen.buffer().clone()).to_rgb8(), frame.to_rgb8());
    }
    // Thousands of colours: near them, and white stays white.
    let many = RgbImage::from_fn(64, 64, |x, y| match x {
        0 => Rgb([255; 3]),
        _ => Rgb([(x * 4) as u8, (y * 4) as u8, ((x + y) * 2) as u8]),
    });
    let file = Animation::new(vec![many.clone().into()]).encode(AnimationFormat::Gif, None).unwrap();
    let seen = GifDecoder::new(Cursor::new(file)).unwrap().into_frames().collect_frames().unwrap();
    let seen = DynamicImage::from(seen[0].buffer().clone()).to_rgb8();
    assert_eq!(seen.get_pixel(0, 9), &Rgb([255; 3]));
    let error: u64 = seen.iter().zip(many.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    assert!(error / (seen.len() as u64) < 12, "{} levels on average", error / seen.len() as u64);
}

#[test]
fn webp_and_jpeg_files_contain_the_provenance() {
    for picture in [grey(), color()] {
        for format in [Format::WebP, Format::Jpeg] {
            let file = format.encode(&picture, 90, Some(&provenance())).unwrap();
            assert_eq!(read_provenance(Cursor::new(&file)).unwrap(), provenance(), "{format:?}");
            let decoded = image::load_from_memory(&file).unwrap();
            assert_eq!((decoded.width(), decoded.height()), (5, 3));
            let plain = format.encode(&picture, 90, None).unwrap();
            assert_eq!(image::load_from_memory(&plain).unwrap(), decoded, "{format:?}");
            assert!(matches!(read_provenance(Cursor::new(&plain)), Err(MetadataError::MissingExif(_))));
            // No prefix of the file makes the reader panic.
            for length in 0..file.len() {
                let _ = read_provenance(Cursor::new(&file[..length]));
            }
        }
    }
}
