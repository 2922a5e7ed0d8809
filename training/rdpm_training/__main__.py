"""`python -m rdpm_training STAGE [STAGE ...] --config FILE`: the stages named, in the order given."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from . import config, data, runs
from .results import plan

# Stage -> (module, function). Imported on use, so that `--help` does not wait for PyTorch's every corner.
STAGES = {
    "data": ("emoji.build", "build"),
    "tokenizer": ("tokenizer_stage", "train"),
    "codebook": ("codebook_stage", "train"),
    "decoder": ("decoder_stage", "train"),
    "denoiser": ("denoiser_stage", "train"),
    "checkpoint": ("checkpoint", "keep"),
    "evaluate": ("evaluate", "evaluate"),
    "pack": ("packed", "pack"),
    "retrieval": ("retrieval", "evaluate"),
    "export": ("export", "export"),
    "fixture": ("fixture", "write"),
    "restore": ("restore", "restore"),
}
# What the pages in docs/results show; these are configured by a plan of their own.
RESULTS = {
    "ablate": ("results.ablate", "ablate"),
    "sweep": ("results.sweep", "sweep"),
    "fidelity": ("results.fidelity", "fidelity"),
    "pictures": ("results.pictures", "pictures"),
    "report": ("results.report", "report"),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="rdpm-train", description="Train, export and evaluate an RDPM model.")
    described = f"{', '.join(STAGES)}: each builds on those before it, restore stands for all up to denoiser"
    described += f"; or {', '.join(RESULTS)}"
    parser.add_argument("stages", metavar="STAGE", nargs="+", choices=[*STAGES, *RESULTS], help=described)
    described = "TOML file, e.g. configs/fashion-mnist.toml; configs/results.toml for " + ", ".join(RESULTS)
    parser.add_argument("--config", type=Path, required=True, help=described)
    described = f"folder for checkpoints and reports (default: runs/NAME; runs/NAME-results for {', '.join(RESULTS)})"
    parser.add_argument("--run", type=Path, help=described)
    arguments = parser.parse_args()
    results = RESULTS.keys() & arguments.stages
    if results and STAGES.keys() & arguments.stages:
        parser.error(
            f"{', '.join(sorted(results))}: these want a configuration of their own, so a command of their own"
        )
    try:
        settings = (plan.load if results else config.load)(arguments.config)
        for name in arguments.stages:
            module, function = (STAGES | RESULTS)[name]
            stage = getattr(import_module(f".{module}", __package__), function)
            stage(settings, arguments.run or runs.RUNS / (f"{settings.name}-results" if results else settings.name))
    except (config.ConfigError, data.DataError, FileNotFoundError) as error:
        print(f"rdpm-train: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
