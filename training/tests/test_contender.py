"""The Python side of `cargo bench --bench inference` draws what the sampler draws."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rdpm_training import contender, exported, sampler

WEIGHTS = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "eighth"
BATCH, POSITIONS, CODES, STEPS = 3, 9, 16, 10


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    path = tmp_path / "inputs.safetensors"
    torch.manual_seed(1)
    save_file(
        {
            "eps": torch.randn(BATCH, POSITIONS, 3),
            "uniforms": torch.rand(STEPS, BATCH, POSITIONS, CODES),
            "labels": torch.tensor([0, 1, 1]),
            "pictures": 2 * torch.rand(BATCH, 3, 24, 24) - 1,
        },
        path,
    )
    return path


def test_tokens_are_the_samplers_and_every_part_is_timed(inputs: Path) -> None:
    subject = contender.Contender(WEIGHTS, inputs, "eager", threads=1)
    measured = subject.measure(batch=2, seconds=0.0)
    config, codebook, denoiser, _ = exported.load(WEIGHTS)
    given = {name: tensor[:2] for name, tensor in subject.inputs.items() if name != "uniforms"}
    settings = config["sampling"]
    drawn = sampler.sample(
        denoiser,
        codebook,
        STEPS,
        given["labels"],
        given["eps"],
        iter(subject.inputs["uniforms"][:, :2]),
        sampler.Settings(settings["guidance"], settings["temperature"]),
    )
    assert measured["tokens"] == torch.stack([step.codes for step in drawn], 1).flatten().tolist()
    assert all(measured[part] > 0 for part in ("steps", "decode", "encode", "peak_bytes"))


def test_a_product_has_a_rate() -> None:
    assert contender.gemm(64) > 0
