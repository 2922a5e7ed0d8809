"""The MaskGIT baseline: masking, sampling, training."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rdpm_training import codebook_stage, data, generation, maskgit, residual_quantizer, runs, tokenizer_stage
from rdpm_training.config import Config
from rdpm_training.sampler import SamplingSettings


def network(levels: int, positions: int = 9) -> maskgit.MaskGit:
    torch.manual_seed(0)
    codebooks = torch.randn(levels, 6, 3)
    return maskgit.MaskGit(codebooks, positions, classes=2, width=8, layers=1, heads=2)


@pytest.mark.parametrize(("levels", "steps"), [(1, 1), (1, 4), (1, 9), (3, 5), (1, 20)])
def test_sample_unmasks_every_code_once(levels: int, steps: int) -> None:
    labels = torch.tensor([0, 1, 1])
    numbers = generation.uniform_numbers((3, 9 * levels, 7), runs.generator(1))
    steps_taken = list(maskgit.sample(network(levels), steps, labels, numbers, SamplingSettings(2.0, 1.0)))
    assert len(steps_taken) == steps and not steps_taken[-1].masked.any()
    for before, after in itertools.pairwise(steps_taken):
        known = ~before.masked
        assert not (after.masked & known).any(), "unmasked codes stay unmasked"
        assert after.tokens[known].equal(before.tokens[known]), "and keep their values"
        counts, previous = after.masked.flatten(1).sum(1), before.masked.flatten(1).sum(1)
        assert counts.unique().numel() == 1
        assert ((counts < previous) | (previous == 0)).all(), "each step unmasks at least one code"


def test_cosine_schedule_masks_all_codes_at_first_and_none_at_last() -> None:
    assert [maskgit.masked_count(progress, 100) for progress in (0, 0.5, 1)] == [100, 70, 0]


def test_random_mask_masks_between_one_and_all_codes() -> None:
    counts = maskgit.random_mask(torch.Size((2000, 5, 2)), runs.generator(4)).flatten(1).sum(1)
    assert counts.min() == 1 and counts.max() >= 9
    # The mean of cos(pi/2 u) is 2 / pi.
    assert counts.double().mean().item() / 10 == pytest.approx(2 / torch.pi, abs=0.06)


def test_logits_do_not_depend_on_masked_codes() -> None:
    model = network(2)
    torch.nn.init.normal_(model.modulation.weight)
    torch.nn.init.normal_(model.final.weight)
    y = torch.tensor([1])
    masked = torch.zeros(1, 9, 2, dtype=torch.bool)
    masked[0, 4, 1] = True
    tokens = torch.randint(6, (1, 9, 2))
    masked_changed, known_changed = tokens.clone(), tokens.clone()
    masked_changed[0, 4, 1] = (tokens[0, 4, 1] + 1) % 6
    known_changed[0, 4, 0] = (tokens[0, 4, 0] + 1) % 6
    logits = model(tokens, masked, y)
    assert model(masked_changed, masked, y).equal(logits)
    assert not model(known_changed, masked, y).allclose(logits)


@pytest.mark.parametrize("levels", [1, 3])
def test_maskgit_trains_resumes_and_generates(tiny: Config, tmp_path: Path, levels: int) -> None:
    tokenizer_stage.train(tiny, tmp_path)
    dataset = data.load(tiny.data, tiny.seed)
    latents, _ = codebook_stage.latents(tiny, tmp_path)
    runs.save(tmp_path / "codebook.pt", {"codebook": residual_quantizer.fit_latents(tiny, latents, levels)})
    longer = replace(tiny, denoiser=replace(tiny.denoiser, updates=12))
    assert maskgit.fit(tiny, tmp_path, dataset).updates == 6
    assert maskgit.fit(longer, tmp_path, dataset).updates == 12
    model = maskgit.load(tiny, tmp_path, len(dataset.classes))
    images = generation.generate(model, torch.tensor([0, 1, 1]), SamplingSettings(2.0, 1.0), seed=1)
    assert images.shape == (3, 3, 16, 16) and images.isfinite().all()
