"""The result stages end to end on the tiny data set, the evaluation plan, and the results page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from rdpm_training import codebook_stage, decoder_stage, denoiser_stage, tokenizer_stage, trainer
from rdpm_training.config import ConfigError
from rdpm_training.results import ablate, aggregate, fidelity, pictures, plan, plots, report, sweep
from rdpm_training.results.cached_run import cached_run
from rdpm_training.results.plan import Plan

from .conftest import TOML

PLAN = """
name = "results"
base = "tiny.toml"
run = "run"
[ablations]
seeds = [1, 2]
samples = 20
sampling = {{ guidance = 2.0, temperature = 1.0 }}
[ablations.set]
denoiser = {{ updates = 3 }}
[ablations.variants.base]
label = "base"
[ablations.variants.two-steps]
label = "two steps"
set.trajectory.steps = 2
[ablations.variants.maskgit]
label = "masked"
kind = "maskgit"
levels = 2
[[ablations.tables]]
slot = "all"
title = "variant"
rows = ["base", "two-steps", "maskgit"]
[sweep]
seeds = [2]
samples = 20
[[sweep.tables]]
slot = "grid"
title = "settings"
model = "run"
settings = [{{ guidance = [1.0, 2.0], temperature = [0.5, 1.0] }}]
[[sweep.tables]]
slot = "choice"
title = "choice"
model = "maskgit"
settings = [{{ guidance = 2.0, temperature = 1.0, top_k = [2, 4] }}]
[fidelity]
seeds = [1, 2]
images = 4
[fidelity.quantizers.recurrent]
label = "recurrent"
method = "recurrent"
codes = 8
steps = [1, 4]
[fidelity.quantizers.residual]
label = "residual"
method = "residual"
codes = 8
steps = [4]
[fidelity.quantizers.shared]
label = "shared"
method = "shared"
codes = 8
steps = [4]
[fidelity.quantizers.plain]
label = "plain"
method = "plain"
codes = 8
[pictures]
sheet = 2
nearest = 1
neighbours = 2
frames = 3
scale = 2
"""
SLOTS = ["made", "ablation all", "sweep grid", "sweep choice", "fidelity", "pictures"]
PAGE = "# Results\n\nWritten by hand.\n" + "".join(f"\n<!-- begin {s} -->\nold\n<!-- end {s} -->\n" for s in SLOTS)

Write = Callable[[str], Plan]


@pytest.fixture
def write(tmp_path: Path, images: Path) -> Write:
    """Writes and reads a plan in `configs/`, beside the folder of the runs."""
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "tiny.toml").write_text(TOML.format(path=images))

    def write(text: str = PLAN) -> Plan:
        (folder / "results.toml").write_text(text.format())
        return plan.load(folder / "results.toml")

    return write


@pytest.fixture
def ready(write: Write) -> Plan:
    """A plan with a trained base run."""
    read = write(PLAN)
    for stage in (tokenizer_stage, codebook_stage, decoder_stage, denoiser_stage):
        stage.train(read.base, read.run)
    return read


def test_result_stages_run_once_and_fill_the_page(ready: Plan, tmp_path: Path) -> None:
    folder, docs = tmp_path / "results", tmp_path / "docs"
    before = {path.name: path.stat().st_mtime_ns for path in ready.run.iterdir()}
    for stage in (ablate.ablate, sweep.sweep, fidelity.fidelity, pictures.pictures):
        stage(ready, folder)
    assert before == {path.name: path.stat().st_mtime_ns for path in ready.run.iterdir()}, (
        "the base run is not written to"
    )
    made = {path: path.stat().st_mtime_ns for path in folder.glob("**/report.json")}
    assert len(made) == 3 * 2 + 4 + 2 + (1 + 5 * 2) + 1
    for stage in (ablate.ablate, sweep.sweep, fidelity.fidelity, pictures.pictures):
        stage(ready, folder)
    assert made == {path: path.stat().st_mtime_ns for path in folder.glob("**/report.json")}

    docs.mkdir()
    (docs / "results.md").write_text(PAGE)
    report.report(ready, folder, docs)
    page = (docs / "results.md").read_text()
    assert "Written by hand." in page and "old" not in page and "Not measured" not in page
    found = [
        json.loads((ablate.report_folder(folder, "two-steps", seed) / "report.json").read_text())["found"]
        for seed in (1, 2)
    ]
    figure = aggregate.Statistic([each["accuracy"] for each in found])
    assert f"| two steps | 0.01 M | {figure.mean:.3f} ± {figure.std:.3f} |" in page
    for name in ("ablation-all.svg", "sweep-grid.svg", "sweep-choice.svg", "fidelity.svg"):
        assert f"(results/{name})" in page and "two steps" in (docs / "results" / "ablation-all.svg").read_text()
    with Image.open(docs / "results" / "film.webp") as film:
        assert film.n_frames == 4 and (docs / "results" / "film.webp").stat().st_size < pictures.MAX_ANIMATION_BYTES

    # The page is the same when generated from the archived reports.
    report.report(ready, tmp_path / "nothing", docs)
    assert (docs / "results.md").read_text() == page
    # Results for other settings than the plan's are not shown.
    other = replace(ready, ablations=replace(ready.ablations, samples=30))
    report.report(other, tmp_path / "nothing", docs)
    assert (docs / "results.md").read_text().count("Not measured") == 1


def test_interrupted_variant_resumes_from_its_checkpoint(
    ready: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "SAVE_EVERY", 2)
    events = []
    optimizer_step = trainer.optimization.optimizer_step

    def failing(*arguments: object) -> None:
        if len(events) == 2:
            events.append("stop")
            raise InterruptedError
        events.append("update")
        optimizer_step(*arguments)

    monkeypatch.setattr(trainer.optimization, "optimizer_step", failing)
    with pytest.raises(InterruptedError):
        ablate.ablate(ready, tmp_path / "results")
    ablate.ablate(ready, tmp_path / "results")
    # Two updates before the stop, one after it; three for each of the other five.
    assert events.count("update") == 6 * 3
    reported = json.loads((ablate.report_folder(tmp_path / "results", "base", 1) / "report.json").read_text())
    assert reported["found"]["updates"] == 3


def test_cached_run_computes_once_and_refuses_another_cache_key(tmp_path: Path) -> None:
    done = []

    def work() -> dict[str, int]:
        done.append(1)
        # The folder is locked, as if another process were working on it.
        assert not cached_run(tmp_path, {"steps": 1}, work)
        return {"figure": 7}

    assert cached_run(tmp_path, {"steps": 1}, work) and not cached_run(tmp_path, {"steps": 1}, work)
    assert done == [1]
    kept = json.loads((tmp_path / "report.json").read_text())
    assert kept["found"] == {"figure": 7} and kept["made"]["hardware"]
    with pytest.raises(ConfigError, match="steps"):
        cached_run(tmp_path, {"steps": 2}, work)


def test_plan_sections_are_optional(write: Write) -> None:
    read = write('name = "results"\nbase = "tiny.toml"\nrun = "run"\n[pictures]\nseed = 4\n')
    assert read.pictures.seed == 4 and not read.ablations.variants and not read.sweep.tables


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("set.trajectory.steps = 2", "set.trajectory.stepz = 2"), "'stepz'"),
        (("set.trajectory.steps = 2", 'set.trajectory.schedule = "cosine"'), "cosine"),
        (("updates = 3", "update = 3"), "'update'"),
        (("levels = 2", "level = 2"), "'level'"),
        (('kind = "maskgit"', 'kind = "mask"'), "'mask'"),
        (('rows = ["base", "two-steps"', 'rows = ["base", "no-steps"'), "'no-steps'"),
        (('model = "maskgit"', 'model = "none"'), "'none'"),
        (("top_k = [2, 4]", "top_k = [0, 4]"), "top_k is 0"),
        (("top_k = [2, 4]", "top_n = [2, 4]"), "'top_n'"),
        (("seeds = [2]", "seeds = [3]"), "seed 3"),
        (('method = "shared"', 'method = "product"'), "'product'"),
        (('run = "run"', ""), "'run'"),
    ],
)
def test_invalid_plan_is_refused(write: Write, change: tuple[str, str], message: str) -> None:
    assert PLAN.count(change[0]) == 1
    with pytest.raises(ConfigError, match=message):
        write(PLAN.replace(*change))


def test_shipped_plan_and_page_have_the_same_slots() -> None:
    shipped = plan.load(Path(__file__).parent.parent / "configs" / "results.toml")
    made = {"made", "fidelity", "pictures"}
    made |= {f"ablation {table.slot}" for table in shipped.ablations.tables}
    made |= {f"sweep {table.slot}" for table in shipped.sweep.tables}
    page = (report.DOCS / "fashion-mnist.md").read_text()
    assert {match["name"] for match in report.SLOT.finditer(page)} == made


@pytest.mark.parametrize("name", ["results", "emoji-results"])
def test_shipped_reports_reproduce_the_shipped_page(name: str, tmp_path: Path) -> None:
    shipped = plan.load(Path(__file__).parent.parent / "configs" / f"{name}.toml")
    docs = tmp_path / "docs"
    shutil.copytree(report.DOCS, docs)
    report.report(shipped, tmp_path / "nothing", docs)
    page = (docs / f"{shipped.name}.md").read_text()
    assert page == (report.DOCS / f"{shipped.name}.md").read_text() and report.NOT_MEASURED not in page


def test_page_with_a_missing_or_unknown_slot_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text <!-- begin a -->\nold\n<!-- end a --> text")
    assert report.fill_slots(page, {"a": "new"}) == "text <!-- begin a -->\n\nnew\n<!-- end a --> text"
    for made in ({"a": "", "b": ""}, {}):
        with pytest.raises(ConfigError, match="'b'" if made else "'a'"):
            report.fill_slots(page, made)


def test_statistic_shows_mean_and_sample_standard_deviation() -> None:
    assert aggregate.Statistic([1.0, 2.0, 3.0]).text(2) == "2.00 ± 1.00"
    assert aggregate.Statistic([1234.5]).text(0) == "1,234"


def test_ssim_of_equal_inverted_and_flat_images() -> None:
    images = torch.rand(3, 1, 28, 28) * 2 - 1
    assert fidelity.ssim(images, images) == pytest.approx(1)
    assert fidelity.ssim(images, -images) < 0, "bright pixels become dark"
    # Flat images have the luminance term only: (2 a b + 0.01^2) / (a^2 + b^2 + 0.01^2) on a scale of 0 to 1.
    flat = fidelity.ssim(torch.full((1, 1, 28, 28), -0.5), torch.full((1, 1, 28, 28), 0.5))
    assert flat == pytest.approx((2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4), abs=1e-3)


def test_slerp_keeps_the_norm_of_noise() -> None:
    a, b = torch.randn(2, 3, 49, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(pictures.slerp(a, b, 0.0), a)
    torch.testing.assert_close(pictures.slerp(a, b, 1.0), b)
    middle = pictures.slerp(a, b, 0.5)
    lengths = torch.stack([x.flatten(1).norm(dim=1) for x in (a, b)])
    assert (middle.flatten(1).norm(dim=1) > 0.95 * lengths.min(0).values).all()
    torch.testing.assert_close(pictures.slerp(a, -0.9 * a + 0.1 * b, 1.0), -0.9 * a + 0.1 * b)


def test_contact_sheet_has_a_tile_per_image_and_the_given_frames() -> None:
    grey = torch.zeros(1, 64, 64)
    drawn = pictures.contact_sheet([[grey, grey], [grey, grey]], ["a", "b"], framed={(1, 0)}, group=1)
    side = 64 + pictures.GAP
    assert drawn.height == 2 * side + pictures.GAP
    frame = (pictures.LABEL_WIDTH - 1, pictures.GAP + side + 32)
    assert drawn.getpixel(frame) == (0xD5, 0x5E, 0) and drawn.getpixel((frame[0], 32)) == (255, 255, 255)


def test_plots_are_deterministic(tmp_path: Path) -> None:
    rows = [aggregate.Row(name, [{"found": {"frechet": x, "accuracy": 0.5}} for x in (1.0, 2.0)]) for name in "ab"]
    for name in ("first.svg", "second.svg"):
        plots.dots(rows, ["frechet", "accuracy"], tmp_path / name)
        plots.lines({"a": [(1.0, rows[0])], "b": [(2.0, rows[1])]}, "x", ["frechet"], tmp_path / f"lines-{name}")
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()
    assert (tmp_path / "lines-first.svg").read_bytes() == (tmp_path / "lines-second.svg").read_bytes()
    assert "Fréchet distance" in (tmp_path / "first.svg").read_text()
