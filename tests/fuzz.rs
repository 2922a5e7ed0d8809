//! Whatever is sent, the answer is an answer: no 5xx, no panic, every error in its shape. And whatever file `rdpm info` is
//! given, reading it ends without a panic.
//!
//! Bounded here; longer by hand: `FUZZ_CASES=1000000 cargo test --release --test fuzz`. What fails is printed, shrunk.

mod common;

use std::io::Cursor;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{engine_with, fake_engine, options};
use http::{Request, Response};
use image::{DynamicImage, GrayImage, ImageFormat};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use rdpm::engine::Engine;
use rdpm::model::SamplingOptions;
use rdpm::picture::{Provenance, encode_png, read_provenance};
use rdpm::web::{self, ClassPictures};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;
use tower::ServiceExt;

type Outcome = Result<(), TestCaseError>;

fn run<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value) -> Outcome) {
    let by_hand = std::env::var("FUZZ_CASES").ok().map(|cases| cases.parse().expect("a number of cases"));
    let cases = by_hand.unwrap_or(cases);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    if let Err(failure) = TestRunner::new(config).run(&strategy, test) {
        panic!("{failure}");
    }
}

/// The site, called in-process.
struct Site {
    runtime: Runtime,
    app: Router,
    _engine: Arc<Engine>,
}

impl Site {
    fn new() -> Self {
        Self::of(fake_engine(options()).0)
    }

    fn of(engine: Arc<Engine>) -> Self {
        let app = web::app(Arc::clone(&engine), ClassPictures::default(), &web::Options::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, app, _engine: engine }
    }

    /// With a fake model that knows the words of `tests/fixtures/words`.
    fn with_words() -> Self {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/words");
        let config = rdpm::model::ModelInfo::read(&folder).unwrap().config;
        let engine = engine_with(options(), vec![(config, Arc::default())]).unwrap();
        Self::of(Arc::new(engine))
    }

    fn send(&self, request: Request<Body>) -> (Response<()>, Vec<u8>) {
        self.runtime.block_on(async {
            let response = self.app.clone().oneshot(request).await.unwrap();
            let (head, body) = response.into_parts();
            (Response::from_parts(head, ()), to_bytes(body, 64 << 20).await.unwrap().to_vec())
        })
    }

    /// Sends a request and checks its answer: one of these statuses, or an error of the right shape.
    fn check(&self, request: Request<Body>, good: &[u16]) -> Outcome {
        let path = request.uri().path().to_owned();
        let is_openai = ["/v1", "/openai", "/images", "/models"]
            .iter()
            .any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
        let (head, body) = self.send(request);
        let status = head.status().as_u16();
        if good.contains(&status) {
            return Ok(());
        }
        prop_assert!((400..500).contains(&status), "{} {}", status, String::from_utf8_lossy(&body));
        let body: Value =
            serde_json::from_slice(&body).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        if path.starts_with("/sdapi") {
            prop_assert!(text(&body["detail"]), "{}", body);
        } else if is_openai {
            prop_assert!(text(&body["error"]["message"]) && text(&body["error"]["type"]), "{}", body);
        } else {
            prop_assert!(
                body["status"] == status && text(&body["detail"]) && text(&body["type"]),
                "{}",
                body
            );
        }
        prop_assert!(body.to_string().len() < 20_000, "an error of {} bytes", body.to_string().len());
        Ok(())
    }
}

fn post(path: &str, kind: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("content-type", kind).body(body.into()).unwrap()
}

/// Any JSON, small and odd.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-2..40i64).prop_map(Value::from),
        prop_oneof![
            Just("Circle"),
            Just("circle and square"),
            Just("png"),
            Just("auto"),
            Just("12x12"),
            Just("toy")
        ]
        .prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..6).prop_map(|map| Map::from_iter(map).into()),
        ]
    })
}

/// An object with some of these fields, and now and then another.
fn object(fields: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let name = prop_oneof![20 => prop::sample::select(fields).prop_map(str::to_owned), 1 => ".{0,12}"];
    prop::collection::btree_map(name, value(), 0..8).prop_map(|map| Map::from_iter(map).into())
}

