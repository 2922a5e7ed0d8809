//! Edits, branches and token files with the shipped weights.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{DynamicImage, GrayImage, Luma, LumaA, Rgba, RgbaImage};
use rdpm::engine::{Engine, FolderLoader, ModelInfo};
use rdpm::web::ClassPictures;
use reqwest::Response;
use serde_json::{Value, json};

use super::common::{Server, fields, options, problem, with_timeout};
use super::picture;

pub async fn server() -> Server {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/fashion-mnist");
    let model = ModelInfo::read(&folder).unwrap();
    let loader = FolderLoader::new([(model.config.name.clone(), folder)], "cpu");
    let engine = Engine::start(options(), vec![model], vec![loader]).unwrap();
    Server::start(Arc::new(engine), ClassPictures::default()).await
}

pub(super) fn png(image: impl Into<DynamicImage>) -> String {
    let mut file = std::io::Cursor::new(Vec::new());
    image.into().write_to(&mut file, image::ImageFormat::Png).unwrap();
    STANDARD.encode(file.into_inner())
}

/// The finished generation, and the steps of its first image as the stream has them.
async fn generate(server: &Server, body: &Value) -> (Value, Vec<Value>) {
    let response = server.post(body).await;
    let status = response.status();
    let accepted: Value = response.json().await.unwrap();
    assert_eq!(status, 202, "{accepted}");
    let messages = server.messages(accepted["links"]["events"].as_str().unwrap(), None).await;
    assert_eq!(messages.last().unwrap().event, "completed");
    let steps = messages.iter().filter(|message| message.event == "step");
    let steps = steps.map(|step| step.data["images"][0].clone()).collect();
    let mut generation = messages.last().unwrap().data.clone();
    generation["accepted"] = accepted;
    (generation, steps)
}

fn own(generation: &Value) -> &str {
    generation["links"]["self"].as_str().unwrap()
}

fn grids(steps: &[Value]) -> Vec<Value> {
    steps.iter().map(|step| step["tokens"].clone()).collect()
}

async fn decode(server: &Server, query: &str, body: Vec<u8>) -> Response {
    let url = server.url(&format!("/api/v1/decode{query}"));
    with_timeout(server.client.post(url).body(body).send()).await.unwrap()
}

#[tokio::test]
async fn token_files_decode_to_the_picture_of_their_run() {
    let server = server().await;
    let body = json!({"class": "Bag", "seed": 5, "count": 2, "index": 3});
    let (generation, steps) = generate(&server, &body).await;
    assert_eq!((&generation["index"], steps.len()), (&json!(3), 10));
    for image in 0..2 {
        let path = format!("{}/images/{image}", own(&generation));
        let expected = picture(server.get(&format!("{path}.png")).await, "image/png").await;
        let file = server.json(&format!("{path}.json")).await;
        assert_eq!(file["format"], "rdpm-tokens/1");
        assert_eq!(
            (&file["model"], &file["seed"], &file["index"]),
            (&json!("fashion-mnist"), &json!(5), &json!(3 + image))
        );
        if image == 0 {
            assert_eq!(file["tokens"], json!(grids(&steps)));
        }
        let binary = with_timeout(server.get(&format!("{path}.rdpm")).await.bytes()).await.unwrap();
        assert!(binary.len() < 620, "{} bytes", binary.len());
        assert!(file["version"].as_str().is_some_and(|version| !version.is_empty()));
        for body in [file.to_string().into_bytes(), binary.to_vec()] {
            assert_eq!(picture(decode(&server, "", body).await, "image/png").await, expected);
        }
        let large = decode(&server, "?format=webp&scale=3", binary.to_vec()).await;
        assert_eq!(picture(large, "image/webp").await.width(), 84);
    }
    assert_eq!(server.get(&format!("{}/images/2.rdpm", own(&generation))).await.status(), 404);
}

