//! A model that is told styles and words: `tests/fixtures/words`, with random weights.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use rdpm::model::{Config, Model, ModelError, Precision, SamplingOptions, SamplingSettings, split_words};

use crate::pairs::pairs;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/words")
}

fn config() -> Config {
    Config::read(&folder()).unwrap()
}

fn options(config: &Config, prompt: Option<&str>, style: Option<&str>) -> SamplingOptions {
    let (prompt, style) = (prompt.map(str::to_owned), style.map(str::to_owned));
    SamplingOptions { prompt, style, guidance: 2.5, ..SamplingOptions::defaults(config) }
}

/// The words that a prompt is encoded to, and the unknown ones.
fn encode(prompt: &str) -> (Vec<String>, Vec<String>) {
    let vocabulary = config().vocabulary;
    let encoded = vocabulary.encode(prompt);
    (encoded.words.iter().map(|&word| vocabulary.words()[word as usize].clone()).collect(), encoded.unknown)
}

/// The conditions of `with_words` in `training/rdpm_training/fixture.py`.
#[test]
fn logits_are_pytorchs_for_classes_styles_and_words() {
    let expected =
        candle_core::safetensors::load(folder().join("expected.safetensors"), &Device::Cpu).unwrap();
    let floats = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let rows = |name: &str| -> Vec<Vec<f32>> {
        let tensor = &expected[name];
        (0..4).map(|row| floats(tensor.get(row).unwrap())).collect()
    };
    let models = [
        Model::load(&folder(), &Device::Cpu).unwrap(),
        Model::load_with_candle(&folder(), &Device::Cpu, Precision::F32).unwrap(),
    ];
    for model in &models {
        let config = model.config();
        let settings = [
            (0, None, None),
            (1, None, Some("flat")),
            (1, Some("red heart"), None),
            (0, Some("A happy CAT face, with eyes"), Some("Round")),
        ]
        .map(|(class, prompt, style)| {
            SamplingSettings::with_options(config, class, options(config, prompt, style)).unwrap()
        });
        let z = rows("z");
        let images: Vec<_> = pairs(&z, pairs([1, 4, 7, 10], &settings))
            .map(|(z, (t, settings))| (&z[..], t, settings))
            .collect();
        for (found, expected) in pairs(model.logits(&images).unwrap(), rows("logits")) {
            let largest = expected.iter().fold(0.0_f32, |largest, logit| largest.max(logit.abs()));
            let differs = pairs(&found, &expected).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(differs < 1e-4 * largest, "{differs} of {largest}");
        }
    }
}

#[test]
fn words_are_found_in_any_case_with_accents_plurals_and_emoji() {
    let known = |words: &[&str]| (words.iter().map(|word| (*word).to_owned()).collect(), Vec::new());
    assert_eq!(encode("Red HEART"), known(&["red", "heart"]));
    assert_eq!(encode("  red,\theart! red"), known(&["red", "heart"]));
    assert_eq!(encode("réd hearts"), known(&["red", "heart"]));
    assert_eq!(encode("ｒｅｄ glasses"), known(&["red", "glass"]));
    assert_eq!(encode("🐱"), known(&["cat", "face"]));
    assert_eq!(encode("happy❤\u{fe0f}"), known(&["happy", "red", "heart"]));
}

#[test]
fn unknown_words_are_told_whatever_their_script() {
    let unknown = |prompt: &str| encode(prompt).1;
    assert_eq!(unknown("red dragon, dragon"), ["dragon"]);
    assert_eq!(unknown("кошка cat 猫"), ["кошка", "猫"]);
    assert_eq!(unknown("cat 🚀🚀"), ["🚀"]);
    assert_eq!(unknown("<b>cat</b>'; DROP TABLE images"), ["b", "drop", "table", "images"]);
    assert_eq!(unknown("\u{1b}[31mcat\u{0}"), ["31mcat"]);
    assert_eq!(encode(""), (vec![], vec![]));
}

#[test]
fn split_words_follows_the_rule_of_training() {
    // `split_words` of `training/rdpm_training/emoji/words.py`.
    assert_eq!(split_words("Piñata: man’s O’Clock, 1st place"), ["pinata", "mans", "oclock", "1st", "place"]);
}

