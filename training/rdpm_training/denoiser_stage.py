"""Stage `denoiser`: trains the transformer with cross-entropy against the next step's codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from . import codebook_stage, data, runs, trainer, trajectory
from .conditions import Condition, Dropout, rows
from .config import Config
from .config import Denoiser as Settings
from .denoiser import Denoiser

STAGE = 3


def build(config: Config, codebook: Tensor, classes: int, styles: int = 0, words: int = 0) -> Denoiser:
    """The untrained transformer that the configuration describes, for so many classes, styles and words."""
    d = config.denoiser
    schedule = trajectory.schedule(config.trajectory)
    noise = config.trajectory.noise
    return Denoiser(codebook, schedule, config.positions, classes, d.width, d.layers, d.heads, noise, styles, words)


def trained(config: Config, folder: Path, classes: int) -> Denoiser:
    """The averaged (EMA) transformer that this stage left in `folder`, ready for use and as it is exported."""
    state = runs.load(folder / "denoiser.pt")["ema"]
    styles, words = (len(state[name]) - 1 if name in state else 0 for name in ("style.weight", "word.weight"))
    denoiser = build(config, codebook_stage.trained(folder), classes, styles, words)
    if "output" in state:  # it was restored from what was exported
        denoiser.fold()
    denoiser.load_state_dict(state)
    return denoiser.fold().eval().requires_grad_(False)


@torch.no_grad()
def pairs(v: Tensor, eps: Tensor, t: Tensor, codebook: Tensor, s: list[float]) -> tuple[Tensor, Tensor]:
    """What the denoiser sees and what it should say at each image's own step t (b,): z_{t-1} (b, n, c), C_t (b, n)."""
    seen, said = torch.empty_like(v), torch.empty(v.shape[:2], dtype=torch.long, device=v.device)
    for step in trajectory.tokenize(v, eps, codebook, s):
        here = t == step.t
        seen[here], said[here] = step.before[here], step.codes[here]
    return seen, said


def learn(config: Config, folder: Path, dataset: data.Dataset) -> trainer.Outcome:
    """Trains the transformer on the latents and the codebook in `folder`, or goes on with it.

    A transformer that was restored from `weights/NAME` is trained from the updates it had taken to those that the
    configuration asks for. Its optimizers are new: a weights folder has none.
    """
    settings, steps, on = config.denoiser, config.trajectory.steps, runs.device()
    latents, _ = codebook_stage.latents(config, folder)
    codebook = codebook_stage.trained(folder).to(on)
    s = trajectory.schedule(config.trajectory)
    torch.manual_seed(config.seed)  # initial weights
    styles, words = len(dataset.styles), len(dataset.vocabulary.words)
    denoiser = build(config, codebook.cpu(), len(dataset.classes), styles, words).to(on)
    random, origin = runs.generator(config.seed, STAGE), None
    if state := restored(folder):
        denoiser.adopt(state["ema"]) if "output" in state["ema"] else denoiser.load_state_dict(state["ema"])
        origin = (state["update"], state["seconds"])
        random = runs.generator(config.seed, STAGE, state["update"])
    epochs = runs.Epochs(len(latents), settings.batch_size, config.seed)

    def loss(forward: Callable[..., Tensor], update: int) -> Tensor:
        indices = epochs.batch(update)
        v = latents[indices]
        eps = trajectory.noise(config.trajectory, v.shape, random)
        # Every batch holds all timesteps equally often (the images are shuffled, so which image gets which is random).
        first_step = torch.randint(steps, (1,), generator=random)
        t = 1 + (torch.arange(len(v)) + first_step) % steps
        y = told(dataset.train, indices, denoiser, settings, random)
        v, y, eps, t = v.to(on), y.to(on), eps.to(on), t.to(on)
        seen, said = pairs(v, eps, t, codebook, s)
        with runs.autocast(on):
            logits = forward(seen, t, y)
        return F.cross_entropy(logits.float().flatten(0, 1), said.flatten())

    return trainer.train(denoiser, loss, settings, folder / "denoiser.pt", random, origin)


def told(
    split: data.Split, indices: Tensor, denoiser: Denoiser, settings: Settings, random: torch.Generator
) -> Tensor | Condition:
    """What training tells the denoiser of some pictures: each part is dropped now and then."""
    y = split.label(indices)
    if split.descriptions is None:
        dropped = torch.rand(len(y), generator=random) < settings.class_dropout
        return torch.where(dropped, denoiser.null_class, y)
    described = split.descriptions[indices]
    condition = Condition(y, described.styles, described.sampled(denoiser.padding, random))
    dropout = Dropout(
        settings.class_dropout, settings.style_dropout, settings.words_dropout, settings.condition_dropout
    )
    return dropout.apply(condition, denoiser.null(condition), random)


def named(split: data.Split) -> Tensor | Condition:
    """All that is known of a split's pictures: class, and where they have them, style and the words of their names."""
    if split.descriptions is None:
        return split.labels
    return Condition(split.labels, split.descriptions.styles, split.descriptions.names)


def restored(folder: Path) -> dict[str, Any] | None:
    """What stage `restore` left here to go on from (`ema`, `update`, `seconds`), until training has."""
    path = folder / "denoiser.pt"
    state = runs.load(path) if path.exists() else {}
    return state if "update" in state and "model" not in state else None


def train(config: Config, folder: Path) -> None:
    dataset = data.load(config.data, config.seed)
    hardware = runs.hardware()
    if before := (runs.read_report(folder, "denoiser") or {}).get("hardware"):
        hardware = before if hardware in before else f"{before}, then {hardware}"
    outcome = learn(config, folder, dataset)
    _, test_latents = codebook_stage.latents(config, folder)
    codebook = codebook_stage.trained(folder).to(runs.device())
    losses = cross_entropy(config, outcome.average, test_latents, named(dataset.test), codebook)
    runs.report(
        folder,
        "denoiser",
        {
            "parameters": sum(p.numel() for p in outcome.average.parameters()),
            "updates": outcome.updates,
            "seconds": round(outcome.seconds),
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
    on, s = codebook.device, trajectory.schedule(config.trajectory)
    v, y = latents[:images].to(on), rows(labels, slice(images)).to(on)
    eps = trajectory.noise(config.trajectory, v.shape, runs.generator(config.seed, STAGE, 1)).to(on)
    losses = []
    for step in trajectory.tokenize(v, eps, codebook, s):
        total = 0.0
        for start in range(0, len(v), 250):
            part = slice(start, start + 250)
            t = torch.full((len(v[part]),), step.t, device=on)
            logits = denoiser(step.before[part], t, rows(y, part))
            total += F.cross_entropy(logits.flatten(0, 1), step.codes[part].flatten(), reduction="sum").item()
        losses.append(total / step.codes.numel())
    return losses
