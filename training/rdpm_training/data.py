"""Images and labels: Fashion-MNIST's IDX files, the emoji that stage `data` built, or any folder with one sub-folder
per class."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from .conditions import Descriptions, Vocabulary
from .config import Data

FASHION_MNIST_CLASSES = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"}


class DataError(ValueError):
    """Data that cannot be trained on; the message names the file."""


@dataclass
class Split:
    """Images (b, channels, size, size) as bytes, labels (b,) as class indices."""

    images: Tensor
    labels: Tensor
    descriptions: Descriptions | None = None  # style and words, where the data set has them

    def __len__(self) -> int:
        """How many different indices `batch` takes."""
        return len(self.labels)

    def label(self, indices: Tensor) -> Tensor:
        return self.labels[indices]

    def subset(self, indices: Tensor) -> Split:
        """Some of the images as they are."""
        descriptions = self.descriptions[indices] if self.descriptions else None
        return Split(self.images[indices], self.labels[indices], descriptions)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images in -1..1 and their labels."""
        return to_unit(self.images[indices]), self.label(indices)


@dataclass(frozen=True)
class Dataset:
    train: Split
    test: Split
    classes: list[str]
    styles: list[str] = field(default_factory=list)
    vocabulary: Vocabulary = field(default_factory=lambda: Vocabulary([]))
    pairs: Split | None = None  # held-out pairs of an emoji and a style


def to_unit(images: Tensor) -> Tensor:
    """Bytes 0..255 to floats -1..1, the range that the tokenizer sees."""
    return images.float() / 127.5 - 1.0


