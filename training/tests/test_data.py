import gzip
import struct
from pathlib import Path

import pytest
from PIL import Image

from rdpm_training import data
from rdpm_training.config import Config, DataConfig


def test_fashion_mnist_has_the_published_shape_and_classes() -> None:
    dataset = data.load(DataConfig("fashion-mnist", "/usr/share/datasets/fashion-mnist", 28, 1), seed=1)
    assert dataset.train.images.shape == (60_000, 1, 28, 28)
    assert dataset.test.images.shape == (10_000, 1, 28, 28)
    assert dataset.train.labels.bincount().tolist() == [6_000] * 10
    assert dataset.classes[7] == "Sneaker"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "missing"),
        (b"no gzip", "gzip"),
        (gzip.compress(struct.pack(">4I", 2052, 1, 28, 28)), "magic"),
        (gzip.compress(struct.pack(">4I", 2051, 2, 28, 28) + bytes(784)), "header"),
    ],
)
def test_broken_idx_file_error_names_the_fault(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(data.DataError, match=message):
        data.load_fashion_mnist(tmp_path)


def test_image_folder_split_is_deterministic_and_per_class(tiny: Config) -> None:
    first, again = data.load(tiny.data, tiny.seed), data.load(tiny.data, tiny.seed)
    assert first.classes == ["cool", "warm"]
    assert first.train.images.shape == (44, 3, 16, 16)
    assert first.test.labels.tolist() == [0, 0, 1, 1]
    assert first.train.images.equal(again.train.images)


@pytest.mark.parametrize("damage", ["no folder", "one image", "no image"])
def test_invalid_image_folder_is_refused(tmp_path: Path, damage: str) -> None:
    root = tmp_path / "data"
    if damage != "no folder":
        (root / "a").mkdir(parents=True)
        Image.new("L", (8, 8)).save(root / "a" / "1.png")
    if damage == "no image":
        (root / "a" / "2.png").write_text("text")
    with pytest.raises(data.DataError, match=str(root)):
        data.load(DataConfig("folder", str(root), 8, 1), seed=1)
