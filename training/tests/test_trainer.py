"""The training loop: clock, budgets, learning rate."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rdpm_training import runs, trainer
from rdpm_training.config import Config


class Line(nn.Module):
    """The smallest network with blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(2, 2)])
        self.bias = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks[0](x) + self.bias


def test_training_clock_counts_only_time_inside_with() -> None:
    ticks = count()
    clock = trainer.TrainingClock(lambda: float(next(ticks)))
    for _ in range(3):
        with clock:
            pass  # takes one tick
        next(ticks)  # not counted
    assert clock.seconds == 3
    resumed = trainer.TrainingClock(lambda: float(next(ticks)))
    resumed.load_state_dict(clock.state_dict())
    with resumed:
        pass
    assert resumed.seconds == 4


def test_time_budget_survives_an_interruption(tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Every update takes one second of this clock; the budget is ten, and update number 7 is interrupted.
    ticks = count()
    monkeypatch.setattr(trainer.time, "process_time", lambda: float(next(ticks)))
    monkeypatch.setattr(trainer, "SAVE_EVERY", 2)
    settings = replace(tiny.denoiser, seconds=10.0, updates=0)
    updates = []

    def train(stop: int) -> trainer.TrainingResult:
        def loss(forward: nn.Module, update: int) -> Tensor:
            if update == stop:
                raise InterruptedError
            updates.append(update)
            return forward(torch.ones(1, 2)).square().sum()

        return trainer.train(Line(), loss, settings, tmp_path / "line.pt", runs.generator(1))

    with pytest.raises(InterruptedError):
        train(stop=7)
    result = train(stop=-1)
    assert updates == [0, 1, 2, 3, 4, 5, 6, 6, 7, 8, 9]
    assert (result.updates, result.training_seconds) == (10, 10)
    assert train(stop=0).updates == 10, "a finished run does nothing"


def test_learning_rate_warms_up_stays_constant_and_cools_down(tiny: Config) -> None:
    settings = replace(tiny.denoiser, warmup=2, decay=0.5)
    assert [trainer.learning_rate_factor(update, update / 10, settings) for update in (0, 1, 5, 9)] == pytest.approx(
        [0.5, 1, 1, 0.2]
    )
    assert trainer.learning_rate_factor(10, 1.0, settings) == 0
