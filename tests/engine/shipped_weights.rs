//! The engine with the shipped weights and real threads: what else is being drawn changes nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use candle_core::Device;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdpm::engine::{Engine, Event, Folders, JobId, ModelInfo, Options, Request, Status};
use rdpm::model::{Model, ModelError, Sampler, SamplingSettings};

use super::common::events;
use super::{end_of, tokens};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/fashion-mnist")
}

fn load() -> Result<Model, ModelError> {
    Model::load(&folder(), &Device::Cpu)
}

/// The shipped weights on so many workers.
fn start(max_batch: usize, workers: usize) -> Engine {
    let loader = Folders::new([("fashion-mnist".into(), folder())], "cpu");
    let models = vec![ModelInfo::read(&folder()).unwrap()];
    let options = Options { max_batch, ..Options::default() };
    Engine::start(options, models, vec![loader; workers]).unwrap()
}

/// The tokens of a request's images, each drawn alone.
fn alone(model: &Model, request: &Request) -> Vec<Vec<Vec<u32>>> {
    let draw = |index| {
        let steps = Sampler::new(model, request.settings(), request.seed(), index..index + 1);
        steps.map(|step| step.unwrap().swap_remove(0).tokens).collect()
    };
    (0..request.count()).map(draw).collect()
}

/// A request with settings that take one pass, two passes, few codes, or the most probable one only.
fn any_request(model: &Model, random: &mut impl Rng) -> Request {
    let config = model.config();
    let settings = SamplingSettings::new(config, random.random_range(0..config.classes.len())).unwrap();
    let settings = settings.with_guidance([0.0, 1.0, 2.0, 3.5][random.random_range(0..4)]).unwrap();
    let settings = settings.with_temperature([0.0, 0.9, 1.1][random.random_range(0..3)]).unwrap();
    let settings = match random.random_range(0..3) {
        0 => settings.with_top_k(config, random.random_range(1..=256)).unwrap(),
        1 => settings.with_top_p(random.random_range(0.1..1.0)).unwrap(),
        _ => settings,
    };
    let request = Request::new(settings, random.random_range(0..1_000_000)).unwrap();
    request.with_count(random.random_range(1..=3)).unwrap().with_previews(random.random())
}

/// Submits requests at random moments, cancels one of them on the way, and compares every token with the sampler's.
async fn random_arrivals(engine: &Engine, model: &Model, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut jobs: Vec<(JobId, Request)> = Vec::new();
    for number in 0..7 {
        let request = any_request(model, &mut random);
        jobs.push((engine.submit(request.clone()).unwrap(), request));
        tokio::time::sleep(Duration::from_millis(random.random_range(0..80))).await;
        if number == 4 {
            engine.cancel(jobs[random.random_range(0..=number)].0).unwrap();
        }
    }
    let mut completed = 0;
    for (id, request) in jobs {
        let end = end_of(engine, id).await;
        completed += usize::from(end == Status::Completed);
        let events = events(engine, id).await;
        for (index, expected) in alone(model, &request).iter().enumerate() {
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
async fn images_that_join_and_leave_change_no_token_of_the_others() {
    let model = load().unwrap();
    let engine = start(4, 1);
    for seed in 0..3 {
        random_arrivals(&engine, &model, seed).await;
    }
}

#[tokio::test]
async fn which_worker_draws_an_image_changes_no_token() {
    let model = load().unwrap();
    let engine = start(2, 2);
    random_arrivals(&engine, &model, 100).await;
}

#[tokio::test]
async fn images_are_tokenized_and_varied_between_the_steps_of_other_jobs() {
    let model = load().unwrap();
    let engine = start(4, 1);
    let settings = SamplingSettings::new(model.config(), 8).unwrap();
    let other = Request::new(settings.clone(), 5).unwrap().with_count(3).unwrap();
    let job = engine.submit(other.clone()).unwrap();
    let image = model.images(&[&model.start(&settings, 1, 0)]).unwrap().swap_remove(0);

    let tokenized = engine.tokenize("fashion-mnist", image.clone(), 6).await.unwrap();
    let expected = model.tokenize(&image, 6).unwrap();
    assert!(tokenized.steps.iter().map(|step| &step.tokens).eq(&expected.tokens));
    for (step, preview) in tokenized.steps.iter().zip(&expected.previews) {
        assert_eq!(image::load_from_memory(&step.preview.clean).unwrap(), preview.clean);
        assert_eq!(image::load_from_memory(&step.preview.noisy).unwrap(), preview.noisy);
    }
    assert_eq!(image::load_from_memory(&tokenized.input).unwrap(), image);

    let varied = Request::new(settings.clone(), 6).unwrap().with_source(model.config(), &image, 7).unwrap();
    let varied = engine.submit(varied.with_count(2).unwrap().with_alternatives(true)).unwrap();
    assert_eq!(end_of(&engine, varied).await, Status::Completed);
    let events = events(&engine, varied).await;
    for index in 0..2 {
        let mut drawing = model.start_from_image(&settings, 6, index, &image, 7).unwrap();
        let drawn: Vec<Vec<u32>> =
            (7..10).map(|_| model.step(&mut [&mut drawing]).unwrap().swap_remove(0).tokens).collect();
        assert_eq!(tokens(&events, index), drawn);
    }
    let noted = |event: &Event| match event {
        Event::Step(progress) => progress.images.iter().all(|image| image.alternatives.is_some()),
        _ => true,
    };
    assert!(events.iter().all(|(_, event)| noted(event)));

    assert_eq!(end_of(&engine, job).await, Status::Completed);
    let events = super::common::events(&engine, job).await;
    for (index, expected) in alone(&model, &other).iter().enumerate() {
        assert_eq!(&tokens(&events, index as u32), expected);
    }
}
