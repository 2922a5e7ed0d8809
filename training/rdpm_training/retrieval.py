"""Stage `retrieval`: do pictures show what was asked for? Judged by an ImageNet network (`imagenet`).

For each picture the nearest real ones are looked up, of all splits, by the cosine of centred features. It is right
where they show the emoji that was asked for, in any style; its class and its style are judged by the nearest one. The
kernel distance (KID) compares a set of pictures with as many real ones of the same classes and styles.

Reconstructions of training pictures bound all figures: they are what a perfect denoiser would draw.
"""

from __future__ import annotations

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
    """All real pictures: features (k, f), centred and of length 1, classes (k,), what is known of each."""

    raw: Tensor
    features: Tensor
    mean: Tensor
    labels: Tensor
    descriptions: Descriptions

    def figures(
        self, drawn: Tensor, labels: Tensor, wanted: Descriptions, generator: torch.Generator
    ) -> dict[str, float]:
        """Shares of pictures with features `drawn` (b, f) that are right, and their kernel distance."""
        nearest = (
            (F.normalize(drawn - self.mean, dim=1) @ self.features.T).topk(min(5, len(self.features)), dim=1).indices
        )
        shown = self.descriptions.emoji[nearest] == wanted.emoji[:, None]
        first = nearest[:, 0]
        return {
            "emoji": share(shown[:, 0]),
            "emoji_in_5": share(shown.any(1)),
            "class": share(self.labels[first] == labels),
            "style": share(self.descriptions.styles[first] == wanted.styles),
            "kernel_distance": metrics.kernel_distance(drawn, self.raw[self.alike(labels, wanted.styles, generator)]),
        }

    def alike(self, labels: Tensor, styles: Tensor, generator: torch.Generator) -> Tensor:
        """A random real picture of the same class and style for each."""
        same = (self.labels == labels[:, None]) & (self.descriptions.styles == styles[:, None])
        return torch.multinomial(same.double(), 1, generator=generator)[:, 0]


def share(right: Tensor) -> float:
    return right.double().mean().item()


def joined(splits: list[Split]) -> tuple[Tensor, Tensor, Descriptions]:
    """Images, classes and descriptions of several splits."""
    known = [split.descriptions for split in splits if split.descriptions is not None]
    parts = (torch.cat([getattr(one, name) for one in known]) for name in ("styles", "names", "keywords", "emoji"))
    return torch.cat([s.images for s in splits]), torch.cat([s.labels for s in splits]), Descriptions(*parts)


def gallery(dataset: data.Dataset, folder: Path, judge: object) -> Gallery:
    """The features of all real pictures, kept in the run's folder."""
    if dataset.pairs is None:
        raise DataError("stage `retrieval` needs a data set with styles and words")
    images, labels, descriptions = joined([dataset.train, dataset.test, dataset.pairs])
    path = folder / "gallery.pt"
    if not path.exists():
        runs.save(path, {"features": imagenet.features(judge, data.to_unit(images))})
    raw = runs.load(path)["features"]
    if len(raw) != len(labels):
        raise ConfigError(f"{path} has {len(raw)} pictures, the data set {len(labels)}: delete it")
    mean = raw.mean(0)
    return Gallery(raw, F.normalize(raw - mean, dim=1), mean, labels, descriptions)


def evaluate(config: Config, folder: Path) -> None:
    """Measures the run's averaged denoiser as it is now; a run that still goes on can be measured, too."""
    settings, start = config.evaluation, time.monotonic()
    dataset = data.load(config.data, config.seed)
    judge = imagenet.network()
    real = gallery(dataset, folder, judge)
    model = generation.load_rdpm(config, folder, len(dataset.classes))
    sampling = SamplingSettings(config.sampling.guidance, config.sampling.temperature)
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
        whole = denoiser_stage.known_conditions(known)
        nothing = model.denoiser.null_condition(whole)
        requests["words_alone"] = (known, Condition(nothing.label, nothing.style, whole.words))
        requests["class_alone"] = (known, Condition(whole.label, nothing.style, nothing.words))
        for name, (part, condition) in requests.items():
            images = generation.generate(model, condition, sampling, seed)
            found = real.figures(imagenet.features(judge, images), part.labels, part.descriptions, generator)
            rows.setdefault(name, []).append(found)
            print(seed, name, {key: round(value, 3) for key, value in found.items()}, flush=True)
        images = reconstructed(config, folder, chosen["seen_pairs"], generator)
        found = real.figures(imagenet.features(judge, images), known.labels, known.descriptions, generator)
        rows.setdefault("reconstructions", []).append(found)
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


def reconstructed(config: Config, folder: Path, indices: Tensor, generator: torch.Generator) -> Tensor:
    """Some training pictures after T quantized steps and back."""
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
