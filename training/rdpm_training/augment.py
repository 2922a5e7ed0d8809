"""Variants of training images: shifted, turned, scaled and mirrored a little, made on the fly and always the same.

Which warp makes variant k of image i follows from the seed alone, so a set of variants behaves like a fixed data set k
times as large: every stage sees the same ones, and a resumed run needs nothing but its place.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from . import runs
from .data import Split, to_unit

STAGE = 7
TURN = math.radians(8)  # at most, either way
SCALE = (0.85, 1.05)
SHIFT = 0.06  # of half a side, at most, either way


class Variants(Split):
    """Every image several times: `count` times on average, more often where its class is small.

    `images` and `labels` are the images as they are, `sources` the same at twice the size: a warp that ends in halving
    the size keeps edges sharp. `mirrored` says for each image whether half of its variants are to be mirrored.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, sources: Tensor, mirrored: Tensor, count: int, seed: int
    ) -> None:
        super().__init__(images, labels)
        self.sources = sources
        # `image[i]` is the image that index i shows.
        self.image = torch.arange(len(labels)).repeat_interleave(copies(labels, count))
        self.warps = warps(len(self.image), runs.generator(seed, STAGE))
        mirror = mirrored[self.image] & coins(len(self.image), seed)
        self.warps[:, :, 0] *= torch.where(mirror, -1.0, 1.0)[:, None]

    def __len__(self) -> int:
        return len(self.image)

    def label(self, indices: Tensor) -> Tensor:
        return self.labels[self.image[indices]]

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        sources = to_unit(self.sources[self.image[indices]])
        return warp(sources, self.warps[indices]), self.label(indices)


def copies(labels: Tensor, count: int) -> Tensor:
    """How often each image is to appear: a class's share of the variants goes with the square root of its size."""
    sizes = labels.bincount().double()
    present = sizes[sizes > 0]
    return (count * (present.mean() / sizes).sqrt()).round().clamp(min=1).long()[labels]


def coins(count: int, seed: int) -> Tensor:
    """Fair booleans."""
    return torch.rand(count, generator=runs.generator(seed, STAGE, 1)) < 0.5


def warps(count: int, random: torch.Generator) -> Tensor:
    """(count, 2, 3): from places in the result to places in the source, both in -1..1, as `affine_grid` takes them."""
    uniform = 2 * torch.rand(4, count, generator=random) - 1
    angle = TURN * uniform[0]
    # Uniform in the logarithm: as likely to shrink by a tenth as to shrink by another tenth.
    low, high = map(math.log, SCALE)
    zoom = torch.exp(-(low + high + (high - low) * uniform[1]) / 2)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    shift = SHIFT * uniform[2:]
    return torch.stack([torch.stack([cos, -sin, shift[0]], -1), torch.stack([sin, cos, shift[1]], -1)], 1)


def warp(images: Tensor, warps: Tensor) -> Tensor:
    """Warps images (b, channels, 2 size, 2 size) in -1..1 and halves their size. Outside of an image is white."""
    grid = F.affine_grid(warps, list(images.shape), align_corners=False)
    # Zero is what grid_sample puts outside, so white is zero here.
    sampled = F.grid_sample(images - 1, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return F.avg_pool2d(sampled, 2) + 1
