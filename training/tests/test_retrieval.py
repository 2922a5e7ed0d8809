"""Retrieval of real images by ImageNet features, and the kernel distance."""

from __future__ import annotations

import pytest
import torch

from rdpm_training import imagenet, metrics, retrieval
from rdpm_training.conditions import Descriptions


def gallery() -> retrieval.Gallery:
    """Four real images: two emoji of different classes, each in two styles, with features that separate them."""
    raw = torch.tensor([[1.0, 0.1, 0.0], [1.0, -0.1, 0.0], [-1.0, 0.1, 0.0], [-1.0, -0.1, 0.0]])
    none = torch.zeros(4, 0, dtype=torch.long)
    descriptions = Descriptions(torch.tensor([0, 1, 0, 1]), none, none, torch.tensor([0, 0, 1, 1]))
    return retrieval.Gallery(
        raw, raw / raw.norm(dim=1, keepdim=True), raw.mean(0), torch.tensor([0, 0, 1, 1]), descriptions
    )


def test_metrics_count_images_that_show_the_request() -> None:
    real = gallery()
    generator = torch.Generator().manual_seed(1)
    perfect = real.compute_metrics(real.raw, real.labels, real.descriptions, generator)
    assert [perfect[name] for name in ("emoji", "class", "style")] == [1.0, 1.0, 1.0]
    # The other emoji in the right style: the nearest image is wrong, but the right one is among the nearest five.
    swapped = real.compute_metrics(real.raw.flip(0)[[1, 0, 3, 2]], real.labels, real.descriptions, generator)
    assert [swapped[name] for name in ("emoji", "emoji_in_5", "class", "style")] == [0.0, 1.0, 0.0, 1.0]


def test_sample_matching_returns_the_same_class_and_style() -> None:
    real = gallery()
    chosen = real.sample_matching(torch.tensor([1, 0, 0]), torch.tensor([0, 1, 0]), torch.Generator().manual_seed(1))
    assert chosen.tolist() == [2, 1, 0]


def test_kernel_distance_is_zero_for_equal_distributions_and_grows_with_a_shift() -> None:
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 500, 8, generator=generator)
    same, near, far = (metrics.kernel_distance(a, b + shift) for shift in (0.0, 0.5, 1.0))
    assert abs(same) < 0.02 < near < far
    # By hand: two vectors each, kernel (x y / 1 + 1)^3.
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]])
    assert metrics.kernel_distance(x, y) == pytest.approx(1 + 27 - 2 * (1 + 1 + 8 + 27) / 4)


def test_imagenet_features_depend_on_content_more_than_on_size() -> None:
    network = imagenet.network()
    generator = torch.Generator().manual_seed(1)
    coarse = torch.nn.functional.interpolate(
        torch.rand(2, 3, 4, 4, generator=generator) * 2 - 1, size=64, mode="bilinear"
    )
    enlarged = torch.nn.functional.interpolate(coarse, size=96, mode="bilinear")
    a, b = (torch.nn.functional.normalize(imagenet.features(network, images), dim=1) for images in (coarse, enlarged))
    assert a.shape == (2, 1280)
    similarity = a @ b.T
    assert similarity.diagonal().min() > 0.95 > similarity[0, 1]
