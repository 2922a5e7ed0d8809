"""Sampling in PyTorch, for evaluation and as an independent check of the sampler in `src/model/`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .conditions import Condition
from .denoiser import Denoiser


@dataclass(frozen=True)
class SamplingSettings:
    """How codes are sampled from the guided logits u + w (l - u)."""

    guidance: float  # w
    temperature: float  # 0: the most probable code
    top_k: int | None = None  # only this many of the most probable codes
    top_p: float | None = None  # only the most probable codes with this cumulative probability
    mean: bool = False  # no sampling: z moves by the mean of all codes, weighted by their probabilities
    choice: float = 4.5  # MaskGIT only: scale of the noise in its choice of codes to keep; 4.5 as in its authors' code
    guidance_steps: str | None = None  # "FIRST-LAST": w is 1 in all other steps, which takes one pass instead of two

    def guidance_at(self, t: int) -> float:
        """The guidance scale of step t = 1 ... T."""
        if self.guidance_steps is None:
            return self.guidance
        first, last = map(int, self.guidance_steps.split("-"))
        return self.guidance if first <= t <= last else 1.0


@dataclass(frozen=True)
class Step:
    """One step of a batch: t, guided logits (b, n, V), codes C_t (b, n), running latent z_t (b, n, c).

    Of given codes the logits are those of their positions. With `mean`, the codes are the most probable ones and z_t
    does not depend on them.
    """

    t: int
    logits: Tensor
    codes: Tensor
    z: Tensor


def guided_logits(
    denoiser: Denoiser, inputs: tuple[Tensor, ...], labels: Tensor | Condition, guidance: float
) -> Tensor:
    """Logits with classifier-free guidance."""
    logits = denoiser(*inputs, labels)
    if guidance == 1.0:
        return logits
    unconditional = denoiser(*inputs, denoiser.null_condition(labels))
    return unconditional + guidance * (logits - unconditional)


def filter_logits(logits: Tensor, settings: SamplingSettings) -> Tensor:
    """Logits divided by the temperature (above 0), with minus infinity for codes excluded by top-k or top-p."""
    logits = logits / settings.temperature
    if settings.top_k is None and settings.top_p is None:
        return logits
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    if settings.top_k is not None:
        ordered[..., settings.top_k :] = -torch.inf
    if settings.top_p is not None:
        probabilities = ordered.softmax(-1)
        # A code is excluded if the more probable ones already reach top_p.
        ordered[probabilities.cumsum(-1) - probabilities >= settings.top_p] = -torch.inf
    return torch.empty_like(logits).scatter_(-1, order, ordered)


def sample_codes(logits: Tensor, uniforms: Tensor, settings: SamplingSettings) -> Tensor:
    """Samples one code per row of logits (..., V) by the Gumbel-max trick, from uniform numbers in (0, 1) of the same
    shape."""
    if settings.temperature == 0:
        return logits.argmax(-1)
    return (filter_logits(logits, settings) - torch.log(-torch.log(uniforms))).argmax(-1)


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    codebook: Tensor,
    steps: int,
    labels: Tensor | Condition,
    eps: Tensor,
    uniforms: Iterator[Tensor],
    settings: SamplingSettings,
    given: Tensor | None = None,
) -> Iterator[Step]:
    """Samples latents for classes or conditions (b,) from noise eps (b, n, c). Yields steps t = 1 ... T.

    `uniforms` yields (b, n, V) uniform numbers in (0, 1) for each step; with `mean` it is not used. `given` (b, T, n)
    has codes that are taken instead of sampled ones, and -1 where a code is sampled.
    """
    z = eps
    for t in range(1, steps + 1):
        logits = guided_logits(
            denoiser, (z, torch.full((len(z),), t, device=z.device)), labels, settings.guidance_at(t)
        )
        if settings.mean and settings.temperature > 0:
            codes = logits.argmax(-1)
            z = z + filter_logits(logits, settings).softmax(-1).to(codebook.dtype) @ codebook
        else:
            codes = sample_codes(logits, next(uniforms), settings)
            if given is not None:
                codes = torch.where(given[:, t - 1] < 0, codes, given[:, t - 1])
            z = z + codebook[codes]
        yield Step(t, logits, codes, z)
