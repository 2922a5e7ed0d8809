"""The reports that the stages left, gathered, and what several seeds say together."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import ablate, fidelity, sweep
from . import plan as plans
from .plan import Plan

Report = dict[str, Any]  # asked, found, made


@dataclass(frozen=True)
class Figure:
    """One figure over several seeds."""

    values: list[float]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float:
        """Standard deviation of a sample; 0 for one seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0

    def text(self, digits: int) -> str:
        if len(self.values) == 1:
            return f"{self.mean:,.{digits}f}"
        return f"{self.mean:,.{digits}f} ± {self.spread:,.{digits}f}"


@dataclass(frozen=True)
class Row:
    """One line of a table: the reports of all its seeds that there are."""

    label: str
    reports: list[Report]

    def __bool__(self) -> bool:
        return bool(self.reports)

    def figure(self, name: str) -> Figure:
        return Figure([report["found"][name] for report in self.reports])

    @property
    def asked(self) -> dict[str, Any]:
        return self.reports[0]["asked"]


def gather(folder: Path, kept: Path) -> dict[str, Report]:
    """All reports by their place, those in `kept` (a JSON file) too where the folder has none; writes them there."""
    former = json.loads(kept.read_text()) if kept.exists() else {}
    paths = sorted(folder.glob("*/**/report.json")) if folder.exists() else []
    found = {str(path.parent.relative_to(folder)): json.loads(path.read_text()) for path in paths}
    reports = dict(sorted((former | found).items()))
    kept.write_text(json.dumps(reports, indent=1) + "\n")
    return reports


class Results:
    """The plan's rows. A report that was made with other settings than the plan's is not shown."""

    def __init__(self, plan: Plan, reports: dict[str, Report]) -> None:
        self.plan, self.reports = plan, reports

    def _row(self, label: str, asked: dict[Path, dict[str, Any]]) -> Row:
        found = []
        for place, wanted in asked.items():
            report = self.reports.get(str(place))
            if report and report["asked"] == json.loads(json.dumps(wanted)):
                found.append(report)
        return Row(label, found)

    def variant(self, name: str) -> Row:
        plan, variant = self.plan, self.plan.ablations.variants[name]
        asked = {
            ablate.home(Path(), name, seed): ablate.request(
                plan, name, variant, plans.variant_config(plan, variant, seed)
            )
            for seed in plan.ablations.seeds
        }
        return self._row(variant.label, asked)

    def drawn(self, model: str, values: dict[str, Any]) -> Row:
        asked = {
            sweep.home(Path(), model, values, seed): sweep.request(self.plan, model, values, seed)
            for seed in self.plan.sweep.seeds
        }
        return self._row(described(values), asked)

    def quantizer(self, name: str, steps: int) -> Row:
        plan, quantizer = self.plan, self.plan.fidelity.quantizers[name]
        asked = {
            fidelity.home(Path(), name, steps, seed): fidelity.request(
                plan, name, quantizer, plans.quantizer_config(plan, quantizer, steps, seed)
            )
            for seed in plan.fidelity.seeds
        }
        return self._row(quantizer.label, asked)

    def continuous(self) -> Row:
        place = fidelity.home(Path(), fidelity.CONTINUOUS, 0, 0)
        return self._row("not quantized", {place: fidelity.bound(self.plan)})

    def pictures(self) -> Report | None:
        return self.reports.get("pictures")


def described(values: dict[str, Any]) -> str:
    """Settings in words."""
    words = [f"guidance {values['guidance']:g}"]
    if values.get("mean"):
        words.append("mean of the codes")
    temperature = values["temperature"]
    words.append("most probable code" if temperature == 0 else f"temperature {temperature:g}")
    words += [f"{name.replace('_', '-')} {values[name]:g}" for name in ("top_k", "top_p") if name in values]
    if "choice" in values:
        words.append(f"choice noise {values['choice']:g}")
    return ", ".join(words)
