"""How the transformers learn: Muon and Adam, a plan for their rates, an averaged copy, a budget, exact resumption."""

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

from . import runs
from .config import Denoiser as Settings
from .muon import Muon

SAVE_EVERY = 100


class Clock:
    """Seconds spent training: only what runs `with clock` counts, and checkpoints keep them.

    On a CPU they are the processor's own, all threads together, so that other programs on the machine don't eat the
    budget. On a GPU they are those of the wall clock.
    """

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self.now = now or (time.monotonic if torch.cuda.is_available() else time.process_time)
        self.seconds = 0.0
        self._start = 0.0

    def __enter__(self) -> None:
        self._start = self.now()

    def __exit__(self, *_: object) -> None:
        self.seconds += self.now() - self._start

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seconds = state["seconds"]


@dataclass(frozen=True)
class Outcome:
    """What training left: the averaged network, updates done, seconds by the clock on the wall and by `Clock`."""

    average: nn.Module
    updates: int
    seconds: float
    training_seconds: float


def optimizers(network: nn.Module, settings: Settings) -> tuple[Muon, torch.optim.AdamW]:
    """Muon for the matrices inside the blocks, Adam for everything else."""
    matrices = [p for p in network.blocks.parameters() if p.ndim == 2]
    taken = {id(p) for p in matrices}
    rest = [p for p in network.parameters() if id(p) not in taken]
    return (
        Muon(matrices, lr=settings.muon_learning_rate),
        torch.optim.AdamW(rest, lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
    )


def rate(update: int, spent: float, settings: Settings) -> float:
    """Share of the learning rate: linear warm-up, a plateau, and a linear way down to zero as the budget is spent.

    `update` counts from where the optimizers were new, `spent` from where the network was.

    The plateau lets a run be prolonged from a checkpoint made before the way down began.
    """
    down = (1 - spent) / max(settings.decay, 1e-9)
    return min(1.0, (update + 1) / settings.warmup, down)


def train(
    network: nn.Module,
    loss: Callable[[Callable[..., Tensor], int], Tensor],
    settings: Settings,
    path: Path,
    random: torch.Generator,
    origin: tuple[int, float] | None = None,
) -> Outcome:
    """Trains a network until its budget is spent, from the checkpoint at `path` where there is one.

    With an `origin` (updates, seconds) the network is one that has taken so many already, and its optimizers are new.

    `loss(forward, update)` makes batch number `update` (from 0), drawing only from `random`, and what `forward`, the
    network perhaps compiled, makes of it.
    """
    average = copy.deepcopy(network).requires_grad_(False)
    forward = torch.compile(network) if settings.compile else network
    muon, adam = optimizers(network, settings)
    parts: dict[str, runs.Stateful] = {"model": network, "ema": average, "muon": muon, "adam": adam}
    clock = Clock()
    if settings.seconds:
        parts["clock"] = clock
    checkpoint = runs.Checkpoint(path, parts, random, origin)

    def spent() -> float:
        return clock.seconds / settings.seconds if settings.seconds else update / settings.updates

    update, running = checkpoint.first, None
    total = None if settings.seconds else settings.updates
    with tqdm(desc=path.stem, total=total, initial=update, unit="update") as progress:
        while (so_far := spent()) < 1:
            with clock:
                for optimizer in (muon, adam):
                    runs.set_rate(optimizer, rate(update - checkpoint.began, so_far, settings))
                error = loss(forward, update)
                runs.descend(error, network, muon, adam)
                decay = min(settings.ema, (1 + update) / (10 + update))
                for kept, new in zip(average.parameters(), network.parameters(), strict=True):
                    kept.lerp_(new, 1 - decay)
            if update % 10 == 0:
                running = error.item() if running is None else 0.9 * running + 0.1 * error.item()
                progress.set_postfix(loss=f"{running:.4f}", spent=f"{spent():.0%}")
            update += 1
            progress.update()
            if update % SAVE_EVERY == 0:
                checkpoint.save(update)
    checkpoint.save(update)
    return Outcome(average, update, checkpoint.seconds(), clock.seconds)
