"""Stage `restore`: the way back from `weights/NAME` to a run's folder, so that others measure what is shipped.

`evaluate`, `sweep` and `pictures` then work as they do after training, and give the figures of the model card. Stage
`denoiser` goes on from here where the configuration asks for more updates than the weights have taken, with new
optimizers: a weights folder holds none. Where the repository keeps a checkpoint of the run (stage `checkpoint`), the
denoiser is taken from that. One without `training.json`, as exported before there was that, can be measured
only.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from . import checkpoint, export, runs, weights_folder
from .config import Config, ConfigError

REPORT = "restored"
CHECKPOINTS = ("tokenizer.pt", "codebook.pt", "decoder.pt", "denoiser.pt")


def restore(config: Config, folder: Path, source: Path | None = None) -> None:
    """Fills an empty run's folder from `weights/NAME/` (or the folder given); done already, it does nothing.

    Raises ConfigError where the weights are of another configuration or the folder has a run in it.
    """
    source = source or export.WEIGHTS / config.name
    if not (source / "model.safetensors").exists():
        raise FileNotFoundError(f"{source / 'model.safetensors'} is missing")
    origin = {"sha256": hashlib.sha256((source / "model.safetensors").read_bytes()).hexdigest()}
    if runs.read_report(folder, REPORT) == origin:
        return
    if taken := [name for name in CHECKPOINTS if (folder / name).exists()]:
        raise ConfigError(f"{folder} has a run in it ({', '.join(taken)}); name another folder with --run")

    described, codebook, denoiser, tokenizer = weights_folder.load(source)
    expected = json.loads(json.dumps(export.describe(config, described["classes"])))
    if differing := sorted(key for key in expected if expected[key] != described.get(key)):
        raise ConfigError(f"{source} is not of this configuration: {', '.join(differing)} differ")
    runs.save(folder / "tokenizer.pt", {"model": tokenizer.state_dict()})
    runs.save(folder / "codebook.pt", {"codebook": codebook})
    reports, state = runs.read_report(source, export.REPORTS) or {}, {"ema": denoiser.state_dict()}
    if made := reports.get("denoiser"):
        state |= {"update": made["updates"], "seconds": made["seconds"]}
    if (kept := checkpoint.path_of(folder)).exists():
        state = checkpoint.unpacked(kept)
        print(f"the denoiser is that of {kept.name}, update {state['update']:,}")
    runs.save(folder / "denoiser.pt", state)
    for stage, values in reports.items():
        if not runs.read_report(folder, stage):
            runs.write_report(folder, stage, values)
    runs.report(folder, REPORT, origin)
