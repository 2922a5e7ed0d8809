"""Generates images with a trained model: batches, random numbers, decoding."""

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
from .dataset import Dataset
from .denoiser import Denoiser
from .emoji.words import split_words
from .sampler import SamplingSettings
from .tokenizer import Tokenizer

RANDOM_STREAM = 6
BATCH = 250


class GenerativeModel(Protocol):
    """A model that samples latents, and the tokenizer that decodes them."""

    tokenizer: Tokenizer

    def latents(self, labels: Tensor | Condition, settings: SamplingSettings, generator: torch.Generator) -> Tensor:
        """Sampled latents (b, n, c), one for each label or condition (b,)."""
        ...


@dataclass
class Rdpm:
    """A trained RDPM: tokenizer, codebook and denoiser."""

    config: Config
    tokenizer: Tokenizer
    codebook: Tensor
    denoiser: Denoiser

    def latents(self, labels: Tensor | Condition, settings: SamplingSettings, generator: torch.Generator) -> Tensor:
        shape = (conditions.count(labels), self.config.positions, self.codebook.shape[1])
        eps = trajectory.noise(self.config.trajectory, shape, generator)
        return self.latents_from(eps, labels, settings, generator)

    def latents_from(
        self, eps: Tensor, labels: Tensor | Condition, settings: SamplingSettings, generator: torch.Generator
    ) -> Tensor:
        """Sampled latents from given noise (b, n, c); `generator` supplies the numbers for sampling the codes."""
        device = runs.device()
        denoiser, codebook = self.denoiser.to(device), self.codebook.to(device)
        uniforms = uniform_numbers((*eps.shape[:2], len(codebook)), generator)
        steps = self.config.trajectory.steps
        with runs.autocast(device):
            *_, last = sampler.sample(denoiser, codebook, steps, labels.to(device), eps.to(device), uniforms, settings)
        return last.z.float()


def load_rdpm(config: Config, folder: Path, classes: int) -> Rdpm:
    """Loads the trained model from a run's folder."""
    return Rdpm(
        config,
        tokenizer_stage.trained(config, folder),
        codebook_stage.trained(folder),
        denoiser_stage.trained(config, folder, classes),
    )


def uniform_numbers(shape: tuple[int, ...], generator: torch.Generator) -> Iterator[Tensor]:
    """Yields tensors of uniform numbers in (0, 1) without end. The host generates them, so all devices get the same."""
    while True:
        ticks = torch.randint(1 << 23, shape, generator=generator)
        yield ((ticks.float() + 0.5) / (1 << 23)).to(runs.device())


def draw_index(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=generator))


def draw_subject(subjects: dict[str, list[int]], generator: torch.Generator) -> tuple[str, int]:
    """The name of one of a class's subjects, and one of the styles in which training shows it."""
    name, shown = list(subjects.items())[draw_index(len(subjects), generator)]
    return name, shown[draw_index(len(shown), generator)]


def class_conditions(dataset: Dataset, labels: Tensor, generator: torch.Generator) -> Tensor | Condition:
    """What the server tells the denoiser if a request names a class alone: for each image one of the class's subjects
    and one of the styles in which training shows it; the class alone if the denoiser was trained with classes alone."""
    if not dataset.styles:
        return labels

    names, styles = [], []
    for label in labels.tolist():
        name, style = draw_subject(dataset.subjects[label], generator)
        names.append(split_words(name))
        styles.append(style)
    return Condition(labels, torch.tensor(styles), dataset.vocabulary.encode(names))


def generate(model: GenerativeModel, labels: Tensor | Condition, settings: SamplingSettings, seed: int) -> Tensor:
    """Generates one image in -1..1 for each label or condition: (b, channels, size, size)."""
    generator = runs.generator(seed, RANDOM_STREAM)
    images = []
    starts = range(0, conditions.count(labels), BATCH)
    for start in tqdm(starts, f"samples w={settings.guidance:g} τ={settings.temperature:g}", unit="batch"):
        chunk = conditions.rows(labels, slice(start, start + BATCH))
        latents = model.latents(chunk, settings, generator)
        images.append(tokenizer_stage.decode_all(model.tokenizer, latents, runs.device()))
    return torch.cat(images)
