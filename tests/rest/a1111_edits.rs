//! `img2img` of AUTOMATIC1111's API with the shipped weights, and prompts of a model that knows words.

use image::{DynamicImage, GrayImage, Luma, Rgba, RgbaImage};
use rdpm::picture::{TokenFile, read_provenance};
use serde_json::{Value, json};

use super::a1111::{DRAW, drawn, file, picture, post};
use super::common::{Server, with_timeout};
use super::edits::{png, server};
use super::words;

const EDIT: &str = "/sdapi/v1/img2img";

/// The grids of the first image of an answer.
fn grids(answer: &Value) -> Vec<Vec<u32>> {
    let provenance = read_provenance(std::io::Cursor::new(file(&answer["images"][0]))).unwrap();
    let tokens = TokenFile::from_base64(&provenance.tokens.unwrap()).unwrap();
    let json: Value = serde_json::from_str(&tokens.to_json()).unwrap();
    let grid = |grid: &Value| {
        grid.as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap().clone()).collect()
    };
    let numbers = |codes: Vec<Value>| codes.iter().map(|code| code.as_u64().unwrap() as u32).collect();
    json["tokens"].as_array().unwrap().iter().map(grid).map(numbers).collect()
}

/// A picture to edit, and the tokens that it has with the noise of a seed.
async fn source(server: &Server, seed: u64) -> (Value, Vec<Vec<u32>>) {
    let body = json!({"prompt": "a dress", "seed": 2, "width": 28, "height": 28});
    let image = drawn(post(server, DRAW, &body).await).await.0["images"][0].clone();
    let tokenized = post(server, "/api/v1/tokenizations", &json!({"image": image, "seed": seed})).await;
    let tokenized: Value = with_timeout(tokenized.json()).await.unwrap();
    let steps = tokenized["steps"].as_array().unwrap().iter();
    let codes = |step: &Value| {
        step["tokens"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|row| row.as_array().unwrap().clone())
            .map(|code| code.as_u64().unwrap() as u32)
            .collect()
    };
    (image, steps.map(codes).collect())
}

/// An edit as programs for painting send it: all fields of their dialogs.
fn edit(image: &Value) -> Value {
    json!({
        "init_images": [image], "resize_mode": 0, "prompt": "a coat", "negative_prompt": "", "styles": [],
        "seed": 6, "subseed": -1, "subseed_strength": 0, "sampler_name": "RDPM", "batch_size": 1, "n_iter": 1, "steps": 10,
        "cfg_scale": 2, "width": 28, "height": 28, "denoising_strength": 1, "mask_blur": 0, "inpainting_fill": 1,
        "inpaint_full_res": false, "inpaint_full_res_padding": 0, "inpainting_mask_invert": 0,
        "include_init_images": false, "restore_faces": false, "tiling": false, "override_settings": {},
    })
}

