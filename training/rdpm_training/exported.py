"""What `export` wrote, read back: the networks of a weights folder."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from .denoiser import Denoiser
from .tokenizer import Tokenizer


class Exported(Denoiser):
    """The denoiser of a weights folder: there the output table is one matrix already."""

    def __init__(self, config: dict, codebook: Tensor) -> None:
        shape = config["denoiser"]
        super().__init__(
            codebook,
            config["trajectory"]["schedule"],
            config["latent"]["grid"] ** 2,
            len(config["classes"]),
            shape["width"],
            shape["layers"],
            shape["heads"],
        )
        del self.code_in, self.code_out, self.code_free
        self.output = nn.Parameter(torch.empty(len(codebook), shape["width"]))

    def output_weight(self) -> Tensor:
        return self.output


def load(folder: Path) -> tuple[dict, Tensor, Exported, Tokenizer]:
    """Configuration, codebook (V, c), denoiser and tokenizer of a weights folder."""
    config = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    codebook = tensors.pop("codebook")
    denoiser = Exported(config, codebook)
    prefix = "denoiser."
    own = {name.removeprefix(prefix): tensors.pop(name) for name in list(tensors) if name.startswith(prefix)}
    own["output"], own["bias"] = own.pop("output.weight"), own.pop("output.bias")
    denoiser.load_state_dict(own)
    tokenizer = Tokenizer(
        config["image"]["channels"], **config["tokenizer"], latent_channels=config["latent"]["channels"]
    )
    tokenizer.load_state_dict(tensors)
    return config, codebook, denoiser.eval(), tokenizer.eval()