#[tokio::test]
async fn damaged_token_files_and_those_of_other_models_are_refused() {
    let server = server().await;
    let (generation, _) = generate(&server, &json!({"class": "Bag", "seed": 1})).await;
    let file = server.json(&format!("{}/images/0.json", own(&generation))).await;
    let changed = |change: fn(&mut Value)| {
        let mut file = file.clone();
        change(&mut file);
        file.to_string().into_bytes()
    };
    let invalid = [
        (changed(|file| file["model"] = "other".into()), "model"),
        (changed(|file| file["tokens"][9][6][6] = 256.into()), "tokens"),
        (changed(|file| drop(file["tokens"].as_array_mut().unwrap().pop())), "tokens"),
        (changed(|file| file["seed"] = json!(1_u64 << 60)), "seed"),
    ];
    for (body, field) in invalid {
        assert_eq!(fields(&problem(decode(&server, "", body).await, 422).await), [field]);
    }
    let response = decode(&server, "", changed(|file| file["version"] = "other".into())).await;
    assert!(response.headers()["rdpm-warning"].to_str().unwrap().contains("another version"));
    assert!(!decode(&server, "", changed(|_| {})).await.headers().contains_key("rdpm-warning"));
    let malformed = [
        changed(|file| file["tokens"][3][2] = json!([1, 2])),
        changed(|file| file["format"] = "other".into()),
        b"RDPM\x01truncated".to_vec(),
        b"{".to_vec(),
        Vec::new(),
    ];
    for body in malformed {
        problem(decode(&server, "", body).await, 400).await;
    }
}

#[tokio::test]
async fn branch_keeps_the_steps_before_its_change_and_the_settings() {
    let server = server().await;
    let body = json!({"class": "Sneaker", "seed": 8, "guidance": 2.5, "top_k": 100});
    let (parent, before) = generate(&server, &body).await;
    let id = &parent["id"];
    // Without a change it is the same picture.
    let (same, after) = generate(&server, &json!({"from": {"generation": id, "step": 4}})).await;
    assert_eq!(grids(&after), grids(&before[4..]));
    for name in ["class", "seed", "guidance", "top_k", "temperature", "model"] {
        assert_eq!(same[name], parent[name], "{name}");
    }
    let code = (before[3]["tokens"][2][5].as_u64().unwrap() + 9) % 256;
    let change = json!([{"row": 2, "column": 5, "code": code}]);
    let branch = json!({"from": {"generation": id, "step": 4, "changes": change}});
    let (branch, after) = generate(&server, &branch).await;
    let file = server.json(&format!("{}/images/0.json", own(&branch))).await;
    let mut expected = grids(&before[..4]);
    expected[3][2][5] = code.into();
    assert_eq!(file["tokens"].as_array().unwrap()[..4], expected);
    assert_eq!(file["tokens"].as_array().unwrap()[4..], grids(&after));
    assert_ne!(grids(&after), grids(&before[4..]));
    // A branch of the branch, with other draws and another class: the noise is that of the first.
    let next =
        json!({"from": {"generation": branch["id"], "step": 5}, "seed": 99, "class": "Bag", "count": 2});
    let (next, _) = generate(&server, &next).await;
    assert_eq!((&next["class"], &next["seed"]), (&json!("Bag"), &json!(99)));
    for image in 0..2 {
        let other = server.json(&format!("{}/images/{image}.json", own(&next))).await;
        assert_eq!((&other["seed"], &other["index"]), (&json!(8), &json!(0)));
        assert_eq!(other["tokens"].as_array().unwrap()[..5], file["tokens"].as_array().unwrap()[..5]);
        assert_ne!(other["tokens"], file["tokens"]);
    }
}

