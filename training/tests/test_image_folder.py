"""Folders of images as people have them: what is read, what is skipped and why, and how they are split."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rdpm_training import data, duplicates, image_folder
from rdpm_training.config import DataConfig
from rdpm_training.dataset import DataError

from .test_images import png


def picture(seed: int, side: int = 20) -> Image.Image:
    """Random colours, blurred as in a photo: no two seeds are similar."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)


def fill(folder: Path, count: int, start: int = 0, suffix: str = "png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(start, start + count):
        picture(hash_of(folder) + index).save(folder / f"{index}.{suffix}")
    return folder


def hash_of(folder: Path) -> int:
    return 1_000 * sum(folder.name.encode("utf-8", "surrogateescape"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of five images."""
    for name in ("cat", "dog"):
        fill(tmp_path / "root" / name, 5)
    return tmp_path / "root"


def settings(root: Path, strict: bool = False, test_fraction: float = 0.2) -> DataConfig:
    return DataConfig("folder", str(root), 16, 3, strict=strict, test_fraction=test_fraction)


def read(root: Path) -> image_folder.Summary:
    return image_folder.read(settings(root), 1)[1]


def reasons(root: Path) -> dict[str, str]:
    return dict(read(root).skipped)


def counts(summary: image_folder.Summary) -> list[int]:
    return [len(a) + len(b) for a, b in zip(summary.train, summary.test, strict=True)]


def test_hidden_and_system_files_are_ignored_even_in_strict_mode(root: Path) -> None:
    (root / ".DS_Store").write_bytes(bytes(6_148))
    (root / "cat" / "._1.jpg").write_bytes(bytes(4_096))
    (root / "dog" / "Thumbs.db").write_bytes(bytes(8_192))
    (root / "desktop.ini").write_text("[.ShellClassInfo]")
    for folder in (".ipynb_checkpoints", "__MACOSX", "cat/.ipynb_checkpoints", ".cache"):
        fill(root / folder, 2)
    summary = image_folder.read(settings(root, strict=True), 1)[1]
    assert summary.classes == ["cat", "dog"]
    assert counts(summary) == [5, 5]
    assert summary.ignored == 8
    assert "8 hidden or system files ignored" in "\n".join(summary.lines())


def test_classes_are_in_natural_order(tmp_path: Path) -> None:
    for name in ("10", "2", "1", "class 11", "class 9", "b", "Z"):
        fill(tmp_path / name, 2)
    assert read(tmp_path).classes == ["1", "2", "10", "Z", "b", "class 9", "class 11"]


@pytest.mark.parametrize("name", ["1.PNG", "1.Jpg", "1.JPEG", "1.TIF", "1.jfif", "1"])
def test_suffixes_in_any_case_and_none_are_read(root: Path, name: str) -> None:
    suffix = {".jpg": "JPEG", ".jpeg": "JPEG", ".jfif": "JPEG", ".tif": "TIFF"}.get(Path(name).suffix.lower(), "PNG")
    picture(99).save(root / "cat" / "picture", suffix)
    (root / "cat" / "picture").rename(root / "cat" / f"other-{name}")
    assert counts(read(root)) == [6, 5]


def test_nested_folders_belong_to_their_class(root: Path) -> None:
    fill(root / "cat" / "holiday" / "2025", 3)
    summary = read(root)
    assert counts(summary) == [8, 5]
    assert "3 images in nested folders" in "\n".join(summary.lines())


def test_a_folder_one_level_too_high_gets_a_hint(root: Path, tmp_path: Path) -> None:
    above = read(tmp_path)
    assert above.classes == ["root"]
    assert f"give {root}" in above.hints[0]
    fill(tmp_path / "sets" / "train" / "cat", 3)
    fill(tmp_path / "sets" / "val" / "cat", 3, 10)
    assert f"give {tmp_path / 'sets' / 'train'}" in read(tmp_path / "sets").hints[0]


def test_links_are_followed_once(root: Path, tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", 3, 50)
    (root / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    picture(7_777).save(tmp_path / "single.png")
    (root / "cat" / "single.png").symlink_to(tmp_path / "single.png")
    (root / "dog" / "again").symlink_to(tmp_path / "elsewhere")
    summary = read(root)
    assert counts(summary) == [9, 5]
    assert dict(summary.skipped) == {"dog/again": "link to a folder that is read already"}


def test_links_in_circles_and_to_nothing_are_skipped(root: Path) -> None:
    (root / "cat" / "root").symlink_to(root)
    (root / "cat" / "up").symlink_to(root.parent)
    (root / "cat" / "other").symlink_to("../dog")
    (root / "cat" / "self").symlink_to(".")
    (root / "cat" / "gone.png").symlink_to("nothing.png")
    (root / "cat" / "itself.png").symlink_to("itself.png")
    (root / "kitten").symlink_to("cat")
    summary = read(root)
    assert summary.classes == ["cat", "dog"]
    assert counts(summary) == [5, 5]
    already = "link to a folder that is read already"
    assert dict(summary.skipped) == {
        "kitten": already,
        **{f"cat/{name}": already for name in ("root", "up", "other", "self")},
        "cat/gone.png": "link to nothing",
        "cat/itself.png": "link to itself",
    }


def test_unusable_files_are_skipped_with_the_reason(root: Path) -> None:
    cat = root / "cat"
    (cat / "cut.png").write_bytes((cat / "1.png").read_bytes()[:-40])
    (cat / "bomb.png").write_bytes(png((20_000, 20_000, 1, 0), bytes(2_501 * 20_000)))
    (cat / "text.jpg").write_text("text")
    (cat / "empty.jpg").touch()
    (cat / "photo.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (cat / "notes.txt").write_text("text")
    os.mkfifo(cat / "pipe.png")
    (root / "stray.png").write_bytes((cat / "1.png").read_bytes())
    assert reasons(root) == {
        "cat/cut.png": "truncated or damaged",
        "cat/bomb.png": "more than 50,000,000 pixels or 16,384 on a side",
        "cat/text.jpg": "not an image, or truncated or damaged",
        "cat/empty.jpg": "empty file",
        "cat/photo.HEIC": "HEIC is not supported; convert it to PNG or JPEG",
        "cat/notes.txt": "not an image file",
        "cat/pipe.png": "not a regular file",
        "stray.png": "not in a class folder",
    }
    assert counts(read(root)) == [5, 5]
    with pytest.raises(DataError) as error:
        image_folder.read(settings(root, strict=True), 1)
    assert "more than 50,000,000 pixels or 16,384 on a side: cat/bomb.png" in str(error.value)
    assert "truncated or damaged: cat/cut.png" in str(error.value)


def test_classes_with_less_than_two_images_are_skipped(root: Path) -> None:
    (root / "empty").mkdir()
    fill(root / "ant", 1)
    summary = read(root)
    assert summary.classes == ["cat", "dog"]
    needed = "two are needed, one to train, one to test"
    assert dict(summary.skipped) == {
        "ant": f"class with 1 readable image; {needed}",
        "empty": f"class with 0 readable images; {needed}",
    }
    with pytest.raises(DataError, match="empty"):
        image_folder.read(settings(root, strict=True), 1)


def test_summary_is_short_and_printed_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(30):
        (root / "cat" / f"{index}.txt").touch()
    data.load(settings(root), 1)
    data.load(settings(root), 1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"{root}: 2 classes, 8 training images, 2 test images"
    assert lines[1].startswith("  skipped 30, not an image file: cat/0.txt, ")
    assert lines[1].endswith(" and 25 more")
    assert len(lines) == 2


def test_adaptations_are_counted(root: Path) -> None:
    Image.new("RGBA", (9, 9)).save(root / "cat" / "clear.png")
    Image.fromarray(np.full((9, 9), 30_000, np.uint16)).save(root / "cat" / "deep.png")
    assert dict(read(root).changes) == {"transparency laid on white": 1, "16 bits rounded to 8": 1}


def test_names_are_printed_without_control_characters(root: Path) -> None:
    (root / "cat" / "a\x1b[2J\u202e.txt").touch()
    (root / "cat" / os.fsdecode(b"b\xff.txt")).touch()
    line = read(root).skipped_lines()[0]
    assert line == "  skipped 2, not an image file: cat/a\\x1b[2J\\u202e.txt, cat/b\\udcff.txt"


@pytest.mark.parametrize("name", ["a\x1b[2J", "a\u202eb", os.fsdecode(b"a\xff")])
def test_class_name_with_control_characters_is_an_error(root: Path, name: str) -> None:
    fill(root / name, 2)
    with pytest.raises(DataError, match="rename the class folder"):
        read(root)


def test_class_names_are_composed(root: Path) -> None:
    fill(root / unicodedata.normalize("NFD", "café"), 2)
    assert read(root).classes == ["café", "cat", "dog"]
    fill(root / "café", 2)
    with pytest.raises(DataError, match="two class folders named café"):
        read(root)


def test_near_duplicates_are_not_divided_between_training_and_test(tmp_path: Path) -> None:
    """Each picture has a copy in another size, format and quality."""
    (tmp_path / "cat").mkdir()
    for index in range(12):
        picture(index, 40).save(tmp_path / "cat" / f"{index}.png")
        picture(index, 40).resize((32, 32)).save(tmp_path / "cat" / f"{index} copy.jpg", quality=90)
    fill(tmp_path / "dog", 5)
    for seed in range(5):
        summary = image_folder.read(settings(tmp_path, test_fraction=0.3), seed)[1]
        assert len(summary.pairs) == 12
        assert summary.divided == 0
        stems = [{Path(name).stem.split()[0] for name in part[0]} for part in (summary.train, summary.test)]
        assert stems[1] and not stems[0] & stems[1]
        assert 4 <= len(summary.test[0]) <= 8
    assert "12 pairs of near-duplicates, both images of a pair" in "\n".join(summary.lines())


def test_near_duplicates_of_several_classes_are_training_images(root: Path) -> None:
    (root / "dog" / "copy.png").write_bytes((root / "cat" / "0.png").read_bytes())
    for seed in range(5):
        summary = image_folder.read(settings(root, test_fraction=0.9), seed)[1]
        assert "cat/0.png" in summary.train[0] and "dog/copy.png" in summary.train[1]
        assert "in different classes, for example cat/0.png and dog/copy.png" in summary.hints[0]


def test_class_of_equal_images_is_divided_and_says_so(root: Path) -> None:
    for index in range(3):
        (root / "cat" / f"{index}.png").write_bytes((root / "cat" / "4.png").read_bytes())
    (root / "cat" / "3.png").unlink()
    summary = read(root)
    assert [len(summary.train[0]), len(summary.test[0])] == [3, 1]
    assert "6 pairs of near-duplicates, 3 of them split" in "\n".join(summary.lines())


def test_folder_without_duplicates_is_split_as_before(root: Path) -> None:
    """The split of 0.1: the first of a permutation of the files, in the order of their names."""
    dataset, summary = image_folder.read(settings(root, test_fraction=0.4), 7)
    generator = np.random.default_rng(7)
    for label, name in enumerate(("cat", "dog")):
        order = generator.permutation(5)
        assert summary.test[label] == sorted(f"{name}/{index}.png" for index in order[:2])
        expected = [np.asarray(picture(hash_of(root / name) + index).resize((16, 16), 1)) for index in order]
        own = dataset.train.images[dataset.train.labels == label]
        for image, pixels in zip(own.numpy(), expected[2:], strict=True):
            assert (image.transpose(1, 2, 0) == pixels).all()


def test_each_class_keeps_a_training_image(tmp_path: Path) -> None:
    fill(tmp_path / "cat", 2)
    summary = image_folder.read(settings(tmp_path, test_fraction=0.9), 1)[1]
    assert [len(summary.train[0]), len(summary.test[0])] == [1, 1]


def test_find_compares_all_images() -> None:
    """The result equals that of comparing each pair, for more images than one block."""
    generator = np.random.default_rng(2)
    images = generator.integers(0, 256, (1_500, 1, 4, 4), np.uint8)
    images[700:1_100] = np.clip(images[:400].astype(int) + generator.integers(-8, 9, (400, 1, 4, 4)), 0, 255)
    points = images.reshape(len(images), -1).astype(float)
    distances = ((points[:, None] - points[None]) ** 2).mean(axis=2) ** 0.5
    expected = np.argwhere(np.triu(distances <= duplicates.THRESHOLD, 1)).tolist()
    assert len(expected) > 20
    assert [list(pair) for pair in duplicates.find(images)] == expected
