"""Command line: `python -m rdpm_training STAGE [STAGE ...] --config FILE` runs stages in the given order.

`python -m rdpm_training check FOLDER` says what training would see of a folder of images.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from importlib import import_module
from pathlib import Path

from . import config, runs
from .dataset import DataError
from .results import plan

# Stage -> (module, function). Modules are imported when used, which keeps `--help` fast.
STAGES = {
    "data": ("emoji.build", "build"),
    "tokenizer": ("tokenizer_stage", "train"),
    "codebook": ("codebook_stage", "train"),
    "decoder": ("decoder_stage", "train"),
    "denoiser": ("denoiser_stage", "train"),
    "distillation": ("distillation", "train"),
    "captioner": ("captioner", "train"),
    "checkpoint": ("checkpoint", "keep"),
    "evaluate": ("evaluate", "evaluate"),
    "pack": ("packed", "pack"),
    "pack-decoder": ("packed_decoder", "pack"),
    "retrieval": ("retrieval", "evaluate"),
    "export": ("export", "export"),
    "fixture": ("fixture", "write"),
    "restore": ("restore", "restore"),
}
# Stages for the pages in docs/results; they read an evaluation plan instead of a run's configuration.
RESULT_STAGES = {
    "ablate": ("results.ablate", "ablate"),
    "sweep": ("results.sweep", "sweep"),
    "fidelity": ("results.fidelity", "fidelity"),
    "pictures": ("results.pictures", "pictures"),
    "report": ("results.report", "report"),
}


def main() -> int:
    if sys.argv[1:2] == ["check"]:
        return import_module(".check", __package__).main(sys.argv[2:])
    description = "Train, export and evaluate an RDPM model. To see what training would read from a folder of images: "
    description += "rdpm-train check FOLDER"
    parser = argparse.ArgumentParser(prog="rdpm-train", description=description)
    help_text = f"{', '.join(STAGES)}; restore replaces the stages up to denoiser; or {', '.join(RESULT_STAGES)}"
    parser.add_argument("stages", metavar="STAGE", nargs="+", choices=[*STAGES, *RESULT_STAGES], help=help_text)
    help_text = "TOML file, e.g. configs/fashion-mnist.toml; configs/results.toml for " + ", ".join(RESULT_STAGES)
    parser.add_argument("--config", type=Path, required=True, help=help_text)
    help_text = (
        f"folder for checkpoints and reports (default: runs/NAME; runs/NAME-results for {', '.join(RESULT_STAGES)})"
    )
    parser.add_argument("--run", type=Path, help=help_text)
    help_text = "refuse a folder of images with files that cannot be used; without it, they are skipped"
    parser.add_argument("--strict", action="store_true", help=help_text)
    arguments = parser.parse_args()
    result_stages = RESULT_STAGES.keys() & arguments.stages
    if result_stages and STAGES.keys() & arguments.stages:
        parser.error(
            f"{', '.join(sorted(result_stages))}: run these stages in a separate command, with an evaluation plan"
        )
    try:
        settings = (plan.load if result_stages else config.load)(arguments.config)
        if arguments.strict:
            settings = _strict(settings)
        for name in arguments.stages:
            module, function = (STAGES | RESULT_STAGES)[name]
            stage = getattr(import_module(f".{module}", __package__), function)
            stage(
                settings, arguments.run or runs.RUNS / (f"{settings.name}-results" if result_stages else settings.name)
            )
    except (config.ConfigError, DataError, FileNotFoundError) as error:
        print(f"rdpm-train: {error}", file=sys.stderr)
        return 2
    return 0


def _strict(settings: config.Config | plan.Plan) -> config.Config | plan.Plan:
    """The same settings, with `strict` in [data]."""
    if isinstance(settings, plan.Plan):
        return dataclasses.replace(settings, base=_strict(settings.base))
    return dataclasses.replace(settings, data=dataclasses.replace(settings.data, strict=True))


if __name__ == "__main__":
    sys.exit(main())
