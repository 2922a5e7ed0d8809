//! The API of AUTOMATIC1111's web interface, as its clients use it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::DynamicImage;
use rdpm::engine::Options;
use rdpm::picture::{read_png_texts, read_provenance};
use rdpm::web;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use super::common::{STEPS, Server, options, with_timeout};

pub(super) const DRAW: &str = "/sdapi/v1/txt2img";
pub(super) const PROGRESS: &str = "/sdapi/v1/progress";
const OPTIONS: &str = "/sdapi/v1/options";
pub(super) const TOKENS: [&str; 2] = ["a-long-enough-token", "another-long-enough-token"];

pub(super) async fn send(request: RequestBuilder) -> Response {
    with_timeout(request.send()).await.unwrap()
}

pub(super) async fn post(server: &Server, path: &str, body: &Value) -> Response {
    send(server.client.post(server.url(path)).json(body)).await
}

/// An answer of `txt2img` or `img2img`, and its `info`.
pub(super) async fn drawn(response: Response) -> (Value, Value) {
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    assert_eq!(status, 200, "{body}");
    let info = serde_json::from_str(body["info"].as_str().unwrap()).unwrap();
    (body, info)
}

pub(super) fn file(base64: &Value) -> Vec<u8> {
    STANDARD.decode(base64.as_str().unwrap()).unwrap()
}

pub(super) fn picture(base64: &Value) -> DynamicImage {
    image::load_from_memory(&file(base64)).unwrap()
}

/// The level of a picture of the fake model, which is of one grey.
pub(super) fn grey(base64: &Value) -> u8 {
    picture(base64).to_luma8()[(0, 0)][0]
}

/// What a response says was adapted: in its body and, equally, in its headers.
async fn warnings(response: Response) -> Vec<String> {
    let headers = response.headers().get_all("rdpm-warning").iter();
    let headers: Vec<String> = headers.map(|warning| warning.to_str().unwrap().to_owned()).collect();
    let (body, _) = drawn(response).await;
    assert_eq!(body.get("warnings").cloned().unwrap_or(json!([])), json!(headers));
    headers
}

/// An error in the shape of this API.
pub(super) async fn error(response: Response, status: u16) -> Value {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/json");
    let body: Value = response.json().await.unwrap();
    let text = |name: &str| body[name].as_str().is_some_and(|text| !text.is_empty());
    assert!(text("error") && text("detail") && text("errors") && body["body"] == "", "{body}");
    body
}

#[tokio::test]
async fn open_webui_chooses_a_model_and_draws() {
    let (server, _) = Server::with_two_models(options()).await;
    // Without a user it sends an empty header.
    let with_user = |request: RequestBuilder| request.header("authorization", "");
    let get = async |path: &str| -> Value {
        let response = send(with_user(server.client.get(server.url(path)))).await;
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    };
    let models = get("/sdapi/v1/sd-models").await;
    let (id, name) = (&models[1]["title"], &models[1]["model_name"]);
    assert_eq!((id, name), (&json!("other [0123456789]"), &json!("other")));
    // It sends all settings back, with another model.
    let mut settings = get(OPTIONS).await;
    assert_eq!(settings["sd_model_checkpoint"], "toy [0123456789]");
    settings["sd_model_checkpoint"] = id.clone();
    let changed = send(with_user(server.client.post(server.url(OPTIONS)).json(&settings))).await;
    assert_eq!((changed.status().as_u16(), changed.headers().get("rdpm-warning")), (200, None));
    assert_eq!(changed.json::<Value>().await.unwrap(), Value::Null);
    assert_eq!(get(OPTIONS).await["sd_model_checkpoint"], *id);

    let body = json!({
        "prompt": "the sun", "batch_size": 2, "width": 512, "height": 512, "steps": 50, "negative_prompt": "",
    });
    let (answer, info) = drawn(send(with_user(server.client.post(server.url(DRAW)).json(&body))).await).await;
    assert_eq!(answer["images"].as_array().unwrap().len(), 2);
    let shown = picture(&answer["images"][0]);
    assert_eq!((shown.width(), shown.height()), (512, 512));
    assert_eq!((&info["sd_model_name"], &info["steps"]), (&json!("other"), &json!(3)));
    assert_eq!(answer["warnings"], json!(["steps 50 is ignored: the model draws in 3 steps."]));
    let seed = info["seed"].as_u64().unwrap();
    assert!(seed <= u32::MAX.into());
    assert_eq!(info["all_seeds"], json!([seed, seed + 1]));
}

