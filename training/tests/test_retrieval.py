"""The outside judge: features of an ImageNet network, retrieval among real pictures, kernel distance."""

from __future__ import annotations

import pytest
import torch

from rdpm_training import imagenet, metrics, retrieval
from rdpm_training.conditions import Descriptions


def gallery() -> retrieval.Gallery:
    """Four real pictures of two emoji, each of a class of its own, in two styles; features that tell them apart."""
    raw = torch.tensor([[1.0, 0.1, 0.0], [1.0, -0.1, 0.0], [-1.0, 0.1, 0.0], [-1.0, -0.1, 0.0]])
    none = torch.zeros(4, 0, dtype=torch.long)
    descriptions = Descriptions(torch.tensor([0, 1, 0, 1]), none, none, torch.tensor([0, 0, 1, 1]))
    return retrieval.Gallery(
        raw, raw / raw.norm(dim=1, keepdim=True), raw.mean(0), torch.tensor([0, 0, 1, 1]), descriptions
    )


def test_pictures_that_show_what_was_asked_for_are_right() -> None:
    real = gallery()
    random = torch.Generator().manual_seed(1)
    perfect = real.figures(real.raw, real.labels, real.descriptions, random)
    assert [perfect[name] for name in ("emoji", "class", "style")] == [1.0, 1.0, 1.0]
    # The other emoji in the right style: wrong at first, but among the first five, as there are four pictures.
    turned = real.figures(real.raw.flip(0)[[1, 0, 3, 2]], real.labels, real.descriptions, random)
    assert [turned[name] for name in ("emoji", "emoji_in_5", "class", "style")] == [0.0, 1.0, 0.0, 1.0]


def test_real_pictures_to_compare_with_are_of_the_same_class_and_style() -> None:
    real = gallery()
    chosen = real.alike(torch.tensor([1, 0, 0]), torch.tensor([0, 1, 0]), torch.Generator().manual_seed(1))
    assert chosen.tolist() == [2, 1, 0]


def test_the_kernel_distance_is_zero_for_equal_distributions_and_grows_with_a_shift() -> None:
    random = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 500, 8, generator=random)
    same, near, far = (metrics.kernel_distance(a, b + shift) for shift in (0.0, 0.5, 1.0))
    assert abs(same) < 0.02 < near < far
    # By hand: two vectors each, kernel (x y / 1 + 1)^3.
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]])
    assert metrics.kernel_distance(x, y) == pytest.approx(1 + 27 - 2 * (1 + 1 + 8 + 27) / 4)


def test_the_judge_tells_pictures_apart_and_not_their_sizes() -> None:
    judge = imagenet.network()
    random = torch.Generator().manual_seed(1)
    coarse = torch.nn.functional.interpolate(torch.rand(2, 3, 4, 4, generator=random) * 2 - 1, size=64, mode="bilinear")
    enlarged = torch.nn.functional.interpolate(coarse, size=96, mode="bilinear")
    a, b = (torch.nn.functional.normalize(imagenet.features(judge, images), dim=1) for images in (coarse, enlarged))
    assert a.shape == (2, 1280)
    similarity = a @ b.T
    assert similarity.diagonal().min() > 0.95 > similarity[0, 1]
