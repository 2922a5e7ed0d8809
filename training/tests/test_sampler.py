"""Sampling of codes against closed forms and frequencies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rdpm_training import codebook_stage, denoiser_stage, export, generation, runs, sampler, tokenizer_stage
from rdpm_training.config import Config, ConfigError
from rdpm_training.denoiser import Denoiser
from rdpm_training.sampler import SamplingSettings

LOGITS = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()


def excluded(**settings: float) -> list[bool]:
    return sampler.filter_logits(LOGITS, SamplingSettings(1.0, 1.0, **settings)).isinf().tolist()


def test_top_k_and_top_p_keep_the_most_probable_codes() -> None:
    assert excluded(top_k=2) == [False, False, True, True]
    assert excluded(top_p=0.5) == [False, True, True, True], "the first code alone has half of the probability"
    assert excluded(top_p=0.6) == [False, False, True, True]
    assert excluded(top_p=1.0) == [False] * 4
    # Of the three codes kept by top-k, 0.5 and 0.3 are 84 %.
    assert excluded(top_k=3, top_p=0.84) == [False, False, True, True]
    assert excluded(top_k=3, top_p=0.85) == [False, False, False, True]


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_sampled_codes_follow_their_probabilities(temperature: float) -> None:
    numbers = generation.uniform_numbers((20_000, 4), runs.generator(5))
    codes = sampler.sample_codes(LOGITS.expand(20_000, 4), next(numbers), SamplingSettings(1.0, temperature))
    share = codes.bincount(minlength=4) / len(codes)
    torch.testing.assert_close(share, (LOGITS / temperature).softmax(0), atol=0.02, rtol=0)


def test_temperature_zero_takes_the_most_probable_code() -> None:
    codes = sampler.sample_codes(LOGITS.expand(50, 4), torch.rand(50, 4), SamplingSettings(1.0, 0.0))
    assert codes.eq(0).all()


class Certain(Denoiser):
    """Predicts the code whose index is the label with probability near 1; for the null class, another code."""

    def forward(self, z: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        sharp = torch.nn.functional.one_hot(y % len(self.bias), len(self.bias)).float()
        return 1000 * sharp[:, None].expand(-1, z.shape[1], -1)


def test_given_codes_are_taken_and_the_others_sampled() -> None:
    codebook = torch.randn(8, 3, generator=runs.generator(1))
    certain = Certain(codebook, [0.0, 0.5, 1.0], positions=4, classes=7, width=8, layers=1, heads=1)
    given = torch.tensor([[[-1, 5, -1, 6], [7, 0, 1, 3]]])
    numbers, eps = generation.uniform_numbers((1, 4, 8), runs.generator(2)), torch.randn(1, 4, 3)
    settings = SamplingSettings(1.0, 1.0)
    steps = list(sampler.sample(certain, codebook, 2, torch.tensor([2]), eps, numbers, settings, given))
    assert [step.codes.tolist() for step in steps] == [[[2, 5, 2, 6]], [[7, 0, 1, 3]]]
    torch.testing.assert_close(steps[1].z, eps + codebook[steps[0].codes] + codebook[steps[1].codes])


def test_mean_equals_the_sampled_code_of_a_certain_model() -> None:
    codebook = torch.randn(8, 3, generator=runs.generator(1))
    certain = Certain(codebook, [0.0, 0.5, 1.0], positions=4, classes=7, width=8, layers=1, heads=1)
    labels, eps = torch.tensor([2, 5]), torch.randn(2, 4, 3)
    ends = []
    for mean in (False, True):
        numbers = generation.uniform_numbers((2, 4, 8), runs.generator(2))
        settings = SamplingSettings(3.0, 1.0, mean=mean)
        *_, last = sampler.sample(certain, codebook, 2, labels, eps, numbers, settings)
        ends.append(last.z)
    torch.testing.assert_close(*ends)
    torch.testing.assert_close(ends[0], eps + 2 * codebook[labels][:, None])


def test_guidance_steps_restrict_guidance() -> None:
    settings = SamplingSettings(3.0, 1.0, guidance_steps="2-3")
    assert [settings.guidance_at(t) for t in range(1, 5)] == [1.0, 3.0, 3.0, 1.0]
    assert SamplingSettings(3.0, 1.0).guidance_at(10) == 3.0
    calls: list[int] = []

    class Counted(Certain):
        def forward(self, z: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            calls.append(int(t[0]))
            return super().forward(z, t, y)

    codebook = torch.tensor([[1.0], [2.0], [4.0], [8.0]])
    counted = Counted(codebook, [0.0, 0.3, 0.6, 0.8, 1.0], positions=1, classes=3, width=8, layers=1, heads=1)
    numbers = generation.uniform_numbers((1, 1, 4), runs.generator(5))
    steps = list(sampler.sample(counted, codebook, 4, torch.zeros(1).long(), torch.zeros(1, 1, 1), numbers, settings))
    assert len(steps) == 4
    assert calls == [1, 2, 2, 3, 3, 4], "one pass in the steps without guidance"


def test_mean_weights_codes_by_their_probabilities() -> None:
    class Fixed(Certain):
        def forward(self, z: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return LOGITS.expand(*z.shape[:2], 4)

    codebook = torch.tensor([[1.0], [2.0], [4.0], [8.0]])
    fixed = Fixed(codebook, [0.0, 1.0], positions=1, classes=1, width=8, layers=1, heads=1)
    settings = SamplingSettings(1.0, 1.0, mean=True)
    (step,) = sampler.sample(fixed, codebook, 1, torch.zeros(1).long(), torch.zeros(1, 1, 1), iter([]), settings)
    assert step.z.item() == pytest.approx(0.5 * 1 + 0.3 * 2 + 0.15 * 4 + 0.05 * 8)


def test_model_without_noise_samples_deterministically_and_is_not_exported(tiny: Config, tmp_path: Path) -> None:
    noiseless = replace(tiny, trajectory=replace(tiny.trajectory, noise=0.0))
    tokenizer_stage.train(noiseless, tmp_path)
    codebook_stage.train(noiseless, tmp_path)
    denoiser_stage.train(noiseless, tmp_path)
    model = generation.load_rdpm(noiseless, tmp_path, 2)
    latents = model.latents(torch.tensor([0, 1]), SamplingSettings(2.0, 0.0), runs.generator(1))
    assert latents.shape == (2, 16, 4) and latents.isfinite().all()
    # Without noise and at temperature 0, nothing is random.
    assert latents.equal(model.latents(torch.tensor([0, 1]), SamplingSettings(2.0, 0.0), runs.generator(2)))
    with pytest.raises(ConfigError, match="noise"):
        export.export(noiseless, tmp_path, tmp_path / "weights")
