"""The Python engines of `cargo bench --bench inference` sample the same tokens as `sampler`."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rdpm_training import benchmark_engine, sampler, weights_folder

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


def test_benchmark_engine_samples_the_samplers_tokens_and_times_every_part(inputs: Path) -> None:
    engine = benchmark_engine.BenchmarkEngine(WEIGHTS, inputs, "eager", threads=1)
    measured = engine.measure(batch=2, seconds=0.0)
    config, codebook, denoiser, _ = weights_folder.load(WEIGHTS)
    batch = {name: tensor[:2] for name, tensor in engine.inputs.items() if name != "uniforms"}
    settings = config["sampling"]
    steps = sampler.sample(
        denoiser,
        codebook,
        STEPS,
        batch["labels"],
        batch["eps"],
        iter(engine.inputs["uniforms"][:, :2]),
        sampler.SamplingSettings(settings["guidance"], settings["temperature"]),
    )
    assert measured["tokens"] == torch.stack([step.codes for step in steps], 1).flatten().tolist()
    assert all(measured[part] > 0 for part in ("steps", "decode", "encode", "peak_bytes"))


def test_gemm_reports_a_positive_rate() -> None:
    assert benchmark_engine.gemm(64) > 0
