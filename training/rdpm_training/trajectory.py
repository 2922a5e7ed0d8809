"""The diffusion process on tokens: schedule, codebook and recurrent tokenization (our reading of arXiv 2412.18390).

    x_t = alpha_t v + beta_t eps            alpha_t = s_t, beta_t = 1 - s_t, 0 = s_0 < ... < s_T = 1
    z_0 = eps
    C_t = argmin_k || x_t - z_{t-1} - e_k ||^2
    z_t = z_{t-1} + e[C_t]

Each step encodes the remaining increment, so the next step corrects a step's quantization error, and z_T differs from
v by the last step's error only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .config import ConfigError, TrajectoryConfig

CHUNK = 8192  # number of points whose distances to all codes are in memory at once


def schedule(settings: TrajectoryConfig) -> list[float]:
    """s_0 ... s_T: T + 1 numbers rising from 0 to 1.

    "linear": equal steps. "power": s_t = 1 - (1 - t / T)^exponent; with an exponent above 1 the
    steps become smaller, so the last ones can correct earlier quantization errors. "residual": s_t = 1 from the first
    step on, so each step encodes the whole remainder; without noise this is residual quantization with one codebook.
    """
    steps = settings.steps
    if settings.schedule == "linear":
        return [t / steps for t in range(steps + 1)]
    if settings.schedule == "power":
        return [1 - (1 - t / steps) ** settings.exponent for t in range(steps + 1)]
    if settings.schedule == "residual":
        return [0.0] + [1.0] * steps
    raise ConfigError(
        f'[trajectory]: schedule is {settings.schedule!r}; allowed values are "linear", "power" and "residual"'
    )


def noise(settings: TrajectoryConfig, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """eps: Gaussian noise with the configured standard deviation (zeros if that is 0)."""
    return settings.noise * torch.randn(shape, generator=generator)


def nearest(points: Tensor, codebook: Tensor) -> Tensor:
    """Index of the nearest codebook vector for each point: (..., c) to (...)."""
    # argmin ||p - e||^2 = argmin ||e||^2 - 2 p.e: the norm of p is the same for all codes.
    norms, doubled = codebook.square().sum(1), 2 * codebook.T
    # In chunks: the table of all distances may exceed memory, and a small table stays in the cache.
    parts = [(norms - part @ doubled).argmin(-1) for part in points.flatten(0, -2).split(CHUNK)]
    return torch.cat(parts).view(points.shape[:-1])


@dataclass(frozen=True)
class Step:
    """One step of the recurrence. `before` is z_{t-1}, `after` z_t, both (b, n, c); `codes` C_t (b, n)."""

    t: int
    before: Tensor
    increment: Tensor
    codes: Tensor
    after: Tensor


def tokenize(v: Tensor, eps: Tensor, codebook: Tensor, s: list[float]) -> Iterator[Step]:
    """Recurrent tokenization of latents v (b, n, c) from noise eps of the same shape: yields t = 1 ... T."""
    z = eps
    for t in range(1, len(s)):
        increment = s[t] * v + (1 - s[t]) * eps - z
        codes = nearest(increment, codebook)
        after = z + codebook[codes]
        yield Step(t, z, increment, codes, after)
        z = after


def last(v: Tensor, eps: Tensor, codebook: Tensor, s: list[float]) -> Tensor:
    """z_T (b, n, c): the latent v after T quantized steps."""
    z = eps
    for step in tokenize(v, eps, codebook, s):
        z = step.after
    return z
