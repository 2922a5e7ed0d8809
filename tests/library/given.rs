//! Codes that are given instead of drawn: decoding, branches, edits.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use image::DynamicImage;
use rdpm::model::{
    Given, ImageSeed, Interpolation, InterpolationEnd, Model, ModelError, Precision, Sampler, SamplerState,
    SamplingOptions, SamplingSettings, Step, random, trajectory,
};

use crate::pairs::pairs;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn model() -> Model {
    Model::load(&folder("weights/fashion-mnist"), &Device::Cpu).unwrap()
}

fn settings(model: &Model, class: usize) -> SamplingSettings {
    SamplingSettings::new(model.config(), class).unwrap()
}

/// Takes all steps of an image alone, and decodes it.
fn finish(model: &Model, mut state: SamplerState) -> (Vec<Step>, DynamicImage) {
    let mut steps = Vec::new();
    while !state.is_finished() {
        steps.extend(model.step(&mut [&mut state]).unwrap());
    }
    (steps, model.images(&[&state]).unwrap().swap_remove(0))
}

fn tokens(steps: &[Step]) -> Vec<Vec<u32>> {
    steps.iter().map(|step| step.tokens.clone()).collect()
}

fn some(grids: &[Vec<u32>]) -> Vec<Vec<Option<u32>>> {
    grids.iter().map(|grid| grid.iter().copied().map(Some).collect()).collect()
}

fn given(model: &Model, grids: &[Vec<Option<u32>>]) -> Given {
    Given::new(model.config(), grids).unwrap()
}

#[test]
fn grids_of_a_run_decode_to_its_image() {
    let model = model();
    for index in [0, 3] {
        let (steps, image) = finish(&model, model.start(&settings(&model, 7), 5, index));
        let grids = tokens(&steps);
        let decoded = model.decode_tokens(&[(ImageSeed::new(5, index), &grids)]).unwrap();
        assert_eq!(decoded, std::slice::from_ref(&image));
        // The same as a run whose codes are all given, of another class.
        let state = model.start(&settings(&model, 0), 5, index).with_given(given(&model, &some(&grids)));
        let (steps, same) = finish(&model, state);
        assert_eq!((tokens(&steps), same), (grids, image));
        for step in &steps {
            assert_eq!((&step.entropy, &step.probability), (&vec![0.0; 49], &vec![1.0; 49]));
            assert_eq!(step.given, [true; 49]);
        }
    }
}

#[test]
fn branch_equals_its_parent_before_the_change() {
    let model = model();
    let start = || model.start(&settings(&model, 9), 2, 1);
    let (parent, _) = finish(&model, start());
    let free = |from: usize, mut grids: Vec<Vec<Option<u32>>>| {
        grids[from..].iter_mut().for_each(|grid| grid.fill(None));
        grids
    };
    // Unchanged it equals its parent to the end: the uniforms are those of the parent.
    let same = start().with_given(given(&model, &free(4, some(&tokens(&parent)))));
    assert_eq!(tokens(&finish(&model, same).0), tokens(&parent));

    let mut changed = free(4, some(&tokens(&parent)));
    let other = (parent[3].tokens[24] + 1) % 256;
    changed[3][24] = Some(other);
    let (branch, _) = finish(&model, start().with_given(given(&model, &changed)));
    assert_eq!(tokens(&branch[..3]), tokens(&parent[..3]));
    let mut expected = parent[3].tokens.clone();
    expected[24] = other;
    assert_eq!(branch[3].tokens, expected);
    assert_ne!(tokens(&branch[4..]), tokens(&parent[4..]));
    // Its leading steps may be done at the start.
    let seed = ImageSeed::new(2, 1);
    let state = model.start_given(&settings(&model, 9), seed, seed, &given(&model, &changed).into());
    assert_eq!((state.step(), state.tokens()), (4, Some(tokens(&branch[..4]))));
    assert_eq!(tokens(&finish(&model, state).0), tokens(&branch[4..]));
    // With the draws of another seed, it differs only after the change.
    let state = start_with_draws(&model, &changed);
    assert_eq!(state.step(), 4);
    let (other_draws, _) = finish(&model, state);
    assert_ne!(tokens(&other_draws), tokens(&branch[4..]));
    assert!(branch[4..].iter().all(|step| step.given.is_empty()));
    assert!(pairs(&branch[4].probability, &parent[4].probability).any(|(a, b)| a != b));
}

fn start_with_draws(model: &Model, grids: &[Vec<Option<u32>>]) -> SamplerState {
    let (noise, draws) = (ImageSeed::new(2, 1), ImageSeed::new(77, 0));
    model.start_given(&settings(model, 9), noise, draws, &given(model, grids).into())
}

/// The left three of seven columns.
fn left_half() -> Vec<bool> {
    (0..49).map(|position| position % 7 < 3).collect()
}

