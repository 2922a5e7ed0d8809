"""A data set from a folder with a sub-folder per class, as people have them.

Hidden files and those of operating systems are ignored. Files that cannot be used are skipped, and the summary names
them; in strict mode they are errors. Near-duplicates are not split between training and test images.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from . import duplicates, images
from .config import DataConfig
from .dataset import DataError, Dataset, Split

# Files without suffix are tried too. HEIC is not supported, but `images` names it.
IMAGE_SUFFIXES = {
    "", ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff",
    ".avif", ".heic", ".heif",
}  # fmt: skip
# Of macOS, Windows and network storage, besides names that begin with a dot.
SYSTEM_NAMES = {
    "__macosx", "icon\r", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information",
    "lost+found", "@eadir",
}  # fmt: skip
SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation", "dev"}
NAMES_SHOWN = 5  # of each reason in a summary

_printed: set[str] = set()


@dataclass
class Summary:
    """What training sees of a folder, and what it does not see."""

    root: Path
    classes: list[str] = field(default_factory=list)
    train: list[list[str]] = field(default_factory=list)  # for each class, names of files relative to the folder
    test: list[list[str]] = field(default_factory=list)
    ignored: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)  # name and reason
    changes: Counter[str] = field(default_factory=Counter)
    nested: int = 0  # images in folders below that of their class
    pairs: list[tuple[str, str]] = field(default_factory=list)  # near-duplicates
    divided: int = 0  # pairs that had to be split between training and test images
    hints: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        counts = [sum(map(len, part)) for part in (self.train, self.test)]
        lines = [
            f"{display_name(str(self.root))}: {_count(len(self.classes), 'class', 'classes')}, "
            f"{_count(counts[0], 'training image')}, {_count(counts[1], 'test image')}"
        ]
        if self.nested:
            lines.append(f"  {_count(self.nested, 'image')} in nested folders, with the class of the outer folder")
        lines += [f"  {_count(number, 'image')} {change}" for change, number in sorted(self.changes.items())]
        if self.pairs:
            lines.append(f"  {_count(len(self.pairs), 'pair')} of near-duplicates, {self._fate()}")
        if self.ignored:
            lines.append(f"  {_count(self.ignored, 'hidden or system file')} ignored")
        return lines + self.skipped_lines() + [f"  note: {hint}" for hint in self.hints]

    def _fate(self) -> str:
        together = "both images of a pair are in the training images or both in the test images"
        return together if not self.divided else f"{self.divided} of them split between training and test images"

    def skipped_lines(self) -> list[str]:
        """One line for each reason, with the first names."""
        reasons: dict[str, list[str]] = {}
        for name, reason in self.skipped:
            reasons.setdefault(reason, []).append(display_name(name))
        lines = []
        for reason, names in reasons.items():
            more = f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
            lines.append(f"  skipped {len(names):,}, {reason}: {', '.join(names[:NAMES_SHOWN])}{more}")
        return lines


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def display_name(name: str) -> str:
    """A file's name without characters that a terminal would act on or cannot encode."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Sorts numbers in names by value: 2 before 10."""
    return [(0, int(part), part) if part.isdigit() else (1, 0, part) for part in re.split("([0-9]+)", name) if part]


def load_image_folder(data: DataConfig, seed: int) -> Dataset:
    """Reads FOLDER/CLASS/IMAGE and prints a summary. `data.strict` refuses files that cannot be used.

    A seeded random fraction of each class (`test_fraction`, at least one image) becomes the test set.
    """
    dataset, summary = read(data, seed)
    text = "\n".join(summary.lines())
    if text not in _printed:  # each stage loads the data set
        _printed.add(text)
        print(text, file=sys.stderr)
    return dataset


def read(data: DataConfig, seed: int) -> tuple[Dataset, Summary]:
    """Reads the folder. Raises DataError if it cannot be trained on or, with `data.strict`, if a file is skipped."""
    summary = Summary(Path(data.path))
    found = _find_files(summary)
    pixels, names, labels = _read_images(found, data, summary)
    if data.strict and summary.skipped:
        problems = "\n".join(line.replace("skipped ", "", 1) for line in summary.skipped_lines())
        raise DataError(f"{summary.root} has files that cannot be used, and strict mode refuses them:\n{problems}")
    if not summary.classes:
        reasons = "\n".join(["", *summary.skipped_lines()])
        raise DataError(f"{summary.root} has no class with two images (one to train, one to test){reasons}")
    _add_hints(summary)
    train, test = _split(pixels, names, labels, data.test_fraction, seed, summary)

    def part(indices: list[int]) -> Split:
        return Split(torch.from_numpy(pixels[indices]), torch.tensor([labels[index] for index in indices]))

    return Dataset(part(train), part(test), summary.classes), summary


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name.casefold() in SYSTEM_NAMES


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _find_files(summary: Summary) -> dict[str, list[Path]]:
    """Image files of each class, in natural order of the classes."""
    root = summary.root
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; expected one with a sub-folder per class")
    folders: dict[str, Path] = {}
    # Folders that no link may lead to: they would be read twice, or in circles.
    visited = {_identity(parent.stat()) for parent in (root.resolve(), *root.resolve().parents)}
    for path, status in _entries(root, summary):
        name = unicodedata.normalize("NFC", path.name)  # macOS decomposes accents
        if not stat.S_ISDIR(status.st_mode):
            summary.skipped.append((path.name, "not in a class folder"))
        elif _identity(status) in visited:
            summary.skipped.append((path.name, "link to a folder that is read already"))
        elif not name.isprintable():
            raise DataError(f"{root}: rename the class folder {display_name(name)}: control characters or not UTF-8")
        elif name in folders:
            raise DataError(f"{root} has two class folders named {name}")
        else:
            visited.add(_identity(status))
            folders[name] = path
    if not folders:
        raise DataError(f"{root} has no sub-folders; expected one per class")
    classes = sorted(folders, key=natural_order)
    return {name: sorted(_image_files(folders[name], visited, summary)) for name in classes}


