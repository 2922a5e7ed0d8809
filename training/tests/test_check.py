"""`rdpm_training check FOLDER`, as a user calls it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from rdpm_training.config import Config

from .test_image_folder import fill, root  # noqa: F401
from .test_main import call

ROOT = Path(__file__).resolve().parent.parent


def check(folder: Path, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rdpm_training", "check", str(folder), *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )


def test_check_says_what_training_would_see(root: Path, tmp_path: Path) -> None:  # noqa: F811
    (root / "cat" / "cut.png").write_bytes((root / "cat" / "1.png").read_bytes()[:-40])
    (root / ".DS_Store").touch()
    fill(root / "café", 3)
    result = check(root, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        f"{root}: 3 classes, 10 training images, 3 test images",
        "  1 hidden or system file ignored",
        "  skipped 1, truncated or damaged: cat/cut.png",
        "",
        "index  class    train     test",
        "    0  café         2        1",
        "    1  cat          4        1",
        "    2  dog          4        1",
        "contact sheet: root-check.png",
    ]
    sheet = Image.open(tmp_path / "root-check.png")
    assert sheet.height > 3 * 64 and sheet.width > 10 * 64


def test_check_in_strict_mode_refuses(root: Path, tmp_path: Path) -> None:  # noqa: F811
    (root / "cat" / "notes.txt").touch()
    result = check(root, "--strict", cwd=tmp_path)
    assert result.returncode == 2
    assert "strict mode refuses them" in result.stderr and "cat/notes.txt" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "root-check.png").exists()


def test_check_uses_the_configuration(root: Path, tiny: Config, tmp_path: Path) -> None:  # noqa: F811
    sheet = tmp_path / "sheet.png"
    result = check(root, "--config", tmp_path / "tiny.toml", "--channels", "1", "--sheet", sheet, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert Image.open(sheet).width == 10 * (64 + 2) + 8


def test_check_of_a_missing_folder_names_it(tmp_path: Path) -> None:
    result = check(tmp_path / "nothing", cwd=tmp_path)
    assert result.returncode == 2
    assert (
        result.stderr
        == f"rdpm-train check: {tmp_path / 'nothing'} is not a folder; expected one with a sub-folder per class\n"
    )


def test_contact_sheet_shows_training_and_test_images(root: Path, tmp_path: Path) -> None:  # noqa: F811
    for name, colour in (("cat", "red"), ("dog", "blue")):
        for file in (root / name).iterdir():
            Image.new("RGB", (8, 8), colour).save(file)
    assert check(root, cwd=tmp_path).returncode == 0
    sheet = Image.open(tmp_path / "root-check.png").convert("RGB")
    assert sheet.getpixel((10, 40)) == sheet.getpixel((8 * 66 + 20, 40)) == (255, 0, 0)
    assert sheet.getpixel((10, 84 + 40)) == (0, 0, 255)


def test_strict_stage_refuses_skipped_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny: Config, images: Path, tmp_path: Path
) -> None:
    (images / "cool" / "notes.txt").touch()
    arguments = ["tokenizer", "--config", tmp_path / "tiny.toml", "--run", tmp_path / "run"]
    assert call(monkeypatch, *arguments, "--strict") == 2
    assert "cool/notes.txt" in capsys.readouterr().err
    assert call(monkeypatch, *arguments) == 0
    assert "skipped 1, not an image file: cool/notes.txt" in capsys.readouterr().err
