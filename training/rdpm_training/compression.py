"""Bits per pixel of token grids, coded with the model's own probabilities, beside PNG and WebP of the same test images.

`python -m rdpm_training.compression CONFIG WEIGHTS` prints a table. The length of an ideal code is counted, not a file
written: -log2 p of each code, without guidance, at temperature 1. Tokens are lossy, so the quality of their
reconstruction stands beside that of lossy WebP.
"""

from __future__ import annotations

import io
import math
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from . import conditions, data, runs, trajectory, weights_folder
from .config import load
from .dataset import to_unit
from .measurement import main, psnr, test_images

RANDOM_STREAM = 12


def picture(image: Tensor) -> Image.Image:
    pixels = image.permute(1, 2, 0).numpy()
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def encoded(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def decoded(file: bytes, channels: int) -> Tensor:
    image = Image.open(io.BytesIO(file)).convert("L" if channels == 1 else "RGB")
    return torch.tensor(list(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, channels)


@torch.no_grad()
def measure(config_path: Path, weights: Path, count: int) -> None:
    config = load(config_path)
    dataset = data.load(config.data, config.seed)
    info, codebook, denoiser, tokenizer = weights_folder.load(weights)
    schedule = info["trajectory"]["schedule"]
    raw, labels = test_images(dataset, config.seed, RANDOM_STREAM, count)
    images = to_unit(raw)
    pixels, channels = raw.shape[-1] * raw.shape[-2], raw.shape[1]
    bits, reconstructions = 0.0, []
    for part in torch.arange(len(raw)).split(50):
        v = tokenizer.encode(images[part])
        eps = torch.randn(v.shape, generator=runs.generator(config.seed, int(part[0])))
        for step in trajectory.tokenize(v, eps, codebook, schedule):
            times = torch.full((len(part),), step.t)
            chances = denoiser(step.before, times, conditions.rows(labels, part)).log_softmax(-1)
            bits -= float(chances.gather(-1, step.codes[..., None]).sum()) / math.log(2)
        reconstructions.append(tokenizer.decode(step.after).clamp(-1, 1))
    codes = len(schedule[1:]) * info["latent"]["grid"] ** 2
    pictures = [picture(image) for image in raw]
    size = lambda **options: 8 * sum(len(encoded(image, **options)) for image in pictures) / len(pictures) / pixels  # noqa: E731
    print(f"{info['name']}, {len(raw)} images of {raw.shape[-1]} x {raw.shape[-2]}: bits per pixel, PSNR in dB")
    quality = psnr(torch.cat(reconstructions), images)
    print(f"| tokens, packed | {codes * math.ceil(math.log2(len(codebook))) / pixels:.2f} | {quality:.1f} |")
    print(f"| tokens, coded by the model | {bits / len(raw) / pixels:.2f} | {quality:.1f} |")
    print(f"| PNG | {size(format='png', optimize=True):.2f} | lossless |")
    print(f"| WebP, lossless | {size(format='webp', lossless=True, method=6):.2f} | lossless |")
    for level in (10, 30, 50, 75, 90):
        files = [encoded(image, format="webp", quality=level, method=6) for image in pictures]
        bpp = 8 * sum(map(len, files)) / len(files) / pixels
        found = torch.stack([decoded(file, channels).permute(2, 0, 1) for file in files])
        print(f"| WebP, quality {level} | {bpp:.2f} | {psnr(to_unit(found), images):.1f} |")


if __name__ == "__main__":
    main(__doc__, measure)
