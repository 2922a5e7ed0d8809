"""Stage `retrieval`: evaluates whether generated images show the requested emoji, with features of `imagenet`.

For each generated image, the nearest real images of all splits are found by cosine similarity of centred features. The
emoji is right if they show it in any style; class and style are those of the nearest one. The kernel distance (KID)
compares a set of generated images with as many real ones of the same classes and styles.

All images are compared at the size that the encoder sees, so figures of decoders to different sizes are comparable.
Reconstructions of training images are the upper bound: they are what a perfect denoiser would generate.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from . import codebook_stage, data, denoiser_stage, generation, imagenet, metrics, runs, tokenizer_stage, trajectory
from .conditions import Condition, Descriptions
from .config import Config, ConfigError
from .data import DataError, Split
from .sampler import SamplingSettings

RANDOM_STREAM = 13


@dataclass(frozen=True)
class Gallery:
    """All real images: raw features and centred unit features (k, f), classes (k,), and descriptions."""

    raw: Tensor
    features: Tensor
    mean: Tensor
    labels: Tensor
    descriptions: Descriptions

    def compute_metrics(
        self, generated: Tensor, labels: Tensor, requested: Descriptions, generator: torch.Generator
    ) -> dict[str, float]:
        """Fractions of right images among those with raw features `generated` (b, f), and their kernel distance."""
        similarity = F.normalize(generated - self.mean, dim=1) @ self.features.T
        nearest = similarity.topk(min(5, len(self.features)), dim=1).indices
        matches = self.descriptions.emoji[nearest] == requested.emoji[:, None]
        first = nearest[:, 0]
        return {
            "emoji": fraction(matches[:, 0]),
            "emoji_in_5": fraction(matches.any(1)),
            "class": fraction(self.labels[first] == labels),
            "style": fraction(self.descriptions.styles[first] == requested.styles),
            "kernel_distance": metrics.kernel_distance(
                generated, self.raw[self.sample_matching(labels, requested.styles, generator)]
            ),
        }

    def sample_matching(self, labels: Tensor, styles: Tensor, generator: torch.Generator) -> Tensor:
        """Indices (b,) of random real images with the given classes and styles."""
        same = (self.labels == labels[:, None]) & (self.descriptions.styles == styles[:, None])
        return torch.multinomial(same.double(), 1, generator=generator)[:, 0]


def fraction(right: Tensor) -> float:
    return right.double().mean().item()


def concatenate(splits: list[Split]) -> tuple[Tensor, Tensor, Descriptions]:
    """Images, classes and descriptions of several splits."""
    known = [split.descriptions for split in splits if split.descriptions is not None]
    parts = (torch.cat([getattr(each, name) for each in known]) for name in ("styles", "names", "keywords", "emoji"))
    return torch.cat([s.images for s in splits]), torch.cat([s.labels for s in splits]), Descriptions(*parts)


def features(config: Config, network: object, images: Tensor) -> Tensor:
    """Features (b, f) of images in -1..1, reduced to the size that the encoder sees."""
    return imagenet.features(network, F.avg_pool2d(images, config.reduction) if config.reduction > 1 else images)


def load_gallery(config: Config, dataset: data.Dataset, folder: Path, network: object) -> Gallery:
    """Features of all real images, cached in the run folder."""
    if dataset.pairs is None:
        raise DataError("stage `retrieval` needs a data set with styles and words")
    images, labels, descriptions = concatenate([dataset.train, dataset.test, dataset.pairs])
    path = folder / "gallery.pt"
    if not path.exists():
        runs.save(path, {"features": features(config, network, data.to_unit(images))})
    raw = runs.load(path)["features"]
    if len(raw) != len(labels):
        raise ConfigError(f"{path} has {len(raw)} images, but the data set has {len(labels)}: delete the file")
    mean = raw.mean(0)
    return Gallery(raw, F.normalize(raw - mean, dim=1), mean, labels, descriptions)


def evaluate(config: Config, folder: Path) -> None:
    """Evaluates the run's current EMA denoiser; the run may still be training."""
    settings, start = config.evaluation, time.monotonic()
    dataset = data.load(config.data, config.seed)
    network = imagenet.network()
    gallery = load_gallery(config, dataset, folder, network)
    model = generation.load_rdpm(config, folder, len(dataset.classes))
    sampling = SamplingSettings(**dataclasses.asdict(config.sampling))
    splits = {"seen_pairs": dataset.train, "held_out_pairs": dataset.pairs, "unseen_emoji": dataset.test}

    rows: dict[str, list[dict[str, float]]] = {}
    for seed in settings.retrieval_seeds:
        generator = runs.generator(seed, RANDOM_STREAM)
        chosen = {
            name: torch.randperm(len(split), generator=generator)[: settings.retrieval_samples]
            for name, split in splits.items()
        }
        parts = {name: split.subset(chosen[name]) for name, split in splits.items()}
        requests = {name: (part, denoiser_stage.known_conditions(part)) for name, part in parts.items()}
        known = parts["seen_pairs"]
        full = denoiser_stage.known_conditions(known)
        null = model.denoiser.null_condition(full)
        requests["words_alone"] = (known, Condition(null.label, null.style, full.words))
        requests["class_alone"] = (known, generation.class_conditions(dataset, full.label, generator))
        for name, (part, condition) in requests.items():
            images = generation.generate(model, condition, sampling, seed)
            result = gallery.compute_metrics(
                features(config, network, images), part.labels, part.descriptions, generator
            )
            rows.setdefault(name, []).append(result)
            print(seed, name, {key: round(value, 3) for key, value in result.items()}, flush=True)
        images = reconstruct(config, folder, chosen["seen_pairs"], generator)
        result = gallery.compute_metrics(features(config, network, images), known.labels, known.descriptions, generator)
        rows.setdefault("reconstructions", []).append(result)
    runs.report(
        folder,
        "retrieval",
        {
            "update": runs.load(folder / "denoiser.pt").get("update"),
            "samples": settings.retrieval_samples,
            "seeds": settings.retrieval_seeds,
            "guidance": sampling.guidance,
            "temperature": sampling.temperature,
            "figures": {name: summary(found) for name, found in rows.items()},
            "seconds": round(time.monotonic() - start),
        },
    )


def reconstruct(config: Config, folder: Path, indices: Tensor, generator: torch.Generator) -> Tensor:
    """Training images, tokenized and decoded."""
    latents = codebook_stage.latents(config, folder)[0][indices]
    eps = trajectory.noise(config.trajectory, latents.shape, generator)
    z = trajectory.last(latents, eps, codebook_stage.trained(folder), trajectory.schedule(config.trajectory))
    return tokenizer_stage.decode_all(tokenizer_stage.trained(config, folder), z, runs.device())


def summary(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    """Mean and standard deviation over the seeds."""
    return {
        name: [
            round(statistics.fmean(values), 4),
            round(statistics.stdev(values) if len(values) > 1 else 0.0, 4),
        ]
        for name in rows[0]
        for values in [[row[name] for row in rows]]
    }
