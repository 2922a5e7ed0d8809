"""Trains a denoiser on a machine that has PyTorch and a GPU for some minutes, but neither data set nor internet.

Stage `pack` puts all that the denoiser learns from in one file: latents, codebook, classes, styles and words, but no
images. On that machine,

    python -m rdpm_training.packed PACKED --config configs/emoji-words.toml --checkpoint checkpoints/emoji-words.pt \
        --seconds 480 --set denoiser.batch_size=512 --output emoji-words.pt

trains the checkpoint further for so many seconds and writes it anew. With `--part-size` it is written in parts that
`cat` joins again. `restore` then goes on from it here.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from . import checkpoint, codebook_stage, config, data, denoiser_stage, runs
from .conditions import Descriptions, Vocabulary
from .config import Config, ConfigError
from .data import Dataset, Split


def path_of(folder: Path) -> Path:
    return folder / "packed.pt"


def pack(config: Config, folder: Path) -> None:
    """Stage `pack`: writes `packed.pt` into the run's folder."""
    dataset = data.load(config.data, config.seed)
    train, test = codebook_stage.latents(config, folder)
    content = {
        "latents": {"train": train, "test": test},
        "codebook": codebook_stage.trained(folder),
        "splits": {"train": _without_images(dataset.train), "test": _without_images(dataset.test)},
        "classes": dataset.classes,
        "styles": dataset.styles,
        "words": dataset.vocabulary.words,
    }
    runs.save(path_of(folder), content)
    print(f"{path_of(folder)}: {path_of(folder).stat().st_size / 1e6:.1f} MB")


def _without_images(split: Split) -> dict[str, Any]:
    """Labels of all indices (variants, where a split has them) and descriptions."""
    labels = split.label(torch.arange(len(split)))
    return {"labels": labels, "descriptions": asdict(split.descriptions) if split.descriptions else None}


def unpack(packed: Path, folder: Path) -> Dataset:
    """Fills a run's folder with latents and codebook; the data set that goes with them, without images."""
    content = runs.load(packed)
    runs.save(folder / "latents.pt", content["latents"])
    runs.save(folder / "codebook.pt", {"codebook": content["codebook"]})

    def split(values: dict[str, Any]) -> Split:
        described = Descriptions(**values["descriptions"]) if values["descriptions"] else None
        return Split(torch.empty(0), values["labels"], described)

    splits = {name: split(values) for name, values in content["splits"].items()}
    return Dataset(
        **splits, classes=content["classes"], styles=content["styles"], vocabulary=Vocabulary(content["words"])
    )


def train(settings: Config, packed: Path, start: Path | None, output: Path) -> None:
    """Trains for the seconds that the configuration says, from a checkpoint where one is given."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        dataset = unpack(packed, folder)
        if start:
            # Its seconds are of another clock: the budget is counted from here.
            runs.save(folder / "denoiser.pt", checkpoint.unpacked(start))
        result = denoiser_stage.fit(settings, folder, dataset)
    runs.save(output, checkpoint.packed(result.ema.state_dict(), result.updates, result.seconds))
    print(f"{output}: update {result.updates:,}, {output.stat().st_size / 1e6:.1f} MB, on {runs.hardware()}")


def write_parts(path: Path, size: int) -> list[Path]:
    """Replaces a file by parts of at most `size` bytes: NAME.000, NAME.001, ..."""
    content = path.read_bytes()
    parts = []
    for start in range(0, len(content), size):
        part = path.with_name(f"{path.name}.{len(parts):03}")
        part.write_bytes(content[start : start + size])
        parts.append(part)
    path.unlink()
    return parts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m rdpm_training.packed", description=__doc__)
    parser.add_argument("packed", type=Path, help="what stage `pack` wrote")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, help="checkpoint to go on from (default: an untrained network)")
    parser.add_argument("--seconds", type=float, required=True, help="of training")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="as in the TOML file")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--part-size", type=int, help="bytes; write parts of at most so many")
    arguments = parser.parse_args()
    try:
        settings = config.load(arguments.config)
        for change in [*arguments.set, f"denoiser.seconds={arguments.seconds}"]:
            settings = config.override(settings, tomllib.loads(change), "--set")
        train(settings, arguments.packed, arguments.checkpoint, arguments.output)
        if arguments.part_size:
            print(*write_parts(arguments.output, arguments.part_size))
    except (ConfigError, data.DataError, FileNotFoundError, tomllib.TOMLDecodeError) as error:
        print(f"rdpm_training.packed: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
