//! The engine with the shipped weights: the other images in a batch don't change an image's tokens.

use std::path::{Path, PathBuf};
use std::time::Duration;

use candle_core::Device;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdpm::engine::{Engine, Event, FolderLoader, JobId, ModelInfo, Options, Request, Status};
use rdpm::model::{Model, ModelError, Sampler, SamplingSettings};

use super::common::events;
use super::{final_status, tokens};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/fashion-mnist")
}

fn load() -> Result<Model, ModelError> {
    Model::load(&folder(), &Device::Cpu)
}

/// An engine with the shipped weights on this number of workers.
fn start(max_batch: usize, workers: usize) -> Engine {
    let loader = FolderLoader::new([("fashion-mnist".into(), folder())], "cpu");
    let models = vec![ModelInfo::read(&folder()).unwrap()];
    let options = Options { max_batch, ..Options::default() };
    Engine::start(options, models, vec![loader; workers]).unwrap()
}

/// The tokens of a request's images, each sampled alone.
fn sample_alone(model: &Model, request: &Request) -> Vec<Vec<Vec<u32>>> {
    let draw = |index| {
        let steps = Sampler::new(model, request.settings(), request.seed(), index..index + 1);
        steps.map(|step| step.unwrap().swap_remove(0).tokens).collect()
    };
    (0..request.count()).map(draw).collect()
}

/// A request with random settings: with and without guidance, few codes, or the most probable one only.
fn random_request(engine: &Engine, random: &mut impl Rng) -> Request {
    let model = engine.default_model();
    let config = &model.config;
    let settings = SamplingSettings::new(config, random.random_range(0..config.classes.len())).unwrap();
    let settings = settings.with_guidance([0.0, 1.0, 2.0, 3.5][random.random_range(0..4)]).unwrap();
    let settings = settings.with_temperature([0.0, 0.9, 1.1][random.random_range(0..3)]).unwrap();
    let settings = match random.random_range(0..3) {
        0 => settings.with_top_k(config, random.random_range(1..=256)).unwrap(),
        1 => settings.with_top_p(random.random_range(0.1..1.0)).unwrap(),
        _ => settings,
    };
    let request = Request::new(model, settings, random.random_range(0..1_000_000)).unwrap();
    request.with_count(random.random_range(1..=3)).unwrap().with_previews(random.random())
}

/// Submits requests at random times, cancels one of them, and compares all tokens with those of the sampler.
async fn random_arrivals(engine: &Engine, model: &Model, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut jobs: Vec<(JobId, Request)> = Vec::new();
    for number in 0..7 {
        let request = random_request(engine, &mut random);
        jobs.push((engine.submit(request.clone()).unwrap(), request));
        tokio::time::sleep(Duration::from_millis(random.random_range(0..80))).await;
        if number == 4 {
            engine.cancel(jobs[random.random_range(0..=number)].0).unwrap();
        }
    }
    let mut completed = 0;
    for (id, request) in jobs {
        let end = final_status(engine, id).await;
        completed += usize::from(end == Status::Completed);
        let events = events(engine, id).await;
        for (index, expected) in sample_alone(model, &request).iter().enumerate() {
            let drawn = tokens(&events, index as u32);
            if end == Status::Completed {
                assert_eq!(&drawn, expected, "seed {seed}, image {index} of {request:?}");
            } else {
                assert_eq!(drawn[..], expected[..drawn.len()], "seed {seed}, image {index} of {request:?}");
            }
        }
    }
    assert!(completed >= 6, "{completed} jobs completed");
}

#[tokio::test]
async fn images_that_join_and_leave_do_not_change_tokens_of_others() {
    let model = load().unwrap();
    let engine = start(4, 1);
    for seed in 0..3 {
        random_arrivals(&engine, &model, seed).await;
    }
}

#[tokio::test]
async fn tokens_do_not_depend_on_the_worker() {
    let model = load().unwrap();
    let engine = start(2, 2);
    random_arrivals(&engine, &model, 100).await;
}

#[tokio::test]
async fn tokenizing_and_init_images_match_the_model_beside_another_job() {
    let model = load().unwrap();
    let engine = start(4, 1);
    let settings = SamplingSettings::new(model.config(), 8).unwrap();
    let other = Request::new(engine.default_model(), settings.clone(), 5).unwrap().with_count(3).unwrap();
    let job = engine.submit(other.clone()).unwrap();
    let image = model.images(&[&model.start(&settings, 1, 0)]).unwrap().swap_remove(0);

    let tokenized = engine.tokenize(engine.model("fashion-mnist").unwrap(), image.clone(), 6).await.unwrap();
    let expected = model.tokenize(&image, 6).unwrap();
    assert!(tokenized.steps.iter().map(|step| &step.tokens).eq(&expected.tokens));
    for (step, preview) in tokenized.steps.iter().zip(&expected.previews) {
        assert_eq!(image::load_from_memory(&step.preview.clean).unwrap(), preview.clean);
        assert_eq!(image::load_from_memory(&step.preview.noisy).unwrap(), preview.noisy);
    }
    assert_eq!(image::load_from_memory(&tokenized.input).unwrap(), image);

    let varied = Request::new(engine.default_model(), settings.clone(), 6).unwrap();
    let varied = varied.with_init_image(&image, 7).unwrap();
    let varied = engine.submit(varied.with_count(2).unwrap().with_alternatives(true)).unwrap();
    assert_eq!(final_status(&engine, varied).await, Status::Completed);
    let events = events(&engine, varied).await;
    for index in 0..2 {
        let mut state = model.start_from_image(&settings, 6, index, &image, 7).unwrap();
        let drawn: Vec<Vec<u32>> =
            (7..10).map(|_| model.step(&mut [&mut state]).unwrap().swap_remove(0).tokens).collect();
        assert_eq!(tokens(&events, index), drawn);
    }
    let has_alternatives = |event: &Event| match event {
        Event::Step(progress) => progress.images.iter().all(|image| image.alternatives.is_some()),
        _ => true,
    };
    assert!(events.iter().all(|(_, event)| has_alternatives(event)));

    assert_eq!(final_status(&engine, job).await, Status::Completed);
    let events = super::common::events(&engine, job).await;
    for (index, expected) in sample_alone(&model, &other).iter().enumerate() {
        assert_eq!(&tokens(&events, index as u32), expected);
    }
}
