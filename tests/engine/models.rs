//! Several models in one engine: they share the slots of a batch and nothing else.

use std::sync::Arc;

use rdpm::engine::{Engine, JobId, ModelLoading, Options, StartError, Status, SubmitError, TokenizeError};
use rdpm::model::Config;

use super::common::{
    Fault, STEPS, Script, config, engine_with, events, options, other_config, request, request_for,
    two_model_engine, with_timeout,
};
use super::{final_status, tokens, wait_until};

/// T of [`other_config`].
const OTHER_STEPS: usize = 3;

#[tokio::test]
async fn each_model_steps_its_own_batch_in_every_round() {
    let (engine, [toy, other]) = two_model_engine(options());
    let names: Vec<&str> = engine.models().iter().map(|info| info.config.name.as_str()).collect();
    assert_eq!((names, engine.default_model().config.name.as_str()), (vec!["toy", "other"], "toy"));
    toy.pause();
    other.pause();
    let first = engine.submit(request(&engine, 1, 2)).unwrap();
    let second = engine.submit(request_for(&engine, "other", 2, 3)).unwrap();
    // Neither waits for the other's end. The second may have joined before or after the first one's first step.
    toy.permit_steps(2);
    other.permit_steps(1);
    wait_until(|| !toy.batches().is_empty() && !other.batches().is_empty()).await;
    assert_eq!([first, second].map(|id| engine.get(id).unwrap().status), [Status::Running; 2]);
    toy.resume();
    other.resume();
    for (id, script, seed, count, steps, size) in
        [(first, &toy, 1, 2, STEPS, 12), (second, &other, 2, 3, OTHER_STEPS, 8)]
    {
        assert_eq!(final_status(&engine, id).await, Status::Completed);
        let batches = script.batches();
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), vec![count; steps]);
        assert!(batches.iter().flatten().all(|image| image.0 == seed));
        let job = engine.get(id).unwrap();
        assert_eq!(image::load_from_memory(&job.images[0].png).unwrap().width(), size);
    }
    let positions = tokens(&events(&engine, second).await, 0);
    assert_eq!(positions.iter().map(Vec::len).collect::<Vec<_>>(), [4; OTHER_STEPS]);
}

#[tokio::test]
async fn models_share_the_slots_of_a_batch() {
    let (engine, [toy, other]) = two_model_engine(Options { max_batch: 4, ..options() });
    toy.pause();
    other.pause();
    let jobs: Vec<JobId> = (1..4).map(|seed| engine.submit(request(&engine, seed, 3)).unwrap()).collect();
    let other_job = engine.submit(request_for(&engine, "other", 9, 3)).unwrap();
    toy.resume();
    other.resume();
    for id in jobs.into_iter().chain([other_job]) {
        assert_eq!(final_status(&engine, id).await, Status::Completed);
    }
    let largest = |script: &Script| script.batches().iter().map(Vec::len).max().unwrap();
    assert!(largest(&toy) <= 4 && largest(&other) < 4, "{:?}", other.batches());
}

#[tokio::test]
async fn a_model_does_not_wait_behind_another_with_many_jobs() {
    let (engine, [toy, other]) = two_model_engine(Options { max_batch: 2, ..options() });
    toy.pause();
    let blocker = engine.submit(request(&engine, 1, 2)).unwrap();
    toy.run_steps(1);
    let many: Vec<JobId> = (2..8).map(|seed| engine.submit(request(&engine, seed, 1)).unwrap()).collect();
    let one = engine.submit(request_for(&engine, "other", 9, 1)).unwrap();
    let position = |id: JobId| engine.get(id).unwrap().queue_position.unwrap().position;
    assert_eq!((position(one), position(many[0]), position(many[5])), (1, 2, 7));
    toy.resume();
    for &id in many.iter().chain([&blocker, &one]) {
        assert_eq!(final_status(&engine, id).await, Status::Completed);
    }
    let begun = |id: JobId| engine.get(id).unwrap().started.unwrap();
    assert!(begun(one) <= begun(many[1]), "the other model's job began after two of those before it");
    assert_eq!(other.batches().len(), OTHER_STEPS);
}

