"""What all stages share: device, precision, random generators, and a run's folder with checkpoints and reports."""

from __future__ import annotations

import ctypes
import json
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
    """CUDA if available, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_native_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bf16 natively.

    A CPU without AVX512-BF16 or AMX emulates it, which was measured to be a hundred times slower than f32.
    """
    return device.type == "cuda" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """bf16 if the hardware multiplies it natively, otherwise f32."""
    return torch.autocast(device.type, torch.bfloat16) if has_native_bf16(device) else nullcontext()


def generator(*parts: int) -> torch.Generator:
    """A random generator on the host, seeded by a tuple of small integers (seed, stream, ...).

    It gives the same numbers on every machine. A module's RANDOM_STREAM keeps its numbers apart from other modules'.
    """
    mixed = 0
    for part in parts:
        mixed = (mixed * 1_000_003 + part + 1) % (1 << 63)
    return torch.Generator().manual_seed(mixed)


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes a checkpoint atomically: if the process is killed while writing, the previous file stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def trim() -> None:
    """Returns freed memory to the operating system, if the C library can (glibc).

    glibc does not reuse the gaps that aligned allocations leave in its heap. Without this call, resident memory grows
    by 12 MB per update (batches of 64 images, 64 positions, 1,024 codes) while memory in use stays constant.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def load(path: Path) -> dict[str, Any]:
    """Reads a checkpoint into host memory."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run the previous stage first")
    return torch.load(path, map_location="cpu", weights_only=True)


def hardware() -> str:
    """The machine's name, for model cards."""
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
    """Writes a stage's report as JSON into the run's folder and prints it."""
    write_report(folder, stage, values)
    print(json.dumps(values, indent=2))


def write_report(folder: Path, stage: str, values: dict[str, Any]) -> None:
    """Writes a report without printing it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stage}.json").write_text(json.dumps(values, indent=2) + "\n")


def read_report(folder: Path, stage: str) -> Any:
    """A stage's report, or None if the stage has not been run."""
    path = folder / f"{stage}.json"
    return json.loads(path.read_text()) if path.exists() else None


class Stateful(Protocol):
    """An object whose state can be saved: a network, an optimizer, a clock."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: Any) -> Any: ...


class Checkpoint:
    """Everything needed to resume a run exactly: its parts, its random generator, updates done and seconds spent.

    Loads the file at `path` if it exists. `next_update` is the update to do next; `optimizer_start` is the update at
    which the optimizers were new. A run that trains an existing network further, with new optimizers, passes
    `pretrained`: the updates and seconds that the network has been trained for.

    Raises ConfigError if the file lacks a part and `pretrained` is not given.
    """

    def __init__(
        self,
        path: Path,
        parts: dict[str, Stateful],
        generator: torch.Generator,
        pretrained: tuple[int, float] | None = None,
    ) -> None:
        self.path, self.parts, self.generator = path, parts, generator
        self.next_update, self._seconds_before = pretrained or (0, 0.0)
        self.optimizer_start, self._started = self.next_update, time.monotonic()
        if path.exists() and not pretrained:
            state = load(path)
            if missing := sorted(parts.keys() - state.keys()):
                raise ConfigError(
                    f"{path} is for inference only, training cannot continue: it lacks {', '.join(missing)}"
                )
            for name, part in parts.items():
                part.load_state_dict(state[name])
            generator.set_state(state["random"])
            self.next_update, self._seconds_before = state["update"], state["seconds"]
            self.optimizer_start = state.get("began", 0)

    def seconds(self) -> float:
        """Seconds spent on the run so far, over all its processes."""
        return self._seconds_before + time.monotonic() - self._started

    def save(self, update: int) -> None:
        """Writes the checkpoint after `update` updates, and returns freed memory to the operating system."""
        state = {name: part.state_dict() for name, part in self.parts.items()}
        state |= {
            "random": self.generator.get_state(),
            "update": update,
            "seconds": self.seconds(),
            "began": self.optimizer_start,
        }
        save(self.path, state)
        trim()