#[test]
fn kept_cells_of_an_edit_have_the_codes_of_the_image() {
    let model = model();
    let (_, image) = finish(&model, model.start(&settings(&model, 1), 8, 0));
    let expected = model.tokenize(&image, 4).unwrap().tokens;
    let free = left_half();
    let edit = |k| model.start_edit(&settings(&model, 7), ImageSeed::new(4, 0), &image, k, &free).unwrap();
    let state = edit(0);
    assert_eq!((state.step(), state.tokens()), (0, Some(vec![])));
    let (steps, edited) = finish(&model, state);
    assert_ne!(edited, image);
    let mut redrawn = 0;
    for (step, expected) in pairs(&steps, &expected) {
        for (position, free) in free.iter().enumerate() {
            assert_eq!(step.given[position], !free);
            match free {
                true => redrawn += usize::from(step.tokens[position] != expected[position]),
                false => assert_eq!(step.tokens[position], expected[position]),
            }
        }
        // The denoiser sees the given codes, so they have no probability.
        for (position, free) in free.iter().enumerate() {
            assert!(*free || step.probability[position] == 1.0, "{:?}", step.probability);
        }
        assert!(step.entropy.iter().all(|bits| *bits > 0.0));
    }
    assert!(redrawn > 150, "{redrawn} of 210 codes differ");

    // The same from step 6, also as a constraint on a run from noise.
    let state = edit(6);
    assert_eq!((state.step(), state.tokens()), (6, Some(expected[..6].to_vec())));
    let late = tokens(&finish(&model, state).0);
    let mut grids = some(&expected);
    for grid in &mut grids[6..] {
        pairs(grid, &free).filter(|(_, free)| **free).for_each(|(code, _)| *code = None);
    }
    let start = || model.start(&settings(&model, 7), 4, 0);
    let shown = start().with_given(given(&model, &grids).shown());
    assert_eq!(tokens(&finish(&model, shown).0)[6..], late);
    // Where given codes aren't shown, their probabilities are those of their positions' distributions.
    let hidden = start().with_given(given(&model, &grids));
    let (steps, _) = finish(&model, hidden);
    assert_ne!(tokens(&steps)[6..], late);
    let kept = |step: &Step| {
        (0..49).filter(|position| position % 7 >= 3).map(|at| step.probability[at]).sum::<f32>()
    };
    assert!(steps[6..].iter().all(|step| (0.001..27.9).contains(&kept(step))));
}

#[test]
fn images_with_masks_in_a_batch_have_the_tokens_that_they_have_alone() {
    let model = model();
    let (parent, image) = finish(&model, model.start(&settings(&model, 3), 8, 0));
    let whole = some(&tokens(&parent));
    let mut rows = whole.clone();
    rows.iter_mut().for_each(|grid| grid[14..].fill(None));
    let mut late = whole.clone();
    late[7..].iter_mut().for_each(|grid| grid.fill(None));
    let start = |class, seed| model.start(&settings(&model, class), seed, 0);
    let edit = model.start_edit(&settings(&model, 5), ImageSeed::new(3, 2), &image, 2, &left_half()).unwrap();
    let states = [
        start(3, 8),
        start(3, 8).with_given(given(&model, &whole)),
        start(4, 8).with_given(given(&model, &rows)),
        start(3, 9).with_given(given(&model, &late)).with_alternatives(true),
        edit,
    ];
    let alone: Vec<_> = states.iter().map(|state| finish(&model, state.clone())).collect();

    let mut states = Vec::from(states);
    let mut together: Vec<Vec<Step>> = vec![Vec::new(); states.len()];
    while states.iter().any(|state| !state.is_finished()) {
        let (indices, mut running): (Vec<usize>, Vec<&mut SamplerState>) =
            states.iter_mut().enumerate().filter(|(_, state)| !state.is_finished()).unzip();
        for (index, step) in pairs(indices, model.step(&mut running).unwrap()) {
            together[index].push(step);
        }
    }
    for (index, ((steps, _), together)) in pairs(alone, together).enumerate() {
        assert_eq!(tokens(&steps), tokens(&together), "image {index}");
        for (a, b) in pairs(&steps, &together) {
            assert_eq!(a.given, b.given);
            assert!(pairs(&a.probability, &b.probability).all(|(a, b)| (a - b).abs() < 1e-4));
        }
    }
}

