"""Stage `report`: writes the measured parts of docs/results/NAME.md, and its plots, from the reports alone.

Only the text between `<!-- begin SLOT -->` and `<!-- end SLOT -->` is replaced; the rest of the page is written by hand.
The reports are archived beside the plots, so the page can be generated where no stage was run.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from ..config import ConfigError
from ..model_card import markdown_table
from . import plots
from .aggregate import Report, Results, Row, collect
from .plan import Plan, SweepTable, Table

DOCS = Path(__file__).resolve().parent.parent.parent.parent / "docs" / "results"
NOT_MEASURED = "*Not measured yet.*\n"
SLOT = re.compile(r"(?P<begin><!-- begin (?P<name>[^\n]+?) -->\n).*?(?P<end><!-- end (?P=name) -->)", re.DOTALL)
PICTURES = {
    "sheet.png": "Samples of every class",
    "nearest.png": "Samples and their nearest training images",
    "film.webp": "One sample of each class while its noise is interpolated",
}


def report(plan: Plan, folder: Path, docs: Path = DOCS) -> None:
    page, assets = docs / f"{plan.name}.md", docs / plan.name
    assets.mkdir(parents=True, exist_ok=True)
    results = Results(plan, collect(folder, assets / "reports.json"))
    slots: dict[str, str] = {"made": provenance(results)}
    for table in plan.ablations.tables:
        slots[f"ablation {table.slot}"] = ablation(results, table, assets)
    for sweep_table in plan.sweep.tables:
        slots[f"sweep {sweep_table.slot}"] = sweep(results, sweep_table, assets)
    if plan.fidelity.quantizers:
        slots["fidelity"] = fidelity(results, assets)
    slots["pictures"] = pictures(results, folder / "pictures", assets)
    page.write_text(fill_slots(page, slots))
    print(f"{page}: {len(slots)} slots")


def fill_slots(page: Path, slots: dict[str, str]) -> str:
    """The page with the content of every slot replaced.

    Raises ConfigError if the page and the plan have different slots.
    """
    text = page.read_text() if page.exists() else ""
    on_page = [match["name"] for match in SLOT.finditer(text)]
    if missing := slots.keys() - on_page:
        raise ConfigError(f"{page}: slot {sorted(missing)[0]!r} is missing; add `<!-- begin {sorted(missing)[0]} -->`")
    if unknown := set(on_page) - slots.keys():
        raise ConfigError(
            f"{page}: slot {sorted(unknown)[0]!r} is not in the plan; its slots are {', '.join(sorted(slots))}"
        )
    return SLOT.sub(lambda match: f"{match['begin']}\n{slots[match['name']]}\n{match['end']}", text)


def metrics_table(
    rows: list[Row],
    columns: dict[str, tuple[str, int]],
    headers: list[str],
    first_cells: list[list[object]],
    highlight_best: bool = True,
) -> str:
    """A table: each row's first cells, then one metric per column: {name in the reports: (title, digits)}.

    With `highlight_best`, the smallest Fréchet distance is bold.
    """
    best = min(row.statistic("frechet").mean for row in rows)
    lines = []
    for row, first in zip(rows, first_cells, strict=True):
        cells = [row.statistic(name).text(digits) for name, (_, digits) in columns.items()]
        if highlight_best and len(rows) > 1 and row.statistic("frechet").mean == best:
            index = list(columns).index("frechet")
            cells[index] = f"**{cells[index]}**"
        lines.append([*first, *cells, len(row.reports)])
    return markdown_table([*headers, *(title for title, _ in columns.values()), "seeds"], lines)


QUALITY_COLUMNS = {"accuracy": ("accuracy", 3), "frechet": ("Fréchet distance", 3)}
COVERAGE_COLUMNS = {"precision": ("precision", 3), "recall": ("recall", 3)}


def ablation(results: Results, table: Table, assets: Path) -> str:
    rows = [row for name in table.rows if (row := results.variant(name))]
    if not rows:
        return NOT_MEASURED
    plot = assets / f"ablation-{table.slot}.svg"
    plots.dots(rows, ["frechet", "accuracy"], plot)
    columns = QUALITY_COLUMNS | COVERAGE_COLUMNS | {"latent_mse": ("latent error", 4), "updates": ("updates", 0)}
    headers, first_cells = [table.title, "parameters"], [[row.label, f"{_parameters(row):.2f} M"] for row in rows]
    return f"{metrics_table(rows, columns, headers, first_cells)}\n{_image(table.title, plot)}"


def _parameters(row: Row) -> float:
    return row.reports[0]["found"]["parameters"] / 1e6


def sweep(results: Results, table: SweepTable, assets: Path) -> str:
    rows = [row for values in table.combinations() if (row := results.sampling(table.model, values))]
    if not rows:
        return NOT_MEASURED
    plot = assets / f"sweep-{table.slot}.svg"
    settings = [row.cache_key["settings"] for row in rows]
    varied = {name for values in settings for name in values if len({v.get(name) for v in settings}) > 1}
    if varied == {"guidance", "temperature"}:
        series: dict[str, list[tuple[float, Row]]] = {}
        for row, values in sorted(zip(rows, settings, strict=True), key=lambda pair: pair[1]["temperature"]):
            series.setdefault(f"temperature {values['temperature']:g}", []).append((values["guidance"], row))
        plots.lines(series, "guidance", ["frechet", "accuracy"], plot)
    else:
        plots.dots(rows, ["frechet", "accuracy"], plot)
    first_cells = [[row.label] for row in rows]
    text = metrics_table(rows, QUALITY_COLUMNS | COVERAGE_COLUMNS, [table.title], first_cells)
    return f"{text}\n{_image(table.title, plot)}"


def fidelity(results: Results, assets: Path) -> str:
    quantizers = results.plan.fidelity.quantizers
    series: dict[str, list[tuple[float, Row]]] = {}
    rows, first_cells = [], []
    for name, quantizer in quantizers.items():
        for steps in quantizer.steps:
            row = results.quantizer(name, steps)
            if not row:
                continue
            result = row.reports[0]["found"]
            series.setdefault(quantizer.label, []).append((result["bits"], row))
            rows.append(row)
            first_cells.append([quantizer.label, f"{result['bits']:g}", steps, f"{result['table']:,}"])
    if not rows:
        return NOT_MEASURED
    # Rows with the same number of bits are adjacent.
    order = sorted(range(len(rows)), key=lambda index: rows[index].reports[0]["found"]["bits"])
    rows, first_cells = [rows[index] for index in order], [first_cells[index] for index in order]
    plot = assets / "fidelity.svg"
    plots.lines(series, "bits per position", ["psnr", "ssim", "frechet"], plot)
    columns = {"latent_mse": ("latent error", 4), "psnr": ("PSNR, dB", 2), "ssim": ("SSIM", 4)} | QUALITY_COLUMNS
    headers = ["quantizer", "bits", "steps", "codebook vectors"]
    text = metrics_table(rows, columns, headers, first_cells, highlight_best=False)
    if bound := results.continuous():
        text += "\n" + metrics_table([bound], columns, ["bound"], [[bound.label]])
    return f"{text}\n{_image('Fidelity by bits per position', plot)}"


def pictures(results: Results, source: Path, assets: Path) -> str:
    report = results.pictures()
    if report is None:
        return NOT_MEASURED
    for name in PICTURES:
        if (source / name).exists():
            shutil.copyfile(source / name, assets / name)
    result, cache_key = report["found"], report["asked"]
    sampling = cache_key["sampling"]
    settings = f"guidance {sampling['guidance']:g}, temperature {sampling['temperature']:g}"
    return f"""The first samples with seed {cache_key["pictures"]["seed"]}, not selected; {settings}.

