"""Stage `sweep`: samples from trained models with other sampling settings, with several seeds each. Nothing is trained.

For a variant of the ablations, each seed has its own network, so the standard deviation includes training; the base run
has one network.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from .. import generation
from ..sampler import SamplingSettings
from . import ablate
from . import plan as plans
from .base_run import BaseRun
from .cached_run import cached_run
from .plan import Plan


def sweep(plan: Plan, folder: Path) -> None:
    base = BaseRun(plan, folder)
    # The outer loop is over the models, so that the base run does not wait for untrained variants.
    for name in dict.fromkeys(table.model for table in plan.sweep.tables):
        for seed in plan.sweep.seeds:
            model = load_model(plan, folder, name, seed, base.classes)
            for settings in sweep_settings(plan, name):
                key = cache_key(plan, name, settings, seed)
                cached_run(report_folder(folder, name, settings, seed), key, partial(measure, base, model, key))


def sweep_settings(plan: Plan, model: str) -> list[dict[str, Any]]:
    """All different settings that the tables list for a model."""
    rows = [values for table in plan.sweep.tables if table.model == model for values in table.combinations()]
    return list({folder_name(values): values for values in rows}.values())


def folder_name(settings: dict[str, Any]) -> str:
    """Folder name for sampling settings."""
    return "_".join(f"{name}-{value}" for name, value in sorted(settings.items()))


def report_folder(folder: Path, model: str, settings: dict[str, Any], seed: int) -> Path:
    return folder / "sweep" / model / folder_name(settings) / f"seed-{seed}"


def cache_key(plan: Plan, model: str, settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """All settings that determine a result, except the model's own."""
    return {"model": model, "seed": seed, "samples": plan.sweep.samples, "settings": settings}


def load_model(plan: Plan, folder: Path, name: str, seed: int, classes: int) -> generation.GenerativeModel:
    """Loads the base run's model, or a variant trained with this seed."""
    if name == "run":
        return generation.load_rdpm(plan.base, plan.run, classes)
    variant = plan.ablations.variants[name]
    run_folder = ablate.report_folder(folder, name, seed)
    if not (run_folder / "report.json").exists():
        raise FileNotFoundError(f"{run_folder / 'report.json'} is missing: run stage `ablate` first")
    return ablate.load_model(variant, plans.variant_config(plan, variant, seed), run_folder, classes)


def measure(base: BaseRun, model: generation.GenerativeModel, key: dict[str, Any]) -> dict[str, Any]:
    labels = torch.arange(key["samples"]) % base.classes
    samples = generation.generate(model, labels, SamplingSettings(**key["settings"]), key["seed"])
    return base.classifier_metrics.compute(samples, labels)
