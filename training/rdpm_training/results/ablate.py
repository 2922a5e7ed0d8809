"""Stage `ablate`: trains every variant with every seed for the same time, and measures what it draws.

All share the base run's autoencoder and its latents; each fits its own codebook and trains its own transformer. The
decoder is the autoencoder's own, not one that was fine-tuned on some variant's tokens. A stopped run goes on from its
checkpoint; a finished one leaves `report.json` and is skipped.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import codebook_stage, denoiser_stage, drawing, maskgit, residual, runs, trajectory
from ..config import Config
from ..sampler import Settings
from . import plan as plans
from .base import Base, share
from .once import once
from .plan import Plan, Variant

TEST_LATENTS = 2000


def ablate(plan: Plan, folder: Path) -> None:
    base = Base(plan, folder)
    # Seeds outside: a table with one seed is there early, its spread comes later.
    for seed in plan.ablations.seeds:
        for name, variant in plan.ablations.variants.items():
            place = home(folder, name, seed)
            config = plans.variant_config(plan, variant, seed)
            share(base.folder, place)
            asked = request(plan, name, variant, config)
            if once(place, asked, partial(run, base, variant, config, place, asked)):
                # The averaged network is enough to draw from it again; the rest is four times as large.
                runs.save(place / "denoiser.pt", {"ema": runs.load(place / "denoiser.pt")["ema"]})


def home(folder: Path, name: str, seed: int) -> Path:
    """Where a variant is trained: a run's folder like any other."""
    return folder / "ablations" / name / f"seed-{seed}"


def request(plan: Plan, name: str, variant: Variant, config: Config) -> dict[str, Any]:
    """All that decides about a variant's figures."""
    parts = {key: dataclasses.asdict(getattr(config, key)) for key in ("trajectory", "codebook", "denoiser")}
    return parts | {
        "variant": name,
        "kind": variant.kind,
        "levels": variant.levels,
        "seed": config.seed,
        "samples": plan.ablations.samples,
        "sampling": plan.ablations.sampling | variant.sampling,
    }


def run(base: Base, variant: Variant, config: Config, folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Trains one variant and tells what it is worth."""
    reference = variant.kind == "maskgit"
    if not (folder / "codebook.pt").exists():
        v = base.train_latents
        fitted = residual.fit_latents(config, v, variant.levels) if reference else codebook_stage.fit(config, v)
        runs.save(folder / "codebook.pt", {"codebook": fitted})
    codebook = codebook_stage.trained(folder)
    outcome = (maskgit if reference else denoiser_stage).learn(config, folder, base.dataset)

    settings = Settings(**asked["sampling"])
    labels = torch.arange(asked["samples"]) % base.classes
    drawn = drawing.draw(model(variant, config, folder, base.classes), labels, settings, config.seed)
    return base.judge.figures(drawn, labels) | {
        "parameters": sum(p.numel() for p in outcome.average.parameters()),
        "updates": outcome.updates,
        "training_seconds": round(outcome.training_seconds, 1),
        "latent_mse": round(latent_error(variant, config, base.test_latents[:TEST_LATENTS], codebook), 5),
    }


def model(variant: Variant, config: Config, folder: Path, classes: int) -> drawing.Model:
    """The trained variant in `folder`."""
    return (maskgit.reference if variant.kind == "maskgit" else drawing.rdpm)(config, folder, classes)


def latent_error(variant: Variant, config: Config, v: Tensor, codebook: Tensor) -> float:
    """Mean squared error of quantized latents, of their variance."""
    if variant.kind == "maskgit":
        return F.mse_loss(residual.decode(residual.encode(v, codebook), codebook), v).item()
    eps = trajectory.noise(config.trajectory, v.shape, runs.generator(config.seed, codebook_stage.STAGE, 1))
    return F.mse_loss(trajectory.last(v, eps, codebook, trajectory.schedule(config.trajectory)), v).item()
