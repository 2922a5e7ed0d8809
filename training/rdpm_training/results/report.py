"""Stage `report`: writes the measured parts of docs/results/NAME.md, and its plots, from the reports alone.

The page's text is written by hand and stays; what stands between `<!-- begin SLOT -->` and `<!-- end SLOT -->` is made
anew. The reports are kept beside the plots, so the page can be made again where nothing was run.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from ..card import table
from ..config import ConfigError
from . import plots
from .plan import Plan, SweepTable, Table
from .reports import Report, Results, Row, gather

DOCS = Path(__file__).resolve().parent.parent.parent.parent / "docs" / "results"
NOTHING = "*Not measured yet.*\n"
SLOT = re.compile(r"(?P<begin><!-- begin (?P<name>[^\n]+?) -->\n).*?(?P<end><!-- end (?P=name) -->)", re.DOTALL)
PICTURES = {
    "sheet.png": "Samples of every class",
    "nearest.png": "Samples and the training images nearest to them",
    "film.webp": "One sample of each class while its noise turns into another",
}


def report(plan: Plan, folder: Path, docs: Path = DOCS) -> None:
    page, beside = docs / f"{plan.name}.md", docs / plan.name
    beside.mkdir(parents=True, exist_ok=True)
    results = Results(plan, gather(folder, beside / "reports.json"))
    made: dict[str, str] = {"made": provenance(results)}
    for wanted in plan.ablations.tables:
        made[f"ablation {wanted.slot}"] = ablation(results, wanted, beside)
    for drawn in plan.sweep.tables:
        made[f"sweep {drawn.slot}"] = sweep(results, drawn, beside)
    if plan.fidelity.quantizers:
        made["fidelity"] = fidelity(results, beside)
    made["pictures"] = pictures(results, folder / "pictures", beside)
    page.write_text(filled(page, made))
    print(f"{page}: {len(made)} slots")


def filled(page: Path, made: dict[str, str]) -> str:
    """The page with every slot made anew.

    Raises ConfigError where page and plan don't have the same slots.
    """
    text = page.read_text() if page.exists() else ""
    there = [match["name"] for match in SLOT.finditer(text)]
    if missing := made.keys() - there:
        raise ConfigError(
            f"{page}: slot {sorted(missing)[0]!r} is missing; write `<!-- begin {sorted(missing)[0]} -->`"
        )
    if unknown := set(there) - made.keys():
        raise ConfigError(f"{page}: slot {sorted(unknown)[0]!r} isn't in the plan; it has {', '.join(sorted(made))}")
    return SLOT.sub(lambda match: f"{match['begin']}\n{made[match['name']]}\n{match['end']}", text)


def measured(
    rows: list[Row],
    columns: dict[str, tuple[str, int]],
    heads: list[str],
    firsts: list[list[object]],
    rivals: bool = True,
) -> str:
    """A table of rows: their first cells, then a figure a column: {name in the reports: (title, digits)}.

    Of rivals the least Fréchet distance is set in bold.
    """
    best = min(row.figure("frechet").mean for row in rows)
    lines = []
    for row, first in zip(rows, firsts, strict=True):
        cells = [row.figure(name).text(digits) for name, (_, digits) in columns.items()]
        if rivals and len(rows) > 1 and row.figure("frechet").mean == best:
            place = list(columns).index("frechet")
            cells[place] = f"**{cells[place]}**"
        lines.append([*first, *cells, len(row.reports)])
    return table([*heads, *(title for title, _ in columns.values()), "seeds"], lines)


QUALITY = {"accuracy": ("accuracy", 3), "frechet": ("Fréchet distance", 3)}
COVERAGE = {"precision": ("precision", 3), "recall": ("recall", 3)}


def ablation(results: Results, wanted: Table, beside: Path) -> str:
    rows = [row for name in wanted.rows if (row := results.variant(name))]
    if not rows:
        return NOTHING
    plot = beside / f"ablation-{wanted.slot}.svg"
    plots.dots(rows, ["frechet", "accuracy"], plot)
    columns = QUALITY | COVERAGE | {"latent_mse": ("latent error", 4), "updates": ("updates", 0)}
    heads, firsts = [wanted.title, "parameters"], [[row.label, f"{_parameters(row):.2f} M"] for row in rows]
    return f"{measured(rows, columns, heads, firsts)}\n{_image(wanted.title, plot)}"


def _parameters(row: Row) -> float:
    return row.reports[0]["found"]["parameters"] / 1e6


def sweep(results: Results, wanted: SweepTable, beside: Path) -> str:
    rows = [row for values in wanted.all() if (row := results.drawn(wanted.model, values))]
    if not rows:
        return NOTHING
    plot = beside / f"sweep-{wanted.slot}.svg"
    settings = [row.asked["settings"] for row in rows]
    varied = {name for values in settings for name in values if len({v.get(name) for v in settings}) > 1}
    if varied == {"guidance", "temperature"}:
        series: dict[str, list[tuple[float, Row]]] = {}
        for row, values in sorted(zip(rows, settings, strict=True), key=lambda pair: pair[1]["temperature"]):
            series.setdefault(f"temperature {values['temperature']:g}", []).append((values["guidance"], row))
        plots.lines(series, "guidance", ["frechet", "accuracy"], plot)
    else:
        plots.dots(rows, ["frechet", "accuracy"], plot)
    firsts = [[row.label] for row in rows]
    return f"{measured(rows, QUALITY | COVERAGE, [wanted.title], firsts)}\n{_image(wanted.title, plot)}"


def fidelity(results: Results, beside: Path) -> str:
    quantizers = results.plan.fidelity.quantizers
    series: dict[str, list[tuple[float, Row]]] = {}
    rows, firsts = [], []
    for name, quantizer in quantizers.items():
        for steps in quantizer.steps:
            row = results.quantizer(name, steps)
            if not row:
                continue
            found = row.reports[0]["found"]
            series.setdefault(quantizer.label, []).append((found["bits"], row))
            rows.append(row)
            firsts.append([quantizer.label, f"{found['bits']:g}", steps, f"{found['table']:,}"])
    if not rows:
        return NOTHING
    # The same bits stand together.
    order = sorted(range(len(rows)), key=lambda place: rows[place].reports[0]["found"]["bits"])
    rows, firsts = [rows[place] for place in order], [firsts[place] for place in order]
    plot = beside / "fidelity.svg"
    plots.lines(series, "bits per position", ["psnr", "ssim", "frechet"], plot)
    columns = {"latent_mse": ("latent error", 4), "psnr": ("PSNR, dB", 2), "ssim": ("SSIM", 4)} | QUALITY
    heads = ["quantizer", "bits", "steps", "codebook vectors"]
    text = measured(rows, columns, heads, firsts, rivals=False)
    if bound := results.continuous():
        text += "\n" + measured([bound], columns, ["bound"], [[bound.label]])
    return f"{text}\n{_image('Fidelity by bits per position', plot)}"


def pictures(results: Results, source: Path, beside: Path) -> str:
    kept = results.pictures()
    if kept is None:
        return NOTHING
    for name in PICTURES:
        if (source / name).exists():
            shutil.copyfile(source / name, beside / name)
    found, asked = kept["found"], kept["asked"]
    sampling = asked["sampling"]
    settings = f"guidance {sampling['guidance']:g}, temperature {sampling['temperature']:g}"
    return f"""The first that seed {asked["pictures"]["seed"]} draws, none left out; {settings}.

