"""Metrics against closed forms."""

import pytest
import torch

from rdpm_training import metrics


def test_frechet_distance_of_gaussians_with_known_moments() -> None:
    # Exact moments: points at +-1 on each axis, shifted and scaled. d^2 = |mean|^2 + f (s - 1)^2 var.
    base = torch.cat([torch.eye(4), -torch.eye(4)])
    variance = 2 / 7  # of each coordinate, with Bessel's correction
    assert metrics.frechet(base, base) == pytest.approx(0, abs=1e-9)
    assert metrics.frechet(base, base + 3) == pytest.approx(4 * 9)
    assert metrics.frechet(base, 2 * base) == pytest.approx(4 * variance)


def test_precision_and_recall_of_disjoint_and_nested_sets() -> None:
    line = torch.arange(20.0)[:, None]
    assert metrics.precision_recall(line, line) == (1.0, 1.0)
    assert metrics.precision_recall(line, line + 100) == (0.0, 0.0)
    # Five points of the line: all inside it; their balls (radius 3 at the third neighbour) cover what is near.
    precision, recall = metrics.precision_recall(line, line[:5])
    assert precision == 1.0 and 0.2 < recall < 0.5


def test_nearest_returns_ordered_distances_per_pixel() -> None:
    images, among = torch.zeros(1, 1, 2, 2), torch.tensor([1.0, 0.5, 2.0]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    distances, indices = metrics.nearest(images, among, k=2)
    assert distances.tolist() == [[pytest.approx(0.5), pytest.approx(1.0)]] and indices.tolist() == [[1, 0]]
    assert metrics.nearest(images, images)[0].item() == pytest.approx(0, abs=1e-6)
