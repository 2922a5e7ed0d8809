//! The program as a person runs it: what it writes, what it says, how it ends.

#[allow(dead_code)] // These programs end by themselves.
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{AnimationDecoder, ColorType, DynamicImage};
use program::rdpm;
use serde_json::Value;
use tempfile::TempDir;

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("weights")
}

/// `rdpm` with the shipped weights on the CPU, in a folder of its own.
struct TestFolder(TempDir);

impl TestFolder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        rdpm().args(arguments).current_dir(self.0.path()).output().unwrap()
    }

    /// Standard output of a run that must succeed.
    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Standard error of a run that must end with status 2, without a panic.
    fn fail(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }

    fn image(&self, name: &str) -> DynamicImage {
        image::open(self.path(name)).unwrap()
    }

    /// A copy of the shipped model, to be damaged.
    fn copy_model(&self) -> PathBuf {
        let copy = self.path("model");
        fs::create_dir(&copy).unwrap();
        for file in ["config.json", "model.safetensors"] {
            fs::copy(shipped().join("fashion-mnist").join(file), copy.join(file)).unwrap();
        }
        copy
    }
}

#[test]
fn generate_writes_one_image_that_the_seed_reproduces() {
    let folder = TestFolder::new();
    folder.succeed(&["generate", "--class", "Sneaker", "--seed", "7", "--output", "a.png"]);
    folder.succeed(&["generate", "--class", "sneaker", "--seed", "7", "--output", "b.png"]);
    folder.succeed(&["generate", "--class", "7", "--seed", "8", "--output", "c.png"]);
    let first = folder.image("a.png");
    assert_eq!((first.width(), first.height(), first.color()), (28, 28, ColorType::L8));
    assert_eq!(first, folder.image("b.png"));
    assert_ne!(first, folder.image("c.png"));
}

#[test]
fn generate_lays_several_images_out_as_a_sheet() {
    let folder = TestFolder::new();
    folder.succeed(&[
        "generate",
        "--class",
        "Bag",
        "--seed",
        "1",
        "--count",
        "5",
        "--scale",
        "2",
        "--output",
        "sheet.png",
    ]);
    let sheet = folder.image("sheet.png");
    // Five cells of 56 pixels in rows of three, two pixels apart.
    assert_eq!((sheet.width(), sheet.height()), (3 * 58 - 2, 2 * 58 - 2));
    folder.succeed(&["generate", "--class", "Bag", "--seed", "1", "--scale", "2", "--output", "one.png"]);
    assert_eq!(sheet.crop_imm(0, 0, 56, 56).into_rgb8(), folder.image("one.png").into_rgb8());
}

#[test]
fn generate_begins_at_any_image_of_a_seed() {
    let folder = TestFolder::new();
    let draw = |flags: &str| {
        let flags = format!("generate --class Dress --seed 3 --output x.png {flags}");
        folder.succeed(&flags.split(' ').collect::<Vec<_>>());
        folder.image("x.png").into_rgb8()
    };
    let sheet = draw("--count 4");
    let third = draw("--first 2");
    // The third of four is the first in the second row.
    assert_eq!(image::imageops::crop_imm(&sheet, 0, 30, 28, 28).to_image(), third);
}

/// Runs a command line in a shell that knows `rdpm`.
#[cfg(unix)]
fn shell(folder: &TestFolder, line: &str) {
    let program = Path::new(env!("CARGO_BIN_EXE_rdpm")).parent().unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).current_dir(folder.0.path()).env("PATH", program);
    let output = command.env("RDPM_WEIGHTS", shipped()).env("RDPM_DEVICE", "cpu").output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(unix)]
