"""Command `check FOLDER`: says what training would see of a folder of images, and writes a contact sheet."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from . import config, image_folder
from .config import DataConfig
from .dataset import DataError, Dataset
from .image_folder import Summary, display_name

COLUMNS = {"train": 8, "test": 2}
MAX_CLASSES = 100  # rows of a contact sheet
CELL = 64  # pixels of an image on the sheet, roughly
GAP, LABEL = 2, 18
PAIRS_SHOWN = 10


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="rdpm-train check", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder with a sub-folder per class")
    help_text = "configuration whose image size, channels, test fraction and seed are used"
    parser.add_argument("--config", type=Path, metavar="FILE", help=help_text)
    parser.add_argument("--image-size", type=int, metavar="PIXELS", help="default: 64, or the configuration's")
    help_text = "1 for grey, 3 for colour; default: 3, or the configuration's"
    parser.add_argument("--channels", type=int, choices=(1, 3), help=help_text)
    help_text = "contact sheet to write: images as training sees them (default: NAME-check.png, with the folder's name)"
    parser.add_argument("--sheet", type=Path, metavar="FILE", help=help_text)
    parser.add_argument("--strict", action="store_true", help="refuse files that cannot be used; status 2")
    options = parser.parse_args(arguments)
    if options.image_size is not None and not 1 <= options.image_size <= 1024:
        parser.error("argument --image-size: allowed are 1 to 1024")
    try:
        seed, test_fraction, size, channels = 1, DataConfig.test_fraction, 64, 3
        if options.config:
            settings = config.load(options.config)
            seed, data = settings.seed, settings.data
            test_fraction, size, channels = data.test_fraction, data.image_size, data.channels
        data = DataConfig(
            "folder",
            str(options.folder),
            options.image_size or size,
            options.channels or channels,
            test_fraction=test_fraction,
            strict=options.strict,
        )
        dataset, summary = image_folder.read(data, seed)
    except (config.ConfigError, DataError) as error:
        print(f"rdpm-train check: {error}", file=sys.stderr)
        return 2
    print("\n".join([*summary.lines(), *_class_lines(summary), *_pair_lines(summary)]))
    path = options.sheet or Path(f"{options.folder.resolve().name or 'folder'}-check.png")
    contact_sheet(dataset, summary).save(path)
    print(f"contact sheet: {path}")
    return 0


def _class_lines(summary: Summary) -> list[str]:
    width = max(5, *map(len, summary.classes))
    lines = [f"\n{'index':>5}  {'class':<{width}}  {'train':>7}  {'test':>7}"]
    rows = zip(summary.classes, summary.train, summary.test, strict=True)
    lines += [f"{i:>5}  {name:<{width}}  {len(a):>7,}  {len(b):>7,}" for i, (name, a, b) in enumerate(rows)]
    return lines


def _pair_lines(summary: Summary) -> list[str]:
    if not summary.pairs:
        return []
    more = f" (the first {PAIRS_SHOWN} of {len(summary.pairs):,})" if len(summary.pairs) > PAIRS_SHOWN else ""
    shown = [f"  {display_name(a)}  {display_name(b)}" for a, b in summary.pairs[:PAIRS_SHOWN]]
    return [f"\nnear-duplicates{more}:", *shown]


def contact_sheet(dataset: Dataset, summary: Summary) -> Image.Image:
    """A row per class: images spread evenly over its training images and, to the right, over its test images."""
    size = dataset.train.images.shape[-1]
    cell = size * max(1, round(CELL / size)) if size <= 2 * CELL else 2 * CELL
    classes = summary.classes[:MAX_CLASSES]
    columns = sum(COLUMNS.values())
    step, height = cell + GAP, LABEL + cell + GAP
    sheet = Image.new("RGB", (columns * step + 4 * GAP, height * len(classes)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for label, name in enumerate(classes):
        top = label * height
        draw.text((0, top + 2), f"{label} {name}", "black", font)
        left = COLUMNS["train"] * step + 4 * GAP
        draw.text((left, top + 2), "test", "black", font)
        for split, x, count in ((dataset.train, 0, COLUMNS["train"]), (dataset.test, left, COLUMNS["test"])):
            own = (split.labels == label).nonzero().flatten().tolist()
            chosen = [own[index] for index in np.linspace(0, len(own) - 1, min(count, len(own))).astype(int)]
            for column, index in enumerate(chosen):
                pixels = split.images[index].numpy().transpose(1, 2, 0)
                pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
                image = Image.fromarray(pixels).resize((cell, cell), Image.Resampling.NEAREST)
                sheet.paste(image, (x + column * step, top + LABEL))
    return sheet
