"""Stage `fidelity`: what several ways to turn latents into codes leave of the test images, at their bits per position.

- recurrent: T steps of the recurrent diffusion tokens, one codebook for all. T log2 V bits.
- residual: residual quantization with a codebook of its own for each of L levels. L log2 V bits, L times the table.
- shared: residual quantization with one codebook for all levels, fit like the recurrent one's. L log2 V bits.
- plain: one code. log2 V bits; its table grows with 2^bits, so it can't follow the others far.

All are decoded by the same decoder, the autoencoder's own. Latents that aren't quantized at all are the bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from .. import codebook_stage, measures, residual, runs, tokenizer_stage, trajectory
from ..config import Config
from ..judge import accuracy
from . import plan as plans
from .base import Base
from .once import once
from .plan import Plan, Quantizer

STAGE = 11
CONTINUOUS = "continuous"


def fidelity(plan: Plan, folder: Path) -> None:
    settings, bench = plan.fidelity, Bench(plan, Base(plan, folder))
    once(home(folder, CONTINUOUS, 0, 0), bound(plan), lambda: bench.measure(bench.test) | {"bits": None, "table": 0})
    for seed in settings.seeds:
        for name, quantizer in settings.quantizers.items():
            for steps in quantizer.steps:
                config = plans.quantizer_config(plan, quantizer, steps, seed)
                asked = request(plan, name, quantizer, config)
                work = partial(bench.quantizer, quantizer, config)
                once(home(folder, name, steps, seed), asked, work)


def home(folder: Path, name: str, steps: int, seed: int) -> Path:
    place = folder / "fidelity" / name
    return place if name == CONTINUOUS else place / f"steps-{steps}" / f"seed-{seed}"


def bound(plan: Plan) -> dict[str, Any]:
    return {"quantizer": CONTINUOUS, "images": plan.fidelity.images}


def request(plan: Plan, name: str, quantizer: Quantizer, config: Config) -> dict[str, Any]:
    """All that decides about a quantizer's figures."""
    return {
        "quantizer": name,
        "method": quantizer.method,
        "seed": config.seed,
        "images": plan.fidelity.images,
        "trajectory": vars(config.trajectory),
        "codebook": vars(config.codebook),
    }


class Bench:
    """The test images and latents on which quantizers are compared."""

    def __init__(self, plan: Plan, base: Base) -> None:
        count = plan.fidelity.images
        self.train, self.test = base.train_latents, base.test_latents[:count]
        self.labels = base.dataset.test.labels[:count]
        self.tokenizer = tokenizer_stage.trained(plan.base, base.folder)
        self.judge = base.judge
        self.images = self.judge.test[:count]

    def quantizer(self, quantizer: Quantizer, config: Config) -> dict[str, Any]:
        """Fits a quantizer on training latents and measures it on the test set."""
        quantize, table = fitted(quantizer, config, self.train)
        bits = config.trajectory.steps * math.log2(config.trajectory.codes)
        return self.measure(quantize(self.test)) | {"bits": round(bits, 2), "table": table}

    def measure(self, v: Tensor) -> dict[str, float]:
        """How near the test images these latents are."""
        decoded = tokenizer_stage.decode_all(self.tokenizer, v, runs.device())
        features, predicted = self.judge.look(decoded)
        return {
            "latent_mse": round(F.mse_loss(v, self.test).item(), 6),
            "psnr": round(tokenizer_stage.psnr(F.mse_loss(decoded, self.images).item()), 3),
            "ssim": round(ssim(decoded, self.images), 4),
            "frechet": round(measures.frechet(features, self.judge.test_features[: len(features)]), 4),
            "accuracy": accuracy(predicted, self.labels),
        }


def fitted(quantizer: Quantizer, config: Config, train: Tensor) -> tuple[Callable[[Tensor], Tensor], int]:
    """From latents to quantized latents, and how many vectors its codebooks hold."""
    settings = config.trajectory
    if quantizer.method in ("residual", "plain"):
        codebooks = residual.fit_latents(config, train, settings.steps)
        return lambda v: residual.decode(residual.encode(v, codebooks), codebooks), codebooks[..., 0].numel()
    codebook, s = codebook_stage.fit(config, train), trajectory.schedule(settings)

    def recurrent(v: Tensor) -> Tensor:
        eps = trajectory.noise(settings, v.shape, runs.generator(config.seed, STAGE))
        return trajectory.last(v, eps, codebook, s)

    return recurrent, len(codebook)


@torch.no_grad()
def ssim(images: Tensor, originals: Tensor, batch: int = 500) -> float:
    """Mean structural similarity (Wang et al. 2004) of images in -1..1; it is defined on values from 0 up."""
    pairs = zip(((images + 1) / 2).split(batch), ((originals + 1) / 2).split(batch), strict=True)
    total = sum(structural_similarity_index_measure(a, b, data_range=1.0, reduction="sum").item() for a, b in pairs)
    return total / len(images)
