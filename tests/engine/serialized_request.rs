//! A request that is written is the same when it is read.

use std::path::Path;

use rdpm::engine::{
    Engine, FolderLoader, InvalidRequest, ModelHandle, ModelLoading, Options, Origin, Request,
    SerializedRequest,
};
use rdpm::model::{Given, ImageSeed, Interpolation, InterpolationEnd, ModelInfo, SamplingSettings};
use rdpm::request::GenerationRequest;
use serde_json::{Value, json};

fn engine() -> Engine {
    let folders = ["eighth", "words"]
        .map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name));
    let infos: Vec<ModelInfo> = folders.iter().map(|folder| ModelInfo::read(folder).unwrap()).collect();
    let names = infos.iter().map(|info| info.config.name.clone()).zip(folders);
    let loader = FolderLoader::new(names, "cpu");
    let options = Options { loading: ModelLoading::Lazy, ..Options::default() };
    Engine::start(options, infos, vec![loader]).unwrap()
}

/// The request of these REST fields.
fn read(models: &[ModelHandle], fields: Value) -> Request {
    let Value::Object(fields) = fields else { panic!("{fields} is no object") };
    GenerationRequest::read(models, |_| None, fields).unwrap().job
}

fn written(request: &Request) -> String {
    serde_json::to_string(&SerializedRequest::new(request).unwrap()).unwrap()
}

fn read_again(text: &str, models: &[ModelHandle]) -> Result<Request, InvalidRequest> {
    serde_json::from_str::<SerializedRequest>(text).unwrap().read(models)
}

#[test]
fn request_is_read_as_it_was_written() {
    let engine = engine();
    let models = engine.models();
    let (model, words) = (&models[0], &models[1]);
    let base = || read(models, json!({"class": "one", "count": 3}));
    let image = image::open("tests/fixtures/images/exif-rotated.jpg").unwrap();
    let config = &model.config;
    let grid = |code: u32| vec![code; config.positions()];
    let free: Vec<bool> = (0..config.positions()).map(|position| position == 2).collect();
    let grids: Vec<Vec<u32>> = (0..config.steps() as u32).map(|t| grid(t % 3)).collect();
    let end = |class, grids: &[Vec<u32>]| InterpolationEnd {
        settings: SamplingSettings::new(config, class).unwrap(),
        noise: ImageSeed::new(class as u64, 4),
        grids: grids.to_vec(),
    };
    let (step, latent) = (Interpolation::Step(2), Interpolation::Latent);
    let between = base().with_interpolation([end(0, &grids[..2]), end(1, &grids)], step).unwrap();
    let requests = [
        base(),
        read(
            models,
            json!({"class": 1, "seed": 5, "index": 9, "count": 16, "guidance": 3.5, "guidance_steps": "2-6",
                   "temperature": 0.5, "top_k": 3, "top_p": 0.9, "alternatives": true,
                   "cancel_on_disconnect": true}),
        )
        .with_previews(false),
        read(
            models,
            json!({"model": words.name(), "prompt": words.config.vocabulary.words()[0],
                   "style": words.config.styles.first()}),
        ),
        base().with_init_image(&image, 4).unwrap(),
        base().with_edit(&image, 0, free.clone()).unwrap(),
        base().with_given(Given::kept(config, &grids, 3, Some(&free)).unwrap(), ImageSeed::new(7, 1)),
        base().with_given(
            Given::kept(config, &grids, config.steps(), None).unwrap().shown(),
            ImageSeed::new(7, 1),
        ),
        base().with_interpolation([end(0, &[]), end(1, &[])], Interpolation::Step(0)).unwrap(),
        base().with_interpolation([end(0, &grids), end(1, &grids)], latent).unwrap(),
        // As a worker gets them.
        base().part(2),
        between.part(0),
        between.part(2),
        between,
    ];
    for request in requests {
        let text = written(&request);
        assert_eq!(read_again(&text, models).unwrap(), request, "{text}");
    }
}

#[test]
fn part_of_an_interpolation_is_the_image_of_the_whole() {
    let engine = engine();
    let models = engine.models();
    let config = &models[0].config;
    let end = |class| InterpolationEnd {
        settings: SamplingSettings::new(config, class).unwrap(),
        noise: ImageSeed::new(7, class as u32),
        grids: Vec::new(),
    };
    let request = read(models, json!({"class": "one", "count": 5}));
    let request = request.with_interpolation([end(0), end(1)], Interpolation::Step(0)).unwrap();
    for (index, weight) in (0..).zip([0.0, 0.25, 0.5, 0.75, 1.0]) {
        let part = read_again(&written(&request.part(index)), models).unwrap();
        let Origin::Between(between) = part.origin() else { panic!("{part:?}") };
        assert_eq!((part.count(), between.weight(0)), (1, weight));
        assert_eq!(part.noise(0), request.noise(index));
        assert_eq!(part.noise(0).index, u32::from(weight >= 0.5));
        assert_eq!(part.settings_of(0), request.settings_of(index));
        assert_eq!(part.draws(0), request.draws(index));
    }
    let frames = |count: u64| {
        let request = read(models, json!({"class": "one", "count": count}));
        request.with_interpolation([end(0), end(1)], Interpolation::Step(0))
    };
    assert!(frames(1).is_err() && frames(2).is_ok());
    let request = read(models, json!({"class": "one", "count": 2}));
    assert!(request.clone().with_interpolation([end(0), end(1)], Interpolation::Step(1)).is_err());
    assert!(request.with_interpolation([end(0), end(1)], Interpolation::Latent).is_err());
}

#[test]
fn request_that_the_models_do_not_allow_is_an_error() {
    let engine = engine();
    let models = engine.models();
    let text = written(&read(models, json!({"class": 1})));
    assert!(matches!(read_again(&text, &models[1..]), Err(InvalidRequest::Model(_))));
    let error = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&text).unwrap();
        change(&mut value);
        read_again(&value.to_string(), models).unwrap_err()
    };
    assert!(matches!(error(&|value| value["class"] = 1000.into()), InvalidRequest::Setting(_)));
    assert!(matches!(error(&|value| value["count"] = 17.into()), InvalidRequest::Setting(_)));
    let image = json!({"image": {"png": "AAAA", "from_step": 2}});
    assert!(matches!(error(&|value| value["origin"] = image.clone()), InvalidRequest::Image));
    let codes = vec![vec![Some(9999); models[0].config.positions()]; models[0].config.steps()];
    let tokens = json!({"tokens": {"codes": codes, "is_shown": false, "noise": [1, 0]}});
    assert!(matches!(error(&|value| value["origin"] = tokens.clone()), InvalidRequest::Setting(_)));
}
