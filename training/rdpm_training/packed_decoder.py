"""Trains the decoder for a given time on a machine with PyTorch and a GPU that has neither the data set nor internet
access.

Stage `pack-decoder` writes the images and their conditions to one file; tokenizer, codebook and denoiser come from a
weights folder. On that machine,

    python -m rdpm_training.packed_decoder packed-decoder.pt --config configs/emoji.toml --weights ../weights/emoji \
        --seconds 480 --output decoder.pt

trains the decoder of these weights further, with the levels that the configuration adds (`upsample_widths`), and writes
it for `runs/NAME/decoder.pt`. Encoder and codebook, and therefore all tokens, stay as they are. Images are augmented
and encoded anew in every update. The decoder is told latents after T quantized steps, half of them with a little more
noise, because sampled latents differ from encoded ones.

After the fraction `adversarial_start` of the time, a discriminator is trained as in stage `decoder`. It also sees what
the decoder makes of latents that the denoiser sampled: they have no image to compare with, but must look real and keep
the colours that the decoder gave them before.
"""

from __future__ import annotations

import argparse
import copy
import io
import math
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from . import (
    conditions,
    config,
    data,
    decoder_stage,
    optimization,
    runs,
    sampler,
    tokenizer_stage,
    trajectory,
    weights_folder,
)
from .conditions import Condition, Descriptions
from .config import Config, ConfigError
from .dataset import to_unit
from .denoiser import Denoiser
from .discriminator import decoder_losses, discriminator_loss
from .tokenizer import Tokenizer

RANDOM_STREAM = 15
EMA = 0.999
RAMP = 0.05  # fraction of the time in which the discriminator's weight rises
CONSISTENCY_WEIGHT = 0.5  # of the colours of sampled latents
CONSISTENCY_POOL = 4  # side of the squares whose mean colours are compared
MAX_HUE = math.radians(25)
SATURATION = (0.7, 1.2)
UPDATES_BETWEEN_CLOCKS = 10


def path_of(folder: Path) -> Path:
    """Path of the packed file of a run folder."""
    return folder / "packed-decoder.pt"


def pack(config: Config, folder: Path) -> None:
    """Stage `pack-decoder`: writes `packed-decoder.pt` into the run's folder."""
    dataset = data.load(config.data, config.seed)
    described = dataset.train.descriptions
    content = {
        "train": compress(dataset.train.images),
        "test": compress(dataset.test.images),
        "labels": dataset.train.labels,
        "descriptions": asdict(described) if described else None,
    }
    runs.save(path_of(folder), content)
    print(f"{path_of(folder)}: {path_of(folder).stat().st_size / 1e6:.1f} MB")


def compress(images: Tensor) -> dict[str, Tensor]:
    """Byte images (b, channels, size, size) as lossless WebP files: their bytes, and where each file ends."""

    def file(image: Tensor) -> bytes:
        pixels = image.permute(1, 2, 0).numpy()
        written = io.BytesIO()
        Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(written, "WEBP", lossless=True)
        return written.getvalue()

    files = [file(image) for image in images]
    return {
        "files": torch.frombuffer(bytearray(b"".join(files)), dtype=torch.uint8),
        "ends": torch.tensor([len(each) for each in files]).cumsum(0),
    }


def decompress(packed: dict[str, Tensor], channels: int) -> Tensor:
    """The images that `compress` was given."""
    content, ends = packed["files"].numpy().tobytes(), packed["ends"].tolist()

    def image(part: tuple[int, int]) -> Tensor:
        with Image.open(io.BytesIO(content[part[0] : part[1]])) as opened:
            pixels = np.array(opened.convert("L" if channels == 1 else "RGB"))
        return torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels)).permute(2, 0, 1)

    with ThreadPoolExecutor() as pool:
        return torch.stack(list(pool.map(image, zip([0, *ends], ends, strict=False))))