#[tokio::test]
async fn edit_keeps_the_cells_outside_the_mask() {
    let server = server().await;
    let (parent, _) = generate(&server, &json!({"class": "Dress", "seed": 2})).await;
    let image = parent["images"][0]["png_base64"].clone();
    let tokenize = json!({"image": image, "seed": 6});
    let url = server.url("/api/v1/tokenizations");
    let tokens: Value =
        with_timeout(server.client.post(url).json(&tokenize).send()).await.unwrap().json().await.unwrap();
    // The right half, in three ways; a mask of another size is scaled and told.
    let white = GrayImage::from_fn(28, 28, |x, _| Luma([if x >= 16 { 255 } else { 0 }]));
    let transparent = RgbaImage::from_fn(14, 14, |x, _| Rgba([9, 9, 9, if x >= 8 { 0 } else { 255 }]));
    let cells: Vec<[usize; 2]> = (0..7).flat_map(|row| (4..7).map(move |column| [row, column])).collect();
    let base = json!({"class": "Coat", "seed": 6, "image": image});
    let with = |name: &str, value: Value| {
        let mut body = base.clone();
        body[name] = value;
        body
    };
    let edits = [
        (with("mask", png(white).into()), None),
        (
            with("mask", png(transparent).into()),
            Some("The mask of 14 x 14 pixels was scaled to the image's 28 x 28."),
        ),
        (with("cells", json!(cells)), None),
    ];
    let mut found = Vec::new();
    for (body, warning) in edits {
        let (edit, steps) = generate(&server, &body).await;
        assert_eq!(edit["accepted"]["warnings"][0].as_str(), warning);
        assert_eq!(steps.len(), 10);
        for (step, tokenized) in steps.iter().zip(tokens["steps"].as_array().unwrap()) {
            for row in 0..7 {
                for column in 0..7 {
                    assert_eq!(step["given"][row][column], column < 4);
                    if column < 4 {
                        assert_eq!(step["tokens"][row][column], tokenized["tokens"][row][column]);
                    }
                }
            }
        }
        assert_ne!(steps[9]["tokens"], tokens["steps"][9]["tokens"]);
        found.push(grids(&steps));
    }
    assert!(found.iter().all(|grids| *grids == found[0]));
    // From a step on, the earlier codes of the other half are kept, too.
    let mut body = with("cells", json!(cells));
    body["from_step"] = 7.into();
    let (edit, steps) = generate(&server, &body).await;
    assert_eq!((steps.len(), &edit["from_step"]), (3, &json!(7)));
    // A generated picture needs no encoding: its own codes are kept.
    let body = json!({"from": {"generation": parent["id"]}, "cells": [[3, 3]], "seed": 1});
    let (edit, _) = generate(&server, &body).await;
    let edited = server.json(&format!("{}/images/0.json", own(&edit))).await;
    let original = server.json(&format!("{}/images/0.json", own(&parent))).await;
    for (edited, original) in
        edited["tokens"].as_array().unwrap().iter().zip(original["tokens"].as_array().unwrap())
    {
        let mut expected = original.clone();
        expected[3][3] = edited[3][3].clone();
        assert_eq!(*edited, expected);
    }
    // The file of an edit has its tokens.
    let file = server.get(&format!("{}/images/0.png", own(&edit))).await.bytes().await.unwrap();
    let provenance = rdpm::picture::read_provenance(std::io::Cursor::new(&file)).unwrap();
    let tokens = rdpm::picture::TokenFile::from_base64(&provenance.tokens.unwrap()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&tokens.to_json()).unwrap(), edited);
}

#[tokio::test]
async fn form_with_files_is_the_same_edit_as_json() {
    let server = server().await;
    let image = GrayImage::from_fn(40, 30, |x, y| Luma([(x * 5 + y) as u8]));
    let mask = DynamicImage::from(image::ImageBuffer::from_fn(40, 30, |_, y| {
        LumaA([0u8, if y < 15 { 0 } else { 255 }])
    }));
    let (image, mask) = (png(image), png(mask));
    let body = json!({"class": 3, "seed": 6, "image": image, "mask": mask});
    let (_, expected) = generate(&server, &body).await;
    let boundary = "xxXxx";
    let mut form = Vec::new();
    let (image, mask) = (STANDARD.decode(image).unwrap(), STANDARD.decode(mask).unwrap());
    let parts: [(&str, &[u8]); 4] = [("class", b"Dress"), ("seed", b"6"), ("image", &image), ("mask", &mask)];
    for (name, content) in parts {
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n"
        );
        form.extend([head.as_bytes(), content, b"\r\n"].concat());
    }
    form.extend(format!("--{boundary}--\r\n").bytes());
    let request = server.client.post(server.url("/api/v1/generations"));
    let kind = format!("multipart/form-data; boundary={boundary}");
    let response = with_timeout(request.header("content-type", kind).body(form).send()).await.unwrap();
    assert_eq!(response.status(), 202);
    let accepted: Value = response.json().await.unwrap();
    let messages = server.messages(accepted["links"]["events"].as_str().unwrap(), None).await;
    let steps: Vec<Value> = messages
        .iter()
        .filter(|message| message.event == "step")
        .map(|step| step.data["images"][0].clone())
        .collect();
    assert_eq!(grids(&steps), grids(&expected));
}

