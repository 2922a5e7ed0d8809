"""Sampling in PyTorch: for evaluation, and the independent check of `src/model/sampler.rs`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .denoiser import Denoiser


@dataclass(frozen=True)
class Step:
    """One step of all images: t, guided logits (b, n, V), codes C_t (b, n), running latent z_t (b, n, c)."""

    t: int
    logits: Tensor
    codes: Tensor
    z: Tensor


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    codebook: Tensor,
    steps: int,
    labels: Tensor,
    eps: Tensor,
    uniforms: Iterator[Tensor],
    guidance: float,
    temperature: float,
) -> Iterator[Step]:
    """Draws images of classes `labels` (b,) from noise eps (b, n, c): yields t = 1 ... T.

    `uniforms` yields (b, n, V) numbers of (0, 1) for each step. Logits are u + w (l - u); codes are drawn by Gumbel-max
    at the temperature (above 0).
    """
    z, null = eps, torch.full_like(labels, denoiser.null_class)
    for t in range(1, steps + 1):
        when = torch.full_like(labels, t)
        logits = denoiser(z, when, labels)
        if guidance != 1.0:
            free = denoiser(z, when, null)
            logits = free + guidance * (logits - free)
        gumbel = -torch.log(-torch.log(next(uniforms)))
        codes = (logits / temperature + gumbel).argmax(-1)
        z = z + codebook[codes]
        yield Step(t, logits, codes, z)