#[test]
fn a_prompt_names_its_class() {
    let config = config();
    let class = |prompt: &str| {
        let settings =
            SamplingSettings::resolve(&config, None, options(&config, Some(prompt), None)).unwrap();
        config.classes[settings.class()].clone()
    };
    assert_eq!(class("red heart"), "Heart");
    assert_eq!(class("a happy face"), "Face");
    // No subject has this word; it occurs in most of this class's training images.
    assert_eq!(class("glass"), "Face");
    let both =
        SamplingSettings::resolve(&config, Some(0), options(&config, Some("red heart"), None)).unwrap();
    assert_eq!(both.class(), 0);
}

#[test]
fn a_class_alone_shows_each_subject_once_before_any_twice() {
    let config = config();
    let settings = SamplingSettings::new(&config, 0).unwrap();
    let subjects =
        |seed| -> Vec<&str> { (0..6).map(|index| settings.subject(&config, seed, index).unwrap()).collect() };
    let first = subjects(7);
    let mut sorted = first[..3].to_vec();
    sorted.sort_unstable();
    assert_eq!(sorted, ["cat face", "face with eyes", "happy face"]);
    assert_eq!(first[..3], first[3..]);
    assert_eq!(first, subjects(7));
    assert!((0..20).any(|seed| subjects(seed) != first));

    // The image is that of the subject's words.
    let model = Model::load(&folder(), &Device::Cpu).unwrap();
    let prompted = |subject| {
        SamplingSettings::with_options(
            &config,
            0,
            SamplingOptions { prompt: Some(subject), ..SamplingOptions::defaults(&config) },
        )
    };
    for index in 0..3 {
        let subject = prompted(first[index as usize].to_owned()).unwrap();
        let (own, of_subject) = (model.start(&settings, 7, index), model.start(&subject, 7, index));
        assert_eq!(own.settings().condition(), of_subject.settings().condition());
        assert_eq!(own.latent(), of_subject.latent());
    }
}

#[test]
fn a_subject_is_drawn_in_the_styles_in_which_training_shows_it() {
    let config = config();
    let face = SamplingSettings::new(&config, 0).unwrap();
    for (seed, index) in (0..10).flat_map(|seed| (0..6).map(move |index| (seed, index))) {
        let style = face.drawn_style(&config, seed, index).unwrap();
        let of_subject: &[&str] = match face.subject(&config, seed, index).unwrap() {
            "face with eyes" => &["flat"],
            _ => &["flat", "round"],
        };
        assert!(of_subject.contains(&style), "{seed} {index} {style}");
    }
    let styles = |prompt: &str| -> Vec<&str> {
        let settings =
            SamplingSettings::resolve(&config, None, options(&config, Some(prompt), None)).unwrap();
        (0..4).map(|index| settings.drawn_style(&config, 1, index).unwrap()).collect()
    };
    assert_eq!(styles("eyes, with a face"), ["flat"; 4]);
    assert_eq!(styles("heart eyes"), ["round"; 4]);
    // No subject's name, and one with both styles: each once before any twice.
    for prompt in ["happy glass", "a red heart with glass"] {
        let drawn = styles(prompt);
        assert_ne!(drawn[0], drawn[1], "{prompt}");
        assert_eq!(drawn[..2], drawn[2..], "{prompt}");
    }
}

#[test]
fn a_prompt_without_a_known_word_is_refused_with_near_words() {
    let config = config();
    let refused = |prompt: &str| SamplingOptions::parse_prompt(&config, prompt).unwrap_err();
    assert_eq!(refused("hart"), "English words that the model words knows, such as heart");
    assert_eq!(refused("кошка"), "English words that the model words knows, such as red heart or cat face");
    assert_eq!(refused(&"cat ".repeat(501)), "up to 2000 bytes");
    assert_eq!(SamplingOptions::parse_prompt(&config, " \n\u{202e}").unwrap(), None);
    let cleaned = SamplingOptions::parse_prompt(&config, "red\u{1b}\u{0}\n heart ").unwrap();
    assert_eq!(cleaned.as_deref(), Some("red heart"));
}