#[test]
fn info_tells_the_command_that_makes_a_picture_again() {
    let folder = TestFolder::new();
    for flags in [
        "--class Bag --seed 9",
        "--class T-shirt/top --seed 9007199254740991 --guidance 3.25 --temperature 0.7 --top-k 40 --top-p 0.95 --scale 3",
        "--class 9 --count 3 --first 5 --seed 1",
    ] {
        let arguments = format!("generate {flags} --output it.png");
        folder.succeed(&arguments.split(' ').collect::<Vec<_>>());
        let said = folder.succeed(&["info", "it.png"]);
        let command = said.lines().last().unwrap();
        assert!(command.starts_with("rdpm generate --model fashion-mnist --class "), "{said}");
        shell(&folder, command);
        assert_eq!(folder.image("it.png"), folder.image("again.png"), "{command}");
    }
    let said = folder.succeed(&["info", "it.png"]);
    for line in ["class       Ankle boot", "seed        1", "image       5", "images      3", "guidance    2"]
    {
        assert!(said.contains(line), "{line} in {said}");
    }
}

#[test]
fn a_picture_tells_its_precision_unless_it_is_f32() {
    use rdpm::model::Precision;

    let folder = TestFolder::new();
    let generate = |precision: &str, output: &str| {
        let flags = ["--class", "3", "--seed", "5", "--precision", precision, "--output", output];
        folder.run(&[&["generate"], &flags[..]].concat())
    };
    assert!(generate("f32", "f32.png").status.success());
    assert!(!folder.succeed(&["info", "f32.png"]).contains("precision"));
    let output = generate("bf16", "bf16.png");
    if !Precision::available(&candle_core::Device::Cpu).contains(&Precision::Bf16) {
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said, "rdpm: precision bf16: this processor has no AVX512-BF16; use f32 or auto\n");
        return;
    }
    let said = folder.succeed(&["info", "bf16.png"]);
    assert!(said.contains("precision   bf16\n") && said.contains(" --precision bf16 "), "{said}");
    // The default of `auto` for the shipped model, with the same pixels.
    let said = folder.succeed(&["info", "--model", "fashion-mnist", "--precision", "auto"]);
    assert!(said.contains("\nprecision   bf16\n"), "{said}");
    assert!(generate("auto", "auto.png").status.success());
    assert_eq!(folder.image("auto.png"), folder.image("bf16.png"));
}

#[test]
fn info_names_a_picture_that_tells_nothing() {
    let folder = TestFolder::new();
    image::GrayImage::new(3, 3).save(folder.path("plain.png")).unwrap();
    assert!(
        folder.fail(&["info", "plain.png"]).contains("plain.png: the PNG file has no parameters of rdpm")
    );
    fs::write(folder.path("text.png"), "text").unwrap();
    assert!(folder.fail(&["info", "text.png"]).contains("text.png: not a PNG file"));
    assert!(folder.fail(&["info", "gone.png"]).contains("gone.png can't be read"));
}

#[test]
fn generate_writes_every_step_and_an_animation() {
    let folder = TestFolder::new();
    let arguments = "generate --class Dress --seed 3 --steps steps --animation run.gif --output last.png";
    folder.succeed(&arguments.split(' ').collect::<Vec<_>>());
    for step in 1..=10 {
        for name in ["tokens", "noisy", "clean"] {
            assert_eq!(folder.image(&format!("steps/step-{step:02}-{name}.png")).width(), 28);
        }
    }
    assert_eq!(folder.image("steps/step-10-clean.png").into_luma8(), folder.image("last.png").into_luma8());
    folder.fail(&["generate", "--class", "Dress", "--animation", "run.mp4"]);
    let gif = std::io::BufReader::new(fs::File::open(folder.path("run.gif")).unwrap());
    let frames = image::codecs::gif::GifDecoder::new(gif).unwrap().into_frames().collect_frames().unwrap();
    assert_eq!(frames.len(), 10);
}

#[test]
fn generate_writes_a_grey_picture_as_gif() {
    let folder = TestFolder::new();
    folder.succeed(&["generate", "--class", "Dress", "--seed", "3", "--output", "dress.gif"]);
    assert_eq!(folder.image("dress.gif").width(), 28);
}

