"""Stage `checkpoint`: keeps a long run's averaged denoiser in the repository, in bf16, so that another machine goes on.

`restore` prefers `checkpoints/RUN.pt` to the denoiser of `weights/NAME`, and stage `denoiser` trains it further with
new optimizers: their memory is a few hundred updates, and the warm-up renews it. Tokenizer and codebook are those of
`weights/NAME`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from . import runs
from .config import Config, ConfigError

CHECKPOINTS = Path(__file__).resolve().parent.parent / "checkpoints"


def path_of(folder: Path) -> Path:
    """Where the repository keeps the checkpoint of a run's folder."""
    return CHECKPOINTS / f"{folder.name}.pt"


def keep(config: Config, folder: Path, to: Path | None = None) -> None:
    """Writes the checkpoint of a run that is going on or has ended.

    Raises ConfigError where the run hasn't trained since it was restored.
    """
    state = runs.load(folder / "denoiser.pt")
    if "model" not in state:
        raise ConfigError(f"{folder} has trained nothing that isn't in weights/{config.name} or in its checkpoint")
    target = to or path_of(folder)
    runs.save(target, packed(state["ema"], state["update"], state["seconds"]))
    print(f"{target}: update {state['update']:,}, {target.stat().st_size / 1e6:.1f} MB")


def packed(average: dict[str, Tensor], update: int, seconds: float) -> dict[str, object]:
    """A checkpoint's content: tensors in bf16."""
    return {"ema": {name: x.to(torch.bfloat16) for name, x in average.items()}, "update": update, "seconds": seconds}


def unpacked(path: Path) -> dict[str, object]:
    """A checkpoint as stage `denoiser` goes on from it: tensors in f32."""
    state = runs.load(path)
    return state | {"ema": {name: x.float() for name, x in state["ema"].items()}}
