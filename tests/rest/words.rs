//! Requests of a model that knows words: `tests/fixtures/words`.

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use rdpm::engine::{Engine, FolderLoader, Options};
use rdpm::model::{Model, ModelInfo};
use rdpm::web::ClassPictures;
use serde_json::{Value, json};

use super::{Server, finished};

/// Serves Fashion-MNIST, which is told classes only, and the model of the fixture.
pub(super) async fn server() -> Server {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["weights/fashion-mnist", "tests/fixtures/words"].map(|folder| root.join(folder));
    let infos: Vec<ModelInfo> = folders.iter().map(|folder| ModelInfo::read(folder).unwrap()).collect();
    let names = infos.iter().map(|info| info.config.name.clone());
    let loader = FolderLoader::new(names.zip(folders.clone()), "cpu");
    let engine = Engine::start(Options::default(), infos, vec![loader]).unwrap();
    Server::start(Arc::new(engine), ClassPictures::default()).await
}

async fn finished_job(server: &Server, body: &Value) -> Value {
    let address = finished(server, body).await;
    server.json(&address).await
}

#[tokio::test]
async fn a_prompt_is_drawn_and_its_unknown_words_are_told() {
    let server = server().await;
    let body = json!({"model": "words", "prompt": " Red  HEART of steel", "style": "Flat", "seed": 7});
    let accepted = server.generate(&body).await;
    assert_eq!(accepted["unknown_words"], json!(["of", "steel"]));
    assert_eq!(accepted["class"], "Heart");
    let job = finished_job(&server, &body).await;
    assert_eq!(job["status"], "completed");
    assert_eq!(job["prompt"], "Red HEART of steel");
    assert_eq!(job["style"], "flat");
    assert_eq!(job["class"], "Heart");
    assert_eq!(job["unknown_words"], json!(["of", "steel"]));
    assert_eq!((job.get("subjects"), job.get("styles")), (None, None));

    // The same words give the same picture; others, or another style, give another.
    let png = |job: &Value| job["images"][0]["png_base64"].as_str().unwrap().to_owned();
    let pixels = |job: &Value| {
        use base64::Engine as _;
        let file = base64::engine::general_purpose::STANDARD.decode(png(job)).unwrap();
        image::load_from_memory(&file).unwrap()
    };
    let with = |name: &str, value: Value| {
        let mut body = body.clone();
        body[name] = value;
        body
    };
    let same = finished_job(&server, &with("prompt", "heart red".into())).await;
    assert_eq!(pixels(&job), pixels(&same));
    for other in [with("prompt", "happy cat".into()), with("style", "round".into())] {
        let other = finished_job(&server, &other).await;
        assert_ne!(pixels(&job), pixels(&other), "{other}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_class_alone_tells_the_subject_of_each_image() {
    let server = server().await;
    let job = finished_job(&server, &json!({"model": "words", "class": "Face", "seed": 3, "count": 3})).await;
    let texts = |name: &str| -> Vec<String> { serde_json::from_value(job[name].clone()).unwrap() };
    let mut images: Vec<_> = texts("subjects").into_iter().zip(texts("styles")).collect();
    images.sort_unstable();
    let [(cat, of_cat), (eyes, of_eyes), (happy, of_happy)] = images.try_into().unwrap();
    assert_eq!([cat.as_str(), &eyes, &happy], ["cat face", "face with eyes", "happy face"]);
    // The only style in which training shows it.
    assert_eq!(of_eyes, "flat");
    assert!([of_cat, of_happy].iter().all(|style| ["flat", "round"].contains(&style.as_str())));
    assert_eq!(job.get("unknown_words"), None);
    assert_eq!(job.get("prompt"), None);
    // A model with classes only tells neither.
    let job = finished_job(&server, &json!({"class": "Bag", "seed": 3})).await;
    assert_eq!((job.get("subjects"), job.get("styles"), job.get("unknown_words")), (None, None, None));
    server.stop().await;
}

#[tokio::test]
async fn invalid_prompts_and_styles_name_what_is_allowed() {
    let server = server().await;
    let cases = [
        (json!({"model": "words", "prompt": "hart"}), "prompt", "such as heart"),
        (json!({"model": "words", "prompt": "кошка"}), "prompt", "such as red heart"),
        (json!({"model": "words", "prompt": 7}), "prompt", "text"),
        (json!({"model": "words", "prompt": "cat ".repeat(10_000)}), "prompt", "up to 2000 bytes"),
        (json!({"model": "words", "prompt": " "}), "class", "Face, Heart, or a prompt"),
        (json!({"model": "words", "prompt": ""}), "class", "Face, Heart, or a prompt"),
        (json!({"model": "words"}), "class", "index from 0 to 1; or a prompt in its place"),
        (json!({"model": "words", "prompt": "猫 قطة"}), "prompt", "such as red heart"),
        (json!({"model": "words", "prompt": "a".repeat(1999)}), "prompt", "such as red heart"),
        (
            json!({"model": "words", "prompt": "<script>alert('x')</script>; DROP TABLE jobs"}),
            "prompt",
            "English words",
        ),
        (json!({"model": "words", "prompt": ["cat"]}), "prompt", "text"),
        (json!({"model": "words", "class": "Face", "style": "oil"}), "style", "flat, round"),
        (json!({"model": "fashion-mnist", "prompt": "a bag"}), "prompt", "knows classes, not words"),
        (json!({"model": "fashion-mnist", "class": "Bag", "style": "flat"}), "style", "has no styles"),
    ];
    for (body, field, allowed) in cases {
        let response = server.post(&body).await;
        assert_eq!(response.status(), 422, "{body}");
        let problem: Value = response.json().await.unwrap();
        let error = &problem["errors"][0];
        assert_eq!(error["field"], field, "{problem}");
        assert!(error["allowed"].as_str().unwrap().contains(allowed), "{problem}");
    }
    server.stop().await;
}

#[tokio::test]
async fn known_words_are_drawn_whatever_stands_around_them() {
    let server = server().await;
    for (prompt, words, unknown) in [
        ("CATS", "CATS", json!([])),
        ("🐱", "🐱", json!([])),
        ("\0red\u{1b}[31m\u{7}\nheart", "red [31m heart", json!(["31m"])),
        ("'; DROP TABLE x; -- heart", "'; DROP TABLE x; -- heart", json!(["drop", "table", "x"])),
        ("<b>red</b> heart", "<b>red</b> heart", json!(["b"])),
        ("ｒｅｄ ｈｅａｒｔ", "ｒｅｄ ｈｅａｒｔ", json!([])),
        ("красное heart", "красное heart", json!(["красное"])),
    ] {
        let job = finished_job(&server, &json!({"model": "words", "prompt": prompt, "seed": 1})).await;
        assert_eq!((&job["prompt"], &job["unknown_words"]), (&json!(words), &unknown), "{prompt}");
    }
    server.stop().await;
}

#[tokio::test]
async fn models_list_styles_and_words_and_prompts_are_completed() {
    let server = server().await;
    let models = server.json("/api/v1/models").await;
    assert_eq!((&models["models"][0]["styles"], &models["models"][0]["words"]), (&json!([]), &json!(0)));
    assert_eq!(models["models"][1]["styles"], json!(["flat", "round"]));
    assert_eq!(models["models"][1]["words"], 8);
    for (query, words, subjects) in [
        ("?prefix=he", json!(["heart"]), json!(["red heart", "heart eyes"])),
        ("?prefix=face%20wi", json!(["with"]), json!(["face with eyes"])),
        ("?prefix=HAPPY%20", json!(["cat", "red"]), json!(["happy face"])),
        ("?prefix=dragon", json!([]), json!([])),
        ("?prefix=red%20hart", json!([]), json!([])),
        ("?prefix=he&model=fashion-mnist", json!([]), json!([])),
    ] {
        let limited = if query.ends_with("%20") { "&limit=2" } else { "" };
        let found = server.json(&format!("/api/v1/words{query}{limited}")).await;
        assert_eq!((&found["words"], &found["subjects"]), (&words, &subjects), "{query}");
        // What is misspelt is offered, and only then.
        let similar = if query.ends_with("hart") { json!(["heart"]) } else { json!([]) };
        assert_eq!(found["similar"], similar, "{query}");
    }
    for query in ["?limit=0", "?limit=101", "?model=none", "?text=a", &format!("?prefix={}", "a".repeat(201))]
    {
        assert_eq!(server.get(&format!("/api/v1/words{query}")).await.status(), 422, "{query}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_tokenization_names_the_image_if_the_model_has_a_captioner() {
    let server = server().await;
    let models = server.json("/api/v1/models").await;
    let captions: Vec<&Value> =
        models["models"].as_array().unwrap().iter().map(|model| &model["captions"]).collect();
    assert_eq!(captions, [&json!(false), &json!(true)]);

    let picture = image::RgbImage::from_fn(16, 16, |x, y| image::Rgb([16 * x as u8, 16 * y as u8, 90]));
    let mut file = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut file, image::ImageFormat::Png).unwrap();
    let image = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(file.get_ref())
    };
    let tokenize = async |model: &str| -> Value {
        let body = json!({"model": model, "image": image, "seed": 7});
        let request = server.client.post(server.url("/api/v1/tokenizations")).json(&body);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    };
    assert_eq!(tokenize("fashion-mnist").await["caption"], Value::Null);
    let caption = tokenize("words").await["caption"].clone();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/words");
    let model = Model::load(&folder, &Device::Cpu).unwrap();
    let expected = model.tokenize(&picture.into(), 7).unwrap().caption.unwrap();
    for (found, expected) in [(&caption["names"], expected.names), (&caption["words"], expected.words)] {
        let texts: Vec<&str> =
            found.as_array().unwrap().iter().map(|guess| guess["text"].as_str().unwrap()).collect();
        assert_eq!(texts, expected.iter().map(|guess| guess.text.as_str()).collect::<Vec<_>>());
        assert_eq!(texts.len(), 5);
        let first = found[0]["probability"].as_f64().unwrap();
        assert!((first - f64::from(expected[0].probability)).abs() < 1e-6);
    }
}
