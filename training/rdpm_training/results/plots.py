"""Plots as SVG: small files, searchable text, and a white background that is readable on dark pages.

The colours are Okabe and Ito's, for colour-blind readers; each line also has its own marker.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .aggregate import Row

COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
AXIS_LABELS = {
    "frechet": "Fréchet distance (less is better)",
    "accuracy": "accuracy of the classifier (more is better)",
    "psnr": "PSNR in dB (more is better)",
    "ssim": "SSIM (more is better)",
}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rdpm",  # deterministic output
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "axes.facecolor": "white",
    "figure.facecolor": "white",
}


def dots(rows: list[Row], metrics: list[str], path: Path) -> None:
    """One line for each row: a dot for every seed, a bar for the mean."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.2 * len(metrics) + 1.6, 0.34 * len(rows) + 1.0), layout="constrained")
        panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for panel, metric in zip(panels, metrics, strict=True):
            for index, row in enumerate(rows):
                statistic = row.statistic(metric)
                panel.plot(
                    statistic.values, [index] * len(statistic.values), "o", color=COLOURS[0], alpha=0.6, ms=6, mew=0
                )
                panel.plot([statistic.mean], [index], "|", color=COLOURS[1], ms=16, mew=2.5)
            panel.set_xlabel(AXIS_LABELS[metric])
        panels[0].set_yticks(range(len(rows)), [row.label for row in rows])
        panels[0].set_ylim(len(rows) - 0.5, -0.5)
        _save(figure, path)


def lines(series: dict[str, list[tuple[float, Row]]], x_label: str, metrics: list[str], path: Path) -> None:
    """One line for each name through its (x, row) points: means and standard deviations."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.2 * len(metrics), 3.4), layout="constrained")
        panels = figure.subplots(1, len(metrics), squeeze=False)[0]
        for panel, metric in zip(panels, metrics, strict=True):
            for index, (name, points) in enumerate(series.items()):
                _line(panel, name, points, metric, index)
            panel.set_xlabel(x_label)
            panel.set_ylabel(AXIS_LABELS[metric])
        if len(series) > 1:
            handles, names = panels[0].get_legend_handles_labels()
            figure.legend(handles, names, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
        _save(figure, path)


def _line(panel: Axes, name: str, points: list[tuple[float, Row]], metric: str, index: int) -> None:
    statistics = [row.statistic(metric) for _, row in points]
    panel.errorbar(
        [x for x, _ in points],
        [statistic.mean for statistic in statistics],
        [statistic.std for statistic in statistics],
        color=COLOURS[index % len(COLOURS)],
        marker=MARKERS[index % len(MARKERS)],
        ms=5,
        lw=1.5,
        capsize=2,
        label=name,
    )


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})
