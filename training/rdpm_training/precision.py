"""Compares pictures that the program draws in several number formats, by networks that judge them from outside.

`python -m rdpm_training.precision CONFIG WEIGHTS PROGRAM [--count N] [--seeds N] [--precisions f32 bf16]` draws the same
requests of classes in each format and prints a table of means and standard deviations over the seeds. For a data set with
styles the judge is that of `retrieval`:

- class, style: the share of pictures whose nearest real picture has the class or the style of the request;
- kernel_distance: KID to as many real pictures of the same classes and styles.

For others it is the classifier of `evaluate`: accuracy, Frechet distance to the test images, precision and recall.
`same` is the share of pictures that equal those of the first format in each pixel.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import data, imagenet, retrieval, runs
from .classifier_metrics import ClassifierMetrics
from .conditions import Descriptions
from .config import Config, load

RANDOM_STREAM = 14

Judge = Callable[[Tensor, Tensor, Tensor], dict[str, float]]


def draw(program: Path, weights: Path, precision: str, seed: int, count: int, style: str | None) -> Tensor:
    """(classes * count, channels, size, size) in -1..1: `count` pictures of each class, the first class first."""
    size = json.loads((weights / "config.json").read_text())["image"]["size"]
    with tempfile.TemporaryDirectory() as folder:
        sheet = Path(folder) / "sheet.png"
        arguments = [program, "generate", "--weights", weights, "--class", "all", "--count", str(count)]
        arguments += ["--seed", str(seed), "--precision", precision, "--output", sheet]
        arguments += ["--style", style] if style else []
        subprocess.run(arguments, check=True, capture_output=True)
        pixels = torch.from_numpy(np.array(Image.open(sheet)))
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels[..., :3]
    tiles = pixels.unfold(0, size, size).unfold(1, size, size)  # rows, columns, channels, size, size
    return data.to_unit(tiles.flatten(0, 1).contiguous())


def judge(config: Config, folder: Path, dataset: data.Dataset) -> Judge:
    """The judge of a data set: of pictures, their classes and their styles."""
    if dataset.pairs is None:
        metrics = ClassifierMetrics(config, folder, dataset)
        return lambda images, labels, _: metrics.compute(images, labels)
    network = imagenet.network()
    gallery = retrieval.load_gallery(config, dataset, folder, network)

    def compute(images: Tensor, labels: Tensor, styles: Tensor) -> dict[str, float]:
        unknown = torch.full_like(labels, -1)
        asked = Descriptions(styles, unknown, unknown, unknown)
        found = retrieval.features(config, network, images)
        result = gallery.compute_metrics(found, labels, asked, runs.generator(0, RANDOM_STREAM))
        return {name: result[name] for name in ("class", "style", "kernel_distance")}

    return compute


def compare(config: Config, weights: Path, program: Path, count: int, seeds: int, precisions: list[str]) -> None:
    folder = runs.RUNS / config.name
    dataset = data.load(config.data, config.seed)
    compute = judge(config, folder, dataset)
    styles: list[str | None] = list(dataset.styles) or [None]
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):
        first: Tensor | None = None
        for precision in precisions:
            images = torch.cat([draw(program, weights, precision, seed, count, style) for style in styles])
            labels = torch.arange(len(dataset.classes)).repeat_interleave(count).repeat(len(styles))
            asked = torch.arange(len(styles)).repeat_interleave(len(dataset.classes) * count)
            first = images if first is None else first
            result = compute(images, labels, asked)
            result["same"] = (images == first).flatten(1).all(1).double().mean().item()
            rows.setdefault(precision, []).append(result)
            print(seed, precision, len(images), {key: round(value, 4) for key, value in result.items()}, flush=True)
    for precision, results in rows.items():
        print(precision, retrieval.summary(results))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("program", type=Path)
    parser.add_argument("--count", type=int, default=16, help="pictures of each class (and style)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--precisions", nargs="+", default=["f32", "bf16"])
    arguments = parser.parse_args()
    config = load(arguments.config)
    compare(config, arguments.weights, arguments.program, arguments.count, arguments.seeds, arguments.precisions)


if __name__ == "__main__":
    main()