{_image(PICTURES["sheet.png"], beside / "sheet.png")}
Samples, and to the right of each the training images nearest to it, pixel by pixel. The nearest of all is
{min(found["nearest_rms"]):.3f} away (root mean square, values in −1…1). Nearer than {found["copy_limit_rms"]:.3f}, as one
in a hundred unseen test images comes after tokenizing and decoding, are {found["nearer_than_the_limit"]} of {len(found["nearest_rms"])}: these are framed.

{_image(PICTURES["nearest.png"], beside / "nearest.png")}
Noise turned from one sample's to another's, on the sphere; the class and all other random numbers stay.

{_image(PICTURES["film.webp"], beside / "film.webp")}"""


def provenance(results: Results) -> str:
    """What was run, when and on what, of everything that has a report."""
    kinds: dict[str, list[Report]] = {}
    for place, kept in results.reports.items():
        kinds.setdefault(place.split("/")[0], []).append(kept)
    lines = []
    for kind, reports in kinds.items():
        made = [kept["made"] for kept in reports]
        days = sorted({entry["finished"][:10] for entry in made})
        machines = sorted({f"{entry['hardware']}, {entry['threads']} thread(s)" for entry in made})
        seconds = sum(kept["found"].get("training_seconds", 0) for kept in reports)
        lines.append(
            [
                f"`{kind}`",
                len(reports),
                f"{seconds / 60:.0f} min" if seconds else "",
                " to ".join(dict.fromkeys((days[0], days[-1]))),
                "; ".join(machines),
                ", ".join(sorted({entry["torch"] for entry in made})),
            ]
        )
    return table(["stage", "reports", "training", "when", "on", "PyTorch"], lines) if lines else NOTHING


def _image(title: str, path: Path) -> str:
    return f"![{title}]({path.parent.name}/{path.name})\n"
