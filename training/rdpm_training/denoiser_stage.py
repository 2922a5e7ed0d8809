"""Stage `denoiser`: trains the transformer with cross-entropy against the next step's codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from . import codebook_stage, data, dataloader, runs, trainer, trajectory
from .conditions import Condition, ConditionDropout, rows
from .config import Config, DenoiserConfig
from .denoiser import Denoiser

RANDOM_STREAM = 3


def build(config: Config, codebook: Tensor, classes: int, styles: int = 0, words: int = 0) -> Denoiser:
    """The configured transformer, untrained, for these numbers of classes, styles and words."""
    d = config.denoiser
    schedule = trajectory.schedule(config.trajectory)
    noise = config.trajectory.noise
    return Denoiser(codebook, schedule, config.positions, classes, d.width, d.layers, d.heads, noise, styles, words)


def trained(config: Config, folder: Path, classes: int) -> Denoiser:
    """The trained transformer in `folder`: EMA weights, folded as for export, in evaluation mode."""
    state = runs.load(folder / "denoiser.pt")["ema"]
    styles, words = (len(state[name]) - 1 if name in state else 0 for name in ("style.weight", "word.weight"))
    denoiser = build(config, codebook_stage.trained(folder), classes, styles, words)
    if "output" in state:  # restored from exported weights
        denoiser.fold()
    denoiser.load_state_dict(state)
    return denoiser.fold().eval().requires_grad_(False)


@torch.no_grad()
def inputs_and_targets(v: Tensor, eps: Tensor, t: Tensor, codebook: Tensor, s: list[float]) -> tuple[Tensor, Tensor]:
    """Inputs z_{t-1} (b, n, c) and targets C_t (b, n) of the denoiser at each image's own step t (b,)."""
    inputs, targets = torch.empty_like(v), torch.empty(v.shape[:2], dtype=torch.long, device=v.device)
    for step in trajectory.tokenize(v, eps, codebook, s):
        selected = (t == step.t)[:, None]
        inputs = torch.where(selected[:, :, None], step.before, inputs)
        targets = torch.where(selected, step.codes, targets)
    return inputs, targets


def fit(config: Config, folder: Path, dataset: data.Dataset) -> trainer.TrainingResult:
    """Trains the transformer on the latents and the codebook in `folder`, resuming a checkpoint if there is one.

    A transformer restored from `weights/NAME` or from a kept checkpoint continues at its number of updates, up to the
    configured number, with new optimizers.
    """
    settings, steps, device = config.denoiser, config.trajectory.steps, runs.device()
    latents, _ = codebook_stage.latents(config, folder)
    codebook = codebook_stage.trained(folder).to(device)
    s = trajectory.schedule(config.trajectory)
    torch.manual_seed(config.seed)  # initial weights
    styles, words = len(dataset.styles), len(dataset.vocabulary.words)
    denoiser = build(config, codebook.cpu(), len(dataset.classes), styles, words).to(device)
    generator, pretrained = runs.generator(config.seed, RANDOM_STREAM), None
    if state := pretrained_state(folder):
        load_averaged(denoiser, state["ema"])
        pretrained = (state["update"], state["seconds"])
        generator = runs.generator(config.seed, RANDOM_STREAM, state["update"])
    batches = dataloader.BatchSampler(len(latents), settings.batch_size, config.seed)

    def loss(forward: Callable[..., Tensor], update: int) -> Tensor:
        indices = batches.batch(update)
        v = latents[indices]
        eps = trajectory.noise(config.trajectory, v.shape, generator)
        t = sample_timesteps(len(v), steps, generator, v.device)
        y = sample_conditions(dataset.train, indices, denoiser, settings, generator)
        v, y, eps, t = v.to(device), y.to(device), eps.to(device), t.to(device)
        inputs, targets = inputs_and_targets(v, eps, t, codebook, s)
        with runs.autocast(device):
            logits = forward(inputs, t, y)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())

    return trainer.train(denoiser, loss, settings, folder / "denoiser.pt", generator, pretrained)