#[tokio::test]
async fn sillytavern_connects_and_draws() {
    let keys = vec!["0123456789abcdef".parse().unwrap()];
    let (server, _) = Server::with_web_options(web::Options { keys, ..web::Options::default() }).await;
    let user = |request: RequestBuilder| request.basic_auth("user", Some("0123456789abcdef"));
    let get = async |name: &str| -> Value {
        let response = send(user(server.client.get(server.url(&format!("/sdapi/v1/{name}"))))).await;
        assert_eq!(response.status(), 200, "{name}");
        response.json().await.unwrap()
    };
    let names = |list: Value, field: &str| -> Vec<String> {
        list.as_array().unwrap().iter().map(|one| one[field].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(get("samplers").await, "name"), ["RDPM"]);
    assert_eq!(names(get("schedulers").await, "name"), ["automatic"]);
    assert_eq!(names(get("upscalers").await, "name"), ["None"]);
    assert_eq!(names(get("latent-upscale-modes").await, "name"), [""; 0]);
    assert_eq!(names(get("sd-vae").await, "model_name"), [""; 0]);
    let title = &names(get("sd-models").await, "title")[0];
    assert_eq!(get("options").await["sd_model_checkpoint"], *title);
    let chosen = json!({"sd_model_checkpoint": title});
    let chosen = send(user(server.client.post(server.url(OPTIONS)).json(&chosen))).await;
    assert_eq!(chosen.status(), 200);
    // It waits until the model is there.
    let progress = get("progress").await;
    assert_eq!((&progress["progress"], &progress["state"]["job_count"]), (&json!(0.0), &json!(0)));

    let body = json!({
        "url": "http://localhost:3000", "auth": "user:0123456789abcdef",
        "prompt": "(masterpiece:1.2), a square, <lora:sketch:0.8>", "negative_prompt": "lowres, bad hands",
        "sampler_name": "Euler a", "scheduler": "Automatic", "steps": 20, "cfg_scale": 7, "width": 24, "height": 36,
        "restore_faces": false, "enable_hr": true, "hr_upscaler": "Latent", "hr_scale": 2, "hr_additional_modules": [],
        "denoising_strength": 0.7, "hr_second_pass_steps": 0, "seed": 9,
        "override_settings": {"CLIP_stop_at_last_layers": 2, "sd_vae": "Automatic"},
        "override_settings_restore_afterwards": true, "clip_skip": 1, "save_images": true, "send_images": true,
        "do_not_save_grid": false, "do_not_save_samples": false,
        "alwayson_scripts": {"ADetailer": {"args": [true, true, {"ad_model": "face_yolov8n.pt"}]}},
    });
    let response = send(user(server.client.post(server.url(DRAW)).json(&body))).await;
    let (answer, info) = drawn(response).await;
    let expected = [
        "There are no networks to add: lora:sketch:0.8 was ignored.",
        "negative_prompt is ignored: the model is told what to draw only.",
        "steps 20 is ignored: the model draws in 5 steps.",
        "The sampler Euler a is ignored: there is one, RDPM.",
        "cfg_scale 7 stands for the model's default, which is 2.",
        "alwayson_scripts are ignored: ADetailer.",
        "Ignored: auth, denoising_strength, enable_hr, hr_scale, hr_upscaler, save_images, url, \
         override_settings.CLIP_stop_at_last_layers.",
    ];
    assert_eq!(answer["warnings"], json!(expected));
    assert!(!answer.to_string().contains("0123456789abcdef\""), "the key is repeated");
    let shown = picture(&answer["images"][0]);
    assert_eq!((shown.width(), shown.height(), grey(&answer["images"][0])), (24, 36, 9 * 16));
    let facts =
        ["seed", "width", "height", "sampler_name", "cfg_scale", "steps"].map(|name| info[name].clone());
    assert_eq!(facts, [json!(9), json!(24), json!(36), json!("RDPM"), json!(2.0), json!(STEPS)]);
    assert_eq!(answer["parameters"]["prompt"], body["prompt"]);
    assert_eq!(answer["parameters"]["seed"], 9);
    assert!(answer["parameters"].get("auth").is_none());
}

#[tokio::test]
async fn each_image_is_drawn_again_by_its_own_seed() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let body =
        json!({"prompt": "circle", "seed": 3, "n_iter": 2, "batch_size": 2, "width": 12, "height": 12});
    let (answer, info) = drawn(post(&server, DRAW, &body).await).await;
    assert_eq!(info["all_seeds"], json!([3, 4, 5, 6]));
    let images = answer["images"].as_array().unwrap();
    assert_eq!(images.iter().map(grey).collect::<Vec<_>>(), [48, 64, 80, 96]);
    let again = json!({"prompt": "circle", "seed": "5", "width": "12", "height": 12.0});
    let (answer, info) = drawn(post(&server, DRAW, &again).await).await;
    assert_eq!((grey(&answer["images"][0]), &info["seed"]), (80, &json!(5)));
    // The files say how they were made, also to the program itself.
    let provenance = read_provenance(std::io::Cursor::new(file(&answer["images"][0]))).unwrap();
    assert_eq!((provenance.seed, provenance.class.as_str()), (5, "Circle"));
    let (answer, _) =
        drawn(post(&server, DRAW, &json!({"prompt": "circle", "send_images": false})).await).await;
    assert_eq!(answer["images"], json!([]));
}

