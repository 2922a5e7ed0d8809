"""The command line: several stages in one command, and its error messages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rdpm_training import __main__ as program
from rdpm_training.config import Config


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["rdpm-train", *map(str, arguments)])
    return program.main()


@pytest.fixture
def file(tiny: Config, tmp_path: Path) -> Path:
    """The configuration file of `tiny`."""
    return tmp_path / "tiny.toml"


def test_stages_run_in_the_given_order(monkeypatch: pytest.MonkeyPatch, file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert call(monkeypatch, "tokenizer", "codebook", "decoder", "--config", file, "--run", run) == 0
    times = [(run / f"{stage}.json").stat().st_mtime_ns for stage in ("tokenizer", "codebook", "decoder")]
    assert times == sorted(times)


def test_stage_without_its_inputs_stops_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert call(monkeypatch, "codebook", "tokenizer", "--config", file, "--run", run) == 2
    assert "tokenizer.pt is missing: run the previous stage first" in capsys.readouterr().err
    assert not (run / "tokenizer.json").exists()


def test_run_and_result_stages_in_one_command_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    with pytest.raises(SystemExit, match="2"):
        call(monkeypatch, "evaluate", "sweep", "--config", file)
    assert "sweep: run these stages in a separate command" in capsys.readouterr().err