/// What happens to bytes on a bad day.
#[derive(Debug, Clone)]
enum Damage {
    Set(usize, u8),
    Cut(usize),
    Insert(usize, Vec<u8>),
    Repeat(usize, usize),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let at = any::<usize>();
    let one = prop_oneof![
        (at, any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        at.prop_map(Damage::Cut),
        (at, prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (at, 0..300usize).prop_map(|(at, length)| Damage::Repeat(at, length)),
    ];
    prop::collection::vec(one, 0..6)
}

fn damaged(mut bytes: Vec<u8>, damage: &[Damage]) -> Vec<u8> {
    for one in damage {
        let size = bytes.len();
        match one {
            Damage::Set(at, byte) if size > 0 => bytes[at % size] = *byte,
            Damage::Cut(at) => bytes.truncate(at % (size + 1)),
            Damage::Insert(at, more) => {
                bytes.splice(at % (size + 1)..at % (size + 1), more.iter().copied());
            }
            Damage::Repeat(at, length) if size > 0 => {
                let from = at % size;
                let piece = bytes[from..(from + length).min(size)].to_vec();
                bytes.splice(from..from, piece);
            }
            _ => {}
        }
    }
    bytes
}

const GENERATION: &[&str] = &[
    "class",
    "model",
    "seed",
    "count",
    "guidance",
    "temperature",
    "top_k",
    "top_p",
    "previews",
    "alternatives",
    "cancel_on_disconnect",
    "image",
    "from_step",
    "format",
    "scale",
];
const OPENAI: &[&str] = &[
    "prompt",
    "model",
    "n",
    "size",
    "quality",
    "response_format",
    "output_format",
    "output_compression",
    "background",
    "moderation",
    "user",
    "stream",
    "partial_images",
    "seed",
    "guidance",
    "temperature",
    "top_k",
    "top_p",
];

const A1111: &[&str] = &[
    "prompt",
    "negative_prompt",
    "styles",
    "seed",
    "batch_size",
    "n_iter",
    "steps",
    "sampler_name",
    "cfg_scale",
    "width",
    "height",
    "send_images",
    "override_settings",
    "script_name",
    "alwayson_scripts",
    "init_images",
    "mask",
    "inpainting_mask_invert",
    "denoising_strength",
    "temperature",
    "top_k",
];

#[test]
fn generation_bodies() {
    let site = Site::new();
    run(2000, (object(GENERATION), damage(), any::<bool>()), |(mut body, damage, with_class)| {
        if with_class {
            body["class"] = "Circle".into();
        }
        let bytes = damaged(body.to_string().into_bytes(), if with_class { &[] } else { &damage });
        site.check(post("/api/v1/generations", "application/json", bytes), &[202])
    });
}

#[test]
fn openai_bodies() {
    let site = Site::new();
    run(2000, (object(OPENAI), damage(), any::<bool>()), |(mut body, damage, with_prompt)| {
        if with_prompt {
            body["prompt"] = "a photo of circles".into();
        }
        let bytes = damaged(body.to_string().into_bytes(), if with_prompt { &[] } else { &damage });
        site.check(post("/v1/images/generations", "application/json", bytes), &[200])
    });
}

#[test]
fn a1111_bodies() {
    let site = Site::new();
    let paths = prop::sample::select(vec!["/sdapi/v1/txt2img", "/sdapi/v1/img2img", "/sdapi/v1/options"]);
    run(2000, (paths, object(A1111), damage(), any::<bool>()), |(path, mut body, damage, is_whole)| {
        body["height"] = 12.into();
        if is_whole {
            body["prompt"] = "a photo of (circles:1.2)".into();
        }
        let bytes = damaged(body.to_string().into_bytes(), if is_whole { &[] } else { &damage });
        site.check(post(path, "application/json", bytes), &[200])
    });
}

/// Whatever a picture's file says of its settings, it is read.
#[test]
fn settings_in_files() {
    let site = Site::new();
    let texts = prop_oneof![".{0,200}", "([A-Za-z: ,\"\\\\x0-9\n]|Negative prompt:){0,60}"];
    run(1000, (texts, damage()), |(text, damage)| {
        let picture = image::DynamicImage::new_luma8(2, 2);
        let file = rdpm::picture::encode_png_with_parameters(&picture, None, &text).unwrap();
        for file in [damaged(file.clone(), &damage), file] {
            let body = json!({"image": STANDARD.encode(file)}).to_string();
            site.check(post("/sdapi/v1/png-info", "application/json", body), &[200])?;
        }
        Ok(())
    });
}

/// Messages of the Model Context Protocol.
#[test]
fn messages_of_assistants() {
    let site = Site::new();
    let methods = [
        "initialize",
        "ping",
        "tools/list",
        "tools/call",
        "resources/list",
        "resources/read",
        "resources/templates/list",
        "notifications/cancelled",
    ];
    let method = prop_oneof![8 => prop::sample::select(methods.to_vec()).prop_map(Value::from), 1 => value()];
    let parameters = object(&["name", "arguments", "uri", "_meta", "requestId", "protocolVersion", "cursor"]);
    let tool =
        prop::sample::select(vec!["draw", "edit", "caption", "tokenize", "list_models", "list_styles", ""]);
    let messages = (method, parameters, value(), tool, object(GENERATION), damage());
    run(2000, messages, |(method, mut parameters, id, tool, arguments, damage)| {
        let is_call = !tool.is_empty();
        if is_call {
            parameters["name"] = tool.into();
            parameters["arguments"] = arguments;
        }
        let method = if is_call { "tools/call".into() } else { method };
        let id = if is_call { 1.into() } else { id };
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": parameters});
        let bytes = damaged(message.to_string().into_bytes(), if is_call { &[] } else { &damage });
        site.check(post("/mcp", "application/json", bytes), &[200, 202])
    });
}

/// A small picture in one of the formats that are read.
fn file(format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let picture = DynamicImage::from(GrayImage::from_fn(9, 7, |x, y| image::Luma([(x * y * 4) as u8])));
    picture.to_rgb8().write_to(&mut file, format).unwrap();
    file.into_inner()
}

fn image_format() -> impl Strategy<Value = ImageFormat> {
    prop::sample::select(
        &[ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp][..],
    )
}

#[test]
fn images_to_tokenize() {
    let site = Site::new();
    run(2000, (image_format(), damage(), any::<bool>()), |(format, damage, as_form)| {
        let file = damaged(file(format), &damage);
        let request = if as_form {
            let head = b"--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"f\"\r\n\r\n";
            let form = [&head[..], &file, b"\r\n--b--\r\n"].concat();
            post("/api/v1/tokenizations", "multipart/form-data; boundary=b", form)
        } else {
            let body = json!({"image": STANDARD.encode(file)}).to_string();
            post("/api/v1/tokenizations", "application/json", body)
        };
        site.check(request, &[200])
    });
}

#[test]
fn token_files() {
    let site = Site::new();
    let body = r#"{"class": 0, "count": 1}"#;
    let (_, body) = site.send(post("/api/v1/generations?wait=true", "application/json", body));
    let done: Value = serde_json::from_slice(&body).unwrap();
    let own = done["links"]["self"].as_str().unwrap();
    let file =
        |kind: &str| site.send(Request::get(format!("{own}/images/0.{kind}")).body(Body::empty()).unwrap()).1;
    let files = [file("json"), file("rdpm")];
    run(2000, (0..2usize, damage()), |(which, damage)| {
        let kind = ["application/json", "application/octet-stream"][which];
        site.check(post("/api/v1/decode", kind, damaged(files[which].clone(), &damage)), &[200])
    });
}

#[test]
fn forms() {
    let site = Site::new();
    let form = || {
        let mut form =
            b"--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"f\"\r\n\r\n".to_vec();
        form.extend(file(ImageFormat::Png));
        form.extend(b"\r\n--b\r\nContent-Disposition: form-data; name=\"seed\"\r\n\r\n7\r\n--b--\r\n");
        form
    };
    run(2000, (damage(), "(b|.{0,20})"), |(damage, boundary)| {
        let kind = format!("multipart/form-data; boundary={boundary}");
        let Ok(kind) = http::HeaderValue::try_from(kind) else { return Ok(()) };
        let request = Request::post("/api/v1/tokenizations").header("content-type", kind);
        site.check(request.body(damaged(form(), &damage).into()).unwrap(), &[200])
    });
}

#[test]
fn heads() {
    let site = Site::new();
    let names = ["accept", "idempotency-key", "rdpm-client", "content-type", "host", "x-forwarded-proto"];
    let texts = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        "(image/(png|webp|jpeg|\\*|avif)|\\*/\\*|application/json)(; ?q=[0-9.]{0,4})?"
            .prop_map(String::into_bytes),
    ];
    let heads = prop::collection::vec((prop::sample::select(names.to_vec()), texts), 0..4);
    let paths = ["/api/v1/generations", "/v1/images/generations"];
    run(2000, (prop::sample::select(paths.to_vec()), heads), |(path, heads)| {
        let mut request = Request::post(path).header("content-type", "application/json");
        for (name, value) in heads {
            if let Ok(value) = http::HeaderValue::from_bytes(&value) {
                request = request.header(name, value);
            }
        }
        let body = json!({if path.starts_with("/v1") { "prompt" } else { "class" }: "circle"}).to_string();
        site.check(request.body(body.into()).unwrap(), &[200, 202])
    });
}

#[test]
fn addresses() {
    let site = Site::new();
    let (_, body) =
        site.send(post("/api/v1/generations?wait=true", "application/json", r#"{"class": 0, "count": 2}"#));
    let done: Value = serde_json::from_slice(&body).unwrap();
    let own = done["links"]["self"].as_str().unwrap().to_owned();
    let files = prop_oneof![
        "(images/[0-9]{1,3}\\.(png|webp|jpg|gif)|sheet\\.(png|jpeg)|animation\\.(gif|png|webp)|events|[ -~]{0,20})",
        "[a-zA-Z0-9%./_-]{0,30}",
    ];
    let queries =
        "((scale|which|index|delay|wait|[a-z]{0,5})(=([0-9]{0,12}|tokens|noisy|[ -~]{0,8}))?&?){0,4}";
    run(2000, (files, queries), |(file, query)| {
        let query: String = query.chars().filter(|letter| !" \"<>#".contains(*letter)).collect();
        let Ok(request) = Request::get(format!("{own}/{file}?{query}")).body(Body::empty()) else {
            return Ok(());
        };
        site.check(request, &[200])
    });
}

/// Every route that takes a body, with the other addresses of the OpenAI-compatible API at the end.
const POST_PATHS: [&str; 17] = [
    "/api/v1/generations",
    "/api/v1/interpolations",
    "/api/v1/tokenizations",
    "/api/v1/decode",
    "/sdapi/v1/txt2img",
    "/sdapi/v1/img2img",
    "/sdapi/v1/options",
    "/sdapi/v1/png-info/",
    "/mcp",
    "/v1/images/edits",
    "/v1/images/variations",
    "/v1/images/generations",
    "/v1/images/generations/",
    "/images/generations",
    "/openai/images/generations",
    "/openai/v1/images/generations/",
    "/openai/deployments/toy/images/generations",
];

#[test]
fn broken_json_is_refused_by_every_route() {
    let site = Site::new();
    let deep = "[".repeat(50_000);
    let objects = "{\"a\":".repeat(10_000);
    let broken = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        "{\"",
        "{\"class",
        "{\"class\"",
        "{\"class\":",
        "{\"class\":0",
        "{\"class\":0,",
        "{,}",
        "{{}}",
        "[{",
        "nul",
        "-",
        "1e",
        "\\",
        "\u{0}",
        "\u{feff}",
        "\u{feff}{",
        "",
        " ",
        "{}{",
        "{\"prompt\":\"\\ud800\"",
        &deep,
        &objects,
    ];
    for path in POST_PATHS {
        for body in broken {
            for kind in ["application/json", "application/vnd.api+json", "multipart/form-data; boundary={"] {
                // No body is a good one.
                let request = post(path, kind, body.to_owned());
                site.check(request, &[]).unwrap_or_else(|error| panic!("{path} {kind} {body:.40}: {error}"));
            }
        }
        for method in ["GET", "PUT", "PATCH", "DELETE", "BREW"] {
            let request = Request::builder().method(method).uri(path).body(Body::from("{")).unwrap();
            site.check(request, &[200]).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        }
    }
}

#[test]
fn openai_bodies_at_other_addresses() {
    let site = Site::new();
    let deployment =
        "[a-zA-Z0-9%.{}_~-]{1,20}".prop_map(|name| format!("/openai/deployments/{name}/images/generations"));
    let paths =
        prop_oneof![prop::sample::select(POST_PATHS[11..].to_vec()).prop_map(str::to_owned), deployment];
    let queries = "(api-version(=[a-z0-9-]{0,12})?&?|[a-z{}]{0,4}=?){0,3}";
    run(1000, (paths, queries, object(OPENAI), damage()), |(path, query, body, damage)| {
        let bytes = damaged(body.to_string().into_bytes(), &damage);
        let Ok(uri) = format!("{path}?{query}").parse::<http::Uri>() else { return Ok(()) };
        let request = Request::post(uri).header("content-type", "application/json");
        site.check(request.body(bytes.into()).unwrap(), &[200])
    });
}

/// A link that is changed in any way leads nowhere.
#[test]
fn links_to_files() {
    let site = Site::new();
    let body = r#"{"prompt": "circle", "response_format": "url", "size": "24x24"}"#;
    let (_, body) = site.send(post("/v1/images/generations", "application/json", body));
    let images: Value = serde_json::from_slice(&body).unwrap();
    let link =
        images["data"][0]["url"].as_str().unwrap().strip_prefix("http://localhost").unwrap().to_owned();
    let get = |link: &str| Request::get(link).body(Body::empty());
    site.check(get(&link).unwrap(), &[200]).unwrap();
    run(3000, damage(), |damage| {
        let Ok(changed) = String::from_utf8(damaged(link.clone().into_bytes(), &damage)) else {
            return Ok(());
        };
        let Ok(request) = get(&changed) else { return Ok(()) };
        if !changed.starts_with('/') || changed == link {
            return Ok(());
        }
        let (head, _) = site.send(request);
        let status = head.status().as_u16();
        // Escapes may spell the same link, and some addresses are others' routes.
        let is_file = changed.starts_with("/v1/images/files/");
        prop_assert!(
            !is_file || [400, 403, 404].contains(&status) || is_same_link(&link, &changed),
            "{} {}",
            status,
            changed
        );
        prop_assert!(status < 500, "{} {}", status, changed);
        Ok(())
    });
}

/// Whether two links have the same parts, written differently.
fn is_same_link(link: &str, other: &str) -> bool {
    let parts = |link: &str| {
        let url = url::Url::parse(&format!("http://localhost{link}")).unwrap();
        let path: Vec<String> = url.path_segments().unwrap().map(str::to_owned).collect();
        let mut pairs: Vec<_> =
            url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        pairs.sort();
        (path, pairs)
    };
    parts(link) == parts(other)
}

#[test]
fn words_to_complete() {
    let site = Site::with_words();
    run(2000, (".{0,30}", "[a-z]{0,8}", "[0-9-]{0,6}"), |(prefix, model, limit)| {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("prefix", &prefix), ("model", &model), ("limit", &limit)])
            .finish();
        site.check(Request::get(format!("/api/v1/words?{query}")).body(Body::empty()).unwrap(), &[200])?;
        let query = url::form_urlencoded::byte_serialize(prefix.as_bytes()).collect::<String>();
        let request = Request::get(format!("/api/v1/words?limit=100&prefix={query}"));
        site.check(request.body(Body::empty()).unwrap(), &[200])
    });
    run(2000, "[a-z=&%+{}0-9]{0,40}", |query| {
        let Ok(request) = Request::get(format!("/api/v1/words?{query}")).body(Body::empty()) else {
            return Ok(());
        };
        site.check(request, &[200])
    });
}