#[tokio::test]
async fn guidance_is_theirs_or_the_models() {
    let (server, _) = Server::with_fake_backend(options()).await;
    for (sent, used) in
        [(json!(null), 2.0), (json!(7), 2.0), (json!(7.5), 7.5), (json!("0"), 0.0), (json!(20), 20.0)]
    {
        let body = json!({"prompt": "circle", "cfg_scale": sent});
        let (_, info) = drawn(post(&server, DRAW, &body).await).await;
        assert_eq!(info["cfg_scale"], used, "{body}");
    }
    // Ours have no other name.
    let (_, info) =
        drawn(post(&server, DRAW, &json!({"prompt": "circle", "temperature": 0, "top_k": 2})).await).await;
    assert_eq!(info["cfg_scale"], 2.0);
}

#[tokio::test]
async fn models_are_chosen_by_each_client_and_each_request() {
    let (server, _) = Server::with_two_models(options()).await;
    let as_client = |request: RequestBuilder, client: usize| request.header("rdpm-client", TOKENS[client]);
    let choose = async |client: usize, name: &Value| {
        let body = json!({"sd_model_checkpoint": name, "CLIP_stop_at_last_layers": 2});
        send(as_client(server.client.post(server.url(OPTIONS)).json(&body), client)).await
    };
    let model = async |client: usize, settings: Value| {
        let prompt = "the sun, a circle";
        let body = json!({"prompt": prompt, "width": 8, "height": 8, "override_settings": settings});
        let response = send(as_client(server.client.post(server.url(DRAW)).json(&body), client)).await;
        drawn(response).await.1["sd_model_name"].as_str().unwrap().to_owned()
    };
    for name in ["other", "other [0123456789]", "other.safetensors", "other [anything]"] {
        let changed = choose(0, &json!(name)).await;
        assert_eq!(changed.headers()["rdpm-warning"], "Ignored: CLIP_stop_at_last_layers.");
        assert_eq!(model(0, Value::Null).await, "other", "{name}");
        assert_eq!(model(0, json!({"sd_model_checkpoint": "toy.ckpt"})).await, "toy");
        assert_eq!(model(1, Value::Null).await, "toy");
        assert_eq!(choose(0, &json!("")).await.status(), 200);
        assert_eq!(model(0, Value::Null).await, "toy");
    }
    let unknown = error(choose(0, &json!("sdxl.safetensors [abc]")).await, 404).await;
    assert!(unknown["detail"].as_str().unwrap().contains("\"toy\", \"other\""), "{unknown}");
    error(choose(0, &json!(7)).await, 422).await;
    let body = json!({"prompt": "circle", "override_settings": {"sd_model_checkpoint": "sdxl"}});
    error(post(&server, DRAW, &body).await, 404).await;
}

