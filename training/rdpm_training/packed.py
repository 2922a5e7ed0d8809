"""Trains a denoiser on a machine with PyTorch and a GPU that has neither the data set nor internet access.

Stage `pack` writes the denoiser's training data to one file: latents, codebook, classes, styles and words, but no
images. On that machine,

    python -m rdpm_training.packed PACKED --config configs/emoji-words.toml --checkpoint checkpoints/emoji-words.pt \
        --seconds 480 --set denoiser.batch_size=512 --output emoji-words.pt

trains the checkpoint further for this many seconds (`graph_trainer`) and writes the result. With `--part-size` it is
written in parts, which `cat` joins. `restore` then continues from it here.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from . import checkpoint, codebook_stage, config, data, denoiser_stage, graph_trainer, runs
from .conditions import Descriptions, Vocabulary
from .config import Config, ConfigError
from .data import Dataset, Split
from .denoiser import Denoiser


def path_of(folder: Path) -> Path:
    """Path of the packed file of a run folder."""
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
    """Labels of all indices (including augmented variants), and descriptions."""
    labels = split.label(torch.arange(len(split)))
    return {"labels": labels, "descriptions": asdict(split.descriptions) if split.descriptions else None}


def unpack(packed: Path, folder: Path) -> Dataset:
    """Writes latents and codebook into a run folder; returns the data set without images."""
    content = runs.load(packed)
    runs.save(folder / "latents.pt", content["latents"])
    runs.save(folder / "codebook.pt", {"codebook": content["codebook"]})

    def split(values: dict[str, Any]) -> Split:
        descriptions = Descriptions(**values["descriptions"]) if values["descriptions"] else None
        return Split(torch.empty(0), values["labels"], descriptions)

    splits = {name: split(values) for name, values in content["splits"].items()}
    return Dataset(
        **splits, classes=content["classes"], styles=content["styles"], vocabulary=Vocabulary(content["words"])
    )


def train(
    settings: Config,
    packed: Path,
    start: Path | None,
    output: Path,
    seconds: float,
    snapshots: list[float] | None = None,
    use_graph: bool = True,
) -> None:
    """Trains for some seconds, from the checkpoint `start` or from an untrained network.

    Writes a checkpoint to `output` and, at these fractions of the time, to `output` with the number of updates in its
    name.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        dataset = unpack(packed, folder)
        latents, _ = codebook_stage.latents(settings, folder)
        codebook = codebook_stage.trained(folder)
    started = time.monotonic()
    torch.manual_seed(settings.seed)  # initial weights
    styles, words = len(dataset.styles), len(dataset.vocabulary.words)
    denoiser = denoiser_stage.build(settings, codebook, len(dataset.classes), styles, words)
    state: dict[str, Any] = {"update": 0, "seconds": 0.0}
    if start:
        state = checkpoint.read(start)
        denoiser_stage.load_averaged(denoiser, state["ema"])

    def write(path: Path, ema: Denoiser, updates: int, dtype: torch.dtype) -> None:
        total, spent = state["update"] + updates, state["seconds"] + time.monotonic() - started
        runs.save(path, checkpoint.compact(ema.state_dict(), total, spent, dtype))
        print(f"{path.name}: update {total:,}, {path.stat().st_size / 1e6:.1f} MB, on {runs.hardware()}", flush=True)

    def snapshot(ema: Denoiser, updates: int) -> None:
        write(output.with_stem(f"{output.stem}-{state['update'] + updates}"), ema, updates, torch.bfloat16)

    ema, updates = graph_trainer.train(
        settings, denoiser, latents, codebook, dataset.train, seconds, snapshot, snapshots or [], use_graph
    )
    write(output, ema, updates, torch.float32)


def write_parts(path: Path, size: int) -> list[Path]:
    """Splits a file into parts of at most `size` bytes, NAME.000, NAME.001, ..., and removes it."""
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
    parser.add_argument("packed", type=Path, help="file written by stage `pack`")
    config.add_arguments(parser)
    parser.add_argument("--checkpoint", type=Path, help="checkpoint to continue (default: an untrained network)")
    parser.add_argument("--seconds", type=float, required=True, help="training time")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument(
        "--snapshot", type=float, action="append", default=[], help="fraction of the time after which to write as well"
    )
    parser.add_argument("--no-graph", action="store_true", help="start each kernel from Python instead of a CUDA graph")
    parser.add_argument("--part-size", type=int, help="write parts of at most this many bytes")
    arguments = parser.parse_args()
    try:
        settings = config.from_arguments(arguments)
        train(
            settings,
            arguments.packed,
            arguments.checkpoint,
            arguments.output,
            arguments.seconds,
            arguments.snapshot,
            not arguments.no_graph,
        )
        if arguments.part_size:
            print(*write_parts(arguments.output, arguments.part_size))
    except (ConfigError, data.DataError, FileNotFoundError, tomllib.TOMLDecodeError) as error:
        print(f"rdpm_training.packed: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
