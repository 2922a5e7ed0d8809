"""Stage `decoder`: fine-tunes the decoder on quantized latents, its input when sampling.

Stage `tokenizer` approximates the quantization error by noise; once the codebook exists, the error is known. Encoder,
codebook and therefore all tokens stay unchanged, so this stage may run before or after `denoiser`.

Absolute and squared errors are minimal at the mean of all images that a latent may stand for, which is blurred. With
`adversarial_weight` above 0, a discriminator is trained beside the decoder and penalizes blur.

If `decoder.pt` was trained elsewhere (`packed_decoder`), the stage corrects its corners, measures it and writes its
report.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tqdm import tqdm

from . import codebook_stage, corners, data, dataloader, optimization, runs, tokenizer_stage, trajectory
from .config import Config
from .discriminator import LAYERS, Discriminator, decoder_losses, discriminator_loss

RANDOM_STREAM = 4
SAVE_EVERY = 100
CORNER_IMAGES = 160


def build_discriminator(config: Config) -> Discriminator:
    """An untrained discriminator. A logit of it sees the same part of an image, whatever levels the decoder has."""
    return Discriminator(config.data.channels, LAYERS + len(config.tokenizer.upsample_widths))


def train(config: Config, folder: Path) -> None:
    path = folder / "decoder.pt"
    if path.exists() and "report" in (state := runs.load(path)):
        if not state.get("corners"):
            correct_corners(config, folder)
        report(config, folder, {name: state["report"][name] for name in ("updates", "seconds", "hardware")})
    else:
        train_here(config, folder)


def correct_corners(config: Config, folder: Path) -> None:
    """Corrects the corners of `decoder.pt` with random training images."""
    tokenizer, images = tokenizer_stage.trained(config, folder), data.load(config.data, config.seed).train.images
    generator = runs.generator(config.seed, RANDOM_STREAM, 1)
    images = data.to_unit(images[torch.randperm(len(images), generator=generator)[:CORNER_IMAGES]])
    v = tokenizer.encode(images)
    eps = trajectory.noise(config.trajectory, v.shape, generator)
    z = trajectory.last(v, eps, codebook_stage.trained(folder), trajectory.schedule(config.trajectory))
    corners.fit(tokenizer, z, images)
    state = runs.load(folder / "decoder.pt")
    runs.save(folder / "decoder.pt", state | {"model": tokenizer.decoder.state_dict(), "corners": True})


def report(config: Config, folder: Path, training: dict[str, object]) -> None:
    """Writes the stage's report: how the decoder was trained, and how well it reconstructs the test images."""
    _, test_latents = codebook_stage.latents(config, folder)
    measured = codebook_stage.measure(config, folder, test_latents, codebook_stage.trained(folder))
    runs.report(folder, "decoder", training | measured)


def train_here(config: Config, folder: Path) -> None:
    settings, device = config.decoder, runs.device()
    dataset = data.load(config.data, config.seed)
    latents, _ = codebook_stage.latents(config, folder)
    codebook = codebook_stage.trained(folder).to(device)
    s = trajectory.schedule(config.trajectory)
    tokenizer = tokenizer_stage.trained(config, folder).to(device)
    decoder = tokenizer.decoder.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(decoder.parameters(), settings.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    torch.manual_seed(config.seed + RANDOM_STREAM)  # the discriminator's initial weights
    discriminator = build_discriminator(config).to(device, memory_format=torch.channels_last)
    discriminator_optimizer = torch.optim.AdamW(discriminator.parameters(), settings.learning_rate, betas=(0.5, 0.99))
    generator = runs.generator(config.seed, RANDOM_STREAM)
    parts: dict[str, runs.Stateful] = {"model": decoder, "optimizer": optimizer}
    if settings.adversarial_weight:
        parts |= {"discriminator": discriminator, "opponent": discriminator_optimizer}
    checkpoint = runs.Checkpoint(folder / "decoder.pt", parts, generator)
    batches = dataloader.BatchSampler(len(latents), settings.batch_size, config.seed + RANDOM_STREAM)
    start = checkpoint.next_update
    progress = tqdm(range(start, settings.updates), "decoder", settings.updates, initial=start, unit="update")
    for update in progress:
        for each in (optimizer, discriminator_optimizer):
            optimization.set_learning_rate(each, optimization.warmup_cosine(update, settings.updates))
        indices = batches.batch(update)
        v = latents[indices]
        eps = trajectory.noise(config.trajectory, v.shape, generator)
        z = trajectory.last(v.to(device), eps.to(device), codebook, s)
        images = dataset.train.batch(indices)[0].to(device).contiguous(memory_format=torch.channels_last)
        with runs.autocast(device):
            decoded = tokenizer.decode(z).float()
        loss = tokenizer_stage.reconstruction_loss(decoded, images, config.tokenizer.edge_weight)
        if settings.adversarial_weight and update >= settings.adversarial_start * settings.updates:
            discriminator_error = discriminator_loss(discriminator, decoded, images)
            optimization.optimizer_step(discriminator_error, discriminator, discriminator_optimizer)
            adversarial, feature = decoder_losses(discriminator, decoded, images)
            loss = loss + settings.adversarial_weight * adversarial + settings.feature_weight * feature
        optimization.optimizer_step(loss, decoder, optimizer)
        if update % 10 == 0:
            progress.set_postfix(loss=f"{loss.item():.4f}")
        if (update + 1) % SAVE_EVERY == 0:
            checkpoint.save(update + 1)
    checkpoint.save(settings.updates)
    seconds = round(checkpoint.seconds())
    report(config, folder, {"updates": settings.updates, "seconds": seconds, "hardware": runs.hardware()})