#[tokio::test]
async fn given_tokens_are_taken_and_free_ones_drawn() {
    let server = server().await;
    let (parent, before) = generate(&server, &json!({"class": "Shirt", "seed": 4, "index": 2})).await;
    let mut tokens = json!(grids(&before));
    for grid in tokens.as_array_mut().unwrap() {
        grid[6] = json!([null, null, null, null, null, null, null]);
    }
    // The draws are those of the parent, so that the free codes are, too.
    let body = json!({"class": "Shirt", "seed": 4, "index": 2, "tokens": tokens});
    let (same, after) = generate(&server, &body).await;
    assert_eq!(grids(&after), grids(&before));
    assert_eq!(after[0]["given"][5], json!(vec![true; 7]));
    assert_eq!(after[0]["given"][6], json!(vec![false; 7]));
    let length = |generation: &Value| generation["images"][0]["png_base64"].as_str().map(str::len);
    // The file has its tokens, too.
    assert!(length(&same) > length(&parent));
    assert!(before[0].get("given").is_none());
    // A token file has its noise, so that other draws and another part of it are the same edit as of the generation.
    let file = server.json(&format!("{}/images/0.json", own(&parent))).await;
    let from = json!({"generation": parent["id"]});
    let edit = json!({"class": "Bag", "seed": 9, "cells": [[0, 1], [3, 3]]});
    let with = |name: &str, value: &Value| {
        let mut body = edit.clone();
        body[name] = value.clone();
        body
    };
    let (_, expected) = generate(&server, &with("from", &from)).await;
    let (_, found) = generate(&server, &with("tokens", &file)).await;
    assert_eq!(grids(&found), grids(&expected));
    assert_ne!(grids(&found), grids(&before));
}

#[tokio::test]
async fn invalid_edits_are_refused_with_the_field() {
    let server = server().await;
    let (parent, _) = generate(&server, &json!({"class": "Bag", "seed": 1})).await;
    let id = &parent["id"];
    let image = png(GrayImage::new(28, 28));
    let opaque_black = png(GrayImage::new(28, 28));
    let tokens = json!(vec![vec![vec![0; 7]; 7]; 9]);
    let whole = json!(vec![vec![vec![0; 7]; 7]; 10]);
    let free = json!(vec![vec![vec![Value::Null; 7]; 7]; 10]);
    let invalid = [
        (json!({"class": 0, "image": image, "mask": opaque_black}), vec!["mask"]),
        (json!({"class": 0, "image": image, "mask": "bm8gaW1hZ2U="}), vec!["mask"]),
        (json!({"class": 0, "image": image, "cells": []}), vec!["cells"]),
        (json!({"class": 0, "image": image, "cells": [[0, 7]]}), vec!["cells"]),
        (json!({"class": 0, "image": image, "cells": [[0, 1]], "mask": opaque_black}), vec!["cells"]),
        (json!({"class": 0, "mask": opaque_black}), vec!["mask"]),
        (json!({"class": 0, "image": image}), vec!["from_step"]),
        (json!({"class": 0, "from_step": 3}), vec!["image"]),
        (json!({"class": 0, "tokens": tokens}), vec!["tokens"]),
        (json!({"class": 0, "tokens": [[0]]}), vec!["tokens"]),
        (json!({"class": 0, "tokens": "x"}), vec!["tokens"]),
        (json!({"class": 0, "tokens": {"seed": 1, "tokens": tokens}}), vec!["tokens"]),
        (json!({"class": 0, "tokens": {"seed": 1, "model": "other", "tokens": whole}}), vec!["tokens"]),
        (json!({"class": 0, "tokens": free, "cells": [[0, 1]]}), vec!["tokens"]),
        (json!({"class": 0, "index": 65_536}), vec!["index"]),
        (json!({"from": {"generation": id, "step": 4}, "image": image, "from_step": 2}), vec!["from"]),
        (json!({"from": {"generation": id}}), vec!["from.step"]),
        (json!({"from": {"generation": id, "step": 11}}), vec!["from.step"]),
        (json!({"from": {"generation": id, "step": 0}}), vec!["from.step"]),
        (json!({"from": {"generation": id, "step": 2, "image": 1}}), vec!["from"]),
        (json!({"from": {"generation": "x", "step": 2}}), vec!["from"]),
        (json!({"from": {"generation": id, "step": 2, "x": 1}}), vec!["from"]),
        (json!({"from": 7}), vec!["from"]),
        (json!({"from": {"generation": id, "step": 2}, "model": "other"}), vec!["model"]),
        (
            json!({"from": {"generation": id, "step": 2, "changes": [{"row": 7, "column": 0, "code": 0}]}}),
            vec!["from.changes"],
        ),
        (
            json!({"from": {"generation": id, "step": 2, "changes": [{"row": 0, "column": 0, "code": 256}]}}),
            vec!["from.changes"],
        ),
    ];
    for (body, expected) in invalid {
        let response = server.post(&body).await;
        let problem = problem(response, 422).await;
        assert_eq!(fields(&problem), expected, "{body}: {problem}");
    }
}

