"""Stage `decoder`: fine-tunes the decoder on what it will meet, latents after T quantized steps.

Stage `tokenizer` can only guess at the quantization error; with the codebook there it is known. Encoder, codebook and
with them all tokens stay as they are, so this may be run before or after `denoiser`.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from tqdm import tqdm

from . import codebook_stage, data, runs, tokenizer_stage, trajectory
from .config import Config

STAGE = 4
SAVE_EVERY = 250


def train(config: Config, folder: Path) -> None:
    settings, on = config.decoder, runs.device()
    dataset = data.load(config.data, config.seed)
    latents, test_latents = codebook_stage.latents(config, folder)
    codebook = codebook_stage.trained(folder).to(on)
    s = trajectory.schedule(config.trajectory)
    tokenizer = tokenizer_stage.trained(config, folder).to(on)
    decoder = tokenizer.decoder.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(decoder.parameters(), settings.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    random = runs.generator(config.seed, STAGE)
    checkpoint = runs.Checkpoint(folder / "decoder.pt", {"model": decoder, "optimizer": optimizer}, random)
    epochs = runs.Epochs(len(latents), settings.batch_size, config.seed + STAGE)
    first = checkpoint.first
    progress = tqdm(range(first, settings.updates), "decoder", settings.updates, initial=first, unit="update")
    for update in progress:
        runs.set_rate(optimizer, runs.warm_cosine(update, settings.updates))
        indices = epochs.batch(update)
        v = latents[indices]
        eps = torch.randn(v.shape, generator=random)
        z = trajectory.last(v.to(on), eps.to(on), codebook, s)
        images = data.to_unit(dataset.train.images[indices].to(on)).contiguous(memory_format=torch.channels_last)
        with runs.autocast(on):
            decoded = tokenizer.decode(z).float()
        loss = F.l1_loss(decoded, images) + F.mse_loss(decoded, images)
        runs.descend(loss, decoder, optimizer)
        if update % 10 == 0:
            progress.set_postfix(loss=f"{loss.item():.4f}")
        if (update + 1) % SAVE_EVERY == 0:
            checkpoint.save(update + 1)
    checkpoint.save(settings.updates)
    report = {"updates": settings.updates, "seconds": round(checkpoint.seconds()), "hardware": runs.hardware()}
    runs.report(folder, "decoder", report | codebook_stage.measure(config, folder, test_latents, codebook.cpu()))
