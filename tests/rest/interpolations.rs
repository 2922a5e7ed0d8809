//! `POST /api/v1/interpolations` with the shipped weights.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{AnimationDecoder, DynamicImage};
use serde_json::{Value, json};

use super::common::{Server, fields, options, problem, with_timeout};
use super::edits::server;
use super::{finished, picture, post_with};

const PATH: &str = "/api/v1/interpolations";

/// The finished generation of an interpolation.
async fn interpolate(server: &Server, body: &Value) -> Value {
    let url = server.url(&format!("{PATH}?wait=true"));
    let response = with_timeout(server.client.post(url).json(body).send()).await.unwrap();
    let status = response.status();
    let generation: Value = response.json().await.unwrap();
    assert_eq!(status, 200, "{generation}");
    assert_eq!(generation["status"], "completed");
    generation
}

fn own(generation: &Value) -> &str {
    generation["links"]["self"].as_str().unwrap()
}

/// The pictures of a generation.
fn pictures(generation: &Value) -> Vec<DynamicImage> {
    let images = generation["images"].as_array().unwrap().iter();
    images
        .map(|image| {
            let file = STANDARD.decode(image["png_base64"].as_str().unwrap()).unwrap();
            image::load_from_memory(&file).unwrap()
        })
        .collect()
}

/// The token file and the picture of the first image of a new generation, whose address is returned, too.
async fn draw(server: &Server, body: &Value) -> (String, Value, DynamicImage) {
    let own = finished(server, body).await;
    let tokens = server.json(&format!("{own}/images/0.json")).await;
    let image = picture(server.get(&format!("{own}/images/0.png")).await, "image/png").await;
    (own, tokens, image)
}

fn id(own: &str) -> &str {
    own.rsplit('/').next().unwrap()
}

async fn binary(server: &Server, own: &str) -> String {
    let file = with_timeout(server.get(&format!("{own}/images/0.rdpm")).await.bytes()).await.unwrap();
    STANDARD.encode(file)
}

