"""Collects the stages' reports and aggregates them over seeds."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import ablate, fidelity, sweep
from . import plan as plans
from .plan import Plan

Report = dict[str, Any]  # keys: "asked" (cache key), "found" (result), "made" (provenance)


@dataclass(frozen=True)
class Statistic:
    """A metric's values over several seeds."""

    values: list[float]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def std(self) -> float:
        """Sample standard deviation; 0 for one seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0

    def text(self, digits: int) -> str:
        if len(self.values) == 1:
            return f"{self.mean:,.{digits}f}"
        return f"{self.mean:,.{digits}f} ± {self.std:,.{digits}f}"


@dataclass(frozen=True)
class Row:
    """One row of a table: the available reports, one for each seed."""

    label: str
    reports: list[Report]

    def __bool__(self) -> bool:
        return bool(self.reports)

    def statistic(self, name: str) -> Statistic:
        return Statistic([report["found"][name] for report in self.reports])

    @property
    def cache_key(self) -> dict[str, Any]:
        return self.reports[0]["asked"]


def collect(folder: Path, archive: Path) -> dict[str, Report]:
    """All reports by relative path: those in `folder`, else those in `archive`, a JSON file that is updated."""
    archived = json.loads(archive.read_text()) if archive.exists() else {}
    paths = sorted(folder.glob("*/**/report.json")) if folder.exists() else []
    found = {str(path.parent.relative_to(folder)): json.loads(path.read_text()) for path in paths}
    reports = dict(sorted((archived | found).items()))
    archive.write_text(json.dumps(reports, indent=1) + "\n")
    return reports


class Results:
    """The plan's rows. Reports made with other settings than the plan's are ignored."""

    def __init__(self, plan: Plan, reports: dict[str, Report]) -> None:
        self.plan, self.reports = plan, reports

    def _row(self, label: str, cache_keys: dict[Path, dict[str, Any]]) -> Row:
        found = []
        for path, cache_key in cache_keys.items():
            report = self.reports.get(str(path))
            if report and report["asked"] == json.loads(json.dumps(cache_key)):
                found.append(report)
        return Row(label, found)

    def variant(self, name: str) -> Row:
        plan, variant = self.plan, self.plan.ablations.variants[name]
        cache_keys = {
            ablate.report_folder(Path(), name, seed): ablate.cache_key(
                plan, name, variant, plans.variant_config(plan, variant, seed)
            )
            for seed in plan.ablations.seeds
        }
        return self._row(variant.label, cache_keys)

    def sampling(self, model: str, settings: dict[str, Any]) -> Row:
        cache_keys = {
            sweep.report_folder(Path(), model, settings, seed): sweep.cache_key(self.plan, model, settings, seed)
            for seed in self.plan.sweep.seeds
        }
        return self._row(settings_label(settings), cache_keys)

    def quantizer(self, name: str, steps: int) -> Row:
        plan, quantizer = self.plan, self.plan.fidelity.quantizers[name]
        cache_keys = {
            fidelity.report_folder(Path(), name, steps, seed): fidelity.cache_key(
                plan, name, quantizer, plans.quantizer_config(plan, quantizer, steps, seed)
            )
            for seed in plan.fidelity.seeds
        }
        return self._row(quantizer.label, cache_keys)

    def continuous(self) -> Row:
        path = fidelity.report_folder(Path(), fidelity.CONTINUOUS, 0, 0)
        return self._row("not quantized", {path: fidelity.continuous_cache_key(self.plan)})

    def pictures(self) -> Report | None:
        return self.reports.get("pictures")


def settings_label(settings: dict[str, Any]) -> str:
    """SamplingSettings in parts."""
    parts = [f"guidance {settings['guidance']:g}"]
    if settings.get("mean"):
        parts.append("mean of the codes")
    temperature = settings["temperature"]
    parts.append("most probable code" if temperature == 0 else f"temperature {temperature:g}")
    parts += [f"{name.replace('_', '-')} {settings[name]:g}" for name in ("top_k", "top_p") if name in settings]
    if "choice" in settings:
        parts.append(f"choice noise {settings['choice']:g}")
    return ", ".join(parts)
