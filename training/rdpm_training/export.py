"""Stage `export`: the trained parts as the server reads them (`config.json`, `model.safetensors`), a model card, and
the stages' reports, by which `restore` knows how they were made."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from . import card, codebook_stage, data, denoiser_stage, runs, tokenizer_stage, trajectory
from .config import Config, ConfigError
from .denoiser import Denoiser
from .tokenizer import Tokenizer

FORMAT_VERSION = 1
# Of the denoiser's tensors: to the server these two are a linear layer like others.
RENAMED = {"output": "output.weight", "bias": "output.bias"}
REPORTS = "training"  # .json: what the stages that made the weights reported
WEIGHTS = Path(__file__).resolve().parent.parent.parent / "weights"


def describe(config: Config, classes: list[str]) -> dict[str, object]:
    """`config.json`, as `src/model/config.rs` reads it."""
    d, t = config.denoiser, config.tokenizer
    return {
        "format_version": FORMAT_VERSION,
        "name": config.name,
        "title": config.title,
        "image": {"size": config.data.image_size, "channels": config.data.channels},
        "latent": {"grid": config.grid, "channels": t.latent_channels},
        "trajectory": {"codes": config.trajectory.codes, "schedule": trajectory.schedule(config.trajectory)},
        "tokenizer": {"widths": t.widths, "blocks": t.blocks},
        "denoiser": {"width": d.width, "layers": d.layers, "heads": d.heads},
        "classes": classes,
        "sampling": {"guidance": config.sampling.guidance, "temperature": config.sampling.temperature},
    }


def tensors(tokenizer: Tokenizer, codebook: Tensor, denoiser: Denoiser) -> dict[str, Tensor]:
    """Everything that the server loads, by the names of the networks' modules, f32. The denoiser is a folded one."""
    found = dict(tokenizer.state_dict())
    found["codebook"] = codebook
    for name, tensor in denoiser.state_dict().items():
        found["denoiser." + RENAMED.get(name, name)] = tensor
    return {name: tensor.detach().float().contiguous().clone() for name, tensor in sorted(found.items())}


def write(config: Config, classes: list[str], tensors: dict[str, Tensor], target: Path) -> None:
    """Writes the two files that the server needs."""
    # A server may have the old file mapped: the new one takes its name, not its place on the disk.
    new = target / "model.safetensors.new"
    save_file(tensors, new)
    new.chmod(0o644)  # safetensors writes it for its owner only
    new.replace(target / "model.safetensors")
    (target / "config.json").write_text(json.dumps(describe(config, classes), indent=2) + "\n")


def export(config: Config, folder: Path, to: Path | None = None) -> None:
    """Writes `weights/NAME/` (or the folder given)."""
    if config.trajectory.noise != 1:
        raise ConfigError(f"[trajectory]: noise is {config.trajectory.noise:g}; the server draws with 1")
    if runs.read_report(folder, "restored") and not runs.read_report(folder, "denoiser"):
        raise ConfigError(f"{folder} was restored from a weights folder: what made it isn't known here")
    target = to or WEIGHTS / config.name
    target.mkdir(parents=True, exist_ok=True)
    classes = data.load(config.data, config.seed).classes
    tokenizer = tokenizer_stage.trained(config, folder)
    denoiser = denoiser_stage.trained(config, folder, len(classes))
    write(config, classes, tensors(tokenizer, codebook_stage.trained(folder), denoiser), target)
    reports = {stage: runs.read_report(folder, stage) for stage in card.MAKING}
    runs.keep_report(target, REPORTS, {stage: report for stage, report in reports.items() if report})
    card.write(config, folder, target)
    size = (target / "model.safetensors").stat().st_size / 1e6
    print(f"{target}: {size:.1f} MB")
