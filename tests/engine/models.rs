//! Several models in one engine: they share its places and nothing else.

use std::sync::Arc;

use rdpm::engine::{Engine, JobId, Loading, Options, StartError, Status, SubmitError, TokenizeError};
use rdpm::model::Config;

use super::common::{
    Fault, STEPS, Script, config, engine_with, events, options, other_config, request, request_of,
    two_model_engine, with_timeout,
};
use super::{end_of, tokens, until};

/// T of [`other_config`].
const OTHER_STEPS: usize = 3;

#[tokio::test]
async fn models_take_turns_each_with_a_batch_of_its_own() {
    let (engine, [toy, other]) = two_model_engine(options());
    let names: Vec<&str> = engine.models().iter().map(|info| info.config.name.as_str()).collect();
    assert_eq!((names, engine.default_model().config.name.as_str()), (vec!["toy", "other"], "toy"));
    toy.pause();
    other.pause();
    let first = engine.submit(request(1, 2)).unwrap();
    let second = engine.submit(request_of(&other_config(), 2, 3)).unwrap();
    // Neither waits for the other's end. The second may have joined before the first one's first step or after it.
    toy.permit_steps(2);
    other.permit_steps(1);
    until(|| !toy.batches().is_empty() && !other.batches().is_empty()).await;
    assert_eq!([first, second].map(|id| engine.get(id).unwrap().status), [Status::Running; 2]);
    toy.resume();
    other.resume();
    for (id, script, seed, count, steps, size) in
        [(first, &toy, 1, 2, STEPS, 12), (second, &other, 2, 3, OTHER_STEPS, 8)]
    {
        assert_eq!(end_of(&engine, id).await, Status::Completed);
        let batches = script.batches();
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), vec![count; steps]);
        assert!(batches.iter().flatten().all(|drawing| drawing.0 == seed));
        let job = engine.get(id).unwrap();
        assert_eq!(image::load_from_memory(&job.images[0].png).unwrap().width(), size);
    }
    let positions = tokens(&events(&engine, second).await, 0);
    assert_eq!(positions.iter().map(Vec::len).collect::<Vec<_>>(), [4; OTHER_STEPS]);
}

#[tokio::test]
async fn models_share_the_places_of_a_batch() {
    let (engine, [toy, other]) = two_model_engine(Options { max_batch: 4, ..options() });
    toy.pause();
    other.pause();
    let jobs: Vec<JobId> = (1..4).map(|seed| engine.submit(request(seed, 3)).unwrap()).collect();
    let of_other = engine.submit(request_of(&other_config(), 9, 3)).unwrap();
    toy.resume();
    other.resume();
    for id in jobs.into_iter().chain([of_other]) {
        assert_eq!(end_of(&engine, id).await, Status::Completed);
    }
    let largest = |script: &Script| script.batches().iter().map(Vec::len).max().unwrap();
    assert!(largest(&toy) <= 4 && largest(&other) < 4, "{:?}", other.batches());
}

#[tokio::test]
async fn a_model_is_not_stuck_behind_another_that_everybody_wants() {
    let (engine, [toy, other]) = two_model_engine(Options { max_batch: 2, ..options() });
    toy.pause();
    let blocker = engine.submit(request(1, 2)).unwrap();
    toy.run_steps(1);
    let many: Vec<JobId> = (2..8).map(|seed| engine.submit(request(seed, 1)).unwrap()).collect();
    let one = engine.submit(request_of(&other_config(), 9, 1)).unwrap();
    let position = |id: JobId| engine.get(id).unwrap().place.unwrap().position;
    assert_eq!((position(one), position(many[0]), position(many[5])), (1, 2, 7));
    toy.resume();
    for &id in many.iter().chain([&blocker, &one]) {
        assert_eq!(end_of(&engine, id).await, Status::Completed);
    }
    let begun = |id: JobId| engine.get(id).unwrap().started.unwrap();
    assert!(begun(one) <= begun(many[1]), "the other model's job began after two of those before it");
    assert_eq!(other.batches().len(), OTHER_STEPS);
}

#[tokio::test]
async fn a_fault_of_one_model_leaves_the_other_at_work() {
    for fault in [Fault::Error, Fault::Panic, Fault::TooFewResults] {
        let (engine, [toy, other]) = two_model_engine(options());
        toy.pause();
        other.pause();
        toy.fail_steps([None, Some(fault)]);
        let broken = engine.submit(request(1, 2)).unwrap();
        let well = engine.submit(request_of(&other_config(), 2, 2)).unwrap();
        toy.resume();
        other.resume();
        assert_eq!(end_of(&engine, broken).await, Status::Failed);
        assert_eq!(end_of(&engine, well).await, Status::Completed);
        // Nothing of it was lost or drawn twice.
        assert_eq!(other.batches().len(), OTHER_STEPS);
        let after = engine.submit(request(3, 1)).unwrap();
        assert_eq!(end_of(&engine, after).await, Status::Completed);
        assert_eq!((toy.load_attempts(), other.load_attempts()), (2, 1));
    }
}

