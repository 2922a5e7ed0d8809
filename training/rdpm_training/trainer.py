"""Training loop of the transformers: Muon and AdamW, learning-rate schedule, EMA, time budget, exact resumption."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from . import optimization, runs
from .config import TrainingConfig
from .muon import Muon

SAVE_EVERY = 100
NEW_PARAMETERS_RATE = 5  # times the learning rate of other parameters


class TrainingClock:
    """Measures the training time: only code inside `with clock` counts. Checkpoints save it.

    On a CPU it is the CPU time of all threads, so that other programs on the machine don't use up the time budget. On a
    GPU it is wall-clock time.
    """

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self.now = now or (time.monotonic if torch.cuda.is_available() else time.process_time)
        self.seconds = 0.0
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = self.now()

    def __exit__(self, *_: object) -> None:
        self.seconds += self.now() - self._started

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seconds = state["seconds"]


@dataclass(frozen=True)
class TrainingResult:
    """The EMA network, updates done, wall-clock seconds, and seconds of `TrainingClock`."""

    ema: nn.Module
    updates: int
    seconds: float
    training_seconds: float


def optimizers(
    network: nn.Module, muon_rate: float | Tensor, adam_rate: float | Tensor, **adam_options: bool
) -> tuple[Muon, torch.optim.AdamW]:
    """Muon for the matrices in the blocks, AdamW for all other parameters, with these learning rates.

    Embeddings of the guidance scale, which are new in a network that is otherwise trained, learn faster.
    """
    matrices = [p for p in network.blocks.parameters() if p.ndim == 2]
    muon_ids = {id(p) for p in matrices}
    others = {name: p for name, p in network.named_parameters() if id(p) not in muon_ids}
    new = others.pop("guidance.weight", None)
    groups: list[dict[str, Any]] = [{"params": list(others.values())}]
    if new is not None:
        groups.append({"params": [new], "lr": NEW_PARAMETERS_RATE * adam_rate})
    return (
        Muon(matrices, lr=muon_rate),
        torch.optim.AdamW(groups, lr=adam_rate, betas=(0.9, 0.98), weight_decay=0.0, **adam_options),
    )


def learning_rate_factor(update: int, spent: float, settings: TrainingConfig) -> float:
    """Learning-rate factor in 0..1: linear warm-up, constant, then a linear cool-down to zero.

    `update` counts since the optimizers were new; `spent` is the fraction of the whole budget spent on the network. The
    constant part allows a run to be extended from a checkpoint written before the cool-down.
    """
    cool_down = (1 - spent) / max(settings.decay, 1e-9)
    return min(1.0, (update + 1) / settings.warmup, cool_down)


def train(
    network: nn.Module,
    loss: Callable[[Callable[..., Tensor], int], Tensor],
    settings: TrainingConfig,
    path: Path,
    generator: torch.Generator,
    pretrained: tuple[int, float] | None = None,
    further: dict[str, runs.Stateful] | None = None,
) -> TrainingResult:
    """Trains a network until its budget is spent, resuming the checkpoint at `path` if there is one.

    With `pretrained` (updates, seconds), the network has already been trained that far, and its optimizers are new.
    `further` has what else `loss` changes, so that it is saved, too.

    `loss(forward, update)` makes batch number `update` (from 0), with random numbers from `generator` only, and returns
    the loss; `forward` is the network, compiled if configured.
    """
    ema = copy.deepcopy(network).requires_grad_(False)
    forward = torch.compile(network) if settings.compile else network
    muon, adam = optimizers(network, settings.muon_learning_rate, settings.learning_rate)
    parts: dict[str, runs.Stateful] = {"model": network, "ema": ema, "muon": muon, "adam": adam}
    parts |= further or {}
    clock = TrainingClock()
    if settings.seconds:
        parts["clock"] = clock
    checkpoint = runs.Checkpoint(path, parts, generator, pretrained)

    def spent() -> float:
        return clock.seconds / settings.seconds if settings.seconds else update / settings.updates

    update, mean_loss = checkpoint.next_update, None
    total = None if settings.seconds else settings.updates
    with tqdm(desc=path.stem, total=total, initial=update, unit="update") as progress:
        while (fraction := spent()) < 1:
            with clock:
                for optimizer in (muon, adam):
                    factor = learning_rate_factor(update - checkpoint.optimizer_start, fraction, settings)
                    optimization.set_learning_rate(optimizer, factor)
                batch_loss = loss(forward, update)
                optimization.optimizer_step(batch_loss, network, muon, adam)
                decay = min(settings.ema, (1 + update) / (10 + update))
                for averaged, current in zip(ema.parameters(), network.parameters(), strict=True):
                    averaged.lerp_(current, 1 - decay)
            if update % 10 == 0:
                value = batch_loss.item()
                mean_loss = value if mean_loss is None else 0.9 * mean_loss + 0.1 * value
                progress.set_postfix(loss=f"{mean_loss:.4f}", spent=f"{spent():.0%}")
            update += 1
            progress.update()
            if update % SAVE_EVERY == 0:
                checkpoint.save(update)
    checkpoint.save(update)
    return TrainingResult(ema, update, checkpoint.seconds(), clock.seconds)
