"""Stage `sweep`: draws from trained models with other settings. No training; each setting with several seeds.

A variant of the ablations is drawn from with the network of the same seed, so its spread has training in it too; the
base run has one network only.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from .. import drawing
from ..sampler import Settings
from . import ablate
from . import plan as plans
from .base import Base
from .once import once
from .plan import Plan


def sweep(plan: Plan, folder: Path) -> None:
    base = Base(plan, folder)
    # The models outside: the base run's figures don't wait for variants that aren't trained yet.
    for name in dict.fromkeys(table.model for table in plan.sweep.tables):
        for seed in plan.sweep.seeds:
            model = trained(plan, folder, name, seed, base.classes)
            for values in wanted(plan, name):
                asked = request(plan, name, values, seed)
                once(home(folder, name, values, seed), asked, partial(measure, base, model, asked))


def wanted(plan: Plan, model: str) -> list[dict[str, Any]]:
    """The settings that any table asks of a model, each once."""
    rows = [values for table in plan.sweep.tables if table.model == model for values in table.all()]
    return list({key(values): values for values in rows}.values())


def key(values: dict[str, Any]) -> str:
    """Settings as the name of a folder."""
    return "_".join(f"{name}-{value}" for name, value in sorted(values.items()))


def home(folder: Path, model: str, values: dict[str, Any], seed: int) -> Path:
    return folder / "sweep" / model / key(values) / f"seed-{seed}"


def request(plan: Plan, model: str, values: dict[str, Any], seed: int) -> dict[str, Any]:
    """All that decides about a setting's figures, beside the model itself."""
    return {"model": model, "seed": seed, "samples": plan.sweep.samples, "settings": values}


def trained(plan: Plan, folder: Path, name: str, seed: int, classes: int) -> drawing.Model:
    """The base run's model, or a variant trained with this seed."""
    if name == "run":
        return drawing.rdpm(plan.base, plan.run, classes)
    variant = plan.ablations.variants[name]
    place = ablate.home(folder, name, seed)
    if not (place / "report.json").exists():
        raise FileNotFoundError(f"{place / 'report.json'} is missing: run stage `ablate` first")
    return ablate.model(variant, plans.variant_config(plan, variant, seed), place, classes)


def measure(base: Base, model: drawing.Model, asked: dict[str, Any]) -> dict[str, Any]:
    labels = torch.arange(asked["samples"]) % base.classes
    return base.judge.figures(drawing.draw(model, labels, Settings(**asked["settings"]), asked["seed"]), labels)
