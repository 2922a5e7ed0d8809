import json
from pathlib import Path

import pytest

from rdpm_training import config, export

from .conftest import TOML


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "run.toml"
    file.write_text(text)
    return file


def test_shipped_fashion_mnist_configuration_is_valid() -> None:
    shipped = config.load(Path(__file__).parent.parent / "configs" / "fashion-mnist.toml")
    assert shipped.positions == 49


def test_shipped_emoji_configuration_is_valid() -> None:
    emoji = config.load(Path(__file__).parent.parent / "configs" / "emoji.toml")
    assert emoji.positions == 64
    assert emoji.emoji is not None and 10 <= len(emoji.emoji.classes) <= 16
    assert len(emoji.emoji.styles) == 8
    assert all("SA" not in style.license for style in emoji.emoji.styles.values())


@pytest.mark.parametrize("name", ["fashion-mnist", "emoji", "emoji-words"])
def test_runs_can_continue_from_the_shipped_weights(name: str) -> None:
    settings = config.load(Path(__file__).parent.parent / "configs" / f"{name}.toml")
    shipped = json.loads((export.WEIGHTS / settings.name / "config.json").read_text())
    # `restore` refuses weights of another configuration.
    described = export.describe(settings, shipped["classes"], shipped.get("styles"))
    assert json.loads(json.dumps(described)) == shipped


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("steps = 4", "stepz = 4"), "stepz"),
        (("image_size = 16", "image_size = 18"), "image_size"),
        (("channels = 3", "channels = 2"), "channels"),
        (("heads = 2", "heads = 3"), "heads"),
        (("widths = [8, 16]", "widths = [8, 15]"), "widths"),
        (("blocks = [1, 1]", "blocks = [1]"), "blocks"),
        (("codes = 16\n", ""), "codes"),
        (("[sampling]", "[emoji.classes.Face]\nlook = 1\n[sampling]"), "emoji.classes.Face"),
        (("[sampling]", "[sampler]"), "sampling"),
        (("seed = 3", "seed ="), "run.toml"),
    ],
)
def test_invalid_configuration_error_names_the_key(tmp_path: Path, change: tuple[str, str], key: str) -> None:
    with pytest.raises(config.ConfigError, match=key):
        config.load(write(tmp_path, TOML.format(path="x").replace(*change)))


def test_override_changes_only_the_given_keys(tiny: config.Config) -> None:
    changed = config.override(tiny, {"trajectory": {"steps": 2}, "denoiser": {"seconds": 5.0}}, "here")
    assert (changed.trajectory.steps, changed.denoiser.seconds) == (2, 5.0)
    assert config.override(changed, {"trajectory": {"steps": 4}, "denoiser": {"seconds": 0.0}}, "here") == tiny


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"trajectory": {"step": 2}}, "'step'"),
        ({"trajectories": {"steps": 2}}, "'trajectories'"),
        ({"trajectory": 2}, "trajectory is a section"),
        ({"denoiser": {"width": 17}}, "heads"),
    ],
)
def test_invalid_override_is_refused(tiny: config.Config, changes: dict[str, object], key: str) -> None:
    with pytest.raises(config.ConfigError, match=key):
        config.override(tiny, changes, "here")
