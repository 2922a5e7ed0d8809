"""Stage `tokenizer`: trains the VAE and computes the mean and standard deviation of its latents."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from . import data, dataloader, optimization, runs
from .config import Config
from .tokenizer import Tokenizer

RANDOM_STREAM = 1
SAVE_EVERY = 100


def build(config: Config) -> Tokenizer:
    """The configured networks, untrained."""
    t = config.tokenizer
    return Tokenizer(config.data.channels, t.widths, t.blocks, t.latent_channels, t.upsample_widths, t.upsample_blocks)


def trained(config: Config, folder: Path) -> Tokenizer:
    """The trained tokenizer in `folder`, in evaluation mode, with the decoder of stage `decoder` if that was run."""
    tokenizer = build(config)
    load_extended(tokenizer, runs.load(folder / "tokenizer.pt")["model"])
    if (folder / "decoder.pt").exists():
        tokenizer.decoder.load_state_dict(runs.load(folder / "decoder.pt")["model"])
    return tokenizer.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def load_extended(tokenizer: Tokenizer, state: dict[str, Tensor]) -> None:
    """Loads a tokenizer whose decoder may lack the levels of `upsample_widths`. These and the layers after them then
    stay untrained."""
    current = tokenizer.state_dict()
    upsample = [part for part in current if part.startswith(("decoder.up_full", "decoder.full_blocks"))]
    if any(name not in state for name in upsample):
        prefixes = ("decoder.up_full", "decoder.full_", "decoder.up_double", "decoder.double_", "decoder.norm.")
        untrained = (*prefixes, "decoder.out.")
        kept = {name: tensor for name, tensor in state.items() if not name.startswith(untrained)}
        state = {name: tensor for name, tensor in current.items() if name.startswith(untrained)} | kept
    tokenizer.load_state_dict(state)


@torch.no_grad()
def encode_all(tokenizer: Tokenizer, split: data.Split, device: torch.device, batch: int = 500) -> Tensor:
    """Standardized latents (b, n, c) of all images of a split, in order, in host memory."""
    tokenizer = tokenizer.to(device)
    parts = []
    for indices in torch.arange(len(split)).split(batch):
        images = split.batch(indices)[0].to(device).contiguous(memory_format=torch.channels_last)
        parts.append(tokenizer.encode(images).cpu())
    return torch.cat(parts)


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio in decibels for a mean squared error of values in -1..1 (peak to peak 2)."""
    return 10.0 * math.log10(4.0 / mse)


def reconstruction_loss(decoded: Tensor, images: Tensor, edge_weight: float) -> Tensor:
    """Mean absolute plus mean squared error, plus `edge_weight` times the mean absolute error of the image gradient.

    The last term makes a blurred edge cost more than a small error in a flat area.
    """
    error = F.l1_loss(decoded, images) + F.mse_loss(decoded, images)
    if edge_weight:
        difference = decoded - images
        gradient_error = difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
        error = error + edge_weight * gradient_error
    return error


def train(config: Config, folder: Path) -> None:
    settings, device = config.tokenizer, runs.device()
    dataset = data.load(config.data, config.seed)
    torch.manual_seed(config.seed)  # initial weights
    tokenizer = build(config).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(tokenizer.parameters(), settings.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    generator = runs.generator(config.seed, RANDOM_STREAM)
    checkpoint = runs.Checkpoint(folder / "tokenizer.pt", {"model": tokenizer, "optimizer": optimizer}, generator)
    batches = dataloader.BatchSampler(len(dataset.train), settings.batch_size, config.seed)

    start = checkpoint.next_update
    progress = tqdm(range(start, settings.updates), "tokenizer", settings.updates, initial=start, unit="update")
    for update in progress:
        optimization.set_learning_rate(optimizer, optimization.warmup_cosine(update, settings.updates))
        images = dataset.train.batch(batches.batch(update))[0].to(device)
        images = images.contiguous(memory_format=torch.channels_last)
        with runs.autocast(device):
            mean, log_variance = tokenizer.encoder(images)
            mean, log_variance = mean.float(), log_variance.float()
            # The posterior's noise, plus up to `latent_noise` standard deviations: sampled latents will differ from
            # encoded ones by the last step's quantization error.
            noise = torch.randn(2, *mean.shape, generator=generator).to(device)
            scale = torch.rand(len(mean), 1, 1, 1, generator=generator).to(device)
            spread = mean.detach().std(dim=(0, 2, 3), keepdim=True)
            latent = mean + (0.5 * log_variance).exp() * noise[0] + settings.latent_noise * scale * spread * noise[1]
            decoded = tokenizer.decoder(latent).float()
        error = reconstruction_loss(decoded, images, settings.edge_weight)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        loss = error + settings.kl_weight * divergence
        optimization.optimizer_step(loss, tokenizer, optimizer)
        if update % 10 == 0:
            progress.set_postfix(loss=f"{loss.item():.4f}", kl=f"{divergence.item():.3f}")
        if (update + 1) % SAVE_EVERY == 0:
            checkpoint.save(update + 1)

    tokenizer.eval()
    tokenizer.latent_mean.zero_()
    tokenizer.latent_std.fill_(1.0)
    latents = encode_all(tokenizer, dataset.train, device)
    mean, std = latents.mean((0, 1)), latents.flatten(0, 1).std(0)
    tokenizer.latent_mean.copy_(mean)
    tokenizer.latent_std.copy_(std)
    checkpoint.save(settings.updates)

    # Later stages read the standardized latents from this file.
    test_latents = encode_all(tokenizer, dataset.test, device)
    runs.save(folder / "latents.pt", {"train": (latents - mean) / std, "test": test_latents})
    decoded = decode_all(tokenizer, test_latents, device)
    mse = F.mse_loss(decoded, data.to_unit(dataset.test.images)).item()
    runs.report(
        folder,
        "tokenizer",
        {
            "parameters": sum(p.numel() for p in tokenizer.parameters()),
            "updates": settings.updates,
            "seconds": round(checkpoint.seconds()),
            "hardware": runs.hardware(),
            "test_mse": mse,
            "test_psnr_continuous_db": psnr(mse),
        },
    )


@torch.no_grad()
def decode_all(tokenizer: Tokenizer, latents: Tensor, device: torch.device, batch: int = 500) -> Tensor:
    """Decodes standardized latents (b, n, c) to images (b, channels, size, size) clamped to -1..1, in host memory."""
    tokenizer = tokenizer.to(device)
    return torch.cat([tokenizer.decode(chunk.to(device)).clamp(-1, 1).cpu() for chunk in latents.split(batch)])