def _idx(path: Path, magic: int, dimensions: int) -> Tensor:
    """One gzip-compressed IDX file of unsigned bytes."""
    try:
        raw = gzip.decompress(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; `apt-get install dataset-fashion-mnist` brings it") from error
    except (OSError, EOFError) as error:
        raise DataError(f"{path} is not a readable gzip file: {error}") from error
    header = 4 * (dimensions + 1)
    if len(raw) < header or struct.unpack(">I", raw[:4])[0] != magic:
        raise DataError(f"{path} is not an IDX file with magic number {magic}")
    shape = struct.unpack(f">{dimensions}I", raw[4:header])
    values = np.frombuffer(raw, np.uint8, offset=header)
    if values.size != np.prod(shape):
        raise DataError(f"{path} holds {values.size} bytes where its header says {shape}")
    return torch.from_numpy(values.reshape(shape).copy())


def fashion_mnist(folder: Path) -> Dataset:
    """60,000 + 10,000 grey images, 28 x 28, ten classes (Xiao et al. 2017, arXiv 1708.07747)."""

    def split(stem: str) -> Split:
        images = _idx(folder / f"{stem}-images-idx3-ubyte.gz", 2051, 3)
        labels = _idx(folder / f"{stem}-labels-idx1-ubyte.gz", 2049, 1)
        if len(images) != len(labels):
            raise DataError(f"{folder}: {len(images)} {stem} images but {len(labels)} labels")
        return Split(images[:, None], labels.long())

    return Dataset(split("train"), split("t10k"), list(FASHION_MNIST_CLASSES))


def emoji(data: Data, seed: int) -> Dataset:
    """The file that stage `data` built; the training split comes in `variants`, or as it is for none."""
    from .augment import Variants  # it needs this module itself

    path = Path(data.path)
    if not path.exists():
        raise DataError(f"{path} is missing: run stage `data` first")
    with np.load(path) as kept:
        sources, labels, test = (torch.from_numpy(kept[name]) for name in ("images", "labels", "test"))
        classes, flips = kept["classes"].tolist(), torch.from_numpy(kept["flips"])
        styles = kept["style_names"].tolist() if "style_names" in kept else []
        pairs = torch.from_numpy(kept["held_out_pairs"]) if styles else torch.zeros_like(test)
        train = ~test & ~pairs
        vocabulary, descriptions = _descriptions(kept, train) if styles else (Vocabulary([]), None)
    images = halved(sources)

    def split(rows: Tensor) -> Split:
        return Split(images[rows], labels[rows], descriptions[rows] if descriptions else None)

    training = split(train)
    if data.variants:
        if descriptions:
            raise DataError("variants must be 0 where style and words are told")
        training = Variants(images[train], labels[train], sources[train], flips[labels[train]], data.variants, seed)
    return Dataset(training, split(test), classes, styles, vocabulary, split(pairs) if styles else None)


def _descriptions(kept: Mapping[str, np.ndarray], train: Tensor) -> tuple[Vocabulary, Descriptions]:
    """The vocabulary of the training pictures, and what it can say of all of them."""
    names, keywords = ([text.split() for text in kept[key].tolist()] for key in ("name_words", "keyword_words"))
    known = {word for row in train.nonzero().flatten().tolist() for word in names[row] + keywords[row]}
    vocabulary = Vocabulary(sorted(known))
    styles = torch.from_numpy(kept["styles"])
    emoji = torch.from_numpy(np.unique(kept["bases"], return_inverse=True)[1])
    return vocabulary, Descriptions(styles, vocabulary.encode(names), vocabulary.encode(keywords), emoji)


def halved(images: Tensor) -> Tensor:
    """Byte images at half their size: the mean of two by two pixels."""
    parts = [F.avg_pool2d(chunk.float(), 2).round().to(torch.uint8) for chunk in images.split(500)]
    return torch.cat(parts)


def image_folder(data: Data, seed: int) -> Dataset:
    """FOLDER/CLASS/IMAGE. Images are cropped to their central square and scaled; transparency is laid on white.

    A seeded share of each class (`test_fraction`, at least one image) is held out as the test set.
    """
    root = Path(data.path)
    classes = sorted(entry.name for entry in root.iterdir() if entry.is_dir()) if root.is_dir() else []
    if not classes:
        raise DataError(f"{root} has no sub-folder; one per class is expected")
    shuffle = np.random.default_rng(seed)
    parts: dict[bool, tuple[list[np.ndarray], list[int]]] = {False: ([], []), True: ([], [])}
    for label, name in enumerate(classes):
        files = sorted(f for f in (root / name).iterdir() if f.suffix.lower() in IMAGE_SUFFIXES)
        if len(files) < 2:
            raise DataError(f"{root / name} has {len(files)} images; a class needs at least two (train and test)")
        order = shuffle.permutation(len(files))
        held_out = max(1, round(len(files) * data.test_fraction))
        for rank, index in enumerate(order):
            images, labels = parts[rank < held_out]
            images.append(_read_image(files[index], data.image_size, data.channels))
            labels.append(label)

    def split(test: bool) -> Split:
        images, labels = parts[test]
        return Split(torch.from_numpy(np.stack(images)), torch.tensor(labels))

    return Dataset(split(False), split(True), classes)


def _read_image(path: Path, size: int, channels: int) -> np.ndarray:
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGBA")
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{path} cannot be read as an image: {error}") from error
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image).convert("L" if channels == 1 else "RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.LANCZOS)
    pixels = np.asarray(image, np.uint8).reshape(size, size, channels)
    return pixels.transpose(2, 0, 1).copy()


def load(data: Data, seed: int) -> Dataset:
    """The data set that the configuration names.

    Raises DataError where a file is missing, broken or of another shape.
    """
    if data.source == "fashion-mnist":
        dataset = fashion_mnist(Path(data.path))
    elif data.source == "emoji":
        dataset = emoji(data, seed)
    elif data.source == "folder":
        dataset = image_folder(data, seed)
    else:
        raise DataError(f'source is {data.source!r}; allowed are "fashion-mnist", "emoji" and "folder"')
    expected = (data.channels, data.image_size, data.image_size)
    if tuple(dataset.train.images.shape[1:]) != expected:
        raise DataError(f"images are {tuple(dataset.train.images.shape[1:])}, the configuration says {expected}")
    return dataset
