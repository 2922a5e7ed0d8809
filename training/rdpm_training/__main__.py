"""`python -m rdpm_training STAGE --config FILE`: one command a stage."""

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
    "export": ("export", "export"),
    "evaluate": ("evaluate", "evaluate"),
    "fixture": ("fixture", "write"),
}
# What docs/results.md shows; these are configured by a plan of their own.
RESULTS = {
    "ablate": ("results.ablate", "ablate"),
    "sweep": ("results.sweep", "sweep"),
    "fidelity": ("results.fidelity", "fidelity"),
    "pictures": ("results.pictures", "pictures"),
    "report": ("results.report", "report"),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="rdpm-train", description="Train, export and evaluate an RDPM model.")
    parser.add_argument("stage", choices=[*STAGES, *RESULTS], help="stages build on each other in this order")
    described = "TOML file, e.g. configs/fashion-mnist.toml; configs/results.toml for " + ", ".join(RESULTS)
    parser.add_argument("--config", type=Path, required=True, help=described)
    parser.add_argument("--run", type=Path, help="folder for checkpoints and reports (default: runs/NAME)")
    arguments = parser.parse_args()
    try:
        load = plan.load if arguments.stage in RESULTS else config.load
        settings = load(arguments.config)
        module, function = (STAGES | RESULTS)[arguments.stage]
        stage = getattr(import_module(f".{module}", __package__), function)
        stage(settings, arguments.run or runs.RUNS / settings.name)
    except (config.ConfigError, data.DataError, FileNotFoundError) as error:
        print(f"rdpm-train: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
