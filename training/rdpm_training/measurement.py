"""What measurements of a weights folder on test images share: images, conditions, quality and arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from . import runs
from .conditions import Condition
from .dataset import Dataset


def test_images(dataset: Dataset, seed: int, stream: int, count: int) -> tuple[Tensor, Tensor | Condition]:
    """Randomly chosen test images as bytes, and what the denoiser is told of each: the class, or all that is known."""
    chosen = torch.randperm(len(dataset.test.images), generator=runs.generator(seed, stream))[:count]
    labels = dataset.test.labels[chosen].long()
    described = dataset.test.descriptions
    if described:
        labels = Condition(labels, described.styles[chosen].long(), described.names[chosen].long())
    return dataset.test.images[chosen], labels


def psnr(a: Tensor, b: Tensor, where: Tensor | None = None) -> float:
    """Mean peak signal-to-noise ratio in dB of images in -1..1, `where` a mask (h, w) is true."""
    where = torch.ones(a.shape[-2:], dtype=torch.bool) if where is None else where
    error = ((a - b).square() * where).sum((1, 2, 3)) / (where.sum() * a.shape[1])
    return float((10 * torch.log10(4 / error.clamp(min=1e-9))).mean())


def main(description: str | None, measure: Callable[[Path, Path, int], None]) -> None:
    """Calls `measure` with the configuration, the weights folder and the number of images of the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("config", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--count", type=int, default=200)
    arguments = parser.parse_args()
    measure(arguments.config, arguments.weights, arguments.count)
