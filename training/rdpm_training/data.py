"""Loads a data set: Fashion-MNIST's IDX files, stage `data`'s emoji file, or a folder with a sub-folder per class."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .augment import AugmentedSplit
from .conditions import Descriptions, Vocabulary
from .config import DataConfig
from .dataset import DataError, Dataset, Split, to_unit
from .emoji.unicode import JOINER
from .image_folder import load_image_folder

__all__ = ["DataError", "Dataset", "Split", "load", "to_unit"]

FASHION_MNIST_CLASSES = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip


Key = TypeVar("Key")


def _read_idx(path: Path, magic: int, dimensions: int) -> Tensor:
    """Reads a gzip-compressed IDX file of unsigned bytes."""
    try:
        content = gzip.decompress(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; install it with `apt-get install dataset-fashion-mnist`") from error
    except (OSError, EOFError) as error:
        raise DataError(f"{path} is not a readable gzip file: {error}") from error
    header = 4 * (dimensions + 1)
    if len(content) < header or struct.unpack(">I", content[:4])[0] != magic:
        raise DataError(f"{path} is not an IDX file with magic number {magic}")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    values = np.frombuffer(content, np.uint8, offset=header)
    if values.size != np.prod(shape):
        raise DataError(f"{path} holds {values.size} bytes, but its header says {shape}")
    return torch.from_numpy(values.reshape(shape).copy())


def load_fashion_mnist(folder: Path) -> Dataset:
    """60,000 + 10,000 grey images, 28 x 28, ten classes (Xiao et al. 2017, arXiv 1708.07747)."""

    def split(stem: str) -> Split:
        images = _read_idx(folder / f"{stem}-images-idx3-ubyte.gz", 2051, 3)
        labels = _read_idx(folder / f"{stem}-labels-idx1-ubyte.gz", 2049, 1)
        if len(images) != len(labels):
            raise DataError(f"{folder}: {len(images)} {stem} images but {len(labels)} labels")
        return Split(images[:, None], labels.long())

    return Dataset(split("train"), split("t10k"), list(FASHION_MNIST_CLASSES))


def load_emoji(data: DataConfig, seed: int) -> Dataset:
    """The file built by stage `data`. The training split is augmented if the configuration asks for `variants`."""
    path = Path(data.path)
    if not path.exists():
        raise DataError(f"{path} is missing: run stage `data` first")
    with np.load(path) as file:
        sources, labels, test = (torch.from_numpy(file[name]) for name in ("images", "labels", "test"))
        classes, class_flippable = file["classes"].tolist(), torch.from_numpy(file["flips"])
        styles = file["style_names"].tolist() if "style_names" in file else []
        pairs = torch.from_numpy(file["held_out_pairs"]) if styles else torch.zeros_like(test)
        train = ~test & ~pairs
        subjects = _subjects(file, train) if styles else []
        emoji = _emoji_names(file) if styles else {}
        vocabulary, descriptions = _read_descriptions(file, train) if styles else (Vocabulary([]), None)
    images = sources if sources.shape[-1] == data.image_size else halve_size(sources)

    def split(rows: Tensor) -> Split:
        return Split(images[rows], labels[rows], descriptions[rows] if descriptions else None)

    train_split = split(train)
    if data.variants:
        if descriptions:
            raise DataError("[data]: variants must be 0 for a data set with styles and words")
        flippable = class_flippable[labels[train]]
        train_split = AugmentedSplit(images[train], labels[train], sources[train], flippable, data.variants, seed)
    return Dataset(
        train_split, split(test), classes, styles, vocabulary, split(pairs) if styles else None, subjects, emoji
    )


def _read_descriptions(file: Mapping[str, np.ndarray], train: Tensor) -> tuple[Vocabulary, Descriptions]:
    """The vocabulary of the training images, and the descriptions of all images in it."""
    names, keywords = ([text.split() for text in file[key].tolist()] for key in ("name_words", "keyword_words"))
    known = {word for row in train.nonzero().flatten().tolist() for word in names[row] + keywords[row]}
    vocabulary = Vocabulary(sorted(known))
    styles = torch.from_numpy(file["styles"])
    emoji = torch.from_numpy(np.unique(file["bases"], return_inverse=True)[1])
    return vocabulary, Descriptions(styles, vocabulary.encode(names), vocabulary.encode(keywords), emoji)


def _subjects(file: Mapping[str, np.ndarray], train: Tensor) -> list[dict[str, list[int]]]:
    """For each class its training emoji: the name, without skin tones and genders where there is a plain form, and the
    styles of the images."""
    names: dict[tuple[int, str], str] = {}
    styles: dict[tuple[int, str], set[int]] = {}
    for row in train.nonzero().flatten().tolist():
        key = (int(file["labels"][row]), str(file["bases"][row]))
        _keep_shortest(names, key, str(file["names"][row]))
        styles.setdefault(key, set()).add(int(file["styles"][row]))
    subjects: list[dict[str, set[int]]] = [{} for _ in file["classes"]]
    for (label, base), name in names.items():
        subjects[label].setdefault(name, set()).update(styles[label, base])
    return [{name: sorted(shown[name]) for name in sorted(shown)} for shown in subjects]


def _emoji_names(file: Mapping[str, np.ndarray]) -> dict[str, str]:
    """The name of each emoji by its characters, without variation selectors, joiners, skin tones and genders."""
    names: dict[str, str] = {}
    for base, described in zip(file["bases"].tolist(), file["names"].tolist(), strict=True):
        characters = "".join(chr(int(point, 16)) for point in base.split("-") if point != JOINER)
        _keep_shortest(names, characters, described)
    return dict(sorted(names.items()))


def _keep_shortest(names: dict[Key, str], key: Key, described: str) -> None:
    """Keeps the shortest of a key's names, of equally long ones the first; `described` is a name and ` (STYLE)`."""
    name = described.rpartition(" (")[0]
    names[key] = min(names.get(key, name), name, key=lambda candidate: (len(candidate), candidate))


def halve_size(images: Tensor) -> Tensor:
    """Halves the size of byte images: each pixel is the mean of two by two."""
    parts = [F.avg_pool2d(chunk.float(), 2).round().to(torch.uint8) for chunk in images.split(500)]
    return torch.cat(parts)


def load(data: DataConfig, seed: int) -> Dataset:
    """Loads the configured data set.

    Raises DataError if a file is missing or broken, or if the images have another shape than configured.
    """
    if data.source == "fashion-mnist":
        dataset = load_fashion_mnist(Path(data.path))
    elif data.source == "emoji":
        dataset = load_emoji(data, seed)
    elif data.source == "folder":
        dataset = load_image_folder(data, seed)
    else:
        raise DataError(f'source is {data.source!r}; allowed values are "fashion-mnist", "emoji" and "folder"')
    expected = (data.channels, data.image_size, data.image_size)
    if tuple(dataset.train.images.shape[1:]) != expected:
        raise DataError(f"images are {tuple(dataset.train.images.shape[1:])}, but the configuration says {expected}")
    return dataset
