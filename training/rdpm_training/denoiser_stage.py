"""Stage `denoiser`: trains the transformer with cross-entropy against the next step's codes."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from . import codebook_stage, data, runs, trajectory
from .config import Config
from .denoiser import Denoiser
from .muon import Muon

STAGE = 3
SAVE_EVERY = 200


def build(config: Config, codebook: Tensor, classes: int) -> Denoiser:
    """The untrained transformer that the configuration describes."""
    d = config.denoiser
    schedule = trajectory.schedule(config.trajectory)
    return Denoiser(codebook, schedule, config.positions, classes, d.width, d.layers, d.heads)


def trained(config: Config, folder: Path, classes: int) -> Denoiser:
    """The averaged (EMA) transformer that this stage left in `folder`, ready for use."""
    denoiser = build(config, codebook_stage.trained(folder), classes)
    denoiser.load_state_dict(runs.load(folder / "denoiser.pt")["ema"])
    return denoiser.eval().requires_grad_(False)


def optimizers(config: Config, denoiser: Denoiser) -> tuple[Muon, torch.optim.AdamW]:
    """Muon for the matrices inside the blocks, Adam for everything else."""
    matrices = [p for p in denoiser.blocks.parameters() if p.ndim == 2]
    taken = {id(p) for p in matrices}
    rest = [p for p in denoiser.parameters() if id(p) not in taken]
    settings = config.denoiser
    return (
        Muon(matrices, lr=settings.muon_learning_rate),
        torch.optim.AdamW(rest, lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
    )


def rate(update: int, updates: int, warmup: int, decay: float) -> float:
    """Share of the learning rate: linear warm-up, a plateau, and a linear way down to zero.

    The plateau lets a run be prolonged from a checkpoint made before the way down began.
    """
    down = (updates - update) / max(1.0, decay * updates)
    return min(1.0, (update + 1) / warmup, down)


@torch.no_grad()
def pairs(v: Tensor, eps: Tensor, t: Tensor, codebook: Tensor, s: list[float]) -> tuple[Tensor, Tensor]:
    """What the denoiser sees and what it should say at each image's own step t (b,): z_{t-1} (b, n, c), C_t (b, n)."""
    seen, said = torch.empty_like(v), torch.empty(v.shape[:2], dtype=torch.long, device=v.device)
    for step in trajectory.tokenize(v, eps, codebook, s):
        here = t == step.t
        seen[here], said[here] = step.before[here], step.codes[here]
    return seen, said


def train(config: Config, folder: Path) -> None:
    settings, steps, on = config.denoiser, config.trajectory.steps, runs.device()
    dataset = data.load(config.data, config.seed)
    train_latents, test_latents = codebook_stage.latents(config, folder)
    codebook = codebook_stage.trained(folder).to(on)
    s = trajectory.schedule(config.trajectory)
    torch.manual_seed(config.seed)  # initial weights
    denoiser = build(config, codebook.cpu(), len(dataset.classes)).to(on)
    average = copy.deepcopy(denoiser).requires_grad_(False)
    forward = torch.compile(denoiser) if settings.compile else denoiser
    muon, adam = optimizers(config, denoiser)
    random = runs.generator(config.seed, STAGE)
    parts = {"model": denoiser, "ema": average, "muon": muon, "adam": adam}
    checkpoint = runs.Checkpoint(folder / "denoiser.pt", parts, random)
    epochs = runs.Epochs(len(train_latents), settings.batch_size, config.seed)

    first = checkpoint.first
    progress = tqdm(range(first, settings.updates), "denoiser", settings.updates, initial=first, unit="update")
    running = None
    for update in progress:
        share = rate(update, settings.updates, settings.warmup, settings.decay)
        for optimizer in (muon, adam):
            runs.set_rate(optimizer, share)
        indices = epochs.batch(update)
        v, y = train_latents[indices], dataset.train.labels[indices]
        eps = torch.randn(v.shape, generator=random)
        # Every batch holds all timesteps equally often (the images are shuffled, so which image gets which is random).
        first_step = torch.randint(steps, (1,), generator=random)
        t = 1 + (torch.arange(len(v)) + first_step) % steps
        dropped = torch.rand(len(v), generator=random) < settings.class_dropout
        y = torch.where(dropped, denoiser.null_class, y)
        v, y, eps, t = v.to(on), y.to(on), eps.to(on), t.to(on)
        seen, said = pairs(v, eps, t, codebook, s)
        with runs.autocast(on):
            logits = forward(seen, t, y)
        loss = F.cross_entropy(logits.float().flatten(0, 1), said.flatten())
        runs.descend(loss, denoiser, muon, adam)
        decay = min(settings.ema, (1 + update) / (10 + update))
        for kept, new in zip(average.parameters(), denoiser.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)
        if update % 10 == 0:
            running = loss.item() if running is None else 0.9 * running + 0.1 * loss.item()
            progress.set_postfix(loss=f"{running:.4f}")
        if (update + 1) % SAVE_EVERY == 0:
            checkpoint.save(update + 1)
    checkpoint.save(settings.updates)

    losses = cross_entropy(config, average, test_latents, dataset.test.labels, codebook)
    runs.report(
        folder,
        "denoiser",
        {
            "parameters": sum(p.numel() for p in denoiser.parameters()),
            "updates": settings.updates,
            "seconds": round(checkpoint.seconds()),
            "hardware": runs.hardware(),
            "test_cross_entropy_per_step": [round(x, 4) for x in losses],
            "test_cross_entropy": round(sum(losses) / len(losses), 4),
        },
    )


@torch.no_grad()
def cross_entropy(
    config: Config, denoiser: Denoiser, latents: Tensor, labels: Tensor, codebook: Tensor, images: int = 2000
) -> list[float]:
    """Mean cross-entropy in nats for t = 1 ... T on the first `images` latents."""
    on, s = codebook.device, trajectory.schedule(config.trajectory)
    v, y = latents[:images].to(on), labels[:images].to(on)
    eps = torch.randn(v.shape, generator=runs.generator(config.seed, STAGE, 1)).to(on)
    losses = []
    for step in trajectory.tokenize(v, eps, codebook, s):
        total = 0.0
        for start in range(0, len(v), 250):
            part = slice(start, start + 250)
            t = torch.full((len(v[part]),), step.t, device=on)
            logits = denoiser(step.before[part], t, y[part])
            total += F.cross_entropy(logits.flatten(0, 1), step.codes[part].flatten(), reduction="sum").item()
        losses.append(total / step.codes.numel())
    return losses