#[tokio::test]
async fn a_fault_of_one_model_does_not_affect_the_other() {
    for fault in [Fault::Error, Fault::Panic, Fault::TooFewResults] {
        let (engine, [toy, other]) = two_model_engine(options());
        toy.pause();
        other.pause();
        toy.fail_steps([None, Some(fault)]);
        let failed = engine.submit(request(&engine, 1, 2)).unwrap();
        let completed = engine.submit(request_for(&engine, "other", 2, 2)).unwrap();
        toy.resume();
        other.resume();
        assert_eq!(final_status(&engine, failed).await, Status::Failed);
        assert_eq!(final_status(&engine, completed).await, Status::Completed);
        // No step of it was lost or repeated.
        assert_eq!(other.batches().len(), OTHER_STEPS);
        let after = engine.submit(request(&engine, 3, 1)).unwrap();
        assert_eq!(final_status(&engine, after).await, Status::Completed);
        assert_eq!((toy.load_attempts(), other.load_attempts()), (2, 1));
    }
}

#[tokio::test]
async fn an_unavailable_model_does_not_affect_the_other() {
    let (engine, [toy, other]) = two_model_engine(Options { max_failures: 1, ..options() });
    toy.fail_loads(std::iter::repeat_n(Some(Fault::Error), 100_000));
    toy.fail_steps([Some(Fault::Panic)]);
    other.pause();
    let failed = engine.submit(request(&engine, 1, 1)).unwrap();
    let completed = engine.submit(request_for(&engine, "other", 1, 1)).unwrap();
    other.run_steps(1);
    assert_eq!(final_status(&engine, failed).await, Status::Failed);
    wait_until(|| {
        matches!(engine.model_ready(engine.model("toy").unwrap()), Err(SubmitError::NotReady { .. }))
    })
    .await;
    assert!(matches!(engine.submit(request(&engine, 3, 1)), Err(SubmitError::NotReady { .. })));
    let image = image::DynamicImage::new_rgb8(9, 9);
    let refused = with_timeout(engine.tokenize(engine.model("toy").unwrap(), image.clone(), 1)).await;
    assert!(matches!(refused, Err(TokenizeError::Refused(SubmitError::NotReady { .. }))), "{refused:?}");

    engine.model_ready(engine.model("other").unwrap()).unwrap();
    engine.ready().unwrap();
    other.resume();
    assert_eq!(final_status(&engine, completed).await, Status::Completed);
    with_timeout(engine.tokenize(engine.model("other").unwrap(), image, 1)).await.unwrap();
    // The loads are retried meanwhile.
    let attempts = toy.load_attempts();
    wait_until(|| toy.load_attempts() > attempts).await;
    let after = engine.submit(request_for(&engine, "other", 2, 4)).unwrap();
    assert_eq!(final_status(&engine, after).await, Status::Completed);
    assert_eq!(other.load_attempts(), 1);
}

#[tokio::test]
async fn running_out_of_memory_halves_the_batch_of_that_model_only() {
    let (engine, [toy, other]) = two_model_engine(options());
    toy.pause();
    other.pause();
    other.fail_steps([Some(Fault::OutOfMemory)]);
    let (first, second) = (
        engine.submit(request(&engine, 1, 4)).unwrap(),
        engine.submit(request_for(&engine, "other", 2, 4)).unwrap(),
    );
    toy.resume();
    other.resume();
    for id in [first, second] {
        assert_eq!(final_status(&engine, id).await, Status::Completed);
    }
    let sizes = |script: &Script| script.batches().iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(sizes(&toy), [4; STEPS]);
    assert_eq!(sizes(&other), [4, 2, 2, 2, 2, 2, 2]);
}

