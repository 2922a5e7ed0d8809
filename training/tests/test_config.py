from pathlib import Path

import pytest

from rdpm_training import config

from .conftest import TOML


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "run.toml"
    file.write_text(text)
    return file


def test_the_shipped_configuration_is_valid() -> None:
    shipped = config.load(Path(__file__).parent.parent / "configs" / "fashion-mnist.toml")
    assert shipped.positions == 49


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("steps = 4", "stepz = 4"), "stepz"),
        (("image_size = 16", "image_size = 18"), "image_size"),
        (("channels = 3", "channels = 2"), "channels"),
        (("heads = 2", "heads = 3"), "heads"),
        (("widths = [8, 16]", "widths = [8, 15]"), "widths"),
        (("codes = 16\n", ""), "codes"),
        (("[sampling]", "[sampler]"), "sampling"),
        (("seed = 3", "seed ="), "run.toml"),
    ],
)
def test_a_bad_configuration_names_the_key(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    with pytest.raises(config.ConfigError, match=named):
        config.load(write(tmp_path, TOML.format(path="x").replace(*change)))