#[tokio::test]
async fn what_would_make_a_difference_is_refused() {
    let (server, _) = Server::with_fake_backend(options()).await;
    for (field, value) in [
        ("prompt", json!("a cat")),
        ("prompt", json!(null)),
        ("prompt", json!("<lora:x:1>")),
        ("prompt", json!(["circle"])),
        ("prompt", json!(format!("circle {}", "x".repeat(32_000)))),
        ("negative_prompt", json!(7)),
        ("styles", json!("noto")),
        ("seed", json!(-2)),
        ("batch_size", json!(0)),
        ("batch_size", json!(17)),
        ("n_iter", json!(17)),
        ("steps", json!(-1)),
        ("steps", json!(1001)),
        ("cfg_scale", json!(20.5)),
        ("width", json!(7)),
        ("height", json!(2049)),
        ("width", json!("wide")),
        ("send_images", json!("maybe")),
        ("script_name", json!("X/Y/Z plot")),
        ("override_settings", json!([])),
        ("override_settings.sd_model_checkpoint", json!(null)),
        ("top_k", json!(9)),
    ] {
        let mut body = json!({"prompt": "circle"});
        match field.split_once('.') {
            Some((outer, inner)) => body[outer][inner] = json!(7),
            None => body[field] = value,
        }
        let refused = error(post(&server, DRAW, &body).await, 422).await;
        assert!(refused["detail"].as_str().unwrap().starts_with(field), "{field}: {refused}");
    }
    let several = json!({"prompt": "circle", "n_iter": 3, "batch_size": 6});
    assert!(
        error(post(&server, DRAW, &several).await, 422).await["detail"]
            .as_str()
            .unwrap()
            .contains("up to 16")
    );
    let last = json!({"prompt": "circle", "seed": (1_u64 << 53) - 1, "batch_size": 2});
    assert!(
        error(post(&server, DRAW, &last).await, 422).await["detail"].as_str().unwrap().starts_with("seed")
    );
    let unknown = error(post(&server, DRAW, &json!({"prompt": "a cat"})).await, 422).await;
    assert!(unknown["detail"].as_str().unwrap().contains("Circle, Square, Ankle boot"), "{unknown}");
    // What changes nothing, or can't be heard of in the answer, is no warning.
    let neutral = json!({
        "prompt": "circle", "styles": [], "sampler_index": "rdpm", "scheduler": "automatic", "restore_faces": false,
        "tiling": null, "subseed": -1, "subseed_strength": 0, "eta": 0, "s_noise": 1.0, "script_name": "None",
        "script_args": [], "alwayson_scripts": {}, "override_settings": {"sd_vae": "None"}, "steps": STEPS,
        "do_not_save_samples": true, "override_settings_restore_afterwards": true, "comments": {},
    });
    assert!(warnings(post(&server, DRAW, &neutral).await).await.is_empty());
    let ignored =
        json!({"prompt": "circle", "styles": ["noto", "\u{1f600}"], "tiling": true, "\u{1f600}": 5});
    let response = post(&server, DRAW, &ignored).await;
    // Headers have no other characters.
    let mut headers = response.headers().get_all("rdpm-warning").iter();
    let last = headers.next_back().unwrap().to_str().unwrap().to_owned();
    assert_eq!(last, "Ignored: tiling, ?.");
    let (body, _) = drawn(response).await;
    let style = |name: &str| format!("The style {name} is ignored: the model has no styles.");
    let expected = [style("noto"), style("\u{1f600}"), "Ignored: tiling, \u{1f600}.".to_owned()];
    assert_eq!(body["warnings"], json!(expected));
}

#[tokio::test]
async fn errors_have_their_shape_everywhere() {
    let keys = vec!["0123456789abcdef".parse().unwrap()];
    // The key is needed even where the page needs none.
    let public_paths = web::PublicPaths { page: true, ..web::PublicPaths::default() };
    let web_options = web::Options { keys, public_paths, ..web::Options::default() };
    let (server, _) = Server::with_web_options(web_options).await;
    for path in [PROGRESS, "/sdapi/v1/options/", "/sdapi/v1/loras", "/sdapi/v1/nothing"] {
        error(server.get(path).await, 401).await;
    }
    let get = async |path: &str| {
        send(server.client.get(server.url(path)).basic_auth("anybody", Some("0123456789abcdef"))).await
    };
    for name in [
        "progress",
        "options",
        "sd-models",
        "samplers",
        "loras",
        "embeddings",
        "scripts",
        "memory",
        "cmd-flags",
    ] {
        for end in ["", "/"] {
            assert_eq!(get(&format!("/sdapi/v1/{name}{end}")).await.status(), 200, "{name}{end}");
        }
    }
    let nothing = get("/sdapi/v1/nothing").await;
    assert_eq!(nothing.status(), 404);
    assert_eq!(nothing.json::<Value>().await.unwrap(), json!({"detail": "Not Found"}));
    let method = get(DRAW).await;
    assert_eq!((method.status().as_u16(), &method.headers()["allow"]), (405, &"POST".parse().unwrap()));
    assert_eq!(method.json::<Value>().await.unwrap(), json!({"detail": "Method Not Allowed"}));
    error(get("/sdapi/v1/progress?skip_current_image=maybe").await, 422).await;
    for skips in ["true", "1", "False", "0&unknown=1"] {
        assert_eq!(get(&format!("{PROGRESS}?skip_current_image={skips}")).await.status(), 200, "{skips}");
    }

    let (server, script) =
        Server::with_fake_backend(Options { max_batch: 1, max_queue: 1, ..options() }).await;
    let broken = server.client.post(server.url(DRAW)).header("content-type", "application/json").body("{");
    error(send(broken).await, 400).await;
    let text = server.client.post(server.url(DRAW)).header("content-type", "text/plain").body("circle");
    error(send(text).await, 415).await;
    let large = json!({"prompt": "circle", "x": "x".repeat(13 << 20)});
    error(post(&server, DRAW, &large).await, 413).await;
    script.pause();
    // One is drawn, one waits, and the third is too much: none of them is left over.
    let full = post(&server, DRAW, &json!({"prompt": "circle", "batch_size": 3})).await;
    assert!(full.headers().contains_key("retry-after"));
    assert_eq!(error(full, 429).await["error"], "Queue full");
    script.resume();
    assert_eq!(post(&server, DRAW, &json!({"prompt": "circle"})).await.status(), 200);
}

