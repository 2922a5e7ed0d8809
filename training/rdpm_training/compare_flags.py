"""Compares pictures that the program draws with different flags, by networks that judge them from outside.

`python -m rdpm_training.compare_flags CONFIG WEIGHTS PROGRAM FLAGS...`, where each FLAGS is one argument such as
`"--precision bf16"` and an empty one stands for the defaults, draws the same requests of classes with each and prints a
table of means and standard deviations over the seeds. For a data set with styles the judge is that of `retrieval`:

- class, style: the share of pictures whose nearest real picture has the class or the style of the request;
- kernel_distance: KID to as many real pictures of the same classes and styles.

For others it is the classifier of `evaluate`: accuracy, Frechet distance to the test images, precision and recall.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import imagenet, retrieval, runs
from .classifier_metrics import ClassifierMetrics
from .conditions import Descriptions
from .config import Config, load
from .data import Dataset, to_unit
from .data import load as load_data

RANDOM_STREAM = 14
# Pixels between the pictures of a sheet.
GAP = 2

# Metrics of images (b, channels, size, size) in -1..1, their classes (b,) and their styles (b,).
Judge = Callable[[Tensor, Tensor, Tensor], dict[str, float]]


def split_sheet(pixels: Tensor, size: int) -> Tensor:
    """Pictures (b, channels, size, size) of a sheet (h, w) or (h, w, channels) of bytes, row by row."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return pixels.unfold(0, size, size + GAP).unfold(1, size, size + GAP).flatten(0, 1).contiguous()


def draw(program: Path, weights: Path, flags: str, seed: int, count: int, style: str | None) -> Tensor:
    """Pictures (classes * count, channels, size, size) in -1..1: `count` of the first class, then of the second."""
    image = json.loads((weights / "config.json").read_text())["image"]
    with tempfile.TemporaryDirectory() as folder:
        sheet = Path(folder) / "sheet.png"
        command = [program, "generate", "--weights", weights, "--class", "all", "--count", str(count)]
        command += ["--seed", str(seed), "--output", sheet, *shlex.split(flags)]
        command += ["--style", style] if style else []
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        pixels = np.array(Image.open(sheet).convert("L" if image["channels"] == 1 else "RGB"))
        return to_unit(split_sheet(torch.from_numpy(pixels), image["size"]))


def judge(config: Config, folder: Path, dataset: Dataset) -> Judge:
    """The judge of a data set."""
    if dataset.pairs is None:
        metrics = ClassifierMetrics(config, folder, dataset)
        return lambda images, labels, _: metrics.compute(images, labels)
    network = imagenet.network()
    gallery = retrieval.load_gallery(config, dataset, folder, network)

    def compute(images: Tensor, labels: Tensor, styles: Tensor) -> dict[str, float]:
        # A style may lack a class, so that there is nothing to compare with.
        pairs = (gallery.labels == labels[:, None]) & (gallery.descriptions.styles == styles[:, None])
        has_real = pairs.any(1)
        images, labels, styles = images[has_real], labels[has_real], styles[has_real]
        unknown = torch.full_like(labels, -1)
        requested = Descriptions(styles, unknown, unknown, unknown)
        found = retrieval.features(config, network, images)
        result = gallery.compute_metrics(found, labels, requested, runs.generator(0, RANDOM_STREAM))
        return {name: result[name] for name in ("class", "style", "kernel_distance")}

    return compute


def compare(config: Config, weights: Path, program: Path, flags: list[str], count: int, seeds: int) -> None:
    dataset = load_data(config.data, config.seed)
    compute = judge(config, runs.RUNS / config.name, dataset)
    styles: list[str | None] = list(dataset.styles) or [None]
    labels = torch.arange(len(dataset.classes)).repeat_interleave(count).repeat(len(styles))
    requested = torch.arange(len(styles)).repeat_interleave(len(dataset.classes) * count)
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):
        for each in flags:
            images = torch.cat([draw(program, weights, each, seed, count, style) for style in styles])
            result = compute(images, labels, requested)
            rows.setdefault(each, []).append(result)
            print(seed, each, len(images), {name: round(value, 4) for name, value in result.items()}, flush=True)
    for each, results in rows.items():
        print(each or "defaults", retrieval.summary(results))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("program", type=Path)
    parser.add_argument("flags", nargs="+")
    parser.add_argument("--count", type=int, default=16, help="pictures of each class (and style)")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    config = load(arguments.config)
    compare(config, arguments.weights, arguments.program, arguments.flags, arguments.count, arguments.seeds)


if __name__ == "__main__":
    main()
