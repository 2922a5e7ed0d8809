"""Reads the networks of an exported weights folder."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from .denoiser import Denoiser
from .export import RENAMED, VOCABULARY
from .tokenizer import Tokenizer


def load(folder: Path) -> tuple[dict, Tensor, Denoiser, Tokenizer]:
    """Configuration, codebook (V, c), denoiser and tokenizer of a weights folder."""
    config = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    codebook = tensors.pop("codebook")
    schedule, positions = config["trajectory"]["schedule"], config["latent"]["grid"] ** 2
    styles = len(config.get("styles", []))
    words = len(json.loads((folder / VOCABULARY).read_text())["words"]) if styles else 0
    classes = len(config["classes"])
    denoiser = Denoiser(codebook, schedule, positions, classes, **config["denoiser"], styles=styles, words=words).fold()
    denoiser.load_state_dict(
        {name: tensors.pop("denoiser." + RENAMED.get(name, name)) for name in denoiser.state_dict()}
    )
    tokenizer = Tokenizer(
        config["image"]["channels"], **config["tokenizer"], latent_channels=config["latent"]["channels"]
    )
    tokenizer.load_state_dict(tensors)
    return config, codebook, denoiser.eval(), tokenizer.eval()
