"""What every training stage needs: the device, the precision, checkpoints that resume exactly, a place on disk."""

from __future__ import annotations

import ctypes
import json
import math
import os
import platform
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol

import torch

from .config import ConfigError

RUNS = Path(__file__).resolve().parent.parent / "runs"


def device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def multiplies_bf16(on: torch.device) -> bool:
    """Whether the hardware multiplies bf16 natively.

    A CPU without AVX512-BF16 or AMX emulates it: measured a hundred times slower than f32.
    """
    return on.type == "cuda" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def autocast(on: torch.device) -> AbstractContextManager[None]:
    """bf16 where the hardware multiplies it natively; f32 elsewhere."""
    return torch.autocast(on.type, torch.bfloat16) if multiplies_bf16(on) else nullcontext()


def generator(*parts: int) -> torch.Generator:
    """A host generator for a tuple of small integers (seed, stage, ...), the same on every machine."""
    mixed = 0
    for part in parts:
        mixed = (mixed * 1_000_003 + part + 1) % (1 << 63)
    return torch.Generator().manual_seed(mixed)


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes a checkpoint whole or not at all: a run killed in the middle leaves the former one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def trim() -> None:
    """Gives freed memory back to the system, where the C library can (glibc).

    Blocks aligned for vectors leave holes in its heap that it doesn't fill again: 12 MB an update with batches of 64
    images, 64 positions and 1,024 codes, while what is in use stays the same.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def load(path: Path) -> dict[str, Any]:
    """Reads a checkpoint onto the host."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run the stage before this one first")
    return torch.load(path, map_location="cpu", weights_only=True)


def hardware() -> str:
    """The machine in words, for model cards."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return f"{os.cpu_count()} cores of {model}"


def report(folder: Path, stage: str, values: dict[str, Any]) -> None:
    """Keeps a stage's figures as JSON beside its checkpoint and prints them."""
    keep_report(folder, stage, values)
    print(json.dumps(values, indent=2))


def keep_report(folder: Path, stage: str, values: dict[str, Any]) -> None:
    """Keeps figures that have been printed before."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stage}.json").write_text(json.dumps(values, indent=2) + "\n")


def read_report(folder: Path, stage: str) -> Any:
    """What `report` kept, or None where the stage has not been run."""
    path = folder / f"{stage}.json"
    return json.loads(path.read_text()) if path.exists() else None


class Epochs:
    """Endless shuffled batches of indices. The order follows from (seed, epoch), so a resumed run sees the same."""

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size, self.seed = count, min(batch_size, count), seed
        self.per_epoch = count // self.batch_size
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.long)

    def batch(self, update: int) -> torch.Tensor:
        """Indices of the batch that update number `update` (from 0) trains on."""
        epoch, index = divmod(update, self.per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = torch.randperm(self.count, generator=generator(self.seed, epoch))
        return self._order[index * self.batch_size : (index + 1) * self.batch_size]


class Stateful(Protocol):
    """Networks and optimizers."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: Any) -> Any: ...


class Checkpoint:
    """All that a run needs to go on exactly: its parts, its generator, the update reached and the seconds spent.

    Restores itself from `path` where that exists; `first` is the update to go on with, `began` the one at which the
    optimizers were new. A run that goes on from a finished network, its optimizers new, begins at an `origin`: the
    updates and seconds that the network has taken.

    Raises ConfigError where that file has the network only and no origin is given.
    """

    def __init__(
        self,
        path: Path,
        parts: dict[str, Stateful],
        random: torch.Generator,
        origin: tuple[int, float] | None = None,
    ) -> None:
        self.path, self.parts, self.random = path, parts, random
        self.first, self._before = origin or (0, 0.0)
        self.began, self._start = self.first, time.monotonic()
        if path.exists() and not origin:
            state = load(path)
            if lacking := sorted(parts.keys() - state.keys()):
                raise ConfigError(f"{path} can be drawn from, not trained on: it lacks {', '.join(lacking)}")
            for name, part in parts.items():
                part.load_state_dict(state[name])
            random.set_state(state["random"])
            self.first, self._before = state["update"], state["seconds"]
            self.began = state.get("began", 0)

    def seconds(self) -> float:
        """Spent on the run so far, over all its sessions."""
        return self._before + time.monotonic() - self._start

    def save(self, update: int) -> None:
        """Notes that `update` updates are done, and tidies up."""
        state = {name: part.state_dict() for name, part in self.parts.items()}
        state |= {"random": self.random.get_state(), "update": update, "seconds": self.seconds(), "began": self.began}
        save(self.path, state)
        trim()


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets every group's learning rate to a share of the one it was made with."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.setdefault("full_lr", group["lr"])


def descend(loss: torch.Tensor, network: torch.nn.Module, *optimizers: torch.optim.Optimizer) -> None:
    """One update of a network's parameters, their gradient clipped to norm 1."""
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()


def warm_cosine(update: int, updates: int, warmup: int = 50) -> float:
    """Share of the learning rate: linear warm-up, then a cosine to zero."""
    return min(1.0, (update + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * update / updates))
