"""Residual vector quantization: one codebook a level, each for what the levels before it left over.

With one level it is plain vector quantization. The levels are fit greedily, by k-means on what is left.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import codebook_stage, runs, trajectory
from .config import Config

STAGE = 8


def fit(points: Tensor, levels: int, codes: int, iterations: int, random: torch.Generator) -> Tensor:
    """Codebooks (L, V, c) for points (m, c)."""
    codebooks, left = [], points
    for _ in range(levels):
        first = left[torch.randperm(len(left), generator=random)[:codes]].clone()
        codebook = codebook_stage.kmeans(left, first, iterations, random)
        left = left - codebook[trajectory.nearest(left, codebook)]
        codebooks.append(codebook)
    return torch.stack(codebooks)


def fit_latents(config: Config, latents: Tensor, levels: int) -> Tensor:
    """Codebooks (L, V, c) from some of the latents (b, n, c), with as many iterations as the trajectory's codebook."""
    settings, random = config.codebook, runs.generator(config.seed, STAGE)
    chosen = latents[torch.randperm(len(latents), generator=random)[: settings.images]].flatten(0, 1)
    points = chosen[torch.randperm(len(chosen), generator=random)[: codebook_stage.SAMPLE]]
    return fit(points, levels, config.trajectory.codes, settings.rounds * settings.iterations, random)


def encode(v: Tensor, codebooks: Tensor) -> Tensor:
    """Codes (b, n, L) of latents v (b, n, c)."""
    codes, left = [], v
    for codebook in codebooks:
        codes.append(trajectory.nearest(left, codebook))
        left = left - codebook[codes[-1]]
    return torch.stack(codes, -1)


def decode(codes: Tensor, codebooks: Tensor) -> Tensor:
    """Latents (b, n, c) from codes (b, n, L): the sum over the levels."""
    return sum((codebook[codes[..., level]] for level, codebook in enumerate(codebooks)), start=torch.zeros(()))
