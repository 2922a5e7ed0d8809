"""Stage `codebook`: k-means over the increments of the trajectory.

The increments depend on the codebook, because each includes the previous step's quantization error. Clustering
therefore alternates with tokenizing. There is no gradient and no straight-through estimator, so the codebook cannot
collapse.
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

RANDOM_STREAM = 2
KMEANS_POINTS = 200_000  # increments used in one round of k-means


def kmeans(points: Tensor, centers: Tensor, iterations: int, generator: torch.Generator) -> Tensor:
    """Lloyd's algorithm. An empty cluster restarts at a random point."""
    for _ in range(iterations):
        assignment = trajectory.nearest(points, centers)
        counts = torch.bincount(assignment, minlength=len(centers))
        sums = torch.zeros_like(centers).index_add_(0, assignment, points)
        centers = sums / counts.clamp(min=1)[:, None]
        empty = (counts == 0).nonzero().flatten()
        centers[empty] = points[torch.randint(len(points), (len(empty),), generator=generator)]
    return centers


def latents(config: Config, folder: Path) -> tuple[Tensor, Tensor]:
    """Standardized latents (b, n, c) of the training and the test images.

    They are read from `latents.pt`, which stage `tokenizer` writes; if it is missing, it is computed and written.
    """
    path = folder / "latents.pt"
    if not path.exists():
        dataset, device = data.load(config.data, config.seed), runs.device()
        tokenizer = tokenizer_stage.trained(config, folder)
        parts = {
            "train": tokenizer_stage.encode_all(tokenizer, dataset.train, device),
            "test": tokenizer_stage.encode_all(tokenizer, dataset.test, device),
        }
        runs.save(path, parts)
    content = runs.load(path)
    return content["train"], content["test"]


def trained(folder: Path) -> Tensor:
    """The fitted codebook e (V, c) in `folder`."""
    return runs.load(folder / "codebook.pt")["codebook"]


def fit(config: Config, train_latents: Tensor) -> Tensor:
    """Fits the codebook e (V, c) for the configured trajectory to a random subset of the training latents (b, n, c)."""
    settings, codes = config.codebook, config.trajectory.codes
    s, generator = trajectory.schedule(config.trajectory), runs.generator(config.seed, RANDOM_STREAM)
    chosen = torch.randperm(len(train_latents), generator=generator)[: settings.images]
    v = train_latents[chosen]
    eps = trajectory.noise(config.trajectory, v.shape, generator)
    # Initial centers: increments of a trajectory without quantization error.
    ideal = (v - eps).flatten(0, 1) / config.trajectory.steps
    codebook = ideal[torch.randperm(len(ideal), generator=generator)[:codes]].clone()
    for _ in tqdm(range(settings.rounds), "codebook", unit="round"):
        increments = torch.cat([step.increment.flatten(0, 1) for step in trajectory.tokenize(v, eps, codebook, s)])
        points = increments[torch.randint(len(increments), (KMEANS_POINTS,), generator=generator)]
        codebook = kmeans(points, codebook, settings.iterations, generator)
    return codebook


def train(config: Config, folder: Path) -> None:
    train_latents, test_latents = latents(config, folder)
    start = time.monotonic()
    codebook = fit(config, train_latents)
    runs.save(folder / "codebook.pt", {"codebook": codebook})
    seconds = round(time.monotonic() - start)
    runs.report(folder, "codebook", {"seconds": seconds} | measure(config, folder, test_latents, codebook))


def measure(config: Config, folder: Path, test_latents: Tensor, codebook: Tensor) -> dict[str, object]:
    """Reconstruction quality of the test set after T quantized steps, and use of the codes."""
    s, device = trajectory.schedule(config.trajectory), runs.device()
    eps = trajectory.noise(config.trajectory, test_latents.shape, runs.generator(config.seed, RANDOM_STREAM, 1))
    perplexities, used = [], torch.zeros(len(codebook), dtype=torch.bool)
    z = eps
    for step in trajectory.tokenize(test_latents, eps, codebook, s):
        frequency = torch.bincount(step.codes.flatten(), minlength=len(codebook)).double()
        used |= frequency > 0
        frequency = frequency / frequency.sum()
        perplexities.append(round(torch.exp(-torch.xlogy(frequency, frequency).sum()).item(), 1))
        z = step.after
    tokenizer = tokenizer_stage.trained(config, folder)
    images = data.to_unit(data.load(config.data, config.seed).test.images)
    mse = {
        name: F.mse_loss(tokenizer_stage.decode_all(tokenizer, latent, device), images).item()
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
