"""The stages end to end on the tiny data set: resuming, export, restoring, and the server binary on the weights."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from rdpm_training import (
    codebook_stage,
    decoder_stage,
    denoiser_stage,
    evaluate,
    export,
    restore,
    runs,
    tokenizer_stage,
    trainer,
)
from rdpm_training.config import Config, ConfigError


class Interrupted(Exception):
    """Simulates a killed process."""


def interrupt_after_first_save(monkeypatch: pytest.MonkeyPatch) -> None:
    save = runs.save

    def save_and_interrupt(path: Path, state: dict[str, Any]) -> None:
        save(path, state)
        raise Interrupted

    monkeypatch.setattr(runs, "save", save_and_interrupt)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return a.equal(b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a if key != "seconds")
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def train_tokenizer_and_codebook(config: Config, folder: Path) -> None:
    tokenizer_stage.train(config, folder)
    codebook_stage.train(config, folder)


@pytest.mark.parametrize("stage", [tokenizer_stage, decoder_stage, denoiser_stage])
def test_resumed_run_equals_an_uninterrupted_one(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: Any
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    if stage is not tokenizer_stage:
        for folder in (whole, parts):
            train_tokenizer_and_codebook(tiny, folder)
    file = stage.__name__.split(".")[-1].removesuffix("_stage") + ".pt"
    monkeypatch.setattr(trainer if stage is denoiser_stage else stage, "SAVE_EVERY", 4)
    stage.train(tiny, whole)
    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        interrupt_after_first_save(patched)
        stage.train(tiny, parts)
    assert runs.load(parts / file)["update"] == 4
    stage.train(tiny, parts)
    assert same(runs.load(whole / file), runs.load(parts / file))


def test_exported_weights_run_in_the_server_binary(tiny: Config, tmp_path: Path, images: Path, binary: Path) -> None:
    folder, weights = tmp_path / "run", tmp_path / "weights" / "tiny"
    train_tokenizer_and_codebook(tiny, folder)
    denoiser_stage.train(tiny, folder)
    export.export(tiny, folder, weights)

    def rdpm(*arguments: str | Path) -> str:
        command = [binary, *arguments, "--weights", weights, "--device", "cpu"]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    assert "cool, warm" in rdpm("info")
    rdpm("generate", "--class", "warm", "--seed", "1", "--output", tmp_path / "warm.png")
    with Image.open(tmp_path / "warm.png") as drawn:
        assert (drawn.size, drawn.mode) == ((16, 16), "RGB")

    # Tokenizing works on exported weights, too.
    output = json.loads(rdpm("tokenize", images / "cool" / "0.png", "--output", tmp_path / "back.png"))
    grids = torch.tensor(output["tokens"])
    assert grids.shape == (4, 4, 4) and 0 <= grids.min() and grids.max() < 16


def test_weights_of_another_architecture_are_refused_with_the_tensor_name(
    tiny: Config, tmp_path: Path, binary: Path
) -> None:
    folder, weights = tmp_path / "run", tmp_path / "weights"
    train_tokenizer_and_codebook(tiny, folder)
    denoiser_stage.train(tiny, folder)
    export.export(tiny, folder, weights)
    config = json.loads((weights / "config.json").read_text())
    config["denoiser"]["layers"] = 1
    (weights / "config.json").write_text(json.dumps(config))
    process = subprocess.run([binary, "info", "--weights", weights], capture_output=True, text=True, timeout=60)
    assert process.returncode == 2
    assert "denoiser.blocks.1" in process.stderr


def test_evaluate_reports_all_metrics(tiny: Config, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train_tokenizer_and_codebook(tiny, folder)
    denoiser_stage.train(tiny, folder)
    evaluate.evaluate(tiny, folder)
    report = json.loads((folder / "evaluate.json").read_text())
    assert report["samples"] == 40
    assert set(report["frechet"]) == {"samples", "train", "reconstructed_test"}
    assert 0 <= report["accuracy"]["samples"] <= 1
    assert report["accuracy_per_class"].keys() == {"samples", "test", "train"}
    for figures in report["accuracy_per_class"].values():
        assert figures.keys() == {"cool", "warm"} and all(0 <= share <= 1 for share in figures.values())
    cross_entropy = json.loads((folder / "denoiser.json").read_text())["test_cross_entropy_per_step"]
    assert len(cross_entropy) == 4 and all(0 < x < 10 for x in cross_entropy)

    export.export(tiny, folder, tmp_path / "weights")
    card = (tmp_path / "weights" / "README.md").read_text()
    assert f"**{report['accuracy']['samples']:.3f}**" in card and f"**{report['frechet']['samples']:.2f}**" in card
    assert "| `denoiser` | 6 |" in card


def test_restored_weights_evaluate_like_the_trained_run(tiny: Config, tmp_path: Path) -> None:
    trained, weights, restored = tmp_path / "trained", tmp_path / "weights", tmp_path / "restored"
    train_tokenizer_and_codebook(tiny, trained)
    decoder_stage.train(tiny, trained)
    denoiser_stage.train(tiny, trained)
    export.export(tiny, trained, weights)
    # The classifier is not part of the weights; it is trained again with the same data and seed.
    evaluate.evaluate(tiny, trained)
    for _ in range(2):  # the second call does nothing
        restore.restore(tiny, restored, weights)
    evaluate.evaluate(tiny, restored)
    first, second = (json.loads((folder / "evaluate.json").read_text()) for folder in (trained, restored))
    del first["seconds"], second["seconds"]
    assert first == second


def test_restore_refuses_foreign_weights_and_used_folders(tiny: Config, tmp_path: Path) -> None:
    trained, weights, restored = tmp_path / "trained", tmp_path / "weights", tmp_path / "restored"
    train_tokenizer_and_codebook(tiny, trained)
    denoiser_stage.train(tiny, trained)
    export.export(tiny, trained, weights)
    with pytest.raises(ConfigError, match=r"trained already has a run \(tokenizer.pt, codebook.pt, denoiser.pt\)"):
        restore.restore(tiny, trained, weights)
    other = dataclasses.replace(tiny, trajectory=dataclasses.replace(tiny.trajectory, schedule="power", exponent=2.0))
    with pytest.raises(ConfigError, match="belongs to another configuration: trajectory differ"):
        restore.restore(other, restored, weights)
    with pytest.raises(FileNotFoundError, match="model.safetensors is missing"):
        restore.restore(tiny, restored, tmp_path)

    (weights / "training.json").unlink()
    restore.restore(tiny, restored, weights)
    with pytest.raises(ConfigError, match="restored from a weights folder without training reports"):
        export.export(tiny, restored, tmp_path / "again")
    with pytest.raises(
        ConfigError, match="denoiser.pt is for inference only, training cannot continue: it lacks adam, model, muon"
    ):
        denoiser_stage.train(tiny, restored)
    with pytest.raises(
        ConfigError, match="tokenizer.pt is for inference only, training cannot continue: it lacks optimizer"
    ):
        tokenizer_stage.train(tiny, restored)


def test_training_continues_from_exported_weights(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, weights, again = tmp_path / "trained", tmp_path / "weights", tmp_path / "again"
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_tokenizer_and_codebook(tiny, trained)
    denoiser_stage.train(tiny, trained)
    export.export(tiny, trained, weights)
    for folder in (whole, parts):
        restore.restore(tiny, folder, weights)
        codebook_stage.latents(tiny, folder)
    # Exporting the restored run gives the same files, including the training reports.
    export.export(tiny, whole, again)
    for name in ("model.safetensors", "training.json", "README.md"):
        assert (again / name).read_bytes() == (weights / name).read_bytes(), name

    for folder in (whole, parts):  # as if training had taken long
        state = runs.load(folder / "denoiser.pt")
        runs.save(folder / "denoiser.pt", state | {"seconds": state["seconds"] + 1000})
    longer = dataclasses.replace(tiny, denoiser=dataclasses.replace(tiny.denoiser, updates=12))
    monkeypatch.setattr(trainer, "SAVE_EVERY", 4)
    denoiser_stage.train(longer, whole)
    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        interrupt_after_first_save(patched)
        denoiser_stage.train(longer, parts)
    assert runs.load(parts / "denoiser.pt")["update"] == 8
    denoiser_stage.train(longer, parts)
    assert same(runs.load(whole / "denoiser.pt"), runs.load(parts / "denoiser.pt"))
    before, after = (json.loads((folder / "denoiser.json").read_text()) for folder in (trained, whole))
    assert (after["updates"], after["hardware"]) == (12, before["hardware"])
    assert after["seconds"] >= before["seconds"] + 1000
    assert after["test_cross_entropy"] < before["test_cross_entropy"]
    export.export(longer, whole, again)
    assert "| `denoiser` | 12 |" in (again / "README.md").read_text()
