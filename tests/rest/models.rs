//! Two models behind one API: each with classes, sizes and limits of its own.

use rdpm::engine::{ModelLoading, Options};
use serde_json::{Value, json};

use super::common::{Fault, Server, fields, options, problem, with_timeout};
use super::{finished, picture};

async fn openai(server: &Server, body: &Value) -> reqwest::Response {
    with_timeout(server.client.post(server.url("/v1/images/generations")).json(body).send()).await.unwrap()
}

#[tokio::test]
async fn all_models_are_listed_with_their_limits() {
    let (server, _) = Server::with_two_models(options()).await;
    let models = server.json("/api/v1/models").await;
    let [toy, other] = &models["models"].as_array().unwrap()[..] else { panic!("{models}") };
    assert_eq!((&toy["name"], &other["name"]), (&json!("toy"), &json!("other")));
    assert_eq!(other["image"], json!({"size": 8, "channels": 3}));
    assert_eq!((&toy["precision"], &other["precision"]), (&json!("f32"), &json!("f32")));
    assert_eq!(
        (&other["steps"], &other["grid"], &other["codebook"]["size"]),
        (&json!(3), &json!(2), &json!(4))
    );
    assert_eq!(other["defaults"], json!({"guidance": 3.0, "temperature": 0.8}));
    let limits =
        |model: &Value| (model["limits"]["top_k_max"].clone(), model["limits"]["from_step_max"].clone());
    assert_eq!((limits(toy), limits(other)), ((json!(8), json!(4)), (json!(4), json!(2))));

    let classes = |body: Value| -> Vec<Value> {
        body["classes"].as_array().unwrap().iter().map(|class| class["name"].clone()).collect()
    };
    assert_eq!(classes(server.json("/api/v1/classes").await), ["Circle", "Square", "Ankle boot"]);
    let of_other = server.json("/api/v1/classes?model=other").await;
    assert_eq!(of_other["model"], "other");
    assert_eq!(classes(of_other), ["Sun", "Moon"]);
    let unknown = problem(server.get("/api/v1/classes?model=third").await, 422).await;
    assert_eq!(
        unknown["errors"],
        json!([{"field": "model", "value": "third", "allowed": "\"toy\", \"other\""}])
    );

    let list = server.json("/v1/models").await;
    let ids: Vec<&Value> = list["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(ids, ["toy", "other"]);
    assert_eq!(server.json("/v1/models/other").await, list["data"][1]);
}

#[tokio::test]
async fn a_request_names_its_model_or_means_the_default() {
    let (server, _) = Server::with_two_models(options()).await;
    let silent = server.generate(&json!({"class": "Square"})).await;
    assert_eq!((&silent["model"], &silent["class"]), (&json!("toy"), &json!("Square")));
    let body = json!({"class": "moon", "model": "other", "seed": 5, "count": 2});
    let own = finished(&server, &body).await;
    let job = server.json(&own).await;
    assert_eq!(
        (&job["model"], &job["class"], &job["class_index"]),
        (&json!("other"), &json!("Moon"), &json!(1))
    );
    assert_eq!((&job["guidance"], &job["temperature"]), (&json!(3.0), &json!(0.8)));
    let messages = server.messages(&format!("{own}/events"), None).await;
    let steps: Vec<&Value> =
        messages.iter().filter(|message| message.event == "step").map(|message| &message.data).collect();
    assert_eq!(steps.len(), 3);
    assert_eq!(steps[0]["steps"], 3);
    assert_eq!(steps[0]["images"][0]["tokens"].as_array().unwrap().len(), 2);

    // Files have its size and say which it was.
    let sheet = picture(server.get(&format!("{own}/sheet.png?scale=2")).await, "image/png").await;
    assert_eq!((sheet.width(), sheet.height()), (34, 16));
    let moving = server.get(&format!("{own}/animation.gif?which=tokens&index=0")).await;
    assert_eq!(picture(moving, "image/gif").await.width(), 8);
    let file = server.get(&format!("{own}/images/1.png")).await.bytes().await.unwrap();
    let parameters = rdpm::picture::read_provenance(std::io::Cursor::new(file)).unwrap();
    assert!(
        parameters
            .command("x.png")
            .unwrap()
            .starts_with("rdpm generate --model other --class Moon --seed 5 --first 1 ")
    );
}

#[tokio::test]
async fn limits_are_those_of_the_model_that_is_asked() {
    let (server, _) = Server::with_two_models(options()).await;
    for (body, field, allowed) in [
        (json!({"class": "Sun"}), "class", "Circle, Square, Ankle boot, or an index from 0 to 2"),
        (json!({"class": "Circle", "model": "other"}), "class", "Sun, Moon, or an index from 0 to 1"),
        (json!({"class": 2, "model": "other"}), "class", "Sun, Moon, or an index from 0 to 1"),
        (json!({"class": 0, "model": "other", "top_k": 5}), "top_k", "integers from 1 to 4"),
        (
            json!({"class": 0, "model": "other", "from_step": 3, "image": "UE5H"}),
            "from_step",
            "integers from 1 to 2",
        ),
    ] {
        let refused = problem(server.post(&body).await, 422).await;
        assert_eq!(
            (&refused["errors"][0]["field"], &refused["errors"][0]["allowed"]),
            (&json!(field), &json!(allowed))
        );
        assert_eq!(fields(&refused), [field], "{body}");
    }
    for body in [json!({"class": 2, "top_k": 8}), json!({"class": 1, "model": "other", "top_k": 4})] {
        server.generate(&body).await;
    }
}

#[tokio::test]
async fn an_unknown_model_is_named_with_those_that_are_there() {
    let (server, _) = Server::with_two_models(options()).await;
    let allowed = json!("\"toy\", \"other\"");
    for model in [json!("third"), json!(1), json!("Toy")] {
        let refused =
            problem(server.post(&json!({"class": "Sun", "top_k": 6, "model": model})).await, 422).await;
        // What depends on the model can't be judged; the rest is.
        assert_eq!(refused["errors"], json!([{"field": "model", "value": model, "allowed": allowed}]));
    }
    let refused = problem(server.post(&json!({"model": "third", "seed": -2, "sed": 1})).await, 422).await;
    let mut named = fields(&refused);
    named.sort_unstable();
    assert_eq!(named, ["class", "model", "sed", "seed"]);
    let body = json!({"image": "UE5H", "model": "third"});
    let request = server.client.post(server.url("/api/v1/tokenizations")).json(&body);
    assert_eq!(fields(&problem(with_timeout(request.send()).await.unwrap(), 422).await), ["model"]);
    let refused = openai(&server, &json!({"prompt": "sun", "model": "third"})).await;
    assert_eq!(refused.status(), 404);
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["error"]["code"], "model_not_found");
    assert!(refused["error"]["message"].as_str().unwrap().contains("\"toy\", \"other\""), "{refused}");
}

