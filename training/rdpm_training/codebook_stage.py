"""Stage `codebook`: k-means over the increments of the trajectory, refined on the trajectory itself.

The increments depend on the codebook (each holds the former step's quantization error), so clustering alternates with
tokenizing again. No gradient, no straight-through estimator, nothing that could collapse.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from . import data, runs, tokenizer_stage, trajectory
from .config import Config

STAGE = 2
SAMPLE = 200_000  # increments that one round of k-means looks at


def kmeans(points: Tensor, centers: Tensor, iterations: int, random: torch.Generator) -> Tensor:
    """Lloyd's algorithm. A center that loses all its points starts again at a random point."""
    for _ in range(iterations):
        owner = trajectory.nearest(points, centers)
        counts = torch.bincount(owner, minlength=len(centers))
        sums = torch.zeros_like(centers).index_add_(0, owner, points)
        centers = sums / counts.clamp(min=1)[:, None]
        empty = (counts == 0).nonzero().flatten()
        centers[empty] = points[torch.randint(len(points), (len(empty),), generator=random)]
    return centers


def latents(config: Config, folder: Path) -> tuple[Tensor, Tensor]:
    """Standardized latents (b, n, c) of the training and the test images: kept by stage `tokenizer`, else made here."""
    path = folder / "latents.pt"
    if not path.exists():
        dataset, on = data.load(config.data, config.seed), runs.device()
        tokenizer = tokenizer_stage.trained(config, folder)
        parts = {
            "train": tokenizer_stage.encode_all(tokenizer, dataset.train, on),
            "test": tokenizer_stage.encode_all(tokenizer, dataset.test, on),
        }
        runs.save(path, parts)
    kept = runs.load(path)
    return kept["train"], kept["test"]


def trained(folder: Path) -> Tensor:
    """The codebook e (V, c) that this stage left in `folder`."""
    return runs.load(folder / "codebook.pt")["codebook"]


def fit(config: Config, train_latents: Tensor) -> Tensor:
    """The codebook e (V, c) for the configuration's trajectory, from some of the training latents (b, n, c)."""
    settings, codes = config.codebook, config.trajectory.codes
    s, random = trajectory.schedule(config.trajectory), runs.generator(config.seed, STAGE)
    chosen = torch.randperm(len(train_latents), generator=random)[: settings.images]
    v = train_latents[chosen]
    eps = trajectory.noise(config.trajectory, v.shape, random)
    # The first centers cover the increments that a perfect quantizer would meet.
    ideal = (v - eps).flatten(0, 1) / config.trajectory.steps
    codebook = ideal[torch.randperm(len(ideal), generator=random)[:codes]].clone()
    for _ in tqdm(range(settings.rounds), "codebook", unit="round"):
        increments = torch.cat([step.increment.flatten(0, 1) for step in trajectory.tokenize(v, eps, codebook, s)])
        points = increments[torch.randint(len(increments), (SAMPLE,), generator=random)]
        codebook = kmeans(points, codebook, settings.iterations, random)
    return codebook


def train(config: Config, folder: Path) -> None:
    train_latents, test_latents = latents(config, folder)
    start = time.monotonic()
    codebook = fit(config, train_latents)
    runs.save(folder / "codebook.pt", {"codebook": codebook})
    seconds = round(time.monotonic() - start)
    runs.report(folder, "codebook", {"seconds": seconds} | measure(config, folder, test_latents, codebook))


def measure(config: Config, folder: Path, test_latents: Tensor, codebook: Tensor) -> dict[str, object]:
    """How well T quantized steps render the test set, and how the codes are used."""
    s, on = trajectory.schedule(config.trajectory), runs.device()
    eps = trajectory.noise(config.trajectory, test_latents.shape, runs.generator(config.seed, STAGE, 1))
    perplexities, used = [], torch.zeros(len(codebook), dtype=torch.bool)
    z = eps
    for step in trajectory.tokenize(test_latents, eps, codebook, s):
        share = torch.bincount(step.codes.flatten(), minlength=len(codebook)).double()
        used |= share > 0
        share = share / share.sum()
        perplexities.append(round(torch.exp(-torch.xlogy(share, share).sum()).item(), 1))
        z = step.after
    tokenizer = tokenizer_stage.trained(config, folder)
    images = data.to_unit(data.load(config.data, config.seed).test.images)
    mse = {
        name: F.mse_loss(tokenizer_stage.decode_all(tokenizer, latent, on), images).item()
        for name, latent in (("continuous", test_latents), ("quantized", z))
    }
    return {
        "codes_used": int(used.sum()),
        "codes": len(codebook),
        "perplexity_per_step": perplexities,
        "latent_mse_after_T_steps": F.mse_loss(z, test_latents).item(),
        "test_psnr_continuous_db": tokenizer_stage.psnr(mse["continuous"]),
        "test_psnr_quantized_db": tokenizer_stage.psnr(mse["quantized"]),
    }
