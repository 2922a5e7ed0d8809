"""Stage `data`: builds the emoji data set, one file of images with their classes, and prints what is in it.

Each picture is trimmed to what is drawn, laid on white in the middle of a square, and kept at twice the model's size,
so that augmentation can turn and scale it without blur. Whole emoji are held out for the test set, in all styles and
looks: those of each class whose code points have the lowest hashes, so the split depends on no order and no icon set.
Some pairs of an emoji and a style are held out as well, where the emoji is known in other styles: drawing those shows
that the denoiser composes and doesn't only remember. A file of the repository lists all that is held out.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from .. import runs
from ..config import Config, ConfigError, Emoji, EmojiClass
from ..data import DataError
from . import styles, unicode, words

MARGIN = 0.05  # of the side, left free on each side of what is drawn
SHEET = (16, 10)  # columns and rows of a contact sheet


@dataclass(frozen=True)
class Entry:
    """One picture of the data set."""

    emoji: unicode.Emoji
    style: str
    label: int
    test: bool
    held_out_pair: bool = False


def share(*parts: str) -> float:
    """A number in 0..1 that follows from the strings alone."""
    digest = hashlib.sha256("\n".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def belongs(emoji: unicode.Emoji, its_class: EmojiClass) -> bool:
    """Whether the class takes the emoji: by subgroup, less the names left out."""

    def any_of(text: str, patterns: list[str]) -> bool:
        return any(fnmatchcase(text, pattern) for pattern in patterns)

    return any_of(emoji.subgroup, its_class.subgroups) and not any_of(emoji.name, its_class.without)


def held_out(settings: Emoji, fraction: float, emoji: list[unicode.Emoji]) -> set[str]:
    """Bases of the emoji kept for the test set: a share of each class."""
    bases: set[str] = set()
    for its_class in settings.classes.values():
        members = sorted({one.base for one in emoji if belongs(one, its_class)}, key=lambda base: share("test", base))
        bases.update(members[: round(fraction * len(members))])
    return bases


def choose(settings: Emoji, tests: set[str], emoji: list[unicode.Emoji], style: str, has: set[str]) -> list[Entry]:
    """The pictures taken from one style: of each emoji at most `looks` (the plain one first), of a class `limit`."""
    entries = []
    for label, its_class in enumerate(settings.classes.values()):
        looks: dict[str, list[unicode.Emoji]] = {}
        for one in emoji:
            if one.key in has and belongs(one, its_class):
                looks.setdefault(one.base, []).append(one)
        taken = []
        for base, candidates in looks.items():
            candidates.sort(key=lambda one: (not one.plain, share(style, one.key)))
            taken += [Entry(one, style, label, base in tests) for one in candidates[: its_class.looks]]
        taken.sort(key=lambda entry: share("limit", style, entry.emoji.base))
        entries += taken[: its_class.limit]
    return entries


def held_out_pairs(entries: list[Entry], fraction: float) -> set[tuple[str, str]]:
    """Pairs (base, style) kept out of training whose emoji is in training in another style."""
    known: dict[str, list[str]] = {}
    for base, style in sorted({(entry.emoji.base, entry.style) for entry in entries if not entry.test}):
        known.setdefault(base, []).append(style)
    pairs = set()
    for base, its_styles in known.items():
        its_styles.sort(key=lambda style: share("pair", base, style))
        # The one with the highest hash stays in training whatever the fraction is.
        pairs |= {(base, style) for style in its_styles[:-1] if share("pair", base, style) < fraction}
    return pairs


def listed(entries: list[Entry]) -> str:
    """All that is held out, as a text of lines: kind, code points, style where one is meant, name."""
    lines = {f"emoji\t{entry.emoji.base}\t*\t{_base_name(entry)}" for entry in entries if entry.test}
    lines |= {f"pair\t{e.emoji.base}\t{e.style}\t{_base_name(e)}" for e in entries if e.held_out_pair}
    return "\n".join(sorted(lines)) + "\n"


def _base_name(entry: Entry) -> str:
    return (
        entry.emoji.name.split(":")[0]
        if entry.emoji.subgroup not in ("country-flag", "subdivision-flag")
        else (entry.emoji.name)
    )


def check_list(settings: Emoji, text: str) -> None:
    """Raises DataError where the repository's list of held-out emoji is another one; writes it where there is none."""
    if not settings.held_out:
        return
    path = Path(settings.held_out)
    if not path.exists():
        path.write_text(text)
    elif path.read_text() != text:
        raise DataError(f"{path} lists other emoji as held out than this configuration gives")


