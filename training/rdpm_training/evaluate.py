"""Stage `evaluate`: what the trained model is worth, in figures.

Samples are drawn with the default settings. Beside each figure stands what bounds it: training against test images (the
floor), and the tokenizer's reconstruction of the test images (what a perfect denoiser would reach).
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor

from . import codebook_stage, data, generation, metrics, runs, tokenizer_stage, trajectory
from .config import Config
from .judge import Judge, accuracy
from .sampler import SamplingSettings


def evaluate(config: Config, folder: Path) -> None:
    settings, start = config.evaluation, time.monotonic()
    dataset = data.load(config.data, config.seed)
    classes = len(dataset.classes)
    judge = Judge(config, folder, dataset)
    model = generation.load_rdpm(config, folder, classes)

    train, test = data.to_unit(dataset.train.images), judge.test
    train_features, train_classes = judge.look(train)
    reconstructed = reconstruct(config, folder)
    reconstructed_features, reconstructed_classes = judge.look(reconstructed)

    sweep = []
    for guidance, temperature in settings.sweep:
        labels = torch.arange(settings.sweep_samples) % classes
        drawn = generation.generate(model, labels, SamplingSettings(guidance, temperature), config.seed)
        sweep.append({"guidance": guidance, "temperature": temperature} | judge.figures(drawn, labels))
        print(sweep[-1], flush=True)

    labels = torch.arange(settings.samples) % classes
    guidance, temperature = config.sampling.guidance, config.sampling.temperature
    drawn = generation.generate(model, labels, SamplingSettings(guidance, temperature), config.seed)
    figures = judge.figures(drawn, labels)
    _, predicted = judge.look(drawn)
    train_precision, train_recall = metrics.precision_recall(judge.test_features, train_features[: len(test)])

    # A blurred image is nearer to everything: the reconstructions of unseen test images are the fair comparison.
    few = settings.nearest_samples
    nearest = {
        name: metrics.nearest(images[:few], train)[0][:, 0]
        for name, images in (("samples", drawn), ("test", test), ("reconstructed_test", reconstructed))
    }
    threshold = nearest["reconstructed_test"].quantile(0.01)
    runs.report(
        folder,
        "evaluate",
        {
            "samples": settings.samples,
            "guidance": guidance,
            "temperature": temperature,
            "accuracy": {
                "samples": figures["accuracy"],
                "test": accuracy(judge.test_classes, dataset.test.labels),
                "reconstructed_test": accuracy(reconstructed_classes, dataset.test.labels),
            },
            "accuracy_per_class": {
                "samples": per_class(predicted, labels, dataset.classes),
                "test": per_class(judge.test_classes, dataset.test.labels, dataset.classes),
                "train": per_class(train_classes, dataset.train.labels, dataset.classes),
            },
            "frechet": {
                "samples": figures["frechet"],
                "train": round(metrics.frechet(train_features, judge.test_features), 4),
                "reconstructed_test": round(metrics.frechet(reconstructed_features, judge.test_features), 4),
            },
            "precision_recall": {
                "samples": [figures["precision"], figures["recall"]],
                "train": [round(train_precision, 4), round(train_recall, 4)],
            },
            "nearest_training_image_rms": {
                name: {"median": round(d.median().item(), 4), "smallest": round(d.min().item(), 4)}
                for name, d in nearest.items()
            },
            "samples_nearer_than_1_percent_of_reconstructed_test": round(
                (nearest["samples"] < threshold).double().mean().item(), 4
            ),
            "sweep": {"samples": settings.sweep_samples, "figures": sweep},
            "seconds": round(time.monotonic() - start),
            "hardware": runs.hardware(),
        },
    )


def per_class(predicted: Tensor, intended: Tensor, classes: list[str]) -> dict[str, float]:
    """The accuracy on the images of each class."""
    return {
        name: accuracy(predicted[intended == index], intended[intended == index]) for index, name in enumerate(classes)
    }


def reconstruct(config: Config, folder: Path, images: int | None = None) -> Tensor:
    """The test images (or the first few) after T quantized steps and back."""
    latents = codebook_stage.latents(config, folder)[1][:images]
    random = runs.generator(config.seed, generation.RANDOM_STREAM, 1)
    eps = trajectory.noise(config.trajectory, latents.shape, random)
    s = trajectory.schedule(config.trajectory)
    z = trajectory.last(latents, eps, codebook_stage.trained(folder), s)
    return tokenizer_stage.decode_all(tokenizer_stage.trained(config, folder), z, runs.device())
