"""The evaluation plan: a TOML file read into frozen dataclasses. All names in it are checked before anything runs."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import config, trajectory
from ..config import Config, ConfigError, record
from ..sampler import SamplingSettings

KINDS = ("rdpm", "maskgit")
METHODS = ("recurrent", "residual", "shared", "plain")


@dataclass(frozen=True)
class Table:
    """A table of the report: its slot on the page, its title, and its rows in order."""

    slot: str
    title: str
    rows: list[str]


@dataclass(frozen=True)
class Variant:
    """A model to train: the base configuration with some values changed."""

    label: str
    kind: str = "rdpm"
    levels: int = 1  # levels of MaskGIT's codes
    set: dict[str, Any] = field(default_factory=dict)
    sampling: dict[str, Any] = field(default_factory=dict)  # overrides of the common sampling settings


@dataclass(frozen=True)
class Ablations:
    seeds: list[int] = field(default_factory=list)
    samples: int = 1000
    sampling: dict[str, Any] = field(default_factory=lambda: {"guidance": 1.0, "temperature": 1.0})
    variants: dict[str, Variant] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    set: dict[str, Any] = field(default_factory=dict)  # overrides for all variants


@dataclass(frozen=True)
class SweepTable:
    """Sampling settings to compare. An entry with lists stands for all combinations of their values."""

    slot: str
    title: str
    model: str  # "run" for the base run's model, or the name of a variant
    settings: list[dict[str, Any]]

    def combinations(self) -> list[dict[str, Any]]:
        rows = []
        for entry in self.settings:
            lists = [value if isinstance(value, list) else [value] for value in entry.values()]
            rows += [dict(zip(entry, values, strict=True)) for values in itertools.product(*lists)]
        return rows


@dataclass(frozen=True)
class Sweep:
    seeds: list[int] = field(default_factory=list)
    samples: int = 1000
    tables: list[SweepTable] = field(default_factory=list)


@dataclass(frozen=True)
class Quantizer:
    """A method to quantize latents: `codes` is V, `steps` is T or the number of levels L."""

    label: str
    method: str
    codes: int
    steps: list[int] = field(default_factory=lambda: [1])
    set: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Fidelity:
    seeds: list[int] = field(default_factory=list)
    images: int = 1000  # number of test images
    quantizers: dict[str, Quantizer] = field(default_factory=dict)
    set: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pictures:
    seed: int = 1
    sheet: int = 10  # samples of each class
    nearest: int = 3  # samples of each class shown beside training images
    neighbours: int = 3  # training images beside each sample
    frames: int = 24  # of the animation, in one direction
    scale: int = 4  # enlargement of the animation


@dataclass(frozen=True)
class Plan:
    """The whole plan. Reports go to runs/NAME-results, the page is docs/results/NAME.md.

    An absent section has no work.
    """

    name: str
    base: Config
    run: Path
    ablations: Ablations
    sweep: Sweep
    fidelity: Fidelity
    pictures: Pictures


def settings(values: dict[str, Any], where: str) -> SamplingSettings:
    """Sampling settings from a TOML table, validated."""
    read: SamplingSettings = record(SamplingSettings, values, where)
    for name, valid, allowed in (
        ("temperature", read.temperature >= 0, "0 or more"),
        ("top_k", read.top_k is None or read.top_k >= 1, "1 or more"),
        ("top_p", read.top_p is None or 0 < read.top_p <= 1, "above 0, up to 1"),
    ):
        if not valid:
            raise ConfigError(f"{where}: {name} is {getattr(read, name)}; allowed is {allowed}")
    return read


def variant_config(plan: Plan, variant: Variant, seed: int) -> Config:
    """The configuration of one variant: the base configuration with the common overrides, then the variant's own."""
    return _changed(plan.base, plan.ablations.set, variant.set, seed, f"variant {variant.label!r}")


def quantizer_config(plan: Plan, quantizer: Quantizer, steps: int, seed: int) -> Config:
    """The configuration with which a quantizer is fitted."""
    where = f"quantizer {quantizer.label!r}"
    changed = _changed(plan.base, plan.fidelity.set, quantizer.set, seed, where)
    trajectory = {"steps": steps, "codes": quantizer.codes}
    if quantizer.method == "shared":
        trajectory |= {"schedule": "residual", "noise": 0.0}
    return config.override(changed, {"trajectory": trajectory}, where)


def _changed(base: Config, common: dict[str, Any], own: dict[str, Any], seed: int, where: str) -> Config:
    changed = config.override(config.override(base, common, where), own, where)
    return dataclasses.replace(changed, seed=seed)


def load(path: Path) -> Plan:
    """Reads and validates a plan.

    Raises ConfigError; the message names the key and the allowed values.
    """
    raw = config.read(path)
    for key in ("base", "run"):
        if not isinstance(raw.get(key), str):
            raise ConfigError(f"{path}: {key!r} is missing")
    raw["base"] = config.load(path.parent / raw["base"])
    raw["run"] = path.parent.parent / raw["run"]
    for section, kind in (("ablations", Ablations), ("sweep", Sweep), ("fidelity", Fidelity), ("pictures", Pictures)):
        where = f"{path} [{section}]"
        raw[section] = record(kind, _parse_nested(section, raw.get(section, {}), where), where)
    plan: Plan = record(Plan, raw, str(path))
    _check(plan, str(path))
    return plan


def _parse_nested(section: str, values: dict[str, Any], where: str) -> dict[str, Any]:
    """Makes dataclasses from a section's nested tables."""
    tables = {"ablations": Table, "sweep": SweepTable}.get(section)
    if tables:
        entries = values.get("tables", [])
        values = values | {"tables": [record(tables, entry, f"{where} tables") for entry in entries]}
    for key, kind in (("variants", Variant), ("quantizers", Quantizer)):
        if key in values:
            entries = {name: record(kind, entry, f"{where} {key}.{name}") for name, entry in values[key].items()}
            values = values | {key: entries}
    return values


def _check(plan: Plan, where: str) -> None:
    variants = plan.ablations.variants
    settings(plan.ablations.sampling, f"{where} [ablations.sampling]")
    for name, variant in variants.items():
        _check_choice(KINDS, variant.kind, f"{where} [ablations.variants.{name}]: kind")
        settings(plan.ablations.sampling | variant.sampling, f"{where} [ablations.variants.{name}.sampling]")
        trajectory.schedule(variant_config(plan, variant, 0).trajectory)
    for table in plan.ablations.tables:
        for row in table.rows:
            _check_choice(variants, row, f"{where} [ablations] table {table.slot!r}: row")
    for table in plan.sweep.tables:
        _check_choice(["run", *variants], table.model, f"{where} [sweep] table {table.slot!r}: model")
        for entry in table.combinations():
            settings(entry, f"{where} [sweep] table {table.slot!r}")
        if table.model != "run" and (missing := set(plan.sweep.seeds) - set(plan.ablations.seeds)):
            raise ConfigError(f"{where} [sweep]: no variant is trained with seed {min(missing)}")
    for name, quantizer in plan.fidelity.quantizers.items():
        _check_choice(METHODS, quantizer.method, f"{where} [fidelity.quantizers.{name}]: method")
        if quantizer.method == "plain" and quantizer.steps != [1]:
            raise ConfigError(f"{where} [fidelity.quantizers.{name}]: a plain codebook has no steps")
        trajectory.schedule(quantizer_config(plan, quantizer, 1, 0).trajectory)


def _check_choice(allowed: Any, value: str, where: str) -> None:
    if value not in allowed:
        raise ConfigError(f"{where} is {value!r}; allowed values are {', '.join(allowed)}")
