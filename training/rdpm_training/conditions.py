"""Conditions of the denoiser: an image's class, its drawing style and the words that describe it.

Each part can be absent: there is a null class, a null style, and an empty list of words. Training drops each part
independently, so sampling can use any subset (classifier-free guidance needs the empty one).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

MAX_KEYWORDS = 3  # in one training condition
# Probabilities in training; otherwise a condition has keywords and no name.
NAME_ONLY, NAME_AND_KEYWORDS = 0.65, 0.2


class Condition(NamedTuple):
    """Class (b,), style (b,) and words (b, l), padded with the vocabulary's size."""

    label: Tensor
    style: Tensor
    words: Tensor

    def to(self, device: torch.device) -> Condition:  # type: ignore[override]
        return Condition(*(part.to(device) for part in self))


def rows(y: Tensor | Condition, part: slice) -> Tensor | Condition:
    """A slice of a batch of classes or conditions."""
    return Condition(*(tensor[part] for tensor in y)) if isinstance(y, Condition) else y[part]


def count(y: Tensor | Condition) -> int:
    """Batch size of classes or conditions."""
    return len(y.label if isinstance(y, Condition) else y)


@dataclass(frozen=True)
class Vocabulary:
    """The words that the denoiser knows, in alphabetical order. A word's position is its index."""

    words: list[str]

    def encode(self, texts: list[list[str]]) -> Tensor:
        """Indices (b, l) of the words of each text, padded. Unknown words are omitted."""
        index = {word: position for position, word in enumerate(self.words)}
        rows = [[index[word] for word in words if word in index] for words in texts]
        width = max(map(len, rows), default=0)
        padded = [row + [len(self.words)] * (width - len(row)) for row in rows]
        return torch.tensor(padded, dtype=torch.long).view(len(rows), width)


@dataclass(frozen=True)
class Descriptions:
    """Descriptions of a split's images: style (b,), words of the name (b, l), further keywords (b, k), and the index of
    the emoji (b,), which is the same for all styles, skin tones and genders."""

    styles: Tensor
    names: Tensor
    keywords: Tensor
    emoji: Tensor

    def __getitem__(self, indices: Tensor) -> Descriptions:
        return Descriptions(self.styles[indices], self.names[indices], self.keywords[indices], self.emoji[indices])

    def to(self, device: torch.device) -> Descriptions:
        return Descriptions(*(getattr(self, field.name).to(device) for field in dataclasses.fields(self)))

    def sample_words(self, padding: int, generator: torch.Generator | None) -> Tensor:
        """Random words (b, l + MAX_KEYWORDS) for one update: the name, some keywords, or both."""
        count, device = len(self.names), self.names.device
        draw = torch.rand(count, generator=generator, device=device)[:, None]
        keyword_count = torch.randint(1, MAX_KEYWORDS + 1, (count, 1), generator=generator, device=device)
        scores = torch.rand(self.keywords.shape, generator=generator, device=device)
        scores = scores.masked_fill(self.keywords == padding, 2.0)
        chosen = self.keywords.gather(1, scores.argsort(1))[:, :MAX_KEYWORDS]
        chosen = chosen.masked_fill(torch.arange(chosen.shape[1], device=device) >= keyword_count, padding)
        name_only = draw < NAME_ONLY
        # An image without keywords always gets its name.
        has_name = name_only | (draw < NAME_ONLY + NAME_AND_KEYWORDS) | (chosen == padding).all(1, keepdim=True)
        return torch.cat([self.names.where(has_name, padding), chosen.masked_fill(name_only, padding)], 1)


@dataclass(frozen=True)
class ConditionDropout:
    """Probabilities of dropping each part of a condition independently, and all parts together."""

    label: float
    style: float
    words: float
    all: float

    def apply(self, condition: Condition, null: Condition, generator: torch.Generator | None) -> Condition:
        """Replaces random parts of the condition by those of `null`, which has the same shapes."""
        draws = torch.rand(4, len(condition.label), generator=generator, device=condition.label.device)
        drop_all = draws[3] < self.all
        label, style, words = (
            drop_all | (draws[row] < probability)
            for row, probability in enumerate((self.label, self.style, self.words))
        )
        return Condition(
            torch.where(label, null.label, condition.label),
            torch.where(style, null.style, condition.style),
            torch.where(words[:, None], null.words, condition.words),
        )
