"""Words that describe emoji: those of their CLDR names, and the keywords of Unicode's annotations."""

from __future__ import annotations

import json
import re
import tarfile
import unicodedata
from pathlib import Path

from ..dataset import DataError

ANNOTATIONS = "package/annotations/en/annotations.json"


def split_words(text: str) -> list[str]:
    """The different words of a text, in order: lower case, without accents, letters and digits only.

    The server must split prompts by the same rule.
    """
    plain = unicodedata.normalize("NFKD", text.lower().replace("’", "'"))
    plain = "".join(character for character in plain if not unicodedata.combining(character)).replace("'", "")
    return list(dict.fromkeys(re.findall(r"[a-z0-9]+", plain)))


def read_keywords(archive: Path, license: str) -> dict[str, list[str]]:
    """Emoji key -> the words of its English keywords, from npm's `cldr-annotations-full`.

    Raises DataError if the package states another licence than the configuration.
    """
    with tarfile.open(archive) as tar:

        def load(name: str) -> dict:
            file = tar.extractfile(name)
            assert file is not None  # a regular file
            return json.load(file)

        if (stated := load("package/package.json")["license"]) != license:
            raise DataError(f"{archive} is under {stated}, but the configuration says {license}")
        annotations = load(ANNOTATIONS)["annotations"]["annotations"]
    found = {}
    for characters, entry in annotations.items():
        points = [f"{ord(character):x}" for character in characters if character != "\ufe0f"]
        found["-".join(points)] = split_words(" ".join(entry.get("default", [])))
    return found