#[tokio::test]
async fn lazy_models_are_loaded_with_their_first_job_and_stay_loaded() {
    let (engine, [toy, other]) = two_model_engine(Options { loading: ModelLoading::Lazy, ..options() });
    assert_eq!((toy.load_attempts(), other.load_attempts()), (0, 0));
    engine.ready().unwrap();
    for seed in 1..3 {
        let id = engine.submit(request_for(&engine, "other", seed, 2)).unwrap();
        assert_eq!(final_status(&engine, id).await, Status::Completed);
        assert_eq!((toy.load_attempts(), other.load_attempts()), (0, 1));
    }
    with_timeout(engine.tokenize(engine.model("toy").unwrap(), image::DynamicImage::new_rgb8(9, 9), 1))
        .await
        .unwrap();
    assert_eq!((toy.load_attempts(), other.load_attempts()), (1, 1));
}

#[tokio::test]
async fn a_lazy_model_that_cannot_be_loaded_fails_its_job_only() {
    for fault in [Fault::Error, Fault::Panic] {
        let (engine, [toy, other]) = two_model_engine(Options { loading: ModelLoading::Lazy, ..options() });
        toy.pause();
        let completed = engine.submit(request(&engine, 1, 1)).unwrap();
        other.fail_loads([Some(fault)]);
        let failed = engine.submit(request_for(&engine, "other", 2, 2)).unwrap();
        toy.resume();
        assert_eq!(final_status(&engine, failed).await, Status::Failed);
        let detail = engine.get(failed).unwrap().detail.unwrap();
        assert!(detail.contains("could not load the model") && !detail.contains("secret"), "{detail}");
        assert_eq!(final_status(&engine, completed).await, Status::Completed);
        // The next job tries to load it again.
        let after = engine.submit(request_for(&engine, "other", 3, 1)).unwrap();
        assert_eq!(final_status(&engine, after).await, Status::Completed);
        assert_eq!(other.load_attempts(), 2);
    }
    let (engine, [_, other]) = two_model_engine(Options { loading: ModelLoading::Lazy, ..options() });
    other.fail_loads([Some(Fault::Error)]);
    let image = image::DynamicImage::new_rgb8(9, 9);
    assert_eq!(
        with_timeout(engine.tokenize(engine.model("other").unwrap(), image.clone(), 1)).await,
        Err(TokenizeError::Failed)
    );
    with_timeout(engine.tokenize(engine.model("other").unwrap(), image, 1)).await.unwrap();
}

#[test]
fn a_model_that_cannot_be_loaded_at_the_start_is_not_served() {
    let start = |bad: &[usize]| {
        let models: Vec<(Config, Arc<Script>)> =
            [config(), other_config()].into_iter().map(|config| (config, Arc::default())).collect();
        for &at in bad {
            models[at].1.fail_loads([Some(Fault::Error)]);
        }
        engine_with(options(), models)
    };
    let engine = start(&[0]).unwrap();
    assert_eq!(engine.default_model().config.name, "other");
    assert_eq!(engine.models().len(), 1);
    let [(name, StartError::Model(_))] = engine.unusable_models() else {
        panic!("{:?}", engine.unusable_models())
    };
    assert_eq!(name, "toy");
    // A request for a model of another engine.
    let both = start(&[]).unwrap();
    assert!(engine.model("toy").is_none());
    assert_eq!(engine.submit(request(&both, 1, 1)), Err(SubmitError::UnknownModel));
    assert_eq!(engine.submit(request_for(&both, "other", 1, 1)), Err(SubmitError::UnknownModel));
    assert_eq!(engine.model_ready(both.default_model()), Err(SubmitError::UnknownModel));
    assert!(matches!(start(&[0, 1]), Err(StartError::Model(_))));
    assert_eq!(both.unusable_models().len(), 0);
}

#[test]
fn duplicate_model_names_and_no_models_are_start_errors() {
    let start = |models: Vec<Config>| -> Result<Engine, StartError> {
        engine_with(options(), models.into_iter().map(|config| (config, Arc::default())).collect())
    };
    let twice = start(vec![config(), other_config(), config()]);
    assert!(matches!(&twice, Err(StartError::DuplicateModel(name)) if name == "toy"), "{twice:?}");
    assert!(matches!(start(vec![]), Err(StartError::Option { option: "models", .. })));
}