def augment(images: Tensor) -> Tensor:
    """Byte images (b, channels, size, size) on a white ground to the same in -1..1, half of them flipped, half shifted
    by whole pixels and half with other hues. All of this keeps edges sharp."""
    b, channels, size, _ = images.shape
    device = images.device

    def half(*shape: int) -> Tensor:
        return torch.rand(b, *shape, device=device) < 0.5

    x = to_unit(images)
    x = torch.where(half(1, 1, 1), x.flip(3), x)
    margin = size // 20
    shift = torch.randint(2 * margin + 1, (2, b), device=device)
    rows, columns = (torch.where(half(), each, margin)[:, None] + torch.arange(size, device=device) for each in shift)
    x = F.pad(x, [margin] * 4, value=1.0)
    batch, channel = torch.arange(b, device=device)[:, None, None, None], torch.arange(channels, device=device)
    x = x[batch, channel[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]
    if channels == 3:
        x = torch.where(half(1, 1, 1), change_hue(x), x)
    return x.contiguous(memory_format=torch.channels_last)


def change_hue(x: Tensor) -> Tensor:
    """Images (b, 3, h, w) in -1..1, each with its hues turned and its saturation changed. Greys stay as they are."""
    b, device = len(x), x.device
    angle = MAX_HUE * (2 * torch.rand(b, device=device) - 1)
    low, high = SATURATION
    saturation = low + (high - low) * torch.rand(b, 1, 1, device=device)
    # A rotation about the axis of greys (Rodrigues), after a scaling towards it.
    mean = torch.full((3, 3), 1 / 3, device=device)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=device) / math.sqrt(3)
    identity = torch.eye(3, device=device)
    rotation = angle.cos()[:, None, None] * (identity - mean) + angle.sin()[:, None, None] * cross
    return torch.einsum("bij,bjhw->bihw", mean + saturation * rotation, x).clamp(-1, 1)


@torch.no_grad()
def sample_latents(
    settings: Config, packed: dict[str, Any], denoiser: Denoiser, codebook: Tensor, count: int, device: torch.device
) -> Tensor:
    """Latents (count, n, c) that the denoiser samples with the conditions of random training images, with the
    configuration's guidance and temperature."""
    labels: Tensor = packed["labels"]
    chosen = torch.randint(len(labels), (count,), generator=runs.generator(settings.seed, RANDOM_STREAM))
    y: Tensor | Condition = labels[chosen]
    if packed["descriptions"]:
        described = Descriptions(**packed["descriptions"])[chosen]
        y = Condition(labels[chosen], described.styles, described.names)
    sampling = sampler.SamplingSettings(settings.sampling.guidance, settings.sampling.temperature)
    denoiser, steps = denoiser.to(device), settings.trajectory.steps
    parts = []
    for start in range(0, count, 256):
        chunk = conditions.rows(y, slice(start, start + 256)).to(device)
        eps = torch.randn(conditions.count(chunk), settings.positions, codebook.shape[1], device=device)
        shape = (*eps.shape[:2], len(codebook))
        uniforms = (torch.rand(shape, device=device) for _ in range(steps))
        with runs.autocast(device):
            *_, last = sampler.sample(denoiser, codebook, steps, chunk, eps, uniforms, sampling)
        parts.append(last.z.float())
    return torch.cat(parts)


