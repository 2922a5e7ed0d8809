"""The baseline: MaskGIT (Chang et al. 2022, arXiv 2202.04200), masked prediction of the latent's codes.

The latent v is quantized once, to codes (b, n, L). L = 1 is the paper's single codebook; L > 1 are the levels of a
residual quantizer, which gives the tokens as many bits as RDPM's tokens have over all steps. The rest is the same as
for RDPM: the autoencoder, the transformer (its inputs are partly masked tokens instead of z and t), the training loop,
the guidance, and the number of forward passes per image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import codebook_stage, data, dataloader, generation, residual_quantizer, runs, sampler, tokenizer_stage, trainer
from .config import Config
from .denoiser import Denoiser
from .sampler import SamplingSettings
from .tokenizer import Tokenizer

RANDOM_STREAM = 10


class MaskGit(Denoiser):
    """Predicts logits of all codes from the unmasked ones."""

    values: Tensor

    def __init__(self, codebooks: Tensor, positions: int, classes: int, width: int, layers: int, heads: int) -> None:
        # One table holds the codes of all levels; there is a single timestep.
        super().__init__(codebooks.flatten(0, 1), [0.0, 1.0], positions, classes, width, layers, heads)
        self.levels, self.codes = codebooks.shape[:2]
        self.register_buffer("values", codebooks.flatten(0, 1), persistent=False)
        self.mask = nn.Parameter(0.02 * torch.randn(self.levels, width))

    def forward(self, tokens: Tensor, masked: Tensor, y: Tensor) -> Tensor:
        """Codes and their mask, both (b, n, L), and classes or `null_class` (b,): logits (b, n, L, V)."""
        rows = tokens + self.codes * torch.arange(self.levels, device=tokens.device)
        known = ~masked[..., None]
        # The inputs are the sum of the known code vectors, like z for the denoiser, and the codes' output rows.
        latent = (self.values[rows] * known).sum(2)
        embedded = torch.where(known, F.embedding(rows, self.output_weight()), self.mask).sum(2)
        logits = self.logits_from_embeddings(self.input(latent) + embedded, torch.ones_like(y), y)
        return logits.unflatten(-1, (self.levels, self.codes))


def masked_count(progress: float, count: int) -> int:
    """Number of masked tokens out of `count` at a progress of 0 ... 1 (cosine schedule)."""
    return math.floor(count * math.cos(0.5 * math.pi * progress))


@dataclass(frozen=True)
class Step:
    """One step of a batch: t, codes (b, n, L), and which of them are still masked."""

    t: int
    tokens: Tensor
    masked: Tensor


@torch.no_grad()
def sample(
    network: MaskGit,
    steps: int,
    labels: Tensor,
    uniforms: Iterator[Tensor],
    settings: SamplingSettings,
) -> Iterator[Step]:
    """Samples codes for classes `labels` (b,). Yields steps t = 1 ... T.

    Each step samples all masked codes and keeps those with the greatest confidence: log-probability plus Gumbel noise
    that decreases with the steps. `uniforms` yields (b, n L, V + 1) uniform numbers in (0, 1): V for a code, one for
    that noise.
    """
    shape = (len(labels), network.position.shape[0], network.levels)
    tokens = torch.zeros(shape, dtype=torch.long, device=labels.device)
    masked = torch.ones_like(tokens, dtype=torch.bool)
    remaining = masked[0].numel()
    for t in range(1, steps + 1):
        logits = sampler.guided_logits(network, (tokens, masked), labels, settings.guidance_at(t)).float()
        numbers = next(uniforms).unflatten(1, shape[1:])
        sampled = sampler.sample_codes(logits, numbers[..., :-1], settings)
        tokens = torch.where(masked, sampled, tokens)
        confidence = logits.log_softmax(-1).gather(-1, sampled[..., None]).squeeze(-1)
        confidence = confidence - settings.choice * (1 - t / steps) * torch.log(-torch.log(numbers[..., -1]))
        # Every step unmasks at least one code, until none is masked.
        remaining = max(0, min(masked_count(t / steps, masked[0].numel()), remaining - 1))
        ranks = confidence.masked_fill(~masked, torch.inf).flatten(1).argsort(1).argsort(1)
        masked = (ranks < remaining).view(shape)
        yield Step(t, tokens, masked)


def random_mask(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """A training mask (b, n, L): in each image a random fraction from the cosine schedule, at least one code."""
    count = shape[1:].numel()
    masked = torch.tensor([max(1, masked_count(u, count)) for u in torch.rand(shape[0], generator=generator).tolist()])
    ranks = torch.rand(shape[0], count, generator=generator).argsort(1).argsort(1)
    return (ranks < masked[:, None]).view(shape)


def build(config: Config, codebooks: Tensor, classes: int) -> MaskGit:
    """The untrained transformer, with the denoiser's configured size."""
    d = config.denoiser
    return MaskGit(codebooks, config.positions, classes, d.width, d.layers, d.heads)


def fit(config: Config, folder: Path, dataset: data.Dataset) -> trainer.TrainingResult:
    """Trains the transformer on the latents and the codebooks in `folder`, resuming a checkpoint if there is one."""
    settings, device = config.denoiser, runs.device()
    latents, _ = codebook_stage.latents(config, folder)
    codebooks = codebook_stage.trained(folder).to(device)
    torch.manual_seed(config.seed)  # initial weights
    network = build(config, codebooks.cpu(), len(dataset.classes)).to(device)
    generator = runs.generator(config.seed, RANDOM_STREAM, 1)
    batches = dataloader.BatchSampler(len(latents), settings.batch_size, config.seed)

    def loss(forward: Callable[..., Tensor], update: int) -> Tensor:
        indices = batches.batch(update)
        tokens = residual_quantizer.encode(latents[indices].to(device), codebooks)
        y = dataset.train.label(indices)
        dropped = torch.rand(len(y), generator=generator) < settings.class_dropout
        y = torch.where(dropped, network.null_class, y).to(device)
        masked = random_mask(tokens.shape, generator).to(device)
        with runs.autocast(device):
            logits = forward(tokens, masked, y)
        return F.cross_entropy(logits.float()[masked], tokens[masked])

    return trainer.train(network, loss, settings, folder / "denoiser.pt", generator)


@dataclass
class MaskGitModel:
    """A trained MaskGIT: tokenizer, codebooks and transformer. A `generation.GenerativeModel`."""

    config: Config
    tokenizer: Tokenizer
    codebooks: Tensor
    network: MaskGit

    def latents(self, labels: Tensor, settings: SamplingSettings, generator: torch.Generator) -> Tensor:
        device, steps = runs.device(), self.config.trajectory.steps
        network, codebooks = self.network.to(device), self.codebooks.to(device)
        count = self.config.positions * network.levels
        uniforms = generation.uniform_numbers((len(labels), count, network.codes + 1), generator)
        with runs.autocast(device):
            *_, last = sample(network, steps, labels.to(device), uniforms, settings)
        return residual_quantizer.decode(last.tokens, codebooks)


def load(config: Config, folder: Path, classes: int) -> MaskGitModel:
    """Loads the trained model from `folder`."""
    codebooks = codebook_stage.trained(folder)
    network = build(config, codebooks, classes)
    network.load_state_dict(runs.load(folder / "denoiser.pt")["ema"])
    network.eval().requires_grad_(False)
    return MaskGitModel(config, tokenizer_stage.trained(config, folder), codebooks, network)
