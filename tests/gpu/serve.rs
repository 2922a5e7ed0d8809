//! A server that draws on a GPU, over real HTTP.

use candle_core::Device;
use rdpm::model::{Model, Sampler, SamplingSettings};
use serde_json::{Value, json};

use super::program::{Program, rdpm};
use super::{device, folder};

#[tokio::test]
async fn a_server_draws_on_the_gpu() {
    let (name, weights) = (device().name(), folder("tests/fixtures/words"));
    let mut command = rdpm();
    command.args(["serve", "--port", "0", "--device", "gpu", "--max-batch", "4", "--weights"]).arg(&weights);
    let (_server, address) = Program::start(&mut command, "http://");
    let url = format!("http://{address}");
    let client = reqwest::Client::new();
    let body = json!({"class": "Heart", "seed": 5, "count": 3, "top_k": 9, "guidance": 2.5});
    let sent = client.post(format!("{url}/api/v1/generations")).json(&body).send().await.unwrap();
    assert_eq!(sent.status(), 202);
    let job: Value = sent.json().await.unwrap();
    let link = |name: &str| format!("{url}{}", job["links"][name].as_str().unwrap());
    // The stream ends with the job.
    let events = client.get(link("events")).send().await.unwrap().text().await.unwrap();
    assert!(events.contains("event: completed"), "{events}");

    let model = Model::load(&weights, &Device::Cpu).unwrap();
    let settings = SamplingSettings::new(model.config(), 1).unwrap();
    let settings = settings.with_guidance(2.5).unwrap().with_top_k(model.config(), 9).unwrap();
    let mut different = 0;
    for step in Sampler::new(&model, &settings, 5, 0..3) {
        for (index, expected) in step.unwrap().into_iter().enumerate() {
            let found = tokens(&events, expected.step, index);
            assert_eq!(found.len(), expected.tokens.len());
            different += found.iter().zip(&expected.tokens).filter(|(a, b)| a != b).count();
        }
    }
    assert!(different <= 16, "{different} of 480");

    let metrics = client.get(format!("{url}/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains(&format!("device=\"{name}\"")), "{metrics}");
}

/// The codes of an image's step in a stream of events.
fn tokens(events: &str, t: usize, index: usize) -> Vec<u32> {
    let data = events.lines().filter_map(|line| line.strip_prefix("data: "));
    let steps =
        data.map(|data| serde_json::from_str::<Value>(data).unwrap()).filter(|data| data["step"] == t);
    let images: Vec<Value> =
        steps.flat_map(|step| step["images"].as_array().cloned().unwrap_or_default()).collect();
    let image = images.iter().find(|image| image["index"] == index).unwrap();
    let rows = image["tokens"].as_array().unwrap().iter();
    rows.flat_map(|row| row.as_array().unwrap()).map(|code| code.as_u64().unwrap() as u32).collect()
}