#[test]
fn words_much_longer_than_the_vocabularys_resemble_none() {
    let vocabulary = &config().vocabulary;
    assert_eq!(vocabulary.similar("hart", 3), ["heart"]);
    assert_eq!(vocabulary.similar(&"heart".repeat(8), 3), ["heart"]);
    assert_eq!(vocabulary.similar(&"heart".repeat(400), 3), Vec::<&str>::new());
}

#[test]
fn an_image_is_described_by_subject_and_style() {
    let config = config();
    let settings =
        |prompt, style| SamplingSettings::with_options(&config, 1, options(&config, prompt, style)).unwrap();
    let named = settings(Some("my RED heart"), Some("flat"));
    assert_eq!(named.describe(&config, 7, 0), "red heart, flat style");
    let drawn = settings(None, None);
    let (subject, style) = (drawn.subject(&config, 7, 1).unwrap(), drawn.drawn_style(&config, 7, 1).unwrap());
    assert_eq!(drawn.describe(&config, 7, 1), format!("{subject}, {style} style"));
}

#[test]
fn a_model_with_classes_only_refuses_prompt_and_style() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/fashion-mnist");
    let config = Config::read(&shipped).unwrap();
    for (prompt, style, field) in [(Some("red"), None, "prompt"), (None, Some("noto"), "style")] {
        let error = SamplingSettings::with_options(&config, 0, options(&config, prompt, style)).unwrap_err();
        assert!(matches!(error, ModelError::Setting { field: found, .. } if found == field), "{error}");
    }
}

#[test]
fn an_invalid_vocabulary_is_refused_at_load() {
    let copy = tempfile::tempdir().unwrap();
    let text = |name: &str| std::fs::read_to_string(folder().join(name)).unwrap();
    let (described, listed) = (text("config.json"), text("vocabulary.json"));
    let read = |described: &str, listed: &str| {
        std::fs::write(copy.path().join("config.json"), described).unwrap();
        std::fs::write(copy.path().join("vocabulary.json"), listed).unwrap();
        Config::read(copy.path()).map_err(|error| error.to_string())
    };
    assert!(read(&described, &listed).is_ok());
    let changed = |from: &str, to: &str| {
        assert!(listed.contains(from), "{from}");
        read(&described, &listed.replacen(from, to, 1)).unwrap_err()
    };
    for (from, to, reason) in [
        ("\"cat\"", "\"Cat\"", "isn't one word in lower case"),
        ("\"cat\"", "\"red\"", "has a word twice"),
        ("\"red heart\"", "\"blue heart\"", "a word that words doesn't have"),
        ("\"Heart\"", "\"Hearts\"", "subjects has none for the class \"Heart\""),
        ("\"classes\": [0", "\"classes\": [2", "the index of a class for each word"),
        ("\"words\"", "\"word\"", "unknown field `word`"),
        ("\"cat face\": [0, 1]", "\"cat face\": [0, 2]", "whose styles must be indices of styles"),
        ("\"cat face\": [0, 1]", "\"cat face\": []", "at least one"),
    ] {
        let error = changed(from, to);
        assert!(error.contains(reason), "{error}");
    }
    let error = read(&described.replacen("\"flat\"", "\"ROUND\"", 1), &listed).unwrap_err();
    assert!(error.contains("styles[1] is \"round\", as an earlier one"), "{error}");
    let error = read(&described.replacen(": 2,", ": 1,", 1), &listed).unwrap_err();
    assert!(error.contains("styles has 2 names; format 2 has some, format 1 none"), "{error}");
    assert!(read(&described, &listed).is_ok());
    std::fs::remove_file(copy.path().join("vocabulary.json")).unwrap();
    assert!(Config::read(copy.path()).unwrap_err().to_string().contains("vocabulary.json"));
}

#[test]
fn plurals_of_all_kinds_are_their_singulars() {
    let emoji =
        Config::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/emoji")).unwrap().vocabulary;
    for (plural, singular) in [
        ("tigers", "tiger"),
        ("foxes", "fox"),
        ("strawberries", "strawberry"),
        ("wolves", "wolf"),
        ("knives", "knife"),
    ] {
        assert_eq!(emoji.encode(plural), emoji.encode(singular), "{plural}");
        assert!(emoji.encode(singular).unknown.is_empty(), "{singular}");
    }
    // A word that is known itself is no plural of another.
    assert_ne!(emoji.encode("glasses"), emoji.encode("glass"));
}
