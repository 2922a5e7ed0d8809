"""Which emoji there are, from Unicode's `emoji-test.txt`: groups, names, and which ones are looks of the same emoji."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..data import DataError

VARIATION_SELECTOR, JOINER = "fe0f", "200d"
SKIN_TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}
SIGNS = {"2640", "2642"}  # female, male: after a joiner they say who does it
PERSON, MAN_OR_WOMAN = "1f9d1", {"1f468", "1f469"}
LINE = re.compile(r"([0-9A-F ]+?)\s*; fully-qualified\s*# \S+ E[\d.]+ (.+)")


@dataclass(frozen=True)
class Emoji:
    """`key` is its code points in hexadecimal, joined by `-`, without variation selectors; `base` is the key of the
    emoji that it is a look of, the same for all skin tones and genders."""

    key: str
    base: str
    name: str
    subgroup: str

    @property
    def plain(self) -> bool:
        """No skin tone, no gender chosen."""
        return self.key == self.base


def key(points: list[str]) -> str:
    """The name under which icon sets and this package know a sequence of code points."""
    return "-".join(point for point in (p.lower() for p in points) if point != VARIATION_SELECTOR)


def base(key: str) -> str:
    """The key without skin tones and gender."""
    points = [point for point in key.split("-") if point not in SKIN_TONES]
    if len(points) > 2 and points[-1] in SIGNS and points[-2] == JOINER:
        points = points[:-2]
    if len(points) > 1 and points[0] in MAN_OR_WOMAN and points[1] == JOINER:
        points[0] = PERSON
    return "-".join(points)


def read(path: Path) -> list[Emoji]:
    """All fully-qualified emoji of an `emoji-test.txt`, in its order."""
    try:
        text = path.read_text()
    except OSError as error:
        raise DataError(f"{path} is missing; `apt-get install unicode-data` brings it") from error
    found, subgroup = [], ""
    for line in text.splitlines():
        if line.startswith("# subgroup:"):
            subgroup = line.split(":", 1)[1].strip()
        elif match := LINE.match(line):
            its_key = key(match[1].split())
            found.append(Emoji(its_key, base(its_key), match[2], subgroup))
    if not found:
        raise DataError(f"{path} lists no emoji")
    return found