#[tokio::test]
async fn settings_are_written_into_files_and_read_from_them() {
    let (server, _) = Server::with_fake_backend(options()).await;
    // Beyond Latin-1 the text is of another kind.
    for prompt in ["a photo of a circle,\nröund", "a circle 🐱: \"big\", red"] {
        let body = json!({"prompt": prompt, "seed": 7, "cfg_scale": 2.5, "width": 24, "height": 48});
        let (answer, info) = drawn(post(&server, DRAW, &body).await).await;
        let expected = format!(
            "{prompt}\nSteps: {STEPS}, Sampler: RDPM, CFG scale: 2.5, Seed: 7, Size: 24x48, Model hash: 0123456789, \
             Model: toy, Version: rdpm {}",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(info["infotexts"], json!([expected]));
        let texts = read_png_texts(std::io::Cursor::new(file(&answer["images"][0]))).unwrap();
        assert!(texts.contains(&("parameters".into(), expected.clone())), "{texts:?}");
        for image in [
            &answer["images"][0],
            &format!("data:image/png;base64,{}", answer["images"][0].as_str().unwrap()).into(),
        ] {
            let found = post(&server, "/sdapi/v1/png-info", &json!({"image": image})).await;
            let found: Value = found.json().await.unwrap();
            assert_eq!(found["info"], expected);
            assert_eq!(found["items"]["Title"], "Circle");
            let parameters = &found["parameters"];
            assert_eq!((&parameters["Prompt"], &parameters["Seed"]), (&json!(prompt), &json!("7")));
            assert_eq!((&parameters["Size-1"], &parameters["Size-2"]), (&json!("24"), &json!("48")));
            // What a client sends that takes them over draws the same.
            let again = json!({
                "prompt": parameters["Prompt"], "seed": parameters["Seed"], "cfg_scale": parameters["CFG scale"],
                "steps": parameters["Steps"], "sampler_name": parameters["Sampler"],
                "width": parameters["Size-1"], "height": parameters["Size-2"],
                "override_settings": {"sd_model_checkpoint": parameters["Model hash"]},
            });
            let response = post(&server, DRAW, &again).await;
            let (same, _) = drawn(response).await;
            assert_eq!((&same["images"], same.get("warnings")), (&answer["images"], None));
        }
    }
    // Pictures of the other APIs say the same in their own way.
    let webp = json!({"prompt": "square", "output_format": "webp", "seed": 4});
    let webp: Value = post(&server, "/v1/images/generations", &webp).await.json().await.unwrap();
    let found = post(&server, "/sdapi/v1/png-info", &json!({"image": webp["data"][0]["b64_json"]})).await;
    let found: Value = found.json().await.unwrap();
    assert_eq!(
        (&found["parameters"]["Prompt"], &found["parameters"]["Seed"]),
        (&json!("Square"), &json!("4"))
    );
    let mut plain = std::io::Cursor::new(Vec::new());
    DynamicImage::new_luma8(3, 3).write_to(&mut plain, image::ImageFormat::Png).unwrap();
    let plain = STANDARD.encode(plain.into_inner());
    let found: Value =
        post(&server, "/sdapi/v1/png-info", &json!({"image": plain})).await.json().await.unwrap();
    assert_eq!(found, json!({"info": "", "items": {}, "parameters": {}}));
    for image in [json!(null), json!("%"), json!("bm8gaW1hZ2U="), json!(7)] {
        error(post(&server, "/sdapi/v1/png-info", &json!({"image": image})).await, 422).await;
    }
}
