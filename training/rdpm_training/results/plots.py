"""Plots as SVG: few kilobytes, text that can be searched, a white ground that holds on dark pages too.

Colours are Okabe and Ito's, which the colour-blind tell apart; each line has a marker of its own beside.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from .reports import Row

COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
MEASURES = {
    "frechet": "Fréchet distance (less is better)",
    "accuracy": "accuracy of the classifier (more is better)",
    "psnr": "PSNR in dB (more is better)",
    "ssim": "SSIM (more is better)",
}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rdpm",  # the same plot gives the same file
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


def dots(rows: list[Row], measures: list[str], path: Path) -> None:
    """A line for each row: every seed a dot, their mean a bar."""
    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=(4.2 * len(measures) + 1.6, 0.34 * len(rows) + 1.0), layout="constrained")
        panels = canvas.subplots(1, len(measures), sharey=True, squeeze=False)[0]
        for panel, measure in zip(panels, measures, strict=True):
            for place, row in enumerate(rows):
                figure = row.figure(measure)
                panel.plot(figure.values, [place] * len(figure.values), "o", color=COLOURS[0], alpha=0.6, ms=6, mew=0)
                panel.plot([figure.mean], [place], "|", color=COLOURS[1], ms=16, mew=2.5)
            panel.set_xlabel(MEASURES[measure])
        panels[0].set_yticks(range(len(rows)), [row.label for row in rows])
        panels[0].set_ylim(len(rows) - 0.5, -0.5)
        _save(canvas, path)


def lines(series: dict[str, list[tuple[float, Row]]], across: str, measures: list[str], path: Path) -> None:
    """A line for each name, through (x, row): means with their standard deviations."""
    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=(4.2 * len(measures), 3.4), layout="constrained")
        panels = canvas.subplots(1, len(measures), squeeze=False)[0]
        for panel, measure in zip(panels, measures, strict=True):
            for index, (name, points) in enumerate(series.items()):
                _line(panel, name, points, measure, index)
            panel.set_xlabel(across)
            panel.set_ylabel(MEASURES[measure])
        if len(series) > 1:
            handles, names = panels[0].get_legend_handles_labels()
            canvas.legend(handles, names, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
        _save(canvas, path)


def _line(panel: Axes, name: str, points: list[tuple[float, Row]], measure: str, index: int) -> None:
    figures = [row.figure(measure) for _, row in points]
    panel.errorbar(
        [x for x, _ in points],
        [figure.mean for figure in figures],
        [figure.spread for figure in figures],
        color=COLOURS[index % len(COLOURS)],
        marker=MARKERS[index % len(MARKERS)],
        ms=5,
        lw=1.5,
        capsize=2,
        label=name,
    )


def _save(canvas: Canvas, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(path, format="svg", metadata={"Date": None})
