//! Prompts of OpenAI's API for a model that knows words: `tests/fixtures/words`.

use serde_json::{Value, json};

use super::words::server;
use super::{Server, with_timeout};

async fn post(server: &Server, mut body: Value) -> (u16, Value) {
    body["model"] = body.get("model").cloned().unwrap_or("words".into());
    body["seed"] = 7.into();
    let request = server.client.post(server.url("/v1/images/generations")).json(&body).send();
    let response = with_timeout(request).await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn drawn(server: &Server, body: Value) -> Value {
    let (status, body) = post(server, body).await;
    assert_eq!(status, 200, "{body}");
    body
}

#[tokio::test]
async fn all_known_words_of_a_paragraph_are_drawn_and_the_others_told() {
    let server = server().await;
    let paragraph = "Paint me a RED heart.\n\nIt has happy eyes; made of <b>steel</b>, ❤!";
    let body = drawn(&server, json!({"prompt": paragraph, "style": "Round", "n": 2})).await;
    for image in body["data"].as_array().unwrap() {
        assert_eq!(image["revised_prompt"], "red heart happy eyes, round style");
    }
    let warning = "Unknown words have no effect: paint, me, a, it, has, made, of, b, steel.";
    assert_eq!(body["warnings"], json!([warning]));
    assert_eq!(body["usage"]["input_tokens"], 4);

    // The same words in the REST API give the same picture.
    let words = json!({"model": "words", "prompt": "red heart happy eyes", "style": "round", "seed": 7});
    let address = super::finished(&server, &words).await;
    let job = server.json(&address).await;
    let pixels = |file: &Value| {
        use base64::Engine as _;
        let file = base64::engine::general_purpose::STANDARD.decode(file.as_str().unwrap()).unwrap();
        image::load_from_memory(&file).unwrap()
    };
    assert_eq!(pixels(&body["data"][0]["b64_json"]), pixels(&job["images"][0]["png_base64"]));
    server.stop().await;
}

#[tokio::test]
async fn styles_of_drawings_are_honoured_and_those_of_openai_ignored_with_a_warning() {
    let server = server().await;
    // Without a style, each image has another one.
    let body = drawn(&server, json!({"prompt": "🐱", "n": 2, "style": "vivid"})).await;
    assert_eq!(body["warnings"], json!(["style vivid is ignored: the model's styles are flat, round."]));
    let mut told: Vec<&str> = body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| image["revised_prompt"].as_str().unwrap())
        .collect();
    told.sort_unstable();
    assert_eq!(told, ["cat face, flat style", "cat face, round style"]);
    let (status, body) = post(&server, json!({"prompt": "cat", "style": "oil"})).await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("style")), "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains("vivid, natural, flat, round"), "{body}");
    server.stop().await;
}

#[tokio::test]
async fn a_prompt_without_known_words_is_refused_with_similar_ones() {
    let server = server().await;
    let many = "cat ".repeat(10_000);
    for (prompt, told) in [
        ("a hart", "such as heart"),
        ("'; DROP TABLE words; --", "such as"),
        ("<script>alert(1)</script>", "such as"),
        ("\u{1b}[31m\u{0}\u{202e}", "such as red heart"),
        ("кошка", "such as red heart"),
        ("", "such as red heart"),
        (&many, "up to 32000 characters"),
    ] {
        let (status, body) = post(&server, json!({"prompt": prompt})).await;
        assert_eq!((status, &body["error"]["param"]), (400, &json!("prompt")), "{body}");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(told), "{message}");
        assert!(!message.contains('\u{1b}'), "{message:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_long_prompt_is_reduced_to_its_known_words() {
    let server = server().await;
    let prompt = format!("{} \u{7} a cat with happy eyes", "Once upon a time ".repeat(500));
    let body = drawn(&server, json!({"prompt": prompt, "style": "flat"})).await;
    assert_eq!(body["data"][0]["revised_prompt"], "cat with happy eyes, flat style");
    assert_eq!(body["warnings"], json!(["Unknown words have no effect: once, upon, a, time."]));
    // Many unknown words are counted.
    let prompt = (0..100).map(|number| format!("w{number} ")).collect::<String>() + "heart";
    let body = drawn(&server, json!({"prompt": prompt})).await;
    let warning = "Unknown words have no effect: w0, w1, w2, w3, w4, w5, w6, w7, w8, w9 and 90 more.";
    assert_eq!(body["warnings"], json!([warning]));
    server.stop().await;
}

#[tokio::test]
async fn a_completed_stream_says_what_was_drawn() {
    let server = server().await;
    let body = json!({"model": "words", "prompt": "heart", "style": "flat", "stream": true});
    let request = server.client.post(server.url("/v1/images/generations")).json(&body).send();
    let text = with_timeout(request).await.unwrap().text().await.unwrap();
    assert!(text.contains(r#""revised_prompt":"heart, flat style""#), "{text}");
    let (status, body) =
        post(&server, json!({"model": "fashion-mnist", "prompt": "a bag", "style": "flat"})).await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("style")), "{body}");
    server.stop().await;
}
