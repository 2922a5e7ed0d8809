"""The list of emoji from Unicode's `emoji-test.txt`: subgroups, names, and which are variants of the same emoji."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..dataset import DataError

VARIATION_SELECTOR, JOINER = "fe0f", "200d"
SKIN_TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}
GENDER_SIGNS = {"2640", "2642"}  # female and male sign: after a joiner they choose the gender
PERSON, MAN_OR_WOMAN = "1f9d1", {"1f468", "1f469"}
LINE = re.compile(r"([0-9A-F ]+?)\s*; fully-qualified\s*# \S+ E[\d.]+ (.+)")


@dataclass(frozen=True)
class Emoji:
    """`key` is its code points in hexadecimal, joined by `-`, without variation selectors; `base` is the
    key without skin tone and gender, the same for all variants of an emoji."""

    key: str
    base: str
    name: str
    subgroup: str

    @property
    def is_base(self) -> bool:
        """Whether it has no skin tone and no gender."""
        return self.key == self.base


def key(points: list[str]) -> str:
    """The key of a sequence of code points, as icon sets name their files."""
    return "-".join(point for point in (p.lower() for p in points) if point != VARIATION_SELECTOR)


def base(key: str) -> str:
    """The key without skin tones and gender."""
    points = [point for point in key.split("-") if point not in SKIN_TONES]
    if len(points) > 2 and points[-1] in GENDER_SIGNS and points[-2] == JOINER:
        points = points[:-2]
    if len(points) > 1 and points[0] in MAN_OR_WOMAN and points[1] == JOINER:
        points[0] = PERSON
    return "-".join(points)


def read(path: Path) -> list[Emoji]:
    """All fully-qualified emoji of an `emoji-test.txt`, in order."""
    try:
        text = path.read_text()
    except OSError as error:
        raise DataError(f"{path} is missing; install it with `apt-get install unicode-data`") from error
    found, subgroup = [], ""
    for line in text.splitlines():
        if line.startswith("# subgroup:"):
            subgroup = line.split(":", 1)[1].strip()
        elif match := LINE.match(line):
            emoji_key = key(match[1].split())
            found.append(Emoji(emoji_key, base(emoji_key), match[2], subgroup))
    if not found:
        raise DataError(f"{path} lists no emoji")
    return found