#[tokio::test]
async fn openais_clients_choose_by_model_too() {
    let (server, _) = Server::with_two_models(options()).await;
    let answer: Value = openai(&server, &json!({"prompt": "two moons", "model": "other", "size": "16x16"}))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!((&answer["size"], &answer["data"][0]["revised_prompt"]), (&json!("16x16"), &json!("Moon")));
    assert_eq!(answer["usage"]["output_tokens"], 12);
    for body in [
        json!({"prompt": "a moon"}),
        json!({"prompt": "a circle", "model": "other"}),
        json!({"prompt": "a moon", "model": "other", "size": "12x7"}),
    ] {
        assert_eq!(openai(&server, &body).await.status(), 400, "{body}");
    }
    let stream =
        openai(&server, &json!({"prompt": "sun", "model": "other", "stream": true, "partial_images": 2}))
            .await;
    let text = with_timeout(stream.text()).await.unwrap();
    assert_eq!(text.matches("event: image_generation.partial_image").count(), 2, "{text}");
    assert!(text.contains("\"size\":\"8x8\""));
}

#[tokio::test]
async fn a_tokenization_is_the_chosen_models() {
    let (server, _) = Server::with_two_models(options()).await;
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(20, 10).write_to(&mut png, image::ImageFormat::Png).unwrap();
    use base64::Engine as _;
    let image = base64::engine::general_purpose::STANDARD.encode(png.into_inner());
    for (model, steps, grid) in [("toy", 5, 3), ("other", 3, 2)] {
        let request = server.client.post(server.url("/api/v1/tokenizations"));
        let answer =
            with_timeout(request.json(&json!({"image": image, "model": model})).send()).await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let shape = |answer: &Value| {
            (
                answer["steps"].as_array().unwrap().len(),
                answer["steps"][0]["tokens"].as_array().unwrap().len(),
            )
        };
        assert_eq!((&answer["model"], shape(&answer)), (&json!(model), (steps, grid)));
    }
}

