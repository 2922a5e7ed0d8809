"""Stage `ablate`: trains every variant with every seed for the same time, and evaluates its samples.

All variants share the base run's autoencoder and latents; each fits its own codebook and trains its own transformer.
The decoder is the one trained with the autoencoder, not one fine-tuned on some variant's tokens. An interrupted run
resumes from its checkpoint; a finished one has `report.json` and is skipped.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import codebook_stage, denoiser_stage, generation, maskgit, residual_quantizer, runs, trajectory
from ..config import Config
from ..sampler import SamplingSettings
from . import plan as plans
from .base_run import BaseRun, link_shared_files
from .cached_run import cached_run
from .plan import Plan, Variant

TEST_LATENTS = 2000


def ablate(plan: Plan, folder: Path) -> None:
    base = BaseRun(plan, folder)
    # The outer loop is over the seeds, so that all variants have results early.
    for seed in plan.ablations.seeds:
        for name, variant in plan.ablations.variants.items():
            run_folder = report_folder(folder, name, seed)
            config = plans.variant_config(plan, variant, seed)
            link_shared_files(base.folder, run_folder)
            key = cache_key(plan, name, variant, config)
            if cached_run(run_folder, key, partial(run, base, variant, config, run_folder, key)):
                # Stage `sweep` needs the EMA network only; the rest of the checkpoint is three quarters of its size.
                runs.save(run_folder / "denoiser.pt", {"ema": runs.load(run_folder / "denoiser.pt")["ema"]})


def report_folder(folder: Path, name: str, seed: int) -> Path:
    """The folder in which a variant is trained; it has the files of a run and `report.json`."""
    return folder / "ablations" / name / f"seed-{seed}"


def cache_key(plan: Plan, name: str, variant: Variant, config: Config) -> dict[str, Any]:
    """All settings that determine a variant's result."""
    parts = {
        section: dataclasses.asdict(getattr(config, section)) for section in ("trajectory", "codebook", "denoiser")
    }
    # Older reports lack these options, which were added later; 0 is how those results were computed.
    for option in ("style_dropout", "words_dropout", "condition_dropout"):
        if not parts["denoiser"][option]:
            del parts["denoiser"][option]
    return parts | {
        "variant": name,
        "kind": variant.kind,
        "levels": variant.levels,
        "seed": config.seed,
        "samples": plan.ablations.samples,
        "sampling": plan.ablations.sampling | variant.sampling,
    }


def run(base: BaseRun, variant: Variant, config: Config, folder: Path, key: dict[str, Any]) -> dict[str, Any]:
    """Trains and evaluates one variant."""
    is_maskgit = variant.kind == "maskgit"
    if not (folder / "codebook.pt").exists():
        v = base.train_latents
        if is_maskgit:
            fitted = residual_quantizer.fit_latents(config, v, variant.levels)
        else:
            fitted = codebook_stage.fit(config, v)
        runs.save(folder / "codebook.pt", {"codebook": fitted})
    codebook = codebook_stage.trained(folder)
    result = (maskgit if is_maskgit else denoiser_stage).fit(config, folder, base.dataset)

    settings = SamplingSettings(**key["sampling"])
    labels = torch.arange(key["samples"]) % base.classes
    samples = generation.generate(load_model(variant, config, folder, base.classes), labels, settings, config.seed)
    return base.classifier_metrics.compute(samples, labels) | {
        "parameters": sum(p.numel() for p in result.ema.parameters()),
        "updates": result.updates,
        "training_seconds": round(result.training_seconds, 1),
        "latent_mse": round(latent_error(variant, config, base.test_latents[:TEST_LATENTS], codebook), 5),
    }


def load_model(variant: Variant, config: Config, folder: Path, classes: int) -> generation.GenerativeModel:
    """Loads the trained variant from `folder`."""
    return (maskgit.load if variant.kind == "maskgit" else generation.load_rdpm)(config, folder, classes)


def latent_error(variant: Variant, config: Config, v: Tensor, codebook: Tensor) -> float:
    """Mean squared error of the quantized latents; the latents have variance 1."""
    if variant.kind == "maskgit":
        return F.mse_loss(residual_quantizer.decode(residual_quantizer.encode(v, codebook), codebook), v).item()
    eps = trajectory.noise(config.trajectory, v.shape, runs.generator(config.seed, codebook_stage.RANDOM_STREAM, 1))
    return F.mse_loss(trajectory.last(v, eps, codebook, trajectory.schedule(config.trajectory)), v).item()