/// Posts a form: names and contents of its parts.
async fn form(server: &Server, path: &str, parts: &[(&str, &[u8])]) -> Response {
    let boundary = "xxXxx";
    let mut form = Vec::new();
    for (name, content) in parts {
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n"
        );
        form.extend([head.as_bytes(), content, b"\r\n"].concat());
    }
    form.extend(format!("--{boundary}--\r\n").bytes());
    let kind = format!("multipart/form-data; boundary={boundary}");
    let request = server.client.post(server.url(path)).header("content-type", kind).body(form);
    with_timeout(request.send()).await.unwrap()
}

#[tokio::test]
async fn openai_edits_and_variations_are_those_of_rest() {
    let server = server().await;
    let (parent, _) = generate(&server, &json!({"class": "Coat", "seed": 3})).await;
    let base64 = parent["images"][0]["png_base64"].as_str().unwrap();
    let image = STANDARD.decode(base64).unwrap();
    let mask_base64 = png(GrayImage::from_fn(28, 28, |_, y| Luma([if y < 12 { 255 } else { 0 }])));
    let mask = STANDARD.decode(&mask_base64).unwrap();
    let edit = "/v1/images/edits";
    let parts: [(&str, &[u8]); 5] =
        [("image", &image), ("mask", &mask), ("prompt", b"a dress"), ("seed", b"4"), ("n", b"2")];
    let response = form(&server, edit, &parts).await;
    assert_eq!(response.status(), 200);
    let edited: Value = response.json().await.unwrap();
    let rest = json!({"class": "Dress", "seed": 4, "count": 2, "image": base64, "mask": mask_base64});
    let (expected, _) = generate(&server, &rest).await;
    for image in 0..2 {
        assert_eq!(edited["data"][image]["b64_json"], expected["images"][image]["png_base64"]);
        assert_eq!(edited["data"][image]["revised_prompt"], "Dress");
    }
    // Streamed, with previews.
    let parts: [(&str, &[u8]); 6] = [
        ("image[]", &image),
        ("mask", &mask),
        ("prompt", b"a dress"),
        ("seed", b"4"),
        ("stream", b"True"),
        ("partial_images", b"2"),
    ];
    let events = with_timeout(form(&server, edit, &parts).await.text()).await.unwrap();
    assert_eq!(events.matches("event: image_edit.partial_image").count(), 2);
    assert_eq!(events.matches("event: image_edit.completed").count(), 1);
    assert!(events.contains(expected["images"][0]["png_base64"].as_str().unwrap()));
    // A variation has no prompt.
    let parts: [(&str, &[u8]); 3] = [("image", &image), ("seed", b"5"), ("from_step", b"8")];
    let varied: Value = form(&server, "/v1/images/variations", &parts).await.json().await.unwrap();
    let rest = json!({"class": 0, "guidance": 0, "seed": 5, "image": base64, "from_step": 8});
    let (expected, _) = generate(&server, &rest).await;
    assert_eq!(varied["data"][0]["b64_json"], expected["images"][0]["png_base64"]);

    let prompt: (&str, &[u8]) = ("prompt", b"a dress");
    let black = STANDARD.decode(png(GrayImage::new(28, 28))).unwrap();
    type Parts<'a> = &'a [(&'a str, &'a [u8])];
    let refused: [(Parts<'_>, &str); 5] = [
        (&[("image", &image), ("image", &image), prompt], "image"),
        (&[prompt], "image"),
        (&[("image", b"text"), prompt], "image"),
        (&[("image", &image)], "prompt"),
        (&[("image", &image), ("mask", &black), prompt], "mask"),
    ];
    for (parts, param) in refused {
        let response = form(&server, edit, parts).await;
        assert_eq!(response.status(), 400, "{param}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["param"], param, "{body}");
    }
    let request = server.client.post(server.url(edit)).json(&json!({"prompt": "a dress"}));
    assert_eq!(with_timeout(request.send()).await.unwrap().status(), 415);
}