#[test]
fn devices_take_given_codes_and_report_their_probabilities_as_the_host_does() {
    let name = folder("weights/fashion-mnist");
    let models = [model(), Model::load_with_candle(&name, &Device::Cpu, Precision::F32).unwrap()];
    let config = models[0].config();
    let (parent, _) = finish(&models[0], models[0].start(&settings(&models[0], 6), 1, 0));
    let mut grids = some(&tokens(&parent));
    grids.iter_mut().for_each(|grid| grid[20..].fill(None));
    let base = settings(&models[0], 6);
    let variants = [
        base.clone(),
        base.clone().with_top_k(config, 12).unwrap(),
        base.clone().with_temperature(0.0).unwrap(),
        base,
    ];
    let run = |model: &Model| {
        let mut states: Vec<SamplerState> = variants
            .iter()
            .enumerate()
            .map(|(index, settings)| {
                let state = model.start(settings, 1, 0).with_alternatives(index == 1);
                if index < 3 { state.with_given(given(model, &grids)) } else { state }
            })
            .collect();
        let mut steps = Vec::new();
        for _ in 0..3 {
            steps.extend(model.step(&mut states.iter_mut().collect::<Vec<_>>()).unwrap());
        }
        steps
    };
    let mut excluded = 0;
    for (host, device) in pairs(run(&models[0]), run(&models[1])) {
        assert_eq!((host.tokens, &host.given), (device.tokens, &device.given));
        for (a, b) in pairs(&host.probability, &device.probability) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
            excluded += usize::from(*a == 0.0);
        }
    }
    // Of top-k and of temperature 0.
    assert!(excluded > 10, "{excluded}");
}

#[test]
fn grids_of_another_shape_and_codes_out_of_range_are_refused() {
    let model = model();
    let grids = vec![vec![Some(255); 49]; 10];
    assert_eq!(given(&model, &grids).tokens().unwrap(), vec![vec![255; 49]; 10]);
    let refused = |grids: &[Vec<Option<u32>>]| match Given::new(model.config(), grids) {
        Err(ModelError::Setting { field: "tokens", value, allowed }) => {
            assert_eq!(allowed, "10 grids of 7 × 7 codes from 0 to 255, or null for a free one");
            value
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&grids[1..]), "9 grids");
    let mut short = grids.clone();
    short[4].pop();
    assert_eq!(refused(&short), "a grid of 48 codes");
    let mut high = grids;
    high[9][48] = Some(256);
    assert_eq!(refused(&high), "code 256");
}

#[test]
fn spherical_interpolation_keeps_lengths_and_has_both_ends() {
    let (a, b) = ([3.0, 0.0, 0.0], [0.0, 3.0, 0.0]);
    assert_eq!(trajectory::interpolate(&a, &b, 0.0), a);
    let middle = trajectory::interpolate(&a, &b, 0.5);
    let half = (4.5_f32).sqrt();
    assert!(pairs(middle, [half, half, 0.0]).all(|(x, y)| (x - y).abs() < 1e-5));
    assert!(pairs(trajectory::interpolate(&a, &b, 1.0), b).all(|(x, y)| (x - y).abs() < 1e-6));
    // The same vector twice, and opposite ones, have no arc.
    assert_eq!(trajectory::interpolate(&a, &a, 0.3), a);
    assert_eq!(trajectory::interpolate(&[1.0], &[-1.0], 0.5), [0.0]);
    assert_eq!(trajectory::interpolate(&[0.0], &[0.0], 0.5), [0.0]);
}

#[test]
fn image_between_two_others_equals_each_at_its_end() {
    let model = model();
    let settings = settings(&model, 2);
    let seeds = [ImageSeed::new(1, 0), ImageSeed::new(6, 2)];
    let runs = seeds.map(|seed| {
        let (steps, image) = finish(&model, model.start(&settings, seed.seed, seed.index));
        (tokens(&steps), image)
    });
    let between = |kind, grids: usize, weight| {
        let ends = [0, 1].map(|end: usize| InterpolationEnd {
            settings: settings.clone(),
            noise: seeds[end],
            grids: runs[end].0[..grids].to_vec(),
        });
        let state = model.start_between(&ends, kind, weight).unwrap();
        let first = state.step();
        let (steps, image) = finish(&model, state);
        (first, tokens(&steps), image)
    };
    for k in [0, 4, 9] {
        // With as many codes as are needed, and with all.
        for grids in [k, 10] {
            let between = |weight| between(Interpolation::Step(k), grids, weight);
            for (weight, (codes, image)) in [(0.0, &runs[0]), (1.0, &runs[1])] {
                assert_eq!(between(weight), (k, codes[k..].to_vec(), image.clone()), "from step {k}");
            }
            let middle = between(0.5).2;
            assert!(middle != runs[0].1 && middle != runs[1].1, "from step {k}");
        }
    }
    for (weight, run) in [(0.0, &runs[0]), (1.0, &runs[1])] {
        assert_eq!(between(Interpolation::Latent, 10, weight).2, run.1);
    }
    let ends = [0, 1].map(|end: usize| InterpolationEnd {
        settings: settings.clone(),
        noise: seeds[end],
        grids: runs[end].0[..3].to_vec(),
    });
    assert!(model.start_between(&ends, Interpolation::Step(4), 0.5).is_err());
    assert!(model.start_between(&ends, Interpolation::Latent, 0.5).is_err());
}