fn with(mut body: Value, fields: Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[tokio::test]
async fn mask_keeps_the_other_half() {
    let server = server().await;
    let (image, tokens) = source(&server, 6).await;
    let white = |marked: fn(u32) -> bool| {
        png(GrayImage::from_fn(28, 28, |x, _| Luma([if marked(x) { 255 } else { 0 }])))
    };
    // Opaque is drawn again, unlike in other APIs; colours don't count then.
    let opaque = RgbaImage::from_fn(28, 28, |x, _| Rgba([9, 200, 9, if x >= 16 { 255 } else { 0 }]));
    let half_size = GrayImage::from_fn(14, 14, |x, _| Luma([if x >= 8 { 255 } else { 0 }]));
    let masks = [
        json!({"mask": white(|x| x >= 16)}),
        json!({"mask": format!("data:image/png;base64,{}", white(|x| x < 16)), "inpainting_mask_invert": 1}),
        json!({"mask": png(DynamicImage::from(opaque))}),
        json!({"mask": png(half_size), "inpainting_mask_invert": false}),
    ];
    let mut found = Vec::new();
    for (index, mask) in masks.into_iter().enumerate() {
        let (answer, info) = drawn(post(&server, EDIT, &with(edit(&image), mask)).await).await;
        let scaled = "The mask of 14 x 14 pixels was scaled to the image's 28 x 28.";
        let warnings = if index == 3 { json!([scaled]) } else { Value::Null };
        assert_eq!(answer.get("warnings").cloned().unwrap_or_default(), warnings);
        let drawn = grids(&answer);
        assert_eq!(drawn.len(), tokens.len());
        for (drawn, kept) in drawn.iter().zip(&tokens) {
            for (position, (drawn, kept)) in drawn.iter().zip(kept).enumerate() {
                assert!(position % 7 >= 4 || drawn == kept, "position {position}");
            }
        }
        assert_ne!(drawn[9], tokens[9]);
        found.push(drawn);
        // The answer doesn't repeat the images.
        assert_eq!(
            (&answer["parameters"]["init_images"], &answer["parameters"]["mask"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(info["denoising_strength"], 1.0);
    }
    assert!(found.iter().all(|grids| *grids == found[0]));
    // The same as in the REST API.
    let rest = json!({"class": "Coat", "seed": 6, "guidance": 2, "image": image, "mask": white(|x| x >= 16)});
    let address = super::finished(&server, &rest).await;
    let rest = server.json(&address).await;
    let (answer, _) =
        drawn(post(&server, EDIT, &with(edit(&image), json!({"mask": white(|x| x >= 16)}))).await).await;
    assert_eq!(picture(&rest["images"][0]["png_base64"]), picture(&answer["images"][0]));
}

#[tokio::test]
async fn strength_says_how_many_steps_are_drawn_again() {
    let server = server().await;
    let (image, tokens) = source(&server, 6).await;
    for (strength, kept) in
        [(json!(null), 2), (json!(0.5), 5), (json!("0.04"), 9), (json!(0), 9), (json!(1), 1)]
    {
        let body = with(edit(&image), json!({"denoising_strength": strength}));
        let (answer, _) = drawn(post(&server, EDIT, &body).await).await;
        let drawn = grids(&answer);
        assert_eq!(drawn[..kept], tokens[..kept], "{strength}");
        assert_ne!(drawn[9], tokens[9], "{strength}");
    }
    // Without a prompt the class isn't considered.
    let body = with(edit(&image), json!({"prompt": "", "cfg_scale": null, "denoising_strength": 0.2}));
    let (answer, info) = drawn(post(&server, EDIT, &body).await).await;
    assert_eq!(
        (&answer["warnings"], &info["cfg_scale"]),
        (&json!(["Without a prompt no class is considered."]), &json!(0.0))
    );
    let rest = json!({"class": 0, "guidance": 0, "seed": 6, "image": image, "from_step": 8});
    let address = super::finished(&server, &rest).await;
    let rest = server.json(&address).await;
    assert_eq!(picture(&rest["images"][0]["png_base64"]), picture(&answer["images"][0]));

    let black = png(GrayImage::new(28, 28));
    for (field, fields) in [
        ("init_images", json!({"init_images": null})),
        ("init_images", json!({"init_images": []})),
        ("init_images", json!({"init_images": [image, image]})),
        ("init_images", json!({"init_images": image})),
        ("init_images", json!({"init_images": ["bm8gaW1hZ2U="]})),
        ("init_images", json!({"init_images": ["http://localhost/image.png"]})),
        ("mask", json!({"mask": black})),
        ("mask", json!({"mask": "bm8gaW1hZ2U="})),
        ("denoising_strength", json!({"denoising_strength": 1.5})),
        ("inpainting_mask_invert", json!({"inpainting_mask_invert": 2})),
    ] {
        let response = post(&server, EDIT, &with(edit(&image), fields)).await;
        assert_eq!(response.status(), 422, "{field}");
        let body: Value = response.json().await.unwrap();
        assert!(body["detail"].as_str().unwrap().starts_with(field), "{body}");
    }
}

#[tokio::test]
async fn known_words_and_styles_are_drawn() {
    let server = words::server().await;
    let body = json!({
        "prompt": "(red:1.4) [heart], masterpiece", "styles": ["Cinematic", "Round", "flat"], "seed": 7,
        "override_settings": {"sd_model_checkpoint": "words"}, "width": 64, "height": 64,
    });
    let (answer, info) = drawn(post(&server, DRAW, &body).await).await;
    let expected = [
        "Unknown words have no effect: masterpiece.",
        "The style Cinematic is ignored: the model's styles are flat, round.",
        "The style flat is ignored: round is drawn.",
    ];
    assert_eq!(answer["warnings"], json!(expected));
    assert_eq!(info["styles"], json!(["round"]));
    let texts = info["infotexts"][0].as_str().unwrap();
    assert!(texts.contains(", Model: words, Style: round, "), "{texts}");
    let styles: Value = server.json("/sdapi/v1/prompt-styles").await;
    let style = |name: &str| json!({"name": name, "prompt": "", "negative_prompt": ""});
    assert_eq!(styles, json!([style("flat"), style("round")]));
    // The same words in the REST API give the same picture.
    let rest = json!({"model": "words", "prompt": "red heart", "style": "round", "seed": 7});
    let address = super::finished(&server, &rest).await;
    let rest = server.json(&address).await;
    let (own, scaled) = (picture(&rest["images"][0]["png_base64"]), picture(&answer["images"][0]));
    let scale = 64 / own.width();
    assert_eq!(rdpm::picture::enlarge(&own, scale).to_rgb8(), scaled.to_rgb8());
}