{_image(PICTURES["sheet.png"], assets / "sheet.png")}
Samples, and to the right of each its nearest training images by pixel distance. The smallest distance is
{min(result["nearest_rms"]):.3f} (root mean square, values in −1…1). A distance below {result["copy_limit_rms"]:.3f}, as 1 % of the unseen test
images have after tokenizing and decoding, is framed: {result["nearer_than_the_limit"]} of {len(result["nearest_rms"])} samples.

{_image(PICTURES["nearest.png"], assets / "nearest.png")}
Spherical interpolation between the noise of two samples; the class and all other random numbers are constant.

{_image(PICTURES["film.webp"], assets / "film.webp")}"""


def provenance(results: Results) -> str:
    """Table of what was run, when and on which machine."""
    stages: dict[str, list[Report]] = {}
    for path, report in results.reports.items():
        stages.setdefault(path.split("/")[0], []).append(report)
    lines = []
    for stage, reports in stages.items():
        runs = [report["made"] for report in reports]
        days = sorted({run["finished"][:10] for run in runs})
        machines = sorted({f"{run['hardware']}, {run['threads']} thread(s)" for run in runs})
        seconds = sum(report["found"].get("training_seconds", 0) for report in reports)
        lines.append(
            [
                f"`{stage}`",
                len(reports),
                f"{seconds / 60:.0f} min" if seconds else "",
                " to ".join(dict.fromkeys((days[0], days[-1]))),
                "; ".join(machines),
                ", ".join(sorted({run["torch"] for run in runs})),
            ]
        )
    return markdown_table(["stage", "reports", "training", "when", "on", "PyTorch"], lines) if lines else NOT_MEASURED


def _image(title: str, path: Path) -> str:
    return f"![{title}]({path.parent.name}/{path.name})\n"