#[test]
fn image_between_two_latents_is_tokens_of_their_mean() {
    let model = model();
    let settings = settings(&model, 2);
    let seeds = [ImageSeed::new(1, 0), ImageSeed::new(6, 2)];
    let ends = seeds.map(|noise| {
        let (steps, _) = finish(&model, model.start(&settings, noise.seed, noise.index));
        InterpolationEnd { settings: settings.clone(), noise, grids: tokens(&steps) }
    });
    let latent = |noise: ImageSeed, grids: &[Vec<u32>]| {
        let mut z = model.start_with(&settings, noise, noise).latent().to_vec();
        grids.iter().for_each(|grid| model.codebook().advance(&mut z, grid));
        z
    };
    let [first, second] = ends.each_ref().map(|end| latent(end.noise, &end.grids));
    let distance = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum() };
    for (weight, nearer) in [(0.25, seeds[0]), (0.75, seeds[1])] {
        let mut state = model.start_between(&ends, Interpolation::Latent, weight).unwrap();
        while !state.is_finished() {
            model.step(&mut [&mut state]).unwrap();
        }
        let grids = state.tokens().unwrap();
        assert_eq!(grids.len(), 10);
        // The tokens are from the noise of the nearer end.
        assert_eq!(state.latent(), latent(nearer, &grids));
        let mean: Vec<f32> = first.iter().zip(&second).map(|(a, b)| a + weight as f32 * (b - a)).collect();
        let error = distance(state.latent(), &mean);
        assert!(error < 0.1 * distance(&first, &second), "{error} of {}", distance(&first, &second));
    }
}

/// Writes with `UPDATE_GOLDEN=1` what `with_words` in `training/rdpm_training/fixture.py` reads.
#[test]
fn run_with_given_codes_is_pytorchs() {
    let words = folder("tests/fixtures/words");
    let (seed, path) = (ImageSeed::new(3, 1), words.join("noise.safetensors"));
    let model = Model::load(&words, &Device::Cpu).unwrap();
    let (steps, n) = (model.config().steps(), model.config().positions());
    let (c, v) = (model.codebook().channels(), model.codebook().codes());
    let mut generator = random::generator(seed.seed, seed.index);
    let eps = random::standard_normal(&mut generator, n * c);
    let mut uniforms = vec![0.0; steps * n * v];
    random::fill_uniform(&mut generator, &mut uniforms);
    let tensor = |values, shape: &[usize]| Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let noise = HashMap::from([
            ("eps", tensor(eps.clone(), &[1, n, c])),
            ("uniforms", tensor(uniforms, &[steps, 1, n, v])),
        ]);
        candle_core::safetensors::save(&noise, &path).unwrap();
        return;
    }
    let load = |name: &str| candle_core::safetensors::load(words.join(name), &Device::Cpu).unwrap();
    let floats = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (noise, expected) = (load("noise.safetensors"), load("given.safetensors"));
    assert_eq!((floats(&noise["eps"]), floats(&noise["uniforms"])), (eps, uniforms));

    let codes = |name: &str| -> Vec<i64> {
        expected[name].to_dtype(DType::I64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    let grids: Vec<Vec<Option<u32>>> = codes("given")
        .chunks_exact(n)
        .map(|grid| grid.iter().map(|&code| u32::try_from(code).ok()).collect())
        .collect();
    let options = SamplingOptions {
        prompt: Some("red heart".into()),
        style: Some("flat".into()),
        guidance: 2.5,
        temperature: 0.8,
        ..SamplingOptions::defaults(model.config())
    };
    let settings = SamplingSettings::with_options(model.config(), 1, options).unwrap();
    let mut state = model.start(&settings, seed.seed, seed.index).with_given(given(&model, &grids));
    let mut found = Vec::new();
    while !state.is_finished() {
        found.extend(model.step(&mut [&mut state]).unwrap());
    }
    let found_codes: Vec<i64> = tokens(&found).concat().into_iter().map(i64::from).collect();
    assert_eq!(found_codes, codes("tokens"));
    assert_eq!(found.iter().filter(|step| step.given.iter().all(|given| *given)).count(), 2);
    for (step, expected) in pairs(&found, floats(&expected["probability"]).chunks_exact(n)).skip(2) {
        assert!(pairs(&step.probability, expected).all(|(a, b)| (a - b).abs() < 1e-4));
    }
    assert!(pairs(state.latent(), floats(&expected["z"])).all(|(a, b)| (a - b).abs() < 1e-4));
    // The sampler of a batch is the same.
    let mut sampler = Sampler::new(&model, &settings, seed.seed, 0..2);
    assert!(sampler.all(|steps| steps.unwrap().iter().all(|step| step.given.is_empty())));
}
