"""Compares ways to inpaint: parts of test images are given, the others drawn.

`python -m rdpm_training.inpainting CONFIG WEIGHTS` prints a table. For each mask (the left half, the centre, random
cells) and each way:

- seam: the mean difference of pixels across the border of the mask, divided by that of all other neighbours;
- kept: PSNR of the kept pixels against the image, in dB; it can be at most about that of the reconstruction;
- drawn: PSNR of the drawn pixels against the image: how well they continue what is kept;
- class: the share of whole images in which the classifier of `evaluate` finds the image's class;
- frechet: their Frechet distance to all test images, in the classifier's features;
- passes: evaluations of the denoiser per image, guidance counted twice.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from . import conditions, data, runs, sampler, trajectory, weights_folder
from .classifier_metrics import ClassifierMetrics
from .conditions import Condition
from .config import load
from .dataset import to_unit
from .measurement import main, psnr, test_images
from .sampler import SamplingSettings

RANDOM_STREAM = 12


@dataclass
class Inpainter:
    """A model, and the images of which a part is drawn again."""

    denoiser: torch.nn.Module
    codebook: Tensor
    schedule: list[float]
    labels: Tensor | Condition
    eps: Tensor  # (b, n, c)
    given: Tensor  # (b, T, n): codes, -1 where free
    settings: SamplingSettings
    uniforms: Callable[[], Tensor]
    passes: int = 0

    def step(self, z: Tensor, t: int, guidance: float | None = None) -> tuple[Tensor, Tensor]:
        """Sampled codes (b, n) and their probabilities."""
        times = torch.full((len(z),), t)
        guidance = self.settings.guidance if guidance is None else guidance
        logits = sampler.guided_logits(self.denoiser, (z, times), self.labels, guidance)
        self.passes += 2
        codes = sampler.sample_codes(logits, self.uniforms(), self.settings)
        chances = sampler.filter_logits(logits, self.settings).softmax(-1)
        return codes, chances.gather(-1, codes[..., None])[..., 0]

    def fixed(self, codes: Tensor, t: int) -> Tensor:
        given = self.given[:, t - 1]
        return torch.where(given < 0, codes, given)

    def clean(self, z: Tensor, t: int) -> Tensor:
        """The estimate of the latent at step t."""
        return (z - (1 - self.schedule[t]) * self.eps) / self.schedule[t]

    def plain(self, guidance: float | None = None) -> Tensor:
        z = self.eps
        for t in range(1, len(self.schedule)):
            z = z + self.codebook[self.fixed(self.step(z, t, guidance)[0], t)]
        return z

    def known_first(self) -> Tensor:
        """The denoiser sees the next latent of given positions."""
        z = self.eps
        for t in range(1, len(self.schedule)):
            given = self.given[:, t - 1]
            known = self.codebook[given.clamp(min=0)] * (given >= 0)[..., None]
            z = z + self.codebook[self.fixed(self.step(z + known, t)[0], t)]
        return z

    def sub_passes(self, count: int) -> Tensor:
        """In each step, the most probable of the drawn codes are kept, and the others drawn again with these known."""
        z = self.eps
        for t in range(1, len(self.schedule)):
            codes = self.given[:, t - 1].clone()
            free = (codes < 0).sum(1, keepdim=True)
            for part in range(1, count + 1):
                known = self.codebook[codes.clamp(min=0)] * (codes >= 0)[..., None]
                drawn, probability = self.step(z + known if part > 1 else z, t)
                probability = probability.masked_fill(codes >= 0, -1)
                rank = probability.argsort(1, descending=True).argsort(1)
                left = (codes < 0).sum(1, keepdim=True)
                take = (codes < 0) & (rank < left - free * (count - part) // count)
                codes = torch.where(take, drawn, codes)
            z = z + self.codebook[codes]
        return z

    def resampled(self, at: tuple[int, ...], back: int) -> Tensor:
        """After the steps `at`, goes back: the estimate of the image is tokenized again up to an earlier step."""
        z, t, at = self.eps, 0, list(at)
        while t < len(self.schedule) - 1:
            t += 1
            z = z + self.codebook[self.fixed(self.step(z, t)[0], t)]
            if at and t == at[0]:
                at.pop(0)
                steps = list(trajectory.tokenize(self.clean(z, t), self.eps, self.codebook, self.schedule))
                t -= back
                # Given positions keep their codes.
                codes = torch.stack([step.codes for step in steps[:t]], 1)
                codes = torch.where(self.given[:, :t] < 0, codes, self.given[:, :t])
                z = self.eps + self.codebook[codes].sum(1)
        return z


def masks(grid: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Free positions (n,)."""
    half = torch.zeros(grid, grid, dtype=torch.bool)
    half[:, : grid // 2] = True
    centre, quarter = torch.zeros(grid, grid, dtype=torch.bool), grid // 4
    centre[quarter : grid - quarter, quarter : grid - quarter] = True
    cells = torch.rand(grid, grid, generator=generator) < 0.5
    return {"left half": half.flatten(), "centre": centre.flatten(), "random cells": cells.flatten()}


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform numbers in (0, 1)."""
    return torch.rand(shape, generator=generator).clamp(1e-7, 1 - 1e-7)


def seam(images: Tensor, free: Tensor) -> float:
    """Differences of neighbours across the border of `free` (h, w), divided by those of all other neighbours."""
    across, elsewhere = [], []
    for axis in (-1, -2):
        difference = images.diff(dim=axis).abs().mean(1)
        border = free.int().diff(dim=axis) != 0
        across.append(difference[:, border].mean(0))
        elsewhere.append(difference[:, ~border].mean(0))
    return float(torch.cat(across).mean() / torch.cat(elsewhere).mean())


@torch.no_grad()
def compare(config_path: Path, weights: Path, count: int) -> None:
    config = load(config_path)
    dataset = data.load(config.data, config.seed)
    info, codebook, denoiser, tokenizer = weights_folder.load(weights)
    schedule, grid = info["trajectory"]["schedule"], info["latent"]["grid"]
    raw, labels = test_images(dataset, config.seed, RANDOM_STREAM, count)
    images = to_unit(raw)
    v = torch.cat([tokenizer.encode(part) for part in images.split(50)])
    eps = torch.randn(v.shape, generator=runs.generator(config.seed, RANDOM_STREAM + 1))
    grids = torch.stack([s.codes for s in trajectory.tokenize(v, eps, codebook, schedule)], 1)
    decode = lambda z: torch.cat([tokenizer.decode(part) for part in z.split(50)]).clamp(-1, 1)  # noqa: E731
    reconstructed = decode(eps + codebook[grids].sum(1))
    settings = SamplingSettings(info["sampling"]["guidance"], info["sampling"]["temperature"])
    ways: dict[str, Callable[[Inpainter], Tensor]] = {
        "plain": lambda model: model.plain(),
        "guidance x 1.5": lambda model: model.plain(1.5 * settings.guidance),
        "given ones first": lambda model: model.known_first(),
        "2 sub-passes": lambda model: model.sub_passes(2),
        "resampled at 4, 7, by 2": lambda model: model.resampled((4, 7), 2),
    }
    size = images.shape[-1]
    with torch.enable_grad():  # it is trained first, unless the run has one
        classifier = ClassifierMetrics(config, runs.RUNS / config.name, dataset)
    classes = labels.label if isinstance(labels, Condition) else labels

    def row(mask: str, way: str, found: Tensor, pixels: Tensor, passes: int | None) -> None:
        kept, drawn = psnr(found, images, ~pixels), psnr(found, images, pixels)
        quality = classifier.compute(found, classes)
        values = [f"{seam(found, pixels):.3f}", f"{kept:.2f}", f"{drawn:.2f}"]
        values += [f"{quality['accuracy']:.3f}", f"{quality['frechet']:.3f}", passes or ""]
        print(*("", mask, way, *values, ""), sep=" | ", flush=True)

    print(f"{info['name']}, {len(images)} images: mask, way, seam, kept, drawn, class, frechet, passes", flush=True)
    for name, free in masks(grid, runs.generator(config.seed, RANDOM_STREAM + 2)).items():
        pixels = free.view(grid, grid).repeat_interleave(size // grid, 0).repeat_interleave(size // grid, 1)
        row(name, "the images", images, pixels, None)
        row(name, "reconstructions", reconstructed, pixels, None)
        for way, inpaint in ways.items():
            generator = runs.generator(config.seed, RANDOM_STREAM + 3)
            latents, passes = [], 0
            for part in torch.arange(len(images)).split(50):
                shape = (len(part), grid * grid, len(codebook))
                numbers = functools.partial(uniform, shape, generator)
                given = torch.where(free, -1, grids[part])
                model = Inpainter(
                    denoiser, codebook, schedule, conditions.rows(labels, part), eps[part], given, settings, numbers
                )
                latents.append(inpaint(model))
                passes = model.passes
            row(name, way, decode(torch.cat(latents)), pixels, passes)


if __name__ == "__main__":
    main(__doc__, compare)