def square(image: Image.Image, side: int) -> np.ndarray:
    """What is drawn, on white in the middle of a square with a margin: (3, side, side) bytes."""
    # A shadow's last traces don't count as drawn.
    box = image.getchannel("A").point(lambda alpha: 255 if alpha > 16 else 0).getbbox()
    if box is None:
        raise DataError("the picture is empty")
    drawn = image.crop(box)
    scale = side * (1 - 2 * MARGIN) / max(drawn.size)
    size = (max(1, round(drawn.width * scale)), max(1, round(drawn.height * scale)))
    # Premultiplied: colours of invisible pixels must not bleed in.
    drawn = drawn.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
    canvas = Image.new("RGBA", (side, side), "white")
    canvas.alpha_composite(drawn, ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(canvas.convert("RGB"), np.uint8).transpose(2, 0, 1)


def build(config: Config, folder: Path) -> None:
    if config.emoji is None:
        raise ConfigError("stage `data` needs a section [emoji]")
    settings, side = config.emoji, 2 * config.data.image_size
    emoji = unicode.read(Path(settings.unicode))
    tests = held_out(settings, config.data.test_fraction, emoji)
    entries: list[Entry] = []
    images: list[np.ndarray] = []
    for name, style in settings.styles.items():
        drawn = styles.pictures(styles.fetch(style, folder / "packages"), style.license, emoji)
        chosen = choose(settings, tests, emoji, name, set(drawn))
        for entry in tqdm(chosen, name, unit="picture"):
            try:
                images.append(square(drawn[entry.emoji.key](), side))
            except (DataError, OSError, ValueError) as error:
                raise DataError(f"{style.package}: {entry.emoji.name}: {error}") from error
        entries += chosen
    pairs = held_out_pairs(entries, settings.pair_fraction)
    entries = [replace(e, held_out_pair=(e.emoji.base, e.style) in pairs) for e in entries]
    check_list(settings, listed(entries))
    target = Path(config.data.path)
    target.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.stack(images)
    np.savez_compressed(
        target,
        images=pixels,
        labels=np.array([entry.label for entry in entries], np.int64),
        test=np.array([entry.test for entry in entries]),
        classes=np.array(list(settings.classes)),
        flips=np.array([its_class.flip for its_class in settings.classes.values()]),
        names=np.array([f"{entry.emoji.name} ({entry.style})" for entry in entries]),
        **described(settings, entries, folder),
    )
    sheets(entries, pixels, list(settings.classes), folder / "sheets")
    runs.report(folder, "data", counts(settings, entries) | {"bytes": target.stat().st_size})


def described(settings: Emoji, entries: list[Entry], folder: Path) -> dict[str, np.ndarray]:
    """What `data.emoji` tells the denoiser beside the class; nothing where the configuration has no annotations."""
    if settings.annotations is None:
        return {}
    package = settings.annotations
    keywords = words.keywords(styles.fetch(package, folder / "packages"), package.license)
    names = [words.split(entry.emoji.name) for entry in entries]
    further = [
        [word for word in keywords.get(entry.emoji.key, keywords.get(entry.emoji.base, [])) if word not in name]
        for entry, name in zip(entries, names, strict=True)
    ]
    order = list(settings.styles)
    return {
        "held_out_pairs": np.array([entry.held_out_pair for entry in entries]),
        "style_names": np.array(order),
        "styles": np.array([order.index(entry.style) for entry in entries], np.int64),
        "bases": np.array([entry.emoji.base for entry in entries]),
        "name_words": np.array([" ".join(name) for name in names]),
        "keyword_words": np.array([" ".join(some) for some in further]),
    }


def counts(settings: Emoji, entries: list[Entry]) -> dict[str, object]:
    """How many pictures there are, by class and split, and by style with its licence."""
    by_class = Counter((entry.label, entry.test) for entry in entries)
    by_style = Counter(entry.style for entry in entries)
    return {
        "images": len(entries),
        "emoji": len({entry.emoji.base for entry in entries}),
        "test_emoji": len({entry.emoji.base for entry in entries if entry.test}),
        "held_out_pairs": len({(entry.emoji.base, entry.style) for entry in entries if entry.held_out_pair}),
        "held_out_pair_images": sum(entry.held_out_pair for entry in entries),
        "classes": {
            name: {"train": by_class[label, False], "test": by_class[label, True]}
            for label, name in enumerate(settings.classes)
        },
        "styles": {
            name: {"images": by_style[name], "package": f"{style.package}@{style.version}", "license": style.license}
            for name, style in settings.styles.items()
        },
    }


def sheets(entries: list[Entry], pixels: np.ndarray, classes: list[str], folder: Path) -> None:
    """A contact sheet for each class, for a person to look at; which pictures it shows follows from their names."""
    folder.mkdir(parents=True, exist_ok=True)
    columns, rows = SHEET
    tile = pixels.shape[-1] // 2
    for label, name in enumerate(classes):
        members = [index for index, entry in enumerate(entries) if entry.label == label]
        members.sort(key=lambda index: share("sheet", entries[index].style, entries[index].emoji.key))
        sheet = Image.new("RGB", (columns * tile, rows * tile), "white")
        for place, index in enumerate(members[: columns * rows]):
            picture = Image.fromarray(pixels[index].transpose(1, 2, 0)).reduce(2)
            sheet.paste(picture, (place % columns * tile, place // columns * tile))
        sheet.save(folder / f"{label:02}-{styles.plain_name(name)}.png")