def sample_timesteps(count: int, steps: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Timesteps (count,) in 1..steps for a batch of shuffled images: each is random, and all are equally frequent."""
    first_step = torch.randint(steps, (1,), generator=generator, device=device)
    return 1 + (torch.arange(count, device=device) + first_step) % steps


def load_averaged(denoiser: Denoiser, ema: dict[str, Tensor]) -> None:
    """Loads EMA weights, folded or not, into an unfolded denoiser, to train it further."""
    if "output" in ema:
        denoiser.load_folded(ema)
    else:
        denoiser.load_state_dict(ema)


def sample_conditions(
    split: data.Split, indices: Tensor, denoiser: Denoiser, settings: DenoiserConfig, generator: torch.Generator | None
) -> Tensor | Condition:
    """Conditions for training on these images, with parts dropped at random."""
    y = split.label(indices)
    if split.descriptions is None:
        dropped = torch.rand(len(y), generator=generator, device=y.device) < settings.class_dropout
        return torch.where(dropped, denoiser.null_class, y)
    descriptions = split.descriptions[indices]
    words = descriptions.sample_words(denoiser.padding_word, generator)
    condition = Condition(y, descriptions.styles, words)
    dropout = ConditionDropout(
        settings.class_dropout, settings.style_dropout, settings.words_dropout, settings.condition_dropout
    )
    return dropout.apply(condition, denoiser.null_condition(condition), generator)


def known_conditions(split: data.Split) -> Tensor | Condition:
    """Full conditions of a split's images: the class and, if the data set has them, style and the words of the name."""
    if split.descriptions is None:
        return split.labels
    return Condition(split.labels, split.descriptions.styles, split.descriptions.names)


def pretrained_state(folder: Path) -> dict[str, Any] | None:
    """State written by stage `restore` (`ema`, `update`, `seconds`), or None once training has written a checkpoint."""
    path = folder / "denoiser.pt"
    state = runs.load(path) if path.exists() else {}
    return state if "update" in state and "model" not in state else None


def train(config: Config, folder: Path) -> None:
    dataset = data.load(config.data, config.seed)
    hardware = runs.hardware()
    if before := (runs.read_report(folder, "denoiser") or {}).get("hardware"):
        hardware = before if hardware in before else f"{before}, then {hardware}"
    result = fit(config, folder, dataset)
    _, test_latents = codebook_stage.latents(config, folder)
    codebook = codebook_stage.trained(folder).to(runs.device())
    losses = cross_entropy(config, result.ema, test_latents, known_conditions(dataset.test), codebook)
    runs.report(
        folder,
        "denoiser",
        {
            "parameters": sum(p.numel() for p in result.ema.parameters()),
            "updates": result.updates,
            "seconds": round(result.seconds),
            "hardware": hardware,
            "test_cross_entropy_per_step": [round(x, 4) for x in losses],
            "test_cross_entropy": round(sum(losses) / len(losses), 4),
        },
    )


@torch.no_grad()
def cross_entropy(
    config: Config,
    denoiser: Denoiser,
    latents: Tensor,
    labels: Tensor | Condition,
    codebook: Tensor,
    images: int = 2000,
) -> list[float]:
    """Mean cross-entropy in nats for t = 1 ... T on the first `images` latents."""
    device, s = codebook.device, trajectory.schedule(config.trajectory)
    v, y = latents[:images].to(device), rows(labels, slice(images)).to(device)
    eps = trajectory.noise(config.trajectory, v.shape, runs.generator(config.seed, RANDOM_STREAM, 1)).to(device)
    losses = []
    for step in trajectory.tokenize(v, eps, codebook, s):
        total = 0.0
        for start in range(0, len(v), 250):
            part = slice(start, start + 250)
            t = torch.full((len(v[part]),), step.t, device=device)
            logits = denoiser(step.before[part], t, rows(y, part))
            total += F.cross_entropy(logits.flatten(0, 1), step.codes[part].flatten(), reduction="sum").item()
        losses.append(total / step.codes.numel())
    return losses