#[tokio::test]
async fn a_model_out_of_order_is_no_affair_of_the_other() {
    let (engine, [toy, other]) = two_model_engine(Options { max_failures: 1, ..options() });
    toy.fail_loads(std::iter::repeat_n(Some(Fault::Error), 100_000));
    toy.fail_steps([Some(Fault::Panic)]);
    other.pause();
    let broken = engine.submit(request(1, 1)).unwrap();
    let well = engine.submit(request_of(&other_config(), 1, 1)).unwrap();
    other.run_steps(1);
    assert_eq!(end_of(&engine, broken).await, Status::Failed);
    until(|| matches!(engine.model_ready("toy"), Err(SubmitError::NotReady { .. }))).await;
    assert!(matches!(engine.submit(request(3, 1)), Err(SubmitError::NotReady { .. })));
    let image = image::DynamicImage::new_rgb8(9, 9);
    let refused = with_timeout(engine.tokenize("toy", image.clone(), 1)).await;
    assert!(matches!(refused, Err(TokenizeError::Refused(SubmitError::NotReady { .. }))), "{refused:?}");

    engine.model_ready("other").unwrap();
    engine.ready().unwrap();
    other.resume();
    assert_eq!(end_of(&engine, well).await, Status::Completed);
    with_timeout(engine.tokenize("other", image, 1)).await.unwrap();
    // It is tried again all the while.
    let tried = toy.load_attempts();
    until(|| toy.load_attempts() > tried).await;
    let after = engine.submit(request_of(&other_config(), 2, 4)).unwrap();
    assert_eq!(end_of(&engine, after).await, Status::Completed);
    assert_eq!(other.load_attempts(), 1);
}

#[tokio::test]
async fn too_little_memory_halves_the_batch_of_that_model_only() {
    let (engine, [toy, other]) = two_model_engine(options());
    toy.pause();
    other.pause();
    other.fail_steps([Some(Fault::OutOfMemory)]);
    let (first, second) =
        (engine.submit(request(1, 4)).unwrap(), engine.submit(request_of(&other_config(), 2, 4)).unwrap());
    toy.resume();
    other.resume();
    for id in [first, second] {
        assert_eq!(end_of(&engine, id).await, Status::Completed);
    }
    let sizes = |script: &Script| script.batches().iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(sizes(&toy), [4; STEPS]);
    assert_eq!(sizes(&other), [4, 2, 2, 2, 2, 2, 2]);
}

#[tokio::test]
async fn lazy_models_are_loaded_by_their_first_job_and_stay() {
    let (engine, [toy, other]) = two_model_engine(Options { loading: Loading::Lazy, ..options() });
    assert_eq!((toy.load_attempts(), other.load_attempts()), (0, 0));
    engine.ready().unwrap();
    for seed in 1..3 {
        let id = engine.submit(request_of(&other_config(), seed, 2)).unwrap();
        assert_eq!(end_of(&engine, id).await, Status::Completed);
        assert_eq!((toy.load_attempts(), other.load_attempts()), (0, 1));
    }
    with_timeout(engine.tokenize("toy", image::DynamicImage::new_rgb8(9, 9), 1)).await.unwrap();
    assert_eq!((toy.load_attempts(), other.load_attempts()), (1, 1));
}

#[tokio::test]
async fn a_lazy_model_that_cannot_be_loaded_fails_its_job_and_nothing_else() {
    for fault in [Fault::Error, Fault::Panic] {
        let (engine, [toy, other]) = two_model_engine(Options { loading: Loading::Lazy, ..options() });
        toy.pause();
        let well = engine.submit(request(1, 1)).unwrap();
        other.fail_loads([Some(fault)]);
        let broken = engine.submit(request_of(&other_config(), 2, 2)).unwrap();
        toy.resume();
        assert_eq!(end_of(&engine, broken).await, Status::Failed);
        let detail = engine.get(broken).unwrap().detail.unwrap();
        assert!(detail.contains("could not load the model") && !detail.contains("secret"), "{detail}");
        assert_eq!(end_of(&engine, well).await, Status::Completed);
        // Whatever was wrong with it may have been put right.
        let after = engine.submit(request_of(&other_config(), 3, 1)).unwrap();
        assert_eq!(end_of(&engine, after).await, Status::Completed);
        assert_eq!(other.load_attempts(), 2);
    }
    let (engine, [_, other]) = two_model_engine(Options { loading: Loading::Lazy, ..options() });
    other.fail_loads([Some(Fault::Error)]);
    let image = image::DynamicImage::new_rgb8(9, 9);
    assert_eq!(with_timeout(engine.tokenize("other", image.clone(), 1)).await, Err(TokenizeError::Failed));
    with_timeout(engine.tokenize("other", image, 1)).await.unwrap();
}

#[test]
fn a_model_that_cannot_be_loaded_at_the_start_is_left_out() {
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
    let [(name, StartError::Model(_))] = engine.unusable() else { panic!("{:?}", engine.unusable()) };
    assert_eq!(name, "toy");
    assert_eq!(engine.submit(request(1, 1)), Err(SubmitError::UnknownModel));
    assert!(matches!(start(&[0, 1]), Err(StartError::Model(_))));
    assert_eq!(start(&[]).unwrap().unusable().len(), 0);
}

#[test]
fn names_tell_models_apart() {
    let start = |models: Vec<Config>| -> Result<Engine, StartError> {
        engine_with(options(), models.into_iter().map(|config| (config, Arc::default())).collect())
    };
    let twice = start(vec![config(), other_config(), config()]);
    assert!(matches!(&twice, Err(StartError::SameName(name)) if name == "toy"), "{twice:?}");
    assert!(matches!(start(vec![]), Err(StartError::Option { option: "models", .. })));
}
