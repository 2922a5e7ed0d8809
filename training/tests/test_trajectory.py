import itertools

import pytest
import torch

from rdpm_training import trajectory
from rdpm_training.config import ConfigError, TrajectoryConfig


def test_tokenize_reproduces_a_hand_computed_trajectory() -> None:
    # One position, one channel, T = 2, codebook {-1, 0.25, 0.5}: v = 1, eps = 0, so x_1 = 0.5, x_2 = 1.
    codebook = torch.tensor([[-1.0], [0.25], [0.5]])
    v, eps = torch.ones(1, 1, 1), torch.zeros(1, 1, 1)
    first, second = trajectory.tokenize(v, eps, codebook, [0.0, 0.5, 1.0])
    assert (first.codes.item(), first.after.item()) == (2, 0.5)
    assert (second.codes.item(), second.after.item()) == (2, 1.0)
    # From eps = 0.6: x_1 = 0.8, increment 0.2 -> 0.25, z = 0.85; x_2 = 1, increment 0.15 -> 0.25, z = 1.1.
    steps = list(trajectory.tokenize(v, torch.full((1, 1, 1), 0.6), codebook, [0.0, 0.5, 1.0]))
    assert [step.codes.item() for step in steps] == [1, 1]
    assert steps[-1].after.item() == pytest.approx(1.1)


def test_remaining_error_is_the_last_steps_quantization_error() -> None:
    generator = torch.Generator().manual_seed(0)
    v, eps, codebook = (torch.randn(shape, generator=generator) for shape in ((5, 9, 3), (5, 9, 3), (32, 3)))
    s = trajectory.schedule(TrajectoryConfig(10, "linear", 32))
    last = list(trajectory.tokenize(v, eps, 0.2 * codebook, s))[-1]
    expected = last.increment - 0.2 * codebook[last.codes]
    torch.testing.assert_close(v - last.after, expected, atol=1e-6, rtol=0)


def test_nearest_agrees_with_the_definition() -> None:
    generator = torch.Generator().manual_seed(1)
    points, codebook = torch.randn(200, 4, generator=generator), torch.randn(16, 4, generator=generator)
    by_definition = (points[:, None] - codebook).square().sum(-1).argmin(1)
    assert trajectory.nearest(points, codebook).equal(by_definition)


def test_unknown_schedule_is_refused() -> None:
    with pytest.raises(ConfigError, match="cosine"):
        trajectory.schedule(TrajectoryConfig(10, "cosine", 2))


def test_nearest_does_not_depend_on_the_chunk_size(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(2)
    points, codebook = torch.randn(7, 9, 4, generator=generator), torch.randn(16, 4, generator=generator)
    whole = trajectory.nearest(points, codebook)
    monkeypatch.setattr(trajectory, "CHUNK", 10)
    assert whole.shape == (7, 9) and trajectory.nearest(points, codebook).equal(whole)


def test_power_schedule_has_decreasing_steps() -> None:
    s = trajectory.schedule(TrajectoryConfig(8, "power", 2, exponent=1.5))
    steps = [after - before for before, after in itertools.pairwise(s)]
    assert len(s) == 9
    assert (s[0], s[-1]) == (0, 1) and steps == sorted(steps, reverse=True) and steps[-1] > 0
    straight = trajectory.schedule(TrajectoryConfig(8, "power", 2, exponent=1.0))
    assert straight == pytest.approx(trajectory.schedule(TrajectoryConfig(8, "linear", 2)))


def test_residual_schedule_without_noise_is_residual_quantization() -> None:
    settings = TrajectoryConfig(3, "residual", 16, noise=0.0)
    generator = torch.Generator().manual_seed(3)
    v, codebook = torch.randn(4, 5, 2, generator=generator), torch.randn(16, 2, generator=generator)
    eps = trajectory.noise(settings, v.shape, generator)
    residual = v
    for step in trajectory.tokenize(v, eps, codebook, trajectory.schedule(settings)):
        torch.testing.assert_close(step.increment, residual)
        residual = residual - codebook[trajectory.nearest(residual, codebook)]
    torch.testing.assert_close(v - step.after, residual)