def _entries(folder: Path, summary: Summary) -> Iterator[tuple[Path, os.stat_result]]:
    """Entries of a folder with their status, links followed, without those to ignore."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        summary.skipped.append((_relative(folder, summary), f"cannot be opened ({error.strerror})"))
        return
    for path in paths:
        if _is_ignored(path.name):
            summary.ignored += 1
            continue
        try:
            status = path.stat()
        except OSError as error:
            reasons = {errno.ENOENT: "link to nothing", errno.ELOOP: "link to itself"}
            reason = reasons.get(error.errno or 0, f"cannot be opened ({error.strerror})")
            summary.skipped.append((_relative(path, summary), reason))
            continue
        yield path, status


def _image_files(folder: Path, visited: set[tuple[int, int]], summary: Summary) -> Iterator[Path]:
    """Image files in a folder and the folders in it."""
    for path, status in _entries(folder, summary):
        if stat.S_ISDIR(status.st_mode):
            if _identity(status) in visited:
                summary.skipped.append((_relative(path, summary), "link to a folder that is read already"))
            else:
                visited.add(_identity(status))
                yield from _image_files(path, visited, summary)
        elif not stat.S_ISREG(status.st_mode):
            summary.skipped.append((_relative(path, summary), "not a regular file"))
        elif path.suffix.lower() not in IMAGE_SUFFIXES:
            summary.skipped.append((_relative(path, summary), "not an image file"))
        else:
            yield path


def _relative(path: Path, summary: Summary) -> str:
    return path.relative_to(summary.root).as_posix()


def _read_images(
    found: dict[str, list[Path]], data: DataConfig, summary: Summary
) -> tuple[np.ndarray, list[str], list[int]]:
    """Pixels, names and labels of the readable images of all classes that have two."""
    pixels: list[np.ndarray] = []
    names: list[str] = []
    labels: list[int] = []
    progress = tqdm(total=sum(map(len, found.values())), desc="images", unit="image", disable=None, leave=False)
    for class_name, files in found.items():
        readable: list[tuple[str, images.TrainingImage]] = []
        for path in files:
            progress.update()
            try:
                readable.append((_relative(path, summary), images.read(path, data.image_size, data.channels)))
            except images.ImageError as error:
                summary.skipped.append((_relative(path, summary), error.reason))
        if len(readable) < 2:
            reason = f"class with {_count(len(readable), 'readable image')}; two are needed, one to train, one to test"
            summary.skipped.append((class_name, reason))
            continue
        for name, image in readable:
            names.append(name)
            labels.append(len(summary.classes))
            pixels.append(image.pixels)
            summary.changes.update(image.changes)
            summary.nested += name.count("/") > 1
        summary.classes.append(class_name)
    progress.close()
    shape = (0, data.channels, data.image_size, data.image_size)
    return np.stack(pixels) if pixels else np.zeros(shape, np.uint8), names, labels


def _add_hints(summary: Summary) -> None:
    shown = ", ".join(summary.classes[:NAMES_SHOWN])
    if SPLIT_NAMES.issuperset(name.casefold() for name in summary.classes):
        summary.hints.append(f"the classes are named {shown}; to use the folders in {summary.classes[0]} as classes, ")
        summary.hints[-1] += f"give {summary.root / summary.classes[0]}"
    elif len(summary.classes) == 1 and summary.nested:
        summary.hints.append(f"there is one class; if the folders in it are the classes, give {summary.root / shown}")


def _split(
    pixels: np.ndarray, names: list[str], labels: list[int], test_fraction: float, seed: int, summary: Summary
) -> tuple[list[int], list[int]]:
    """Indices of training and test images. Near-duplicates stay together, those of several classes in training."""
    pairs = duplicates.find(pixels)
    groups = duplicates.group(len(pixels), pairs)
    members: dict[int, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    generator = np.random.default_rng(seed)
    train: list[int] = []
    test: list[int] = []
    for label in range(len(summary.classes)):
        own = [index for index, other in enumerate(labels) if other == label]
        order = [own[position] for position in generator.permutation(len(own))]
        wanted = min(max(1, round(len(own) * test_fraction)), len(own) - 1)
        chosen = [index for index in order if len(members[groups[index]]) == 1][:wanted]
        for index in order:
            group = members[groups[index]]
            fits = len(chosen) + len(group) <= max(wanted, len(group)) and len(chosen) + len(group) < len(own)
            if len(chosen) < wanted and index not in chosen and fits and {labels[i] for i in group} == {label}:
                chosen += group
        chosen = chosen or order[:1]  # all images are near-duplicates
        test += [index for index in order if index in set(chosen)]
        train += [index for index in order if index not in set(chosen)]
        summary.train.append(sorted(names[index] for index in own if index not in set(chosen)))
        summary.test.append(sorted(names[index] for index in chosen))
    held_out = set(test)
    conflicts = [(first, second) for first, second in pairs if labels[first] != labels[second]]
    if conflicts:
        first, second = (display_name(names[index]) for index in conflicts[0])
        count = _count(len(conflicts), "pair")
        summary.hints.append(f"{count} of near-duplicates in different classes, for example {first} and {second}")
    summary.pairs = [(names[first], names[second]) for first, second in pairs]
    summary.divided = sum((first in held_out) != (second in held_out) for first, second in pairs)
    return train, test