#[tokio::test]
async fn a_model_out_of_order_is_told_from_the_others() {
    let (server, [toy, _]) = Server::with_two_models(Options { max_failures: 1, ..options() }).await;
    toy.fail_loads(std::iter::repeat_n(Some(Fault::Error), 100_000));
    toy.fail_steps([Some(Fault::Error)]);
    // Who waits for the job that showed it is told the same as who comes later.
    let waiting = server.client.post(server.url("/api/v1/generations?wait=true")).json(&json!({"class": 0}));
    let failed = with_timeout(waiting.send()).await.unwrap();
    assert!(failed.headers().contains_key("retry-after"));
    assert_eq!(problem(failed, 503).await["type"], "urn:rdpm:problem:not-ready");
    let refused = server.post(&json!({"class": 0})).await;
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(problem(refused, 503).await["type"], "urn:rdpm:problem:not-ready");
    finished(&server, &json!({"class": 0, "model": "other"})).await;
    let ready = json!({"status": "ready", "models": [{"name": "toy", "ready": false}, {"name": "other", "ready": true}]});
    assert_eq!(server.json("/health/ready").await, ready);
    let metrics = async || server.get("/metrics").await.text().await.unwrap();
    // An end is told before it is counted.
    with_timeout(async {
        while !metrics().await.contains("\nrdpm_ended_jobs 2\n") {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    let metrics = metrics().await;
    for line in [
        "rdpm_model_loaded{device=\"toy\",model=\"toy\"} 0",
        "rdpm_model_loaded{device=\"toy\",model=\"other\"} 1",
        "rdpm_model_precision{model=\"toy\",precision=\"f32\",passes=\"2\"} 1",
        "rdpm_jobs_total{model=\"other\",status=\"completed\"} 1",
        "rdpm_jobs_total{model=\"toy\",status=\"failed\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn a_lazy_model_that_cannot_be_loaded_fails_the_request_for_it() {
    let (server, [_, other]) =
        Server::with_two_models(Options { loading: ModelLoading::Lazy, ..options() }).await;
    other.fail_loads([Some(Fault::Error)]);
    let own = finished(&server, &json!({"class": 0, "model": "other"})).await;
    let job = server.json(&own).await;
    assert_eq!(job["status"], "failed");
    assert!(job["detail"].as_str().is_some_and(|detail| detail.contains("load the model")), "{job}");
    let well = finished(&server, &json!({"class": 0})).await;
    assert_eq!(server.json(&well).await["status"], "completed");
}

#[tokio::test]
async fn the_description_allows_what_any_of_the_models_does() {
    let (server, _) = Server::with_two_models(options()).await;
    let document = server.json("/openapi.json").await;
    let fields = &document["components"]["schemas"]["GenerationRequest"]["properties"];
    assert_eq!(fields["model"]["enum"], json!(["toy", "other", null]));
    assert_eq!(fields["class"]["oneOf"][0]["enum"], json!(["Circle", "Square", "Ankle boot", "Sun", "Moon"]));
    assert_eq!((&fields["top_k"]["maximum"], &fields["from_step"]["maximum"]), (&json!(8), &json!(4)));
    assert!(fields["guidance"].get("default").is_none());
    let query = &document["paths"]["/api/v1/classes"]["get"]["parameters"][0]["schema"];
    assert_eq!(query["enum"], json!(["toy", "other"]));
    let size = &document["components"]["schemas"]["OpenAiImageRequest"]["properties"]["size"];
    let side = "([89]|[1-9][0-9]{1,2}|1[0-9]{3}|20[0-3][0-9]|204[0-8])";
    assert_eq!(size["pattern"], format!("^(auto|{side}[xX]{side})$"));
}