/// The sum of squared differences.
fn distance(a: &DynamicImage, b: &DynamicImage) -> f64 {
    let (a, b) = (a.to_luma8(), b.to_luma8());
    a.iter().zip(b.iter()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

#[tokio::test]
async fn first_and_last_image_are_the_two_pictures() {
    let server = server().await;
    let a = draw(&server, &json!({"class": "Bag", "seed": 1})).await;
    let b = draw(&server, &json!({"class": "Bag", "seed": 6, "index": 2})).await;
    let binary = binary(&server, &b.0).await;
    for kind in
        [json!({"kind": "noise"}), json!({"kind": "steps", "kept_steps": 4}), json!({"kind": "latent"})]
    {
        let ends = [
            json!({"a": {"seed": 1}, "b": {"seed": 6, "index": 2}}),
            json!({"a": {"tokens": a.1}, "b": {"tokens": binary}}),
            json!({"a": {"tokens": a.1.to_string()}, "b": {"seed": 6, "index": 2}}),
            json!({"a": {"from": {"generation": id(&a.0)}}, "b": {"from": {"generation": id(&b.0), "image": 0}}}),
        ];
        let mut found: Vec<Vec<DynamicImage>> = Vec::new();
        for mut body in ends {
            let body_fields = body.as_object_mut().unwrap();
            body_fields.extend(kind.as_object().unwrap().clone());
            body_fields.extend(json!({"class": "Bag", "frames": 4}).as_object().unwrap().clone());
            let generation = interpolate(&server, &body).await;
            assert_eq!((&generation["count"], &generation["class"]), (&json!(4), &json!("Bag")));
            let images = pictures(&generation);
            assert_eq!((&images[0], &images[3]), (&a.2, &b.2), "{kind}");
            for (image, expected) in [(0, &a.1), (3, &b.1)] {
                let file = server.json(&format!("{}/images/{image}.json", own(&generation))).await;
                assert_eq!(file, *expected, "{kind}");
            }
            found.push(images);
        }
        // Where the pictures come from makes no difference.
        assert!(found.iter().all(|images| *images == found[0]), "{kind}");
        let (first, second) = (&found[0][1], &found[0][2]);
        assert!(first != second && *first != a.2 && *second != b.2, "{kind}");
    }
}

#[tokio::test]
async fn images_between_latents_are_in_order_and_have_tokens() {
    let server = server().await;
    let body = json!({"a": {"seed": 1}, "b": {"seed": 6}, "class": "Bag", "kind": "latent", "frames": 7});
    let generation = interpolate(&server, &body).await;
    let images = pictures(&generation);
    let from_first: Vec<f64> = images.iter().map(|image| distance(&images[0], image)).collect();
    assert!(from_first.is_sorted() && from_first[0] == 0.0 && from_first[6] > 0.0, "{from_first:?}");
    for (index, image) in images.iter().enumerate() {
        let file = server.json(&format!("{}/images/{index}.json", own(&generation))).await;
        assert_eq!(file["seed"], if index < 3 { 1 } else { 6 });
        let response = server.client.post(server.url("/api/v1/decode")).body(file.to_string()).send();
        assert_eq!(picture(with_timeout(response).await.unwrap(), "image/png").await, *image);
    }
}

#[tokio::test]
async fn each_end_has_the_settings_of_its_generation() {
    let server = server().await;
    let a = draw(&server, &json!({"class": "Bag", "seed": 1})).await;
    let b = draw(&server, &json!({"class": "Sneaker", "seed": 6, "guidance": 3.0})).await;
    let from = |own: &str| json!({"from": {"generation": id(own)}});
    let body = json!({"a": from(&a.0), "b": from(&b.0), "frames": 9});
    let own_settings = interpolate(&server, &body).await;
    assert_eq!(own_settings["class"], "Bag");
    let images = pictures(&own_settings);
    assert_eq!((&images[0], &images[8]), (&a.2, &b.2));
    // Ends that say it themselves, of which the server knows only the tokens.
    let body = json!({"a": {"tokens": a.1, "class": "Bag"}, "b": {"tokens": b.1, "class": "Sneaker"}, "frames": 9,
                      "guidance": 3.0});
    assert_eq!(pictures(&interpolate(&server, &body).await)[5..], images[5..]);
    // The end that is of no generation has those of the other.
    let body = json!({"a": {"seed": 6}, "b": from(&b.0), "frames": 2});
    let same = interpolate(&server, &body).await;
    assert_eq!((&same["class"], &same["guidance"]), (&json!("Sneaker"), &json!(3.0)));
    assert_eq!(pictures(&same), [b.2.clone(), b.2.clone()]);
    // What the request says holds for both: only the last image is drawn otherwise.
    let body = json!({"a": from(&a.0), "b": from(&b.0), "frames": 9, "class": "Bag"});
    let bags = pictures(&interpolate(&server, &body).await);
    assert_eq!((&bags[..4], &bags[8]), (&images[..4], &images[8]));
    assert_ne!(bags[7], images[7]);
}

#[tokio::test]
async fn uploaded_images_are_tokenized_from_the_requests_seed() {
    let server = server().await;
    let file = |class| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/fashion-mnist/classes");
        STANDARD.encode(std::fs::read(folder.join(format!("{class}.png"))).unwrap())
    };
    let (a, b) = (file(8), format!("data:image/png;base64,{}", file(7)));
    let body = json!({"a": {"image": a}, "b": {"image": b}, "seed": 5, "class": "Bag", "frames": 3});
    let generation = interpolate(&server, &body).await;
    for (image, upload) in [(0, &a), (2, &b)] {
        let response = server.client.post(server.url("/api/v1/tokenizations"));
        let response = response.json(&json!({"image": upload, "seed": 5})).send();
        let tokenization: Value = with_timeout(response).await.unwrap().json().await.unwrap();
        let steps = tokenization["steps"].as_array().unwrap().iter();
        let expected: Vec<Value> = steps.map(|step| step["tokens"].clone()).collect();
        let file = server.json(&format!("{}/images/{image}.json", own(&generation))).await;
        assert_eq!((&file["tokens"], &file["seed"]), (&json!(expected), &json!(5)));
    }
    // The image between them is not from the noise of a seed.
    let missing = server.get(&format!("{}/images/1.json", own(&generation))).await;
    problem(missing, 404).await;
    let steps = server.messages(&format!("{}/events", own(&generation)), None).await;
    let steps: Vec<&Value> =
        steps.iter().filter(|message| message.event == "step").map(|step| &step.data["step"]).collect();
    assert_eq!(steps.iter().min_by_key(|step| step.as_u64()), Some(&&json!(6)));
}

#[tokio::test]
async fn images_are_those_of_the_command_line() {
    let server = server().await;
    let folder = tempfile::TempDir::new().unwrap();
    for (step, kind) in [("0", json!({"kind": "noise"})), ("5", json!({"kind": "steps"}))] {
        let output = folder.path().join("sheet.png");
        let run = Command::new(env!("CARGO_BIN_EXE_rdpm"))
            .args([
                "interpolate",
                "1",
                "6:2",
                "--class",
                "Bag",
                "--frames",
                "6",
                "--at-step",
                step,
                "--output",
            ])
            .arg(&output)
            .env("RDPM_WEIGHTS", Path::new(env!("CARGO_MANIFEST_DIR")).join("weights"))
            .env("RDPM_DEVICE", "cpu")
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let mut body = json!({"a": {"seed": 1}, "b": {"seed": 6, "index": 2}, "class": "Bag", "frames": 6});
        body.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
        let sheet =
            picture(post_with(&server, PATH, ("accept", "image/png"), &body).await, "image/png").await;
        assert_eq!(sheet.to_rgb8(), image::open(output).unwrap().to_rgb8(), "{kind}");
    }
}

#[tokio::test]
async fn interpolation_is_a_generation() {
    let server = server().await;
    let body = json!({"a": {"seed": 1}, "b": {"seed": 6}, "class": "Bag", "format": "webp", "scale": 2});
    let post = async |body: &Value| {
        let request = server.client.post(server.url(PATH)).header("idempotency-key", "between");
        with_timeout(request.header("rdpm-client", "a-long-enough-token").json(body).send()).await.unwrap()
    };
    let response = post(&body).await;
    assert_eq!(response.status(), 202);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let accepted: Value = response.json().await.unwrap();
    assert_eq!(accepted["links"]["self"], location);
    let again: Value = post(&body).await.json().await.unwrap();
    assert_eq!(again["id"], accepted["id"]);
    problem(post(&json!({"a": {"seed": 2}, "b": {"seed": 6}, "class": "Bag"})).await, 422).await;
    let messages = server.messages(accepted["links"]["events"].as_str().unwrap(), None).await;
    let done = &messages.last().unwrap().data;
    assert_eq!((messages.last().unwrap().event.as_str(), &done["count"]), ("completed", &json!(9)));
    assert_eq!(done["images"][8]["url"], format!("{location}/images/8.webp?scale=2"));
    // Its ends are not generations of the client.
    let request = server.client.get(server.url("/api/v1/generations"));
    let list = with_timeout(request.header("rdpm-client", "a-long-enough-token").send()).await.unwrap();
    let list: Value = list.json().await.unwrap();
    assert_eq!(list["generations"].as_array().unwrap().len(), 1);
    assert_eq!(list["generations"][0]["id"], accepted["id"]);
}

async fn delays(server: &Server, path: &str) -> Vec<u32> {
    let response = server.get(path).await;
    assert_eq!(response.headers()["content-type"], "image/gif");
    let film = with_timeout(response.bytes()).await.unwrap();
    let frames = image::codecs::gif::GifDecoder::new(std::io::Cursor::new(film)).unwrap().into_frames();
    let delay = |frame: image::Frame| {
        assert_eq!(frame.buffer().dimensions(), (24, 24));
        frame.delay().numer_denom_ms().0
    };
    frames.map(|frame| delay(frame.unwrap())).collect()
}

#[tokio::test]
async fn film_of_the_images_has_a_frame_for_each() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let job = finished(&server, &json!({"class": 0, "count": 4, "seed": 2, "previews": false})).await;
    let film = format!("{job}/animation.gif?which=images&scale=2&delay=100");
    assert_eq!(delays(&server, &film).await, [100, 100, 100, 600]);
    let both_ways = format!("{film}&back_and_forth=true");
    assert_eq!(delays(&server, &both_ways).await, [100; 6]);
    problem(server.get(&format!("{film}&index=1")).await, 422).await;
    problem(server.get(&format!("{film}&back_and_forth=1")).await, 422).await;
    // The images in their order: the fake backend's greys rise by two with the index.
    let file =
        with_timeout(server.get(&format!("{job}/animation.png?which=images")).await.bytes()).await.unwrap();
    let decoder = image::codecs::png::PngDecoder::new(std::io::Cursor::new(file)).unwrap();
    let frames = decoder.apng().unwrap().into_frames().collect_frames().unwrap();
    let greys: Vec<u8> = frames.iter().map(|frame| frame.buffer()[(0, 0)][0]).collect();
    assert_eq!(greys, [32, 34, 36, 38]);
    // Previews are still needed for steps.
    problem(server.get(&format!("{job}/animation.gif")).await, 409).await;
}

