"""Stage `evaluate`: metrics of the trained model.

Samples are generated with the default settings. For comparison, the metrics are also computed for training images (the
best possible values) and for the tokenizer's reconstructions of the test images (what a perfect denoiser would reach).
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import torch
from torch import Tensor

from . import codebook_stage, data, generation, metrics, runs, tokenizer_stage, trajectory
from .classifier_metrics import ClassifierMetrics, accuracy
from .config import Config
from .sampler import SamplingSettings


def evaluate(config: Config, folder: Path) -> None:
    settings, start = config.evaluation, time.monotonic()
    dataset = data.load(config.data, config.seed)
    classes = len(dataset.classes)
    classifier_metrics = ClassifierMetrics(config, folder, dataset)
    model = generation.load_rdpm(config, folder, classes)

    train, test = data.to_unit(dataset.train.images), classifier_metrics.test
    train_features, train_classes = classifier_metrics.predict(train)
    reconstructed = reconstruct(config, folder)
    reconstructed_features, reconstructed_classes = classifier_metrics.predict(reconstructed)

    sweep = []
    for guidance, temperature in settings.sweep:
        labels = torch.arange(settings.sweep_samples) % classes
        requests = generation.class_conditions(
            dataset, labels, runs.generator(config.seed, generation.RANDOM_STREAM, 3)
        )
        samples = generation.generate(model, requests, SamplingSettings(guidance, temperature), config.seed)
        sweep.append({"guidance": guidance, "temperature": temperature} | classifier_metrics.compute(samples, labels))
        print(sweep[-1], flush=True)

    labels = torch.arange(settings.samples) % classes
    sampling = SamplingSettings(**dataclasses.asdict(config.sampling))
    requests = generation.class_conditions(dataset, labels, runs.generator(config.seed, generation.RANDOM_STREAM, 4))
    samples = generation.generate(model, requests, sampling, config.seed)
    sample_metrics = classifier_metrics.compute(samples, labels)
    _, predicted = classifier_metrics.predict(samples)
    train_precision, train_recall = metrics.precision_recall(
        classifier_metrics.test_features, train_features[: len(test)]
    )

    # Blur reduces the distance to all images, so the fair comparison is with reconstructions of unseen test images.
    count = settings.nearest_samples
    nearest = {
        name: metrics.nearest(images[:count], train)[0][:, 0]
        for name, images in (("samples", samples), ("test", test), ("reconstructed_test", reconstructed))
    }
    threshold = nearest["reconstructed_test"].quantile(0.01)
    runs.report(
        folder,
        "evaluate",
        {
            "samples": settings.samples,
            **{name: value for name, value in dataclasses.asdict(config.sampling).items() if value is not None},
            "accuracy": {
                "samples": sample_metrics["accuracy"],
                "test": accuracy(classifier_metrics.test_classes, dataset.test.labels),
                "reconstructed_test": accuracy(reconstructed_classes, dataset.test.labels),
            },
            "accuracy_per_class": {
                "samples": per_class(predicted, labels, dataset.classes),
                "test": per_class(classifier_metrics.test_classes, dataset.test.labels, dataset.classes),
                "train": per_class(train_classes, dataset.train.labels, dataset.classes),
            },
            "frechet": {
                "samples": sample_metrics["frechet"],
                "train": round(metrics.frechet(train_features, classifier_metrics.test_features), 4),
                "reconstructed_test": round(
                    metrics.frechet(reconstructed_features, classifier_metrics.test_features), 4
                ),
            },
            "precision_recall": {
                "samples": [sample_metrics["precision"], sample_metrics["recall"]],
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


def per_class(predicted: Tensor, labels: Tensor, classes: list[str]) -> dict[str, float]:
    """The accuracy on the images of each class."""
    return {name: accuracy(predicted[labels == index], labels[labels == index]) for index, name in enumerate(classes)}


def reconstruct(config: Config, folder: Path, images: int | None = None) -> Tensor:
    """The first `images` test images (default: all), tokenized and decoded."""
    latents = codebook_stage.latents(config, folder)[1][:images]
    generator = runs.generator(config.seed, generation.RANDOM_STREAM, 1)
    eps = trajectory.noise(config.trajectory, latents.shape, generator)
    s = trajectory.schedule(config.trajectory)
    z = trajectory.last(latents, eps, codebook_stage.trained(folder), s)
    return tokenizer_stage.decode_all(tokenizer_stage.trained(config, folder), z, runs.device())