#[test]
fn prompts_and_styles() {
    let site = Site::with_words();
    let texts = prop_oneof![
        ".{0,60}",
        "(red |heart |happy |cat |of |\\{|\u{200d}|\u{202e}|[A-Za-z]{1,9} ){0,12}",
        "[a-z]{0,6}".prop_map(|word| word.repeat(60)),
    ];
    run(2000, (texts, value(), any::<bool>()), |(prompt, style, with_style)| {
        let mut body = json!({"model": "words", "prompt": prompt, "count": 1});
        if with_style {
            body["style"] = style;
        }
        site.check(post("/api/v1/generations", "application/json", body.to_string()), &[202])?;
        site.check(post("/v1/images/generations", "application/json", body.to_string()), &[200])
    });
}

#[test]
fn metadata_of_png_files() {
    let parameters: Provenance = serde_json::from_value(json!({
        "model": "toy", "class": "Circle", "seed": 1, "index": 0, "count": 1, "guidance": 2.0, "temperature": 1.0,
        "top_k": null, "top_p": null, "scale": 1, "version": "0.1.0",
    }))
    .unwrap();
    let file = encode_png(&GrayImage::new(3, 3).into(), Some(&parameters)).unwrap();
    run(20_000, damage(), |damage| {
        if let Ok(read) = read_provenance(Cursor::new(damaged(file.clone(), &damage))) {
            let command = read.command("x.png").unwrap_or_default();
            prop_assert!(!command.chars().any(char::is_control), "{:?}", command);
        }
        Ok(())
    });
    // Damage of the text itself, with a checksum that holds.
    let texts = (".{0,30}", ".{0,30}", any::<u64>(), any::<f64>());
    run(5000, texts, |(class, model, seed, guidance)| {
        let options = SamplingOptions { guidance, ..parameters.options.clone() };
        let told = Provenance { class, model, seed, options, ..parameters.clone() };
        let Ok(file) = encode_png(&GrayImage::new(3, 3).into(), Some(&told)) else { return Ok(()) };
        if let Ok(read) = read_provenance(Cursor::new(file)) {
            let command = read.command("x.png").unwrap();
            let words = shlex::split(&command).unwrap();
            prop_assert_eq!(&words[5], &told.class);
            prop_assert!(!command.chars().any(char::is_control), "{:?}", command);
        }
        Ok(())
    });
}
