"""Data sets in memory: images and labels, split into training and test images. `data` loads them."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from .conditions import Descriptions, Vocabulary


class DataError(ValueError):
    """The data cannot be trained on; the message names the file."""


@dataclass
class Split:
    """Images (b, channels, size, size) as bytes and labels (b,) as class indices."""

    images: Tensor
    labels: Tensor
    descriptions: Descriptions | None = None  # styles and words, if the data set has them

    def __len__(self) -> int:
        """Number of indices that `batch` accepts."""
        return len(self.labels)

    def label(self, indices: Tensor) -> Tensor:
        return self.labels[indices]

    def subset(self, indices: Tensor) -> Split:
        """The images at these indices, without augmentation."""
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
    # For each class the names of what it shows in training, with the styles of the images.
    subjects: list[dict[str, list[int]]] = field(default_factory=list)
    emoji: dict[str, str] = field(default_factory=dict)  # names of emoji by their characters


def to_unit(images: Tensor) -> Tensor:
    """Bytes 0..255 to floats -1..1, the tokenizer's input range."""
    return images.float() / 127.5 - 1.0
