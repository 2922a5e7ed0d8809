"""Stage `distillation`: conditions, exact resumption, and that the student learns."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rdpm_training import config, distillation, fixture, model_card, weights_folder
from rdpm_training.conditions import Condition
from rdpm_training.config import Config, DistillationConfig

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
SETTINGS = DistillationConfig(
    updates=30,
    batch_size=20,
    warmup=5,
    decay=0.5,
    learning_rate=5e-3,
    muon_learning_rate=5e-3,
    ema=0.9,
    max_guidance=4,
)


@pytest.fixture
def small() -> Config:
    """The configuration of the model in tests/fixtures/words."""
    whole = config.load(CONFIGS / "fashion-mnist.toml")
    return fixture.small(whole, "words", "Words", size=16, widths=[8, 16], blocks=[1, 1], layers=2)


def test_student_equals_the_teacher_before_training() -> None:
    described, codebook, teacher, _ = weights_folder.load(fixture.FIXTURES / "words")
    student = distillation.student_of(teacher, 4, described)
    z, t = torch.randn(3, len(teacher.position), codebook.shape[1]), torch.tensor([1, 5, 10])
    y = Condition(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]), torch.tensor([[0, 8], [7, 6], [8, 8]]))
    for w in (0.0, 1.5, 4.0):
        assert torch.allclose(student(z, t, y, torch.full((3,), w)), teacher(z, t, y), atol=1e-6)


def test_guidance_embeddings_are_interpolated() -> None:
    described, _, teacher, _ = weights_folder.load(fixture.FIXTURES / "words")
    student = distillation.student_of(teacher, 3, described)
    torch.nn.init.normal_(student.guidance.weight)
    table = student.guidance.weight
    found = student.embed_guidance(torch.tensor([0.0, 0.25, 2.0, 2.5, 3.0]))
    expected = torch.stack([table[0], 0.75 * table[0] + 0.25 * table[1], table[2], (table[2] + table[3]) / 2, table[3]])
    assert torch.allclose(found, expected, atol=1e-6)


def test_conditions_are_such_as_requests_have() -> None:
    conditions = distillation.ConditionSampler(fixture.FIXTURES / "words")
    y = conditions.sample(2000, 3, torch.Generator().manual_seed(1))
    assert isinstance(y, Condition)
    assert y.words.shape == (2000, 3)
    assert set(y.label.tolist()) == {0, 1, 2}
    assert set(y.style.tolist()) == {0, 1, 2}
    assert set(y.words.flatten().tolist()) == set(range(9))
    # Each part is dropped on its own.
    for dropped in (y.label == 2, y.style == 2):
        assert 0.1 < dropped.double().mean() < 0.2
    # A style in which training doesn't show the subject is possible: "face with eyes" exists in the first style only.
    words = json.loads((fixture.FIXTURES / "words" / "vocabulary.json").read_text())["words"]
    eyes = (y.words == words.index("with")).any(1) & (y.words == words.index("eyes")).any(1)
    assert {0, 1} <= set(y.style[eyes].tolist())


def test_divergence_is_that_of_the_probabilities() -> None:
    student, teacher = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    p, q = ((logits / 0.5).softmax(-1) for logits in (teacher, student))
    expected = (p * (p / q).log()).sum().item() / 6
    assert distillation.divergence(student, teacher, 0.5).item() == pytest.approx(expected, rel=1e-4)
    assert distillation.divergence(teacher, teacher, 0.5).item() == pytest.approx(0, abs=1e-6)


def test_resumed_training_is_the_uninterrupted_one(small: Config, tmp_path: Path) -> None:
    weights = fixture.FIXTURES / "words"
    whole = distillation.fit(small, SETTINGS, tmp_path / "whole", weights).ema
    # The constant part of the learning rate, then the rest; the interruption is inside a sampling run.
    part = dataclasses.replace(SETTINGS, updates=13, decay=1e-6)
    distillation.fit(small, part, tmp_path / "parts", weights)
    resumed = distillation.fit(small, SETTINGS, tmp_path / "parts", weights).ema
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_student_learns_guided_logits(small: Config, tmp_path: Path) -> None:
    weights = fixture.FIXTURES / "words"
    described, _, teacher, _ = weights_folder.load(weights)
    untrained = distillation.student_of(teacher, 4, described)
    settings = dataclasses.replace(SETTINGS, updates=300)
    student = distillation.fit(small, settings, tmp_path, weights).ema
    before, after = (distillation.default_divergence(small, weights, each) for each in (untrained, student))
    assert after < 0.5 * before


def test_file_has_the_tensors_in_f16(tmp_path: Path) -> None:
    described, _, teacher, _ = weights_folder.load(fixture.FIXTURES / "words")
    student = distillation.student_of(teacher, 4, described)
    distillation.write(student, tmp_path)
    tensors = load_file(tmp_path / distillation.FILE)
    whole = load_file(fixture.FIXTURES / "words" / "model.safetensors")
    expected = {name for name in whole if name.startswith("denoiser.")} | {"denoiser.guidance.weight"}
    assert set(tensors) == expected
    assert all(tensor.dtype == torch.float16 for tensor in tensors.values())
    assert torch.equal(tensors["denoiser.output.weight"], whole["denoiser.output.weight"].half())


def test_card_gets_one_section() -> None:
    report = {
        "updates": 1000,
        "batch_size": 64,
        "max_guidance": 8,
        "divergence": 0.0123,
        "seconds": 60,
        "hardware": "x",
    }
    card = "# Title\n\nText.\n\n## Limits\n\nNone.\n"
    once = model_card.replace_one_pass(card, "words", report)
    assert once.startswith("# Title\n\nText.\n\n## One pass\n\n") and once.endswith("\n\n## Limits\n\nNone.\n")
    assert model_card.replace_one_pass(once, "words", report) == once
    twice = model_card.replace_one_pass(once, "words", report | {"updates": 2000})
    assert "2,000 updates" in twice and "1,000 updates" not in twice
    assert twice.count(model_card.ONE_PASS) == 1