#[test]
fn tokenize_prints_ten_grids_and_writes_a_reconstruction_near_the_image() {
    let folder = TestFolder::new();
    // A bright rectangle on black: near enough to trousers.
    let mut picture = image::GrayImage::new(28, 28);
    (0..28 * 28)
        .map(|i| (i % 28, i / 28))
        .filter(|(x, y)| (9..19).contains(x) && (2..26).contains(y))
        .for_each(|(x, y)| picture.put_pixel(x, y, image::Luma([180])));
    picture.save(folder.path("in.png")).unwrap();
    let said: Value =
        serde_json::from_str(&folder.succeed(&["tokenize", "in.png", "--output", "back.png"])).unwrap();
    let grids = said["tokens"].as_array().unwrap();
    assert_eq!(grids.len(), 10);
    let codes: Vec<u64> = grids
        .iter()
        .flat_map(|grid| grid.as_array().unwrap())
        .flat_map(|row| row.as_array().unwrap())
        .map(|code| code.as_u64().unwrap())
        .collect();
    assert_eq!(codes.len(), 490);
    assert!(codes.iter().all(|&code| code < 256));
    let back = folder.image("back.png").into_luma8();
    let error: f64 =
        picture.iter().zip(back.iter()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    let rms = (error / (28.0 * 28.0)).sqrt();
    assert!(rms < 40.0, "off by {rms} of 255 levels");
}

#[test]
fn caption_prints_names_with_their_probabilities() {
    let folder = TestFolder::new();
    image::RgbImage::from_fn(16, 16, |x, y| image::Rgb([16 * x as u8, 16 * y as u8, 90]))
        .save(folder.path("in.png"))
        .unwrap();
    let words = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/words");
    let arguments = ["caption", "in.png", "--weights", words.to_str().unwrap()];
    let said = folder.succeed(&arguments);
    let json: Value = serde_json::from_str(&folder.succeed(&[&arguments[..], &["--json"]].concat())).unwrap();
    let names = json["names"].as_array().unwrap();
    assert_eq!(names.len(), 5);
    for (line, name) in said.lines().zip(names) {
        let percent = 100.0 * name["probability"].as_f64().unwrap();
        assert_eq!(line.trim(), format!("{percent:.1} %  {}", name["text"].as_str().unwrap()));
    }
    let probabilities: Vec<f64> = names.iter().map(|name| name["probability"].as_f64().unwrap()).collect();
    assert!(probabilities.is_sorted_by(|a, b| a >= b));
    // The fixture has five names in all.
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-4);
    let first_word = json["words"][0]["text"].as_str().unwrap();
    assert!(said.lines().last().unwrap().starts_with(&format!("words: {first_word}, ")), "{said}");

    let refused = folder.fail(&["caption", "in.png"]);
    assert!(refused.contains("fashion-mnist can't name images"), "{refused}");
}

