"""What the denoiser is told of a picture: its class, its drawing style, the words that describe it.

Each part can be missing: a class has a null class, a style a null style, and of words there may be none. Training drops
each by itself, so that any subset can be asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

KEYWORDS = 3  # at most so many of a picture's keywords are told at once
NAME_ALONE, NAME_WITH_KEYWORDS = 0.65, 0.2  # shares of the pictures; the rest has keywords without a name


class Condition(NamedTuple):
    """Class (b,), style (b,) and words (b, l), padded with the vocabulary's size."""

    label: Tensor
    style: Tensor
    words: Tensor

    def to(self, device: torch.device) -> Condition:  # type: ignore[override]
        return Condition(*(part.to(device) for part in self))


def rows(y: Tensor | Condition, part: slice) -> Tensor | Condition:
    """Some of a batch's classes or conditions."""
    return Condition(*(each[part] for each in y)) if isinstance(y, Condition) else y[part]


def count(y: Tensor | Condition) -> int:
    """How many images classes or conditions are for."""
    return len(y.label if isinstance(y, Condition) else y)


@dataclass(frozen=True)
class Vocabulary:
    """The words that the denoiser knows, in alphabetical order; a word's place is its index."""

    words: list[str]

    def encode(self, texts: list[list[str]]) -> Tensor:
        """Indices (b, l) of each text's words, padded; words that aren't known are left out."""
        index = {word: number for number, word in enumerate(self.words)}
        rows = [[index[word] for word in words if word in index] for words in texts]
        width = max(map(len, rows), default=0)
        padded = [row + [len(self.words)] * (width - len(row)) for row in rows]
        return torch.tensor(padded, dtype=torch.long).view(len(rows), width)


@dataclass(frozen=True)
class Descriptions:
    """What is known of each picture of a split: style (b,), words of its name (b, l), further keywords (b, k), and
    which emoji it shows (b,), the same number in all styles, skin tones and genders."""

    styles: Tensor
    names: Tensor
    keywords: Tensor
    emoji: Tensor

    def __getitem__(self, indices: Tensor) -> Descriptions:
        return Descriptions(self.styles[indices], self.names[indices], self.keywords[indices], self.emoji[indices])

    def sampled(self, padding: int, random: torch.Generator) -> Tensor:
        """Words (b, l + KEYWORDS) to tell in one update: a picture's name, some of its keywords, or both."""
        count = len(self.names)
        kind = torch.rand(count, generator=random)[:, None]
        wanted = torch.randint(1, KEYWORDS + 1, (count, 1), generator=random)
        scores = torch.rand(self.keywords.shape, generator=random).masked_fill(self.keywords == padding, 2.0)
        chosen = self.keywords.gather(1, scores.argsort(1))[:, :KEYWORDS]
        chosen = chosen.masked_fill(torch.arange(chosen.shape[1]) >= wanted, padding)
        alone = kind < NAME_ALONE
        # Where there are no keywords, the name is told.
        named = alone | (kind < NAME_ALONE + NAME_WITH_KEYWORDS) | (chosen == padding).all(1, keepdim=True)
        return torch.cat([self.names.where(named, padding), chosen.masked_fill(alone, padding)], 1)


@dataclass(frozen=True)
class Dropout:
    """How often each part is left out by itself, and all of them at once."""

    label: float
    style: float
    words: float
    all: float

    def apply(self, condition: Condition, null: Condition, random: torch.Generator) -> Condition:
        """The condition with parts replaced by those of `null`, of the same shapes."""
        lost = torch.rand(4, len(condition.label), generator=random)
        everything = lost[3] < self.all
        label, style, words = (
            everything | (lost[row] < share) for row, share in enumerate((self.label, self.style, self.words))
        )
        return Condition(
            torch.where(label, null.label, condition.label),
            torch.where(style, null.style, condition.style),
            torch.where(words[:, None], null.words, condition.words),
        )
