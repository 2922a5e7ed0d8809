"""The Python engines of `cargo bench --bench inference` sample the same tokens as `sampler`."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rdpm_training import benchmark_engine, sampler, weights_folder
from rdpm_training.conditions import Condition

FIXTURES = Path(__file__).resolve().parents[2] / "tests" / "fixtures"
WEIGHTS = FIXTURES / "eighth"
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


def test_benchmark_engine_tells_styles_and_words(tmp_path: Path) -> None:
    path = tmp_path / "inputs.safetensors"
    torch.manual_seed(2)
    config, codebook, denoiser, _ = weights_folder.load(FIXTURES / "words")
    inputs = {
        "eps": torch.randn(BATCH, 16, 3),
        "uniforms": torch.rand(STEPS, BATCH, 16, CODES),
        "labels": torch.tensor([0, 1, 1]),
        "styles": torch.tensor([1, 0, denoiser.null_style]),
        "words": torch.tensor([[0, 1], [1, denoiser.padding_word], [denoiser.padding_word] * 2]),
        "pictures": 2 * torch.rand(BATCH, 3, 16, 16) - 1,
    }
    save_file(inputs, path)
    engine = benchmark_engine.BenchmarkEngine(FIXTURES / "words", path, "eager", threads=1)
    settings = config["sampling"]
    steps = sampler.sample(
        denoiser,
        codebook,
        STEPS,
        Condition(inputs["labels"], inputs["styles"], inputs["words"]),
        inputs["eps"],
        iter(inputs["uniforms"]),
        sampler.SamplingSettings(settings["guidance"], settings["temperature"]),
    )
    expected = torch.stack([step.codes for step in steps], 1).flatten().tolist()
    assert engine.measure(batch=BATCH, seconds=0.0)["tokens"] == expected
    # The words matter.
    engine.condition[2] = torch.full_like(inputs["words"], denoiser.padding_word)
    assert engine.measure(batch=BATCH, seconds=0.0)["tokens"] != expected


def test_gemm_reports_a_positive_rate() -> None:
    assert benchmark_engine.gemm(64) > 0
