"""Residual vector quantization: each level's codebook quantizes the previous levels' residual.

One level is plain vector quantization. The levels are fitted greedily, by k-means on the residual.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import codebook_stage, runs, trajectory
from .config import Config

RANDOM_STREAM = 8


def fit(points: Tensor, levels: int, codes: int, iterations: int, generator: torch.Generator) -> Tensor:
    """Codebooks (L, V, c) for points (m, c)."""
    codebooks, residual = [], points
    for _ in range(levels):
        first = residual[torch.randperm(len(residual), generator=generator)[:codes]].clone()
        codebook = codebook_stage.kmeans(residual, first, iterations, generator)
        residual = residual - codebook[trajectory.nearest(residual, codebook)]
        codebooks.append(codebook)
    return torch.stack(codebooks)


def fit_latents(config: Config, latents: Tensor, levels: int) -> Tensor:
    """Codebooks (L, V, c) fitted to a random subset of the latents (b, n, c).

    The number of k-means iterations is that of the trajectory's codebook.
    """
    settings, generator = config.codebook, runs.generator(config.seed, RANDOM_STREAM)
    chosen = latents[torch.randperm(len(latents), generator=generator)[: settings.images]].flatten(0, 1)
    points = chosen[torch.randperm(len(chosen), generator=generator)[: codebook_stage.KMEANS_POINTS]]
    return fit(points, levels, config.trajectory.codes, settings.rounds * settings.iterations, generator)


def encode(v: Tensor, codebooks: Tensor) -> Tensor:
    """Codes (b, n, L) of latents v (b, n, c)."""
    codes, residual = [], v
    for codebook in codebooks:
        codes.append(trajectory.nearest(residual, codebook))
        residual = residual - codebook[codes[-1]]
    return torch.stack(codes, -1)


def decode(codes: Tensor, codebooks: Tensor) -> Tensor:
    """Latents (b, n, c) from codes (b, n, L): the sum over the levels."""
    return sum((codebook[codes[..., level]] for level, codebook in enumerate(codebooks)), start=torch.zeros(()))