#[test]
fn tokenize_scales_an_image_of_another_size_and_says_so() {
    let folder = TestFolder::new();
    image::RgbaImage::new(60, 40).save(folder.path("wide.png")).unwrap();
    let output = folder.run(&["tokenize", "wide.png"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("60 × 40; cropped and scaled to 28 × 28"));
}

#[test]
fn info_names_model_classes_and_device() {
    let said = TestFolder::new().succeed(&["info"]);
    for expected in ["Fashion-MNIST", "7 × 7, 256 codes, 10 steps", "Ankle boot", "device      cpu"] {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn bench_prints_a_rate_for_each_batch_precision_and_number_of_passes_and_suggests_flags() {
    use rdpm::model::Precision;

    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folder = TestFolder::new();
    let weights = fixtures.join("words").display().to_string();
    let said = folder.succeed(&["bench", "--weights", &weights, "--seconds", "0", "--batches", "1,3"]);
    let precisions = Precision::available(&candle_core::Device::Cpu);
    let row = |name: &str| -> Vec<String> {
        let line =
            said.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_else(|| panic!("{said}"));
        line.split_whitespace().skip(1).map(str::to_owned).collect()
    };
    let in_two = precisions.iter().map(|precision| precision.name().to_owned());
    let in_one = precisions.iter().map(|precision| format!("{}/1", precision.name()));
    assert_eq!(row("images/s"), in_two.chain(in_one).collect::<Vec<_>>());
    for batch in ["1 ", "3 "] {
        let rates = row(batch);
        assert_eq!(rates.len(), 2 * precisions.len(), "{said}");
        assert!(rates.iter().all(|rate| rate.parse::<f64>().unwrap() > 0.0), "{said}");
    }
    assert!(said.contains("flags       ") && said.contains("--max-batch "), "{said}");
    assert!(said.contains("--passes 1 is "), "{said}");
    assert!(folder.fail(&["bench", "--batches", "0"]).contains("0 is not in 1..=1024"));
}

#[test]
fn passes_are_chosen_by_a_flag_and_told_by_a_picture() {
    let words = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/words");
    let folder = TestFolder::new();
    let weights = words.display().to_string();
    let generate = |passes: &str, output: &str| {
        let flags = ["--weights", &weights, "--class", "Heart", "--seed", "5", "--guidance", "3"];
        folder.succeed(&[&["generate"], &flags[..], &["--passes", passes, "--output", output]].concat())
    };
    for (passes, output) in [("1", "one.png"), ("2", "two.png"), ("auto", "auto.png")] {
        generate(passes, output);
    }
    assert_eq!(folder.image("one.png"), folder.image("auto.png"));
    assert_ne!(folder.image("one.png"), folder.image("two.png"));
    assert!(!folder.succeed(&["info", "two.png"]).contains("passes"));
    let said = folder.succeed(&["info", "one.png"]);
    assert!(said.contains("passes      1\n") && said.contains(" --passes 1 "), "{said}");
    // Both, where a model is described.
    for (passes, expected) in [("auto", "1"), ("2", "2")] {
        let said = folder.succeed(&["info", "--weights", &weights, "--passes", passes]);
        assert!(said.contains(&format!("\npasses      {expected}\n")), "{said}");
    }

    let copy = folder.path("copy");
    std::fs::create_dir(&copy).unwrap();
    for name in ["config.json", "model.safetensors", "vocabulary.json"] {
        std::fs::copy(words.join(name), copy.join(name)).unwrap();
    }
    let said = folder.succeed(&["info", "--weights", "copy", "--passes", "auto"]);
    assert!(said.contains("\npasses      2\n"), "{said}");
    let said = folder.fail(&["generate", "--weights", "copy", "--class", "Heart", "--passes", "1"]);
    assert!(said.contains("passes 1: ") && said.ends_with("doesn't exist; use 2 or auto\n"), "{said}");
    assert!(folder.fail(&["info", "--passes", "3"]).contains("[possible values: 1, 2, auto]"));
}

#[test]
fn bad_settings_are_named_with_what_is_allowed() {
    let folder = TestFolder::new();
    for (flags, expected) in [
        ("--class hat", "allowed: all, T-shirt/top, Trouser"),
        ("--class 10", "class is 10; allowed: 0 to 9 (T-shirt/top, Trouser"),
        ("--class Bag --guidance NaN", "--guidance is NaN; allowed: numbers from 0 to 20"),
        ("--class Bag --guidance -1", "--guidance is -1.0; allowed: numbers from 0 to 20"),
        ("--class Bag --temperature 5.5", "--temperature is 5.5; allowed: numbers from 0 to 5"),
        ("--class Bag --top-k 0", "--top-k is 0; allowed: integers from 1 to 256"),
        ("--class Bag --top-p 1.5", "--top-p is 1.5; allowed: numbers above 0, up to 1"),
        ("--class Bag --count 0", "'0' for '--count"),
        (
            "--class Bag --seed -2",
            "--seed is -2; allowed: integers from 0 to 9007199254740991, or -1 for a random one",
        ),
        ("--class Bag --output no/such/folder/x.png", "no/such/folder/x.png can't be written"),
        ("--class Bag --output x.unknown", "x.unknown can't be written"),
        ("--class Bag --device tpu", "device \"tpu\": allowed are auto, cpu, cuda, cuda:N, gpu and gpu:N"),
        ("--class Bag --weights nowhere", "nowhere"),
        ("--class Bag --model third", "no model \"third\" in this folder; there: "),
    ] {
        let arguments: Vec<&str> = std::iter::once("generate").chain(flags.split(' ')).collect();
        let said = folder.fail(&arguments);
        assert!(said.contains(expected), "{flags}: {said}");
    }
}

#[test]
fn an_image_that_cannot_be_decoded_is_named() {
    let folder = TestFolder::new();
    fs::write(folder.path("no.png"), "text").unwrap();
    assert!(folder.fail(&["tokenize", "no.png"]).contains("no.png can't be decoded"));
    assert!(folder.fail(&["tokenize", "gone.png"]).contains("gone.png can't be read"));
}

#[test]
fn damaged_weights_are_named() {
    let folder = TestFolder::new();
    let model = folder.copy_model();
    let (config, tensors) = (model.join("config.json"), model.join("model.safetensors"));
    let weights = model.to_str().unwrap();
    let (good_config, good_tensors) = (fs::read_to_string(&config).unwrap(), fs::read(&tensors).unwrap());
    assert!(folder.succeed(&["info", "--weights", weights]).contains("Fashion-MNIST"));

    fs::write(&tensors, &good_tensors[..good_tensors.len() / 2]).unwrap();
    assert!(folder.fail(&["info", "--weights", weights]).contains("model.safetensors: truncated"));
    fs::remove_file(&tensors).unwrap();
    assert!(folder.fail(&["info", "--weights", weights]).contains("model.safetensors"));
    fs::write(&tensors, &good_tensors).unwrap();

    for (from, to, expected) in [
        ("\"width\": 192", "\"width\": 200", "tensor denoiser.input.weight"),
        ("\"layers\": 6", "\"layers\": 5", "tensor denoiser.blocks.5"),
        ("\"layers\": 6", "\"layers\": 7", "denoiser.blocks.6"),
        (
            "\"codes\": 256",
            "\"codes\": 128",
            "tensor codebook disagrees with config.json, expected: [128, 4], got: [256, 4]",
        ),
        ("\"format_version\": 1", "\"format_version\": 3", "format_version is 3; this program reads 1 and 2"),
        ("\"format_version\": 1", "\"format_version\": 2", "styles has 0 names; format 2 has some"),
        ("\"grid\": 7", "\"grid\": 8", "size must be 4 × grid"),
        ("\"heads\": 4", "\"heads\": 5", "no multiple of heads 5"),
        ("\"name\"", "\"nome\"", "unknown field `nome`"),
        ("{", "", "config.json"),
    ] {
        assert!(good_config.contains(from));
        fs::write(&config, good_config.replacen(from, to, 1)).unwrap();
        let said = folder.fail(&["info", "--weights", weights]);
        assert!(said.contains(expected), "{to}: {said}");
    }
}

#[test]
fn a_port_in_use_is_said_before_the_model_is_loaded() {
    let folder = TestFolder::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = folder.fail(&["serve", "--port", &port, "--weights", "nowhere"]);
    assert!(said.contains(&format!("127.0.0.1:{port} can't be listened on")), "{said}");
}

#[test]
fn every_flag_has_an_environment_variable_and_a_sentence() {
    let folder = TestFolder::new();
    for command in ["serve", "work", "health", "generate", "caption", "tokenize", "info", "pull"] {
        let help = folder.succeed(&[command, "--help"]);
        // A flag begins a line near its start; its sentence and its variable follow, wrapped.
        let mut flags: Vec<String> = Vec::new();
        for line in help.lines() {
            let text = line.trim_start();
            if text.starts_with('-') && line.len() - text.len() <= 6 {
                flags.push(text.into());
            } else if let Some(flag) = flags.last_mut() {
                flag.push(' ');
                flag.push_str(text);
            }
        }
        // What isn't a setting, but a request to do something else.
        flags.retain(|flag| !flag.contains("--help") && !flag.contains("--check"));
        assert!(flags.len() >= 3, "{help}");
        for flag in flags {
            let (sentence, _) = flag.split_once("[env: RDPM_").unwrap_or_else(|| panic!("{command} {flag}"));
            // The flag itself and its value are no words of the sentence, which may begin on a line of its own.
            let words = sentence.split_whitespace().filter(|word| !word.starts_with(['-', '<', '[']));
            assert!(words.count() > 3, "{command} {flag}");
        }
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images").join(name)
}

#[test]
fn tokenize_reads_image_files_as_viewers_show_them() {
    let folder = TestFolder::new();
    let mean = |image: &image::GrayImage, rows: std::ops::Range<u32>| {
        let pixels = image.enumerate_pixels().filter(|(_, y, _)| rows.contains(y));
        let greys: Vec<u32> = pixels.map(|(_, _, grey)| u32::from(grey[0])).collect();
        greys.iter().sum::<u32>() / greys.len() as u32
    };
    let reconstruct = |name: &str| {
        folder.succeed(&["tokenize", fixture(name).to_str().unwrap(), "--output", "back.png"]);
        folder.image("back.png").into_luma8()
    };
    // Stored with the black half on the left; EXIF says that it is on top.
    let back = reconstruct("exif-rotated.jpg");
    assert!(mean(&back, 0..10) + 100 < mean(&back, 18..28), "{} {}", mean(&back, 0..10), mean(&back, 18..28));
    // The luminance of (226, 187, 149).
    let back = reconstruct("cmyk.jpg");
    assert!(mean(&back, 0..28).abs_diff(192) < 25, "{}", mean(&back, 0..28));
}

#[test]
fn image_files_that_cannot_be_read_are_named_with_the_reason() {
    let folder = TestFolder::new();
    let mut whole = fs::read(fixture("exif-rotated.jpg")).unwrap();
    whole.truncate(whole.len() - 20);
    fs::write(folder.path("cut.jpg"), whole).unwrap();
    let said = folder.fail(&["tokenize", "cut.jpg"]);
    assert!(said.contains("cut.jpg can't be decoded: the image/jpeg file is truncated"), "{said}");
    fs::write(folder.path("photo.heic"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").unwrap();
    let said = folder.fail(&["tokenize", "photo.heic"]);
    assert!(said.contains("photo.heic can't be decoded: image/heic is not supported"), "{said}");
    // 20,000 × 20,000 pixels of one bit in 50 kB.
    let mut bomb = fs::File::create(folder.path("bomb.png")).unwrap();
    let mut encoder = png::Encoder::new(&mut bomb, 20_000, 20_000);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    encoder.write_header().unwrap().write_image_data(&vec![0; 2_500 * 20_000]).unwrap();
    let said = folder.fail(&["tokenize", "bomb.png"]);
    assert!(said.contains("bomb.png can't be decoded: it has 20000 × 20000 pixels; allowed: "), "{said}");
}

#[cfg(unix)]
#[test]
fn webp_and_jpeg_files_contain_the_provenance() {
    let folder = TestFolder::new();
    for file in ["it.webp", "it.jpg", "it.JPEG"] {
        folder.succeed(&["generate", "--class", "Bag", "--seed", "9", "--top-k", "40", "--output", file]);
        let said = folder.succeed(&["info", file]);
        let command = said.lines().last().unwrap();
        assert!(command.contains(" --class Bag --seed 9 ") && command.contains(" --top-k 40 "), "{said}");
        folder.succeed(&["generate", "--class", "Bag", "--seed", "9", "--top-k", "40", "--output", "it.png"]);
        shell(&folder, command);
        assert_eq!(folder.image("it.png"), folder.image("again.png"), "{command}");
    }
    image::GrayImage::new(3, 3).save(folder.path("plain.webp")).unwrap();
    let said = folder.fail(&["info", "plain.webp"]);
    assert!(said.contains("plain.webp: the WebP file has no parameters of rdpm"), "{said}");
}

#[test]
fn info_escapes_control_and_bidirectional_characters() {
    let folder = TestFolder::new();
    let model = folder.copy_model();
    let config = model.join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    let text =
        text.replace("Fashion-MNIST", "A\\u001b[2J\\u202eB\\nC").replace("\"Bag\"", "\"B\\u2066ag\\u009b\"");
    fs::write(&config, text).unwrap();
    let said = folder.fail(&["info", "--weights", model.to_str().unwrap()]);
    assert!(said.contains("\\u{1b}[2J") && said.contains("\\u{202e}"), "{said}");
    assert!(!said.contains(['\u{1b}', '\u{202e}', '\u{2066}', '\u{9b}']), "{said}");
    // What a picture says, too.
    let provenance = serde_json::json!({
        "model": "toy", "class": "B\u{202e}ag", "seed": 7, "index": 0, "count": 1, "guidance": 2.5,
        "temperature": 0.1, "top_k": null, "top_p": null, "scale": 1, "version": "0.1.0",
    });
    let provenance: rdpm::picture::Provenance = serde_json::from_value(provenance).unwrap();
    let picture = DynamicImage::from(image::GrayImage::new(3, 3));
    fs::write(folder.path("sly.png"), rdpm::picture::encode_png(&picture, Some(&provenance)).unwrap())
        .unwrap();
    let said = folder.succeed(&["info", "sly.png"]);
    assert!(said.contains("B\\u{202e}ag") && !said.contains('\u{202e}'), "{said}");
    // An error names its cause once.
    fs::write(folder.path("text.png"), "text").unwrap();
    let said = folder.fail(&["info", "text.png"]);
    assert_eq!(said.matches("signature").count(), 1, "{said}");
}

#[test]
fn token_files_decode_to_the_picture_of_their_run() {
    let folder = TestFolder::new();
    let generate = ["generate", "--class", "Bag", "--seed", "5", "--first", "3"];
    folder.succeed(&[&generate[..], &["--output", "a.png", "--tokens", "a.rdpm", "--embed-tokens"]].concat());
    folder.succeed(&[&generate[..], &["--count", "2", "--output", "b.png", "--tokens", "b.json"]].concat());
    let expected = folder.image("a.png");
    for file in ["a.rdpm", "b-0.json", "a.png"] {
        folder.succeed(&["decode", file, "--output", "decoded.png"]);
        assert_eq!(folder.image("decoded.png"), expected, "{file}");
    }
    folder.succeed(&["decode", "b-1.json", "--output", "decoded.png", "--scale", "2"]);
    assert_ne!(folder.image("decoded.png").resize_exact(28, 28, image::imageops::Nearest), expected);
    let text: Value = serde_json::from_slice(&fs::read(folder.path("b-1.json")).unwrap()).unwrap();
    assert_eq!((&text["seed"], &text["index"]), (&Value::from(5), &Value::from(4)));
    // Decoded from tokens alone, the picture is told to be.
    let said = folder.succeed(&["info", "decoded.png"]);
    assert!(said.contains("rdpm decode") && !said.contains("rdpm generate"), "{said}");
    assert!(folder.succeed(&["info", "a.png"]).contains("rdpm generate"));
    fs::write(folder.path("bad.rdpm"), b"RDPM\x01x").unwrap();
    assert!(folder.fail(&["decode", "bad.rdpm"]).contains("truncated or damaged"));
    assert!(folder.fail(&["decode", "b.png"]).contains("no token file"));
}

#[test]
fn edit_keeps_the_cells_outside_the_mask_and_vary_the_first_steps() {
    let folder = TestFolder::new();
    let tokens = |name: &str| -> Vec<Vec<Vec<u32>>> {
        let file: Value = serde_json::from_slice(&fs::read(folder.path(name)).unwrap()).unwrap();
        serde_json::from_value(file["tokens"].clone()).unwrap()
    };
    folder
        .succeed(&["generate", "--class", "Dress", "--seed", "2", "--output", "a.png", "--tokens", "a.json"]);
    let mask = image::GrayImage::from_fn(56, 56, |_, y| image::Luma([if y < 24 { 255 } else { 0 }]));
    mask.save(folder.path("mask.png")).unwrap();
    let edit =
        ["--mask", "mask.png", "--class", "Shirt", "--seed", "9", "--tokens", "b.json", "--output", "b.png"];
    let output = folder.run(&[&["edit", "a.json"], &edit[..]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("56 × 56; scaled to 28 × 28"), "{said}");
    let (before, after) = (tokens("a.json"), tokens("b.json"));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before[3..], after[3..]);
    }
    assert!(before.iter().zip(&after).all(|(before, after)| before[..3] != after[..3]));
    // The picture contains its tokens, so that it can be continued.
    folder.succeed(&["decode", "b.png", "--output", "c.png"]);
    assert_eq!(folder.image("b.png"), folder.image("c.png"));
    folder.succeed(&[
        "vary",
        "b.png",
        "--steps-kept",
        "6",
        "--count",
        "2",
        "--tokens",
        "v.json",
        "--output",
        "v.png",
    ]);
    for name in ["v-0.json", "v-1.json"] {
        assert_eq!(tokens(name)[..6], after[..6]);
        assert_ne!(tokens(name)[6..], after[6..]);
    }
    // An image without tokens is encoded.
    folder.succeed(&["edit", "mask.png", "--mask", "mask.png", "--output", "d.png", "--seed", "1"]);
    assert_eq!(folder.image("d.png").width(), 28);
    image::GrayImage::new(28, 28).save(folder.path("black.png")).unwrap();
    assert!(folder.fail(&["edit", "a.json", "--mask", "black.png"]).contains("keeps everything"));
    assert!(folder.fail(&["vary", "a.json", "--steps-kept", "10"]).contains("from 0 to 9"));
}

#[test]
fn interpolate_has_both_pictures_at_its_ends() {
    let folder = TestFolder::new();
    for (seed, name) in [("1", "a"), ("6", "b")] {
        let tokens = format!("{name}.rdpm");
        let output = format!("{name}.png");
        folder.succeed(&[
            "generate", "--class", "Bag", "--seed", seed, "--tokens", &tokens, "--output", &output,
        ]);
    }
    for ends in [["1", "6:0"], ["a.rdpm", "b.rdpm"]] {
        for step in ["0", "7"] {
            let flags = ["--class", "Bag", "--frames", "4", "--at-step", step, "--output", "sheet.png"];
            folder.succeed(&[&["interpolate"], &ends[..], &flags[..]].concat());
            // Its margins are in colour.
            let sheet = DynamicImage::from(folder.image("sheet.png").into_luma8());
            assert_eq!((sheet.width(), sheet.height()), (58, 58));
            assert_eq!(sheet.crop_imm(0, 0, 28, 28), folder.image("a.png"), "{ends:?} {step}");
            assert_eq!(sheet.crop_imm(30, 30, 28, 28), folder.image("b.png"), "{ends:?} {step}");
            assert_ne!(sheet.crop_imm(30, 0, 28, 28), folder.image("a.png"));
        }
    }
    folder.succeed(&[
        "interpolate",
        "a.png",
        "b.png",
        "--frames",
        "5",
        "--output",
        "film.gif",
        "--scale",
        "2",
    ]);
    let film = std::io::BufReader::new(fs::File::open(folder.path("film.gif")).unwrap());
    let frames = image::codecs::gif::GifDecoder::new(film).unwrap().into_frames();
    assert_eq!(frames.count(), 5);
    assert!(folder.fail(&["interpolate", "1", "2", "--at-step", "10"]).contains("from 0 to 9"));
}
