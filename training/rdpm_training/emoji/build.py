"""Stage `data`: builds the emoji data set, one file of images with their classes, and reports its content.

Each image is cropped to its opaque pixels and centred on a white square. If training augments the images, they are
stored at twice the model's size, so that they can be rotated and scaled without blur. The test set consists of whole
emoji, in all styles, skin tones and genders: those of each class whose code points have the lowest hashes, so the split
depends neither on the order nor on the icon sets. Some pairs of an emoji and a style are held out as well, if the emoji
is in training in another style: they show whether the denoiser composes or only remembers. A file in the repository
lists everything held out.
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
from ..config import Config, ConfigError, EmojiClassConfig, EmojiConfig
from ..dataset import DataError
from . import styles, unicode, words

MARGIN = 0.05  # free on each side, as a fraction of the square's side
SHEET = (16, 10)  # columns and rows of a contact sheet


@dataclass(frozen=True)
class Entry:
    """One image of the data set."""

    emoji: unicode.Emoji
    style: str
    label: int
    test: bool
    held_out_pair: bool = False


def hash_fraction(*parts: str) -> float:
    """A number in 0..1 that depends on the strings alone."""
    digest = hashlib.sha256("\n".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def matches_class(emoji: unicode.Emoji, emoji_class: EmojiClassConfig) -> bool:
    """Whether the emoji belongs to the class: its subgroup is listed and its name is not excluded."""

    def matches_any(text: str, patterns: list[str]) -> bool:
        return any(fnmatchcase(text, pattern) for pattern in patterns)

    return matches_any(emoji.subgroup, emoji_class.subgroups) and not matches_any(emoji.name, emoji_class.without)


def held_out_emoji(settings: EmojiConfig, fraction: float, emoji: list[unicode.Emoji]) -> set[str]:
    """Base keys of the emoji in the test set: a fraction of each class."""
    bases: set[str] = set()
    for emoji_class in settings.classes.values():
        members = sorted(
            {item.base for item in emoji if matches_class(item, emoji_class)},
            key=lambda base: hash_fraction("test", base),
        )
        bases.update(members[: round(fraction * len(members))])
    return bases


def select(
    settings: EmojiConfig, test_bases: set[str], emoji: list[unicode.Emoji], style: str, available: set[str]
) -> list[Entry]:
    """The images of one style: at most `looks` variants of an emoji, base first, and at most `limit` of a class."""
    entries = []
    for label, emoji_class in enumerate(settings.classes.values()):
        variants: dict[str, list[unicode.Emoji]] = {}
        for item in emoji:
            if item.key in available and matches_class(item, emoji_class):
                variants.setdefault(item.base, []).append(item)
        members = []
        for base, candidates in variants.items():
            candidates.sort(key=lambda item: (not item.is_base, hash_fraction(style, item.key)))
            members += [Entry(item, style, label, base in test_bases) for item in candidates[: emoji_class.looks]]
        members.sort(key=lambda entry: hash_fraction("limit", style, entry.emoji.base))
        entries += members[: emoji_class.limit]
    return entries


def held_out_pairs(entries: list[Entry], fraction: float) -> set[tuple[str, str]]:
    """Held-out pairs (base, style). The emoji of each pair is in training in another style."""
    known: dict[str, list[str]] = {}
    for base, style in sorted({(entry.emoji.base, entry.style) for entry in entries if not entry.test}):
        known.setdefault(base, []).append(style)
    pairs = set()
    for base, known_styles in known.items():
        known_styles.sort(key=lambda style: hash_fraction("pair", base, style))
        # The style with the highest hash is always in training.
        pairs |= {(base, style) for style in known_styles[:-1] if hash_fraction("pair", base, style) < fraction}
    return pairs


def held_out_list(entries: list[Entry]) -> str:
    """Everything held out, as lines of tab-separated kind, code points, style (`*` for all) and name."""
    lines = {f"emoji\t{entry.emoji.base}\t*\t{_base_name(entry)}" for entry in entries if entry.test}
    lines |= {f"pair\t{e.emoji.base}\t{e.style}\t{_base_name(e)}" for e in entries if e.held_out_pair}
    return "\n".join(sorted(lines)) + "\n"


def _base_name(entry: Entry) -> str:
    return (
        entry.emoji.name.split(":")[0]
        if entry.emoji.subgroup not in ("country-flag", "subdivision-flag")
        else (entry.emoji.name)
    )


def check_held_out_list(settings: EmojiConfig, text: str) -> None:
    """Compares with the configured list of held-out emoji, or writes it if the file does not exist.

    Raises DataError if they differ.
    """
    if not settings.held_out:
        return
    path = Path(settings.held_out)
    if not path.exists():
        path.write_text(text)
    elif path.read_text() != text:
        raise DataError(f"{path} differs from the emoji and pairs that this configuration holds out")


def fit_square(image: Image.Image, side: int) -> np.ndarray:
    """Crops an image to its opaque pixels and centres it on a white square with a margin: (3, side, side) bytes."""
    # Nearly transparent pixels, such as the edge of a shadow, are cropped.
    box = image.getchannel("A").point(lambda alpha: 255 if alpha > 16 else 0).getbbox()
    if box is None:
        raise DataError("the image is empty")
    cropped = image.crop(box)
    scale = side * (1 - 2 * MARGIN) / max(cropped.size)
    size = (max(1, round(cropped.width * scale)), max(1, round(cropped.height * scale)))
    # Resized with premultiplied alpha, so that the colours of transparent pixels do not bleed in.
    cropped = cropped.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
    canvas = Image.new("RGBA", (side, side), "white")
    canvas.alpha_composite(cropped, ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(canvas.convert("RGB"), np.uint8).transpose(2, 0, 1)


def build(config: Config, folder: Path) -> None:
    if config.emoji is None:
        raise ConfigError("stage `data` needs section [emoji] in the configuration")
    settings, side = config.emoji, config.data.image_size * (2 if config.data.variants else 1)
    emoji = unicode.read(Path(settings.unicode))
    test_bases = held_out_emoji(settings, config.data.test_fraction, emoji)
    entries: list[Entry] = []
    images: list[np.ndarray] = []
    for name, style in settings.styles.items():
        renderers = styles.renderers(styles.fetch(style, folder / "packages"), style.license, emoji)
        selected = select(settings, test_bases, emoji, name, set(renderers))
        for entry in tqdm(selected, name, unit="image"):
            try:
                images.append(fit_square(renderers[entry.emoji.key](), side))
            except (DataError, OSError, ValueError) as error:
                raise DataError(f"{style.package}: {entry.emoji.name}: {error}") from error
        entries += selected
    pairs = held_out_pairs(entries, settings.pair_fraction)
    entries = [replace(e, held_out_pair=(e.emoji.base, e.style) in pairs) for e in entries]
    check_held_out_list(settings, held_out_list(entries))
    target = Path(config.data.path)
    target.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.stack(images)
    np.savez_compressed(
        target,
        images=pixels,
        labels=np.array([entry.label for entry in entries], np.int64),
        test=np.array([entry.test for entry in entries]),
        classes=np.array(list(settings.classes)),
        flips=np.array([emoji_class.flip for emoji_class in settings.classes.values()]),
        names=np.array([f"{entry.emoji.name} ({entry.style})" for entry in entries]),
        **description_arrays(settings, entries, folder),
    )
    write_contact_sheets(entries, pixels, list(settings.classes), folder / "sheets")
    runs.report(folder, "data", summary(settings, entries) | {"bytes": target.stat().st_size})


def description_arrays(settings: EmojiConfig, entries: list[Entry], folder: Path) -> dict[str, np.ndarray]:
    """Styles and words of the images, for `data.load`; empty if the configuration has no annotations."""
    if settings.annotations is None:
        return {}
    package = settings.annotations
    keywords = words.read_keywords(styles.fetch(package, folder / "packages"), package.license)
    names = [words.split_words(entry.emoji.name) for entry in entries]
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
        "keyword_words": np.array([" ".join(image_keywords) for image_keywords in further]),
    }


def summary(settings: EmojiConfig, entries: list[Entry]) -> dict[str, object]:
    """The report: numbers of images by class and split, and by style with its licence."""
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


def write_contact_sheets(entries: list[Entry], pixels: np.ndarray, classes: list[str], folder: Path) -> None:
    """Writes a contact sheet of each class for visual inspection; the images on it depend on their names alone."""
    folder.mkdir(parents=True, exist_ok=True)
    columns, rows = SHEET
    tile = pixels.shape[-1] // 2
    for label, name in enumerate(classes):
        members = [index for index, entry in enumerate(entries) if entry.label == label]
        members.sort(key=lambda index: hash_fraction("sheet", entries[index].style, entries[index].emoji.key))
        sheet = Image.new("RGB", (columns * tile, rows * tile), "white")
        for position, index in enumerate(members[: columns * rows]):
            image = Image.fromarray(pixels[index].transpose(1, 2, 0)).reduce(2)
            sheet.paste(image, (position % columns * tile, position // columns * tile))
        sheet.save(folder / f"{label:02}-{styles.normalized_name(name)}.png")
