"""Sampling in PyTorch: for evaluation, and the independent check of `src/model/sampler.rs`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .conditions import Condition
from .denoiser import Denoiser


@dataclass(frozen=True)
class Settings:
    """How codes are chosen from logits u + w (l - u)."""

    guidance: float  # w
    temperature: float  # 0 takes the most probable code
    top_k: int | None = None  # only so many of the most probable codes
    top_p: float | None = None  # only the most probable codes that together hold this share
    mean: bool = False  # no drawing: z moves by all codes at once, weighted by their probabilities
    choice: float = 4.5  # MaskGIT only: noise in which codes stay masked at first; its authors' code has this value


@dataclass(frozen=True)
class Step:
    """One step of all images: t, guided logits (b, n, V), codes C_t (b, n), running latent z_t (b, n, c).

    Where `mean` is asked for, the codes are the most probable ones and z_t isn't made of them.
    """

    t: int
    logits: Tensor
    codes: Tensor
    z: Tensor


def guided(denoiser: Denoiser, inputs: tuple[Tensor, ...], labels: Tensor | Condition, guidance: float) -> Tensor:
    """Logits with classifier-free guidance."""
    logits = denoiser(*inputs, labels)
    if guidance == 1.0:
        return logits
    free = denoiser(*inputs, denoiser.null(labels))
    return free + guidance * (logits - free)


def kept(logits: Tensor, settings: Settings) -> Tensor:
    """Logits divided by the temperature (above 0), minus infinity for codes that top-k or top-p exclude."""
    logits = logits / settings.temperature
    if settings.top_k is None and settings.top_p is None:
        return logits
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    if settings.top_k is not None:
        ordered[..., settings.top_k :] = -torch.inf
    if settings.top_p is not None:
        share = ordered.softmax(-1)
        # A code is left out where those before it hold enough.
        ordered[share.cumsum(-1) - share >= settings.top_p] = -torch.inf
    return torch.empty_like(logits).scatter_(-1, order, ordered)


def choose(logits: Tensor, uniforms: Tensor, settings: Settings) -> Tensor:
    """One code for each row of logits (..., V), by Gumbel-max from numbers of (0, 1) of the same shape."""
    if settings.temperature == 0:
        return logits.argmax(-1)
    return (kept(logits, settings) - torch.log(-torch.log(uniforms))).argmax(-1)


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    codebook: Tensor,
    steps: int,
    labels: Tensor | Condition,
    eps: Tensor,
    uniforms: Iterator[Tensor],
    settings: Settings,
) -> Iterator[Step]:
    """Draws images of classes `labels` (b,), or of what a condition says, from noise eps (b, n, c): yields t = 1 ... T.

    `uniforms` yields (b, n, V) numbers of (0, 1) for each step; the mean wants none.
    """
    z = eps
    for t in range(1, steps + 1):
        logits = guided(denoiser, (z, torch.full((len(z),), t, device=z.device)), labels, settings.guidance)
        if settings.mean and settings.temperature > 0:
            codes = logits.argmax(-1)
            z = z + kept(logits, settings).softmax(-1).to(codebook.dtype) @ codebook
        else:
            codes = choose(logits, next(uniforms), settings)
            z = z + codebook[codes]
        yield Step(t, logits, codes, z)
