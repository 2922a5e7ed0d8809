"""The reference: MaskGIT (Chang et al. 2022, arXiv 2202.04200), masked prediction of the final latent's codes.

The latent v is quantized once, to codes (b, n, L): L = 1 is the paper's plain codebook; more are the levels of a
residual quantizer, which gives the tokens as many bits as RDPM's have in all its steps. Everything else is as equal as
can be: the same autoencoder, the same transformer (it sees tokens, some masked, in place of z and t), the same trainer,
the same guidance, the same number of passes to draw an image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import codebook_stage, data, drawing, residual, runs, sampler, tokenizer_stage, trainer
from .config import Config
from .denoiser import Denoiser
from .sampler import Settings
from .tokenizer import Tokenizer

STAGE = 10


class MaskGit(Denoiser):
    """Logits of all codes, from those that are known."""

    values: Tensor

    def __init__(self, codebooks: Tensor, positions: int, classes: int, width: int, layers: int, heads: int) -> None:
        # One table holds the codes of all levels, and a single timestep stands for all.
        super().__init__(codebooks.flatten(0, 1), [0.0, 1.0], positions, classes, width, layers, heads)
        self.levels, self.codes = codebooks.shape[:2]
        self.register_buffer("values", codebooks.flatten(0, 1), persistent=False)
        self.mask = nn.Parameter(0.02 * torch.randn(self.levels, width))

    def forward(self, tokens: Tensor, masked: Tensor, y: Tensor) -> Tensor:
        """Codes and which of them are hidden, both (b, n, L), a class or `null_class` (b,): logits (b, n, L, V)."""
        rows = tokens + self.codes * torch.arange(self.levels, device=tokens.device)
        known = ~masked[..., None]
        # What is known of the latent, as the denoiser sees z; and the codes themselves, by their rows of the output.
        latent = (self.values[rows] * known).sum(2)
        embedded = torch.where(known, F.embedding(rows, self.output_weight()), self.mask).sum(2)
        logits = self.transform(self.input(latent) + embedded, torch.ones_like(y), y)
        return logits.unflatten(-1, (self.levels, self.codes))


def hidden(progress: float, count: int) -> int:
    """How many of `count` tokens are masked at a progress of 0 ... 1: the cosine schedule."""
    return math.floor(count * math.cos(0.5 * math.pi * progress))


@dataclass(frozen=True)
class Step:
    """One step of all images: t, codes (b, n, L), and which of them are still to come."""

    t: int
    tokens: Tensor
    masked: Tensor


@torch.no_grad()
def sample(
    network: MaskGit,
    steps: int,
    labels: Tensor,
    uniforms: Iterator[Tensor],
    settings: Settings,
) -> Iterator[Step]:
    """Draws codes of images of classes `labels` (b,): yields t = 1 ... T.

    Each step draws all masked codes and keeps those with the greatest confidence: log-probability plus Gumbel noise
    that fades with the steps. `uniforms` yields (b, n L, V + 1) numbers of (0, 1): for the codes, and for that noise.
    """
    shape = (len(labels), network.position.shape[0], network.levels)
    tokens = torch.zeros(shape, dtype=torch.long, device=labels.device)
    masked = torch.ones_like(tokens, dtype=torch.bool)
    left = masked[0].numel()
    for t in range(1, steps + 1):
        logits = sampler.guided(network, (tokens, masked), labels, settings.guidance).float()
        numbers = next(uniforms).unflatten(1, shape[1:])
        drawn = sampler.choose(logits, numbers[..., :-1], settings)
        tokens = torch.where(masked, drawn, tokens)
        confidence = logits.log_softmax(-1).gather(-1, drawn[..., None]).squeeze(-1)
        confidence = confidence - settings.choice * (1 - t / steps) * torch.log(-torch.log(numbers[..., -1]))
        # At least one more is known after each step, until all are.
        left = max(0, min(hidden(t / steps, masked[0].numel()), left - 1))
        ranks = confidence.masked_fill(~masked, torch.inf).flatten(1).argsort(1).argsort(1)
        masked = (ranks < left).view(shape)
        yield Step(t, tokens, masked)


def mask(shape: torch.Size, random: torch.Generator) -> Tensor:
    """Which codes (b, n, L) to hide in training: in each image a share from the cosine schedule, at least one."""
    count = shape[1:].numel()
    hide = torch.tensor([max(1, hidden(u, count)) for u in torch.rand(shape[0], generator=random).tolist()])
    ranks = torch.rand(shape[0], count, generator=random).argsort(1).argsort(1)
    return (ranks < hide[:, None]).view(shape)


def build(config: Config, codebooks: Tensor, classes: int) -> MaskGit:
    """The untrained transformer, of the size that the configuration gives the denoiser."""
    d = config.denoiser
    return MaskGit(codebooks, config.positions, classes, d.width, d.layers, d.heads)


def learn(config: Config, folder: Path, dataset: data.Dataset) -> trainer.Outcome:
    """Trains the transformer on the latents and the codebooks in `folder`, or goes on with it."""
    settings, on = config.denoiser, runs.device()
    latents, _ = codebook_stage.latents(config, folder)
    codebooks = codebook_stage.trained(folder).to(on)
    torch.manual_seed(config.seed)  # initial weights
    network = build(config, codebooks.cpu(), len(dataset.classes)).to(on)
    random = runs.generator(config.seed, STAGE, 1)
    epochs = runs.Epochs(len(latents), settings.batch_size, config.seed)

    def loss(forward: Callable[..., Tensor], update: int) -> Tensor:
        indices = epochs.batch(update)
        tokens = residual.encode(latents[indices].to(on), codebooks)
        y = dataset.train.label(indices)
        dropped = torch.rand(len(y), generator=random) < settings.class_dropout
        y = torch.where(dropped, network.null_class, y).to(on)
        masked = mask(tokens.shape, random).to(on)
        with runs.autocast(on):
            logits = forward(tokens, masked, y)
        return F.cross_entropy(logits.float()[masked], tokens[masked])

    return trainer.train(network, loss, settings, folder / "denoiser.pt", random)


@dataclass
class Reference:
    """A trained reference, all its parts; `drawing.Model`."""

    config: Config
    tokenizer: Tokenizer
    codebooks: Tensor
    network: MaskGit

    def latents(self, labels: Tensor, settings: Settings, random: torch.Generator) -> Tensor:
        on, steps = runs.device(), self.config.trajectory.steps
        network, codebooks = self.network.to(on), self.codebooks.to(on)
        count = self.config.positions * network.levels
        numbers = drawing.uniforms((len(labels), count, network.codes + 1), random)
        with runs.autocast(on):
            *_, last = sample(network, steps, labels.to(on), numbers, settings)
        return residual.decode(last.tokens, codebooks)


def reference(config: Config, folder: Path, classes: int) -> Reference:
    """The trained model that `learn` left in `folder`."""
    codebooks = codebook_stage.trained(folder)
    network = build(config, codebooks, classes)
    network.load_state_dict(runs.load(folder / "denoiser.pt")["ema"])
    network.eval().requires_grad_(False)
    return Reference(config, tokenizer_stage.trained(config, folder), codebooks, network)
