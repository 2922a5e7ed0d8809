"""Stage `checkpoint`: keeps the EMA denoiser of a long run in the repository, in bf16, to continue on another machine.

`restore` prefers `checkpoints/RUN.pt` to the denoiser of `weights/NAME`, and stage `denoiser` trains it further with
new optimizers: their state covers a few hundred updates only, and the warm-up rebuilds it. Tokenizer and codebook come
from `weights/NAME`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from . import runs
from .config import Config, ConfigError

CHECKPOINTS = Path(__file__).resolve().parent.parent / "checkpoints"


def path_of(folder: Path) -> Path:
    """Path of the kept checkpoint of a run folder."""
    return CHECKPOINTS / f"{folder.name}.pt"


def keep(config: Config, folder: Path, to: Path | None = None) -> None:
    """Writes the kept checkpoint of a running or finished run.

    Raises ConfigError if the run has not trained since it was restored.
    """
    state = runs.load(folder / "denoiser.pt")
    if "model" not in state:
        raise ConfigError(f"{folder} has not been trained beyond weights/{config.name} or its kept checkpoint")
    target = to or path_of(folder)
    runs.save(target, compact(state["ema"], state["update"], state["seconds"]))
    print(f"{target}: update {state['update']:,}, {target.stat().st_size / 1e6:.1f} MB")


def compact(
    ema: dict[str, Tensor], update: int, seconds: float, dtype: torch.dtype = torch.bfloat16
) -> dict[str, object]:
    """Content of a kept checkpoint, in host memory."""
    return {"ema": {name: x.to("cpu", dtype) for name, x in ema.items()}, "update": update, "seconds": seconds}


def read(path: Path) -> dict[str, object]:
    """Reads a kept checkpoint, with tensors in f32, for stage `denoiser`."""
    state = runs.load(path)
    return state | {"ema": {name: x.float() for name, x in state["ema"].items()}}
