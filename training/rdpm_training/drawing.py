"""Drawing many images with a trained model: batches, random numbers, decoding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from . import codebook_stage, conditions, denoiser_stage, runs, sampler, tokenizer_stage, trajectory
from .conditions import Condition
from .config import Config
from .denoiser import Denoiser
from .sampler import Settings
from .tokenizer import Tokenizer

STAGE = 6
BATCH = 250


class Model(Protocol):
    """What draws latents and decodes them."""

    tokenizer: Tokenizer

    def latents(self, labels: Tensor | Condition, settings: Settings, random: torch.Generator) -> Tensor:
        """A latent (b, n, c) for each label (b,)."""
        ...


@dataclass
class Rdpm:
    """The model of this project, all its parts."""

    config: Config
    tokenizer: Tokenizer
    codebook: Tensor
    denoiser: Denoiser

    def latents(self, labels: Tensor | Condition, settings: Settings, random: torch.Generator) -> Tensor:
        shape = (conditions.count(labels), self.config.positions, self.codebook.shape[1])
        eps = trajectory.noise(self.config.trajectory, shape, random)
        return self.latents_from(eps, labels, settings, random)

    def latents_from(
        self, eps: Tensor, labels: Tensor | Condition, settings: Settings, random: torch.Generator
    ) -> Tensor:
        """From given noise (b, n, c); `random` draws the codes."""
        on = runs.device()
        denoiser, codebook = self.denoiser.to(on), self.codebook.to(on)
        numbers = uniforms((*eps.shape[:2], len(codebook)), random)
        steps = self.config.trajectory.steps
        with runs.autocast(on):
            *_, last = sampler.sample(denoiser, codebook, steps, labels.to(on), eps.to(on), numbers, settings)
        return last.z.float()


def rdpm(config: Config, folder: Path, classes: int) -> Rdpm:
    """The trained model that the stages left in `folder`."""
    return Rdpm(
        config,
        tokenizer_stage.trained(config, folder),
        codebook_stage.trained(folder),
        denoiser_stage.trained(config, folder, classes),
    )


def uniforms(shape: tuple[int, ...], random: torch.Generator) -> Iterator[Tensor]:
    """Endless tensors of numbers of (0, 1), drawn on the host, so that every device draws the same."""
    while True:
        ticks = torch.randint(1 << 23, shape, generator=random)
        yield ((ticks.float() + 0.5) / (1 << 23)).to(runs.device())


def draw(model: Model, labels: Tensor | Condition, settings: Settings, seed: int) -> Tensor:
    """One image (channels, size, size) in -1..1 for each label or condition."""
    random = runs.generator(seed, STAGE)
    images = []
    starts = range(0, conditions.count(labels), BATCH)
    for start in tqdm(starts, f"samples w={settings.guidance:g} τ={settings.temperature:g}", unit="batch"):
        chunk = conditions.rows(labels, slice(start, start + BATCH))
        latents = model.latents(chunk, settings, random)
        images.append(tokenizer_stage.decode_all(model.tokenizer, latents, runs.device()))
    return torch.cat(images)