#[tokio::test]
async fn invalid_fields_are_named() {
    let (server, _) = Server::with_two_models(options()).await;
    let generation = finished(&server, &json!({"class": 0, "seed": 1})).await;
    let real = super::edits::server().await;
    let tokens = draw(&real, &json!({"class": "Bag", "seed": 1})).await.1;
    let seed = json!({"seed": 1});
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut file = tokens.clone();
        change(&mut file);
        json!({"tokens": file})
    };
    let cases = [
        (json!({}), vec!["a", "b"]),
        (json!({"a": seed}), vec!["b"]),
        (json!({"a": {}, "b": 7}), vec!["a", "b"]),
        (json!({"a": {"seed": 1, "image": "AAAA"}, "b": seed}), vec!["a"]),
        (json!({"a": seed, "b": {"seed": 1, "tokens": tokens}}), vec!["b"]),
        (json!({"a": {"seed": -1}, "b": seed}), vec!["a.seed"]),
        (json!({"a": {"seed": 1, "index": 65_536}, "b": seed}), vec!["a.index"]),
        (json!({"a": {"image": "?"}, "b": seed}), vec!["a.image"]),
        (json!({"a": {"image": "AAAA"}, "b": seed, "class": "Bag"}), vec!["a.image"]),
        (json!({"a": {"other": 1}, "b": seed}), vec!["a"]),
        (json!({"a": seed, "b": changed(&|file| file["tokens"][9][6][6] = 256.into())}), vec!["b.tokens"]),
        (
            json!({"a": seed, "b": changed(&|file| drop(file["tokens"].as_array_mut().unwrap().pop()))}),
            vec!["b.tokens"],
        ),
        (json!({"a": seed, "b": changed(&|file| file["tokens"][3][2] = json!([1, 2]))}), vec!["b.tokens"]),
        (json!({"a": seed, "b": {"tokens": "AAAA"}}), vec!["b.tokens"]),
        (json!({"a": changed(&|file| file["model"] = "other".into()), "b": {"tokens": tokens}}), vec!["b"]),
        (json!({"a": changed(&|file| file["model"] = "other".into()), "b": seed}), vec!["model"]),
        (json!({"a": {"tokens": tokens}, "b": seed, "model": "other"}), vec!["model"]),
        // Of another server.
        (json!({"a": {"from": {"generation": id(&generation)}}, "b": seed}), vec!["a.from"]),
        (
            json!({"a": seed, "b": {"from": {"generation": "00000000-0000-4000-8000-000000000000"}}}),
            vec!["b.from"],
        ),
        (json!({"a": seed, "b": seed, "frames": 1}), vec!["frames"]),
        (json!({"a": seed, "b": seed, "frames": 17, "temperature": -1}), vec!["frames", "temperature"]),
        (json!({"a": seed, "b": seed, "kind": "pixels"}), vec!["kind"]),
        (json!({"a": {"image": "AAAA"}, "b": seed, "kind": "noise"}), vec!["kind"]),
        (json!({"a": seed, "b": seed, "kept_steps": 4}), vec!["kept_steps"]),
        (json!({"a": seed, "b": seed, "kind": "steps", "kept_steps": 10}), vec!["kept_steps"]),
        (json!({"a": seed, "b": seed, "class": "Hat"}), vec!["class"]),
        (json!({"a": {"seed": 1, "class": "Hat"}, "b": seed}), vec!["a.class"]),
        (json!({"a": seed, "b": {"seed": 1, "style": "noto"}}), vec!["b.style"]),
        (json!({"a": seed, "b": seed, "count": 4}), vec!["count"]),
        (json!({"a": seed, "b": seed, "prompt": "red heart"}), vec!["prompt"]),
    ];
    for (body, expected) in cases {
        let url = real.url(PATH);
        let response = with_timeout(real.client.post(url).json(&body).send()).await.unwrap();
        let refused = problem(response, 422).await;
        let mut found = fields(&refused);
        found.sort_unstable();
        assert_eq!(found, expected, "{body}");
    }
    // A generation of another model.
    let other = finished(&server, &json!({"class": 0, "seed": 1, "model": "other"})).await;
    let from = |own: &str| json!({"from": {"generation": id(own)}});
    let response =
        server.client.post(server.url(PATH)).json(&json!({"a": from(&generation), "b": from(&other)}));
    let refused = problem(with_timeout(response.send()).await.unwrap(), 422).await;
    assert_eq!(fields(&refused), ["b"]);
}
