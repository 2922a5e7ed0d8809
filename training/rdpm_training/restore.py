"""Stage `restore`: fills a run folder from `weights/NAME`, so that weights can be evaluated or trained further.

`evaluate`, `sweep` and `pictures` then work as after training and reproduce the model card's metrics. Stage `denoiser`
continues training if the configuration has more updates than the weights, with new optimizers: a weights folder has no
optimizer state. If the repository has a checkpoint of the run (stage `checkpoint`), the denoiser comes from that. A
weights folder without `training.json`, as older versions exported, can be evaluated only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from . import captioner, checkpoint, export, runs, weights_folder
from .config import Config, ConfigError

REPORT = "restored"
CHECKPOINTS = ("tokenizer.pt", "codebook.pt", "decoder.pt", "denoiser.pt")


def restore(config: Config, folder: Path, source: Path | None = None) -> None:
    """Fills an empty run folder from `weights/NAME/`, or from `source`. Does nothing if that was done before.

    Raises ConfigError if the weights belong to another configuration or the folder has another run.
    """
    source = source or export.WEIGHTS / config.name
    if not (source / "model.safetensors").exists():
        raise FileNotFoundError(f"{source / 'model.safetensors'} is missing")
    origin = {"sha256": hashlib.sha256((source / "model.safetensors").read_bytes()).hexdigest()}
    if runs.read_report(folder, REPORT) == origin:
        return
    if existing := [name for name in CHECKPOINTS if (folder / name).exists()]:
        raise ConfigError(f"{folder} already has a run ({', '.join(existing)}); choose another folder with --run")

    exported_config, codebook, denoiser, tokenizer = weights_folder.load(source)
    # A decoder without the configured further levels is extended by stage `decoder` or by `packed_decoder`.
    if "upsample_widths" in exported_config["tokenizer"]:
        differing = _differing(config, exported_config)
    else:
        differing = _differing(_without_upsampling(config), exported_config)
    if differing:
        raise ConfigError(f"{source} belongs to another configuration: {', '.join(differing)} differ")
    runs.save(folder / "tokenizer.pt", {"model": tokenizer.state_dict()})
    runs.save(folder / "codebook.pt", {"codebook": codebook})
    reports, state = runs.read_report(source, export.REPORTS) or {}, {"ema": denoiser.state_dict()}
    if report := reports.get("denoiser"):
        state |= {"update": report["updates"], "seconds": report["seconds"]}
    if (path := checkpoint.path_of(folder)).exists():
        state = checkpoint.read(path)
        print(f"using the denoiser of {path.name}, update {state['update']:,}")
    runs.save(folder / "denoiser.pt", state)
    if (head := source / captioner.FILE).exists():
        (folder / captioner.FILE).write_bytes(head.read_bytes())
    for stage, values in reports.items():
        if not runs.read_report(folder, stage):
            runs.write_report(folder, stage, values)
    runs.report(folder, REPORT, origin)


def _differing(config: Config, exported_config: dict[str, Any]) -> list[str]:
    """Keys of `config.json` whose values are not those of the configuration."""
    described = export.describe(config, exported_config["classes"], exported_config.get("styles"))
    expected = json.loads(json.dumps(described))
    return sorted(key for key in expected if expected[key] != exported_config.get(key))


def _without_upsampling(config: Config) -> Config:
    """The configuration for images of the size that the encoder sees."""
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, image_size=config.data.image_size // config.reduction),
        tokenizer=dataclasses.replace(config.tokenizer, upsample_widths=[], upsample_blocks=[]),
    )
