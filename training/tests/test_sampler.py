"""How codes are chosen, against closed forms and counts."""

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


def test_top_k_and_top_p_keep_the_most_probable() -> None:
    assert excluded(top_k=2) == [False, False, True, True]
    assert excluded(top_p=0.5) == [False, True, True, True], "the first alone holds half"
    assert excluded(top_p=0.6) == [False, False, True, True]
    assert excluded(top_p=1.0) == [False] * 4
    # Among the three kept by top-k, 0.5 and 0.3 hold 84 %.
    assert excluded(top_k=3, top_p=0.84) == [False, False, True, True]
    assert excluded(top_k=3, top_p=0.85) == [False, False, False, True]


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_codes_are_drawn_as_often_as_their_probability_says(temperature: float) -> None:
    numbers = generation.uniform_numbers((20_000, 4), runs.generator(5))
    codes = sampler.sample_codes(LOGITS.expand(20_000, 4), next(numbers), SamplingSettings(1.0, temperature))
    share = codes.bincount(minlength=4) / len(codes)
    torch.testing.assert_close(share, (LOGITS / temperature).softmax(0), atol=0.02, rtol=0)


def test_temperature_zero_takes_the_most_probable() -> None:
    codes = sampler.sample_codes(LOGITS.expand(50, 4), torch.rand(50, 4), SamplingSettings(1.0, 0.0))
    assert codes.eq(0).all()


class Sure(Denoiser):
    """All but certain of the code that is the label; a certain other one where there is no label."""

    def forward(self, z: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        sharp = torch.nn.functional.one_hot(y % len(self.bias), len(self.bias)).float()
        return 1000 * sharp[:, None].expand(-1, z.shape[1], -1)


def test_the_mean_is_the_drawn_code_where_the_model_is_certain() -> None:
    codebook = torch.randn(8, 3, generator=runs.generator(1))
    sure = Sure(codebook, [0.0, 0.5, 1.0], positions=4, classes=7, width=8, layers=1, heads=1)
    labels, eps = torch.tensor([2, 5]), torch.randn(2, 4, 3)
    ends = []
    for mean in (False, True):
        numbers = generation.uniform_numbers((2, 4, 8), runs.generator(2))
        settings = SamplingSettings(3.0, 1.0, mean=mean)
        *_, last = sampler.sample(sure, codebook, 2, labels, eps, numbers, settings)
        ends.append(last.z)
    torch.testing.assert_close(*ends)
    torch.testing.assert_close(ends[0], eps + 2 * codebook[labels][:, None])


def test_the_mean_weighs_all_codes_by_their_probabilities() -> None:
    class Fixed(Sure):
        def forward(self, z: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return LOGITS.expand(*z.shape[:2], 4)

    codebook = torch.tensor([[1.0], [2.0], [4.0], [8.0]])
    fixed = Fixed(codebook, [0.0, 1.0], positions=1, classes=1, width=8, layers=1, heads=1)
    settings = SamplingSettings(1.0, 1.0, mean=True)
    (step,) = sampler.sample(fixed, codebook, 1, torch.zeros(1).long(), torch.zeros(1, 1, 1), iter([]), settings)
    assert step.z.item() == pytest.approx(0.5 * 1 + 0.3 * 2 + 0.15 * 4 + 0.05 * 8)


def test_without_noise_drawing_begins_at_zero_and_the_server_is_refused(tiny: Config, tmp_path: Path) -> None:
    quiet = replace(tiny, trajectory=replace(tiny.trajectory, noise=0.0))
    tokenizer_stage.train(quiet, tmp_path)
    codebook_stage.train(quiet, tmp_path)
    denoiser_stage.train(quiet, tmp_path)
    model = generation.load_rdpm(quiet, tmp_path, 2)
    latents = model.latents(torch.tensor([0, 1]), SamplingSettings(2.0, 0.0), runs.generator(1))
    assert latents.isfinite().all()
    # At temperature 0 nothing is random then.
    assert latents.equal(model.latents(torch.tensor([0, 1]), SamplingSettings(2.0, 0.0), runs.generator(2)))
    with pytest.raises(ConfigError, match="noise"):
        export.export(quiet, tmp_path, tmp_path / "weights")
