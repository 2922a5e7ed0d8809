"""Stage `fidelity`: reconstruction quality of the test images for several quantizers, by bits per position.

- recurrent: RDPM's tokens, T steps with one codebook. T log2 V bits.
- residual: residual quantization with a codebook for each of L levels. L log2 V bits, L times as many vectors.
- shared: residual quantization with one codebook for all levels, fitted like RDPM's. L log2 V bits.
- plain: one code. log2 V bits; the codebook has 2^bits vectors, which limits the number of bits.

The same decoder, trained with the autoencoder, decodes all of them. Continuous latents are the upper bound.
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

from .. import codebook_stage, metrics, residual_quantizer, runs, tokenizer_stage, trajectory
from ..classifier_metrics import accuracy
from ..config import Config
from . import plan as plans
from .base_run import BaseRun
from .cached_run import cached_run
from .plan import Plan, Quantizer

RANDOM_STREAM = 11
CONTINUOUS = "continuous"


def fidelity(plan: Plan, folder: Path) -> None:
    settings, evaluator = plan.fidelity, FidelityEvaluator(plan, BaseRun(plan, folder))

    def continuous() -> dict[str, Any]:
        return evaluator.measure(evaluator.test) | {"bits": None, "table": 0}

    cached_run(report_folder(folder, CONTINUOUS, 0, 0), continuous_cache_key(plan), continuous)
    for seed in settings.seeds:
        for name, quantizer in settings.quantizers.items():
            for steps in quantizer.steps:
                config = plans.quantizer_config(plan, quantizer, steps, seed)
                key = cache_key(plan, name, quantizer, config)
                compute = partial(evaluator.measure_quantizer, quantizer, config)
                cached_run(report_folder(folder, name, steps, seed), key, compute)


def report_folder(folder: Path, name: str, steps: int, seed: int) -> Path:
    parent = folder / "fidelity" / name
    return parent if name == CONTINUOUS else parent / f"steps-{steps}" / f"seed-{seed}"


def continuous_cache_key(plan: Plan) -> dict[str, Any]:
    return {"quantizer": CONTINUOUS, "images": plan.fidelity.images}


def cache_key(plan: Plan, name: str, quantizer: Quantizer, config: Config) -> dict[str, Any]:
    """All settings that determine a quantizer's result."""
    return {
        "quantizer": name,
        "method": quantizer.method,
        "seed": config.seed,
        "images": plan.fidelity.images,
        "trajectory": vars(config.trajectory),
        "codebook": vars(config.codebook),
    }


class FidelityEvaluator:
    """Compares quantizers on the same test images and latents."""

    def __init__(self, plan: Plan, base: BaseRun) -> None:
        count = plan.fidelity.images
        self.train, self.test = base.train_latents, base.test_latents[:count]
        self.labels = base.dataset.test.labels[:count]
        self.tokenizer = tokenizer_stage.trained(plan.base, base.folder)
        self.classifier_metrics = base.classifier_metrics
        self.images = self.classifier_metrics.test[:count]

    def measure_quantizer(self, quantizer: Quantizer, config: Config) -> dict[str, Any]:
        """Fits a quantizer to the training latents and measures it on the test set."""
        quantize, table = fit_quantizer(quantizer, config, self.train)
        bits = config.trajectory.steps * math.log2(config.trajectory.codes)
        return self.measure(quantize(self.test)) | {"bits": round(bits, 2), "table": table}

    def measure(self, v: Tensor) -> dict[str, float]:
        """Decodes latents and compares the images with the test images."""
        decoded = tokenizer_stage.decode_all(self.tokenizer, v, runs.device())
        features, predicted = self.classifier_metrics.predict(decoded)
        return {
            "latent_mse": round(F.mse_loss(v, self.test).item(), 6),
            "psnr": round(tokenizer_stage.psnr(F.mse_loss(decoded, self.images).item()), 3),
            "ssim": round(ssim(decoded, self.images), 4),
            "frechet": round(metrics.frechet(features, self.classifier_metrics.test_features[: len(features)]), 4),
            "accuracy": accuracy(predicted, self.labels),
        }


def fit_quantizer(quantizer: Quantizer, config: Config, train: Tensor) -> tuple[Callable[[Tensor], Tensor], int]:
    """A function from latents to quantized latents, and the number of vectors in its codebooks."""
    settings = config.trajectory
    if quantizer.method in ("residual", "plain"):
        codebooks = residual_quantizer.fit_latents(config, train, settings.steps)
        vectors = codebooks[..., 0].numel()
        return lambda v: residual_quantizer.decode(residual_quantizer.encode(v, codebooks), codebooks), vectors
    codebook, s = codebook_stage.fit(config, train), trajectory.schedule(settings)

    def recurrent(v: Tensor) -> Tensor:
        eps = trajectory.noise(settings, v.shape, runs.generator(config.seed, RANDOM_STREAM))
        return trajectory.last(v, eps, codebook, s)

    return recurrent, len(codebook)


@torch.no_grad()
def ssim(images: Tensor, originals: Tensor, batch: int = 500) -> float:
    """Mean structural similarity (Wang et al. 2004) of images in -1..1, which are mapped to 0..1 first."""
    pairs = zip(((images + 1) / 2).split(batch), ((originals + 1) / 2).split(batch), strict=True)
    total = sum(structural_similarity_index_measure(a, b, data_range=1.0, reduction="sum").item() for a, b in pairs)
    return total / len(images)
