"""Stage `decoder`: fine-tunes the decoder on what it will meet, latents after T quantized steps.

Stage `tokenizer` can only guess at the quantization error; with the codebook there it is known. Encoder, codebook and
with them all tokens stay as they are, so this may be run before or after `denoiser`.

The mean of all images that a latent may stand for is a blurred one, and absolute and squared errors ask for such means.
With `adversarial_weight` a discriminator learns beside the decoder and asks for one image that could be real.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tqdm import tqdm

from . import codebook_stage, data, runs, tokenizer_stage, trajectory
from .config import Config
from .discriminator import Discriminator, decoder_losses, discriminator_loss

STAGE = 4
SAVE_EVERY = 100


def train(config: Config, folder: Path) -> None:
    settings, on = config.decoder, runs.device()
    dataset = data.load(config.data, config.seed)
    latents, test_latents = codebook_stage.latents(config, folder)
    codebook = codebook_stage.trained(folder).to(on)
    s = trajectory.schedule(config.trajectory)
    tokenizer = tokenizer_stage.trained(config, folder).to(on)
    decoder = tokenizer.decoder.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(decoder.parameters(), settings.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    torch.manual_seed(config.seed + STAGE)  # the discriminator's initial weights
    discriminator = Discriminator(config.data.channels).to(on, memory_format=torch.channels_last)
    opponent = torch.optim.AdamW(discriminator.parameters(), settings.learning_rate, betas=(0.5, 0.99))
    random = runs.generator(config.seed, STAGE)
    parts: dict[str, runs.Stateful] = {"model": decoder, "optimizer": optimizer}
    if settings.adversarial_weight:
        parts |= {"discriminator": discriminator, "opponent": opponent}
    checkpoint = runs.Checkpoint(folder / "decoder.pt", parts, random)
    epochs = runs.Epochs(len(latents), settings.batch_size, config.seed + STAGE)
    first = checkpoint.first
    progress = tqdm(range(first, settings.updates), "decoder", settings.updates, initial=first, unit="update")
    for update in progress:
        for learner in (optimizer, opponent):
            runs.set_rate(learner, runs.warm_cosine(update, settings.updates))
        indices = epochs.batch(update)
        v = latents[indices]
        eps = trajectory.noise(config.trajectory, v.shape, random)
        z = trajectory.last(v.to(on), eps.to(on), codebook, s)
        images = dataset.train.batch(indices)[0].to(on).contiguous(memory_format=torch.channels_last)
        with runs.autocast(on):
            decoded = tokenizer.decode(z).float()
        loss = tokenizer_stage.reconstruction_loss(decoded, images, config.tokenizer.edge_weight)
        if settings.adversarial_weight:
            runs.descend(discriminator_loss(discriminator, decoded, images), discriminator, opponent)
            unreal, difference = decoder_losses(discriminator, decoded, images)
            loss = loss + settings.adversarial_weight * unreal + settings.feature_weight * difference
        runs.descend(loss, decoder, optimizer)
        if update % 10 == 0:
            progress.set_postfix(loss=f"{loss.item():.4f}")
        if (update + 1) % SAVE_EVERY == 0:
            checkpoint.save(update + 1)
    checkpoint.save(settings.updates)
    report = {"updates": settings.updates, "seconds": round(checkpoint.seconds()), "hardware": runs.hardware()}
    runs.report(folder, "decoder", report | codebook_stage.measure(config, folder, test_latents, codebook.cpu()))
