"""Data augmentation: each training image in several variants, slightly shifted, rotated, scaled and flipped.

Variants are computed when a batch is made. The transform of variant k of image i depends on the seed alone, so the
variants form a fixed data set: every stage sees the same ones, and a resumed run needs no extra state.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from . import runs
from .dataset import Split, to_unit

RANDOM_STREAM = 7
MAX_ROTATION = math.radians(8)
SCALE_RANGE = (0.85, 1.05)
MAX_SHIFT = 0.06  # in units of half a side


class AugmentedSplit(Split):
    """A split with several variants of every image: `count` on average, more for images of small classes.

    `images` and `labels` are the original images. `sources` are the same images at twice the size: the transform ends
    by halving the size, which keeps edges sharp. `flippable` (b,) says whether half of an image's variants are flipped
    horizontally.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, sources: Tensor, flippable: Tensor, count: int, seed: int
    ) -> None:
        super().__init__(images, labels)
        self.sources = sources
        # `source_index[i]` is the image that variant i shows.
        self.source_index = torch.arange(len(labels)).repeat_interleave(variant_counts(labels, count))
        self.transforms = random_transforms(len(self.source_index), runs.generator(seed, RANDOM_STREAM))
        flipped = flippable[self.source_index] & random_booleans(len(self.source_index), seed)
        self.transforms[:, :, 0] *= torch.where(flipped, -1.0, 1.0)[:, None]

    def __len__(self) -> int:
        return len(self.source_index)

    def label(self, indices: Tensor) -> Tensor:
        return self.labels[self.source_index[indices]]

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        sources = to_unit(self.sources[self.source_index[indices]])
        return transform(sources, self.transforms[indices]), self.label(indices)


def variant_counts(labels: Tensor, count: int) -> Tensor:
    """Number of variants of each image. A class's number of variants grows with the square root of its size."""
    sizes = labels.bincount().double()
    present = sizes[sizes > 0]
    return (count * (present.mean() / sizes).sqrt()).round().clamp(min=1).long()[labels]


def random_booleans(count: int, seed: int) -> Tensor:
    """(count,), true with probability 1/2."""
    return torch.rand(count, generator=runs.generator(seed, RANDOM_STREAM, 1)) < 0.5


def random_transforms(count: int, generator: torch.Generator) -> Tensor:
    """(count, 2, 3): affine matrices from result to source coordinates, both in -1..1, as `affine_grid` expects."""
    uniform = 2 * torch.rand(4, count, generator=generator) - 1
    angle = MAX_ROTATION * uniform[0]
    # The scale is uniform in the logarithm.
    low, high = map(math.log, SCALE_RANGE)
    zoom = torch.exp(-(low + high + (high - low) * uniform[1]) / 2)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    shift = MAX_SHIFT * uniform[2:]
    return torch.stack([torch.stack([cos, -sin, shift[0]], -1), torch.stack([sin, cos, shift[1]], -1)], 1)


def transform(images: Tensor, matrices: Tensor) -> Tensor:
    """Transforms images (b, channels, 2 size, 2 size) in -1..1 and halves their size. The area outside is white."""
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    # grid_sample fills the area outside with zeros, so white is shifted to zero.
    sampled = F.grid_sample(images - 1, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return F.avg_pool2d(sampled, 2) + 1