class DecoderTrainer:
    """The networks, optimizers and data of the training, all on the device."""

    def __init__(
        self, settings: Config, tokenizer: Tokenizer, codebook: Tensor, images: Tensor, device: torch.device
    ) -> None:
        self.settings, self.device = settings, device
        self.codebook, self.images = codebook.to(device), images.to(device)
        self.schedule = trajectory.schedule(settings.trajectory)
        self.tokenizer = tokenizer.to(device, memory_format=torch.channels_last).requires_grad_(False)
        self.decoder = tokenizer.decoder.train().requires_grad_(True)
        self.averaged = copy.deepcopy(tokenizer).eval().requires_grad_(False)
        self.before_adversarial: Tokenizer | None = None  # the average then
        self.discriminator = decoder_stage.build_discriminator(settings).to(device, memory_format=torch.channels_last)
        rate = settings.decoder.learning_rate
        self.optimizer = torch.optim.AdamW(self.decoder.parameters(), rate, betas=(0.9, 0.99), weight_decay=1e-4)
        self.discriminator_optimizer = torch.optim.AdamW(self.discriminator.parameters(), rate, betas=(0.5, 0.99))
        self.samples = torch.empty(0)
        self.updates = 0
        self.sums: dict[str, Tensor] = {}

    def quantize(self, v: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """z_T (b, n, c) of latents v, from new noise."""
        eps = torch.randn(v.shape, generator=generator).to(v) if generator else torch.randn_like(v)
        return trajectory.last(v, self.settings.trajectory.noise * eps, self.codebook, self.schedule)

    def batch(self) -> tuple[Tensor, Tensor]:
        """Random images in -1..1, and the latents to decode."""
        count = self.settings.decoder.batch_size
        with torch.no_grad():
            images = augment(self.images[torch.randint(len(self.images), (count,), device=self.device)])
            z = self.quantize(self.tokenizer.encode(images))
            scale = torch.rand(count, 1, 1, device=self.device) * (torch.rand(count, 1, 1, device=self.device) < 0.5)
            return images, z + self.settings.tokenizer.latent_noise * scale * torch.randn_like(z)

    def update(self, spent: float) -> None:
        """One update; `spent` is the fraction of the time that has passed."""
        settings = self.settings.decoder
        factor = min(1.0, (self.updates + 1) / 200) * optimization.cosine(spent)
        for optimizer in (self.optimizer, self.discriminator_optimizer):
            optimization.set_learning_rate(optimizer, factor)
        images, z = self.batch()
        count, is_adversarial = len(z), spent >= settings.adversarial_start and settings.adversarial_weight > 0
        if is_adversarial and len(self.samples):
            chosen = torch.randint(len(self.samples), (count // 2,), device=self.device)
            z = torch.cat([z, self.samples[chosen]])
        with runs.autocast(self.device):
            decoded = self.tokenizer.decode(z).float()
        reconstructed, sampled = decoded[:count], decoded[count:]
        loss = tokenizer_stage.reconstruction_loss(reconstructed, images, self.settings.tokenizer.edge_weight)
        self.record(reconstruction=loss)
        if is_adversarial:
            loss = loss + self.adversarial_loss(spent, images, reconstructed, z[count:], sampled)
        optimization.optimizer_step(loss, self.decoder, self.optimizer)
        with torch.no_grad():
            decay = min(EMA, (1 + self.updates) / (10 + self.updates))
            averaged, current = (list(each.parameters()) for each in (self.averaged.decoder, self.decoder))
            torch._foreach_lerp_(averaged, current, 1 - decay)
        self.updates += 1

    def adversarial_loss(
        self, spent: float, images: Tensor, reconstructed: Tensor, z: Tensor, sampled: Tensor
    ) -> Tensor:
        """Updates the discriminator, and returns the decoder's loss; `sampled` (b / 2 or 0) decodes `z`."""
        settings, discriminator = self.settings.decoder, self.discriminator
        error = discriminator_loss(discriminator, reconstructed, images)
        if len(sampled):
            error = 0.5 * error + 0.5 * discriminator_loss(discriminator, sampled, images[: len(sampled)])
        optimization.optimizer_step(error, discriminator, self.discriminator_optimizer)
        adversarial, feature = decoder_losses(discriminator, reconstructed, images)
        consistency = feature.new_zeros(())
        if len(sampled):
            adversarial = 0.5 * adversarial - 0.5 * discriminator(sampled)[1].mean()
            with torch.no_grad(), runs.autocast(self.device):
                before = self.before_adversarial.decode(z).float()
            pooled = (F.avg_pool2d(each, CONSISTENCY_POOL) for each in (sampled, before))
            consistency = F.l1_loss(*pooled)
        self.record(discriminator=error, adversarial=adversarial, feature=feature, consistency=consistency)
        ramp = min(1.0, (spent - settings.adversarial_start) / RAMP)
        loss = settings.adversarial_weight * adversarial + settings.feature_weight * feature
        return ramp * loss + CONSISTENCY_WEIGHT * consistency

    def record(self, **values: Tensor) -> None:
        """Adds losses to the sums that `means` reports."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, torch.zeros((), device=self.device)) + value.detach()

    def means(self, updates: int) -> str:
        """The mean losses of the last `updates`."""
        text = ", ".join(f"{name} {value.item() / updates:.4f}" for name, value in self.sums.items())
        self.sums = {}
        return text

    @torch.no_grad()
    def psnr(self, images: Tensor) -> float:
        """PSNR in dB of the averaged decoder for byte images, after T quantized steps."""
        generator, errors = runs.generator(self.settings.seed, RANDOM_STREAM, 1), []
        for chunk in images.split(250):
            targets = to_unit(chunk.to(self.device))
            z = self.quantize(self.averaged.encode(targets), generator)
            decoded = self.averaged.decode(z).clamp(-1, 1)
            errors.append((decoded - targets).square().flatten(1).mean(1))
        return tokenizer_stage.psnr(torch.cat(errors).mean().item())


def enlarged_psnr(trainer: DecoderTrainer, old: Tokenizer, images: Tensor) -> float:
    """PSNR in dB of the decoder in the weights folder, enlarged to the images' size (bicubic)."""
    old = old.to(trainer.device)
    generator, errors = runs.generator(trainer.settings.seed, RANDOM_STREAM, 1), []
    with torch.no_grad():
        for chunk in images.split(250):
            targets = to_unit(chunk.to(trainer.device))
            decoded = old.decode(trainer.quantize(trainer.averaged.encode(targets), generator))
            decoded = F.interpolate(decoded, targets.shape[-2:], mode="bicubic", align_corners=False).clamp(-1, 1)
            errors.append((decoded - targets).square().flatten(1).mean(1))
    return tokenizer_stage.psnr(torch.cat(errors).mean().item())


def train(
    settings: Config, packed: Path, weights: Path, output: Path, seconds: float, samples: int, report_seconds: float
) -> None:
    """Trains for some seconds, reading and sampling included.

    Writes the averaged decoder to `output`; and to `output` with `-plain` in its name as it was before the
    discriminator, and with `-half` as it was halfway from there to the end.
    """
    started, device = time.monotonic(), runs.device()
    torch.manual_seed(settings.seed + RANDOM_STREAM)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    content = runs.load(packed)
    train_images, test_images = (decompress(content[name], settings.data.channels) for name in ("train", "test"))
    _, codebook, denoiser, old = weights_folder.load(weights)
    tokenizer = tokenizer_stage.build(settings)
    tokenizer_stage.load_extended(tokenizer, old.state_dict())
    trainer = DecoderTrainer(settings, tokenizer, codebook, train_images, device)
    if samples and settings.decoder.adversarial_weight:
        trainer.samples = sample_latents(settings, content, denoiser, trainer.codebook, samples, device)
    baseline = enlarged_psnr(trainer, old, test_images)
    print(f"{time.monotonic() - started:.1f} s until the first update, on {runs.hardware()}", flush=True)
    print(f"test PSNR of {weights.name}, enlarged: {baseline:.2f} dB", flush=True)

    def spent() -> float:
        return (time.monotonic() - started) / seconds

    def write(path: Path) -> None:
        decoder = {name: tensor.cpu().contiguous() for name, tensor in trainer.averaged.decoder.state_dict().items()}
        report = {
            "updates": trainer.updates,
            "seconds": round(time.monotonic() - started),
            "hardware": runs.hardware(),
            "test_psnr_quantized_db": trainer.psnr(test_images),
            "test_psnr_of_start_enlarged_db": baseline,
        }
        runs.save(path, {"model": decoder, "report": report})
        print(f"{path.name}: {report}", flush=True)

    start = settings.decoder.adversarial_start
    snapshots = [(start, "plain"), ((1 + start) / 2, "half")] if settings.decoder.adversarial_weight else []
    reported_at, reported = time.monotonic(), 0
    while (fraction := spent()) < 1:
        if snapshots and fraction >= snapshots[0][0]:
            suffix = snapshots.pop(0)[1]
            write(output.with_stem(f"{output.stem}-{suffix}"))
            trainer.before_adversarial = trainer.before_adversarial or copy.deepcopy(trainer.averaged)
        for _ in range(UPDATES_BETWEEN_CLOCKS):
            trainer.update(fraction)
        if device.type == "cuda":
            torch.cuda.synchronize()  # otherwise Python runs ahead of the clock
        if (now := time.monotonic()) - reported_at >= report_seconds:
            done = trainer.updates - reported
            rate, means = done / (now - reported_at), trainer.means(done)
            if "nan" in means:
                raise FloatingPointError(f"after {trainer.updates:,} updates: {means}")
            scores = f"PSNR test {trainer.psnr(test_images):.2f}, training {trainer.psnr(train_images[:500]):.2f} dB"
            print(f"{spent():.0%}, {trainer.updates:,} updates, {rate:.1f} a second: {means}, {scores}", flush=True)
            reported_at, reported = time.monotonic(), trainer.updates
    write(output)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m rdpm_training.packed_decoder", description=__doc__)
    parser.add_argument("packed", type=Path, help="file written by stage `pack-decoder`")
    config.add_arguments(parser)
    parser.add_argument("--weights", type=Path, required=True, help="weights folder to start from")
    parser.add_argument("--seconds", type=float, required=True, help="time from the start to the last update")
    parser.add_argument("--samples", type=int, default=8192, help="latents that the denoiser samples (default 8192)")
    parser.add_argument("--report-seconds", type=float, default=20.0, help="time between two lines of progress")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        settings = config.from_arguments(arguments)
        train(
            settings,
            arguments.packed,
            arguments.weights,
            arguments.output,
            arguments.seconds,
            arguments.samples,
            arguments.report_seconds,
        )
    except (ConfigError, data.DataError, FileNotFoundError, tomllib.TOMLDecodeError) as error:
        print(f"rdpm_training.packed_decoder: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
