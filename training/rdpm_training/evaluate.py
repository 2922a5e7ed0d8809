"""Stage `evaluate`: what the trained model is worth, in figures.

Samples are drawn with the default settings. Beside each figure stands what bounds it: training against test images (the
floor), and the tokenizer's reconstruction of the test images (what a perfect denoiser would reach).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from . import classifier, codebook_stage, data, denoiser_stage, measures, runs, sampler, tokenizer_stage, trajectory
from .config import Config
from .denoiser import Denoiser
from .tokenizer import Tokenizer

STAGE = 6
BATCH = 250


def draw(
    config: Config,
    tokenizer: Tokenizer,
    denoiser: Denoiser,
    codebook: Tensor,
    labels: Tensor,
    guidance: float,
    temperature: float,
) -> Tensor:
    """One image (channels, size, size) in -1..1 for each label."""
    on, steps = runs.device(), config.trajectory.steps
    tokenizer, denoiser, codebook = tokenizer.to(on), denoiser.to(on), codebook.to(on)
    random = runs.generator(config.seed, STAGE)
    images = []
    for chunk in tqdm(labels.split(BATCH), f"samples w={guidance:g} τ={temperature:g}", unit="batch"):
        eps = torch.randn(len(chunk), config.positions, codebook.shape[1], generator=random)

        def uniforms(count: int) -> Iterator[Tensor]:
            while True:
                ticks = torch.randint(1 << 23, (count, config.positions, len(codebook)), generator=random)
                yield ((ticks.float() + 0.5) / (1 << 23)).to(on)

        with runs.autocast(on):
            *_, last = sampler.sample(
                denoiser, codebook, steps, chunk.to(on), eps.to(on), uniforms(len(chunk)), guidance, temperature
            )
        images.append(tokenizer_stage.decode_all(tokenizer, last.z.float(), on))
    return torch.cat(images)


def evaluate(config: Config, folder: Path) -> None:
    on, settings = runs.device(), config.evaluation
    start = time.monotonic()
    dataset = data.load(config.data, config.seed)
    classes = len(dataset.classes)
    judge = classifier.trained(config, folder, dataset)
    tokenizer = tokenizer_stage.trained(config, folder)
    codebook = codebook_stage.trained(folder)
    denoiser = denoiser_stage.trained(config, folder, classes)

    train, test = data.to_unit(dataset.train.images), data.to_unit(dataset.test.images)
    test_features, test_classes = classifier.judge(judge, test, on)
    train_features, _ = classifier.judge(judge, train, on)
    reconstructed = reconstruct(config, folder, tokenizer, codebook)
    reconstructed_features, reconstructed_classes = classifier.judge(judge, reconstructed, on)

    def accuracy(predicted: Tensor, intended: Tensor) -> float:
        return round((predicted == intended).double().mean().item(), 4)

    sweep = []
    for guidance, temperature in settings.sweep:
        labels = torch.arange(settings.sweep_samples) % classes
        drawn = draw(config, tokenizer, denoiser, codebook, labels, guidance, temperature)
        features, predicted = classifier.judge(judge, drawn, on)
        figures = {
            "accuracy": accuracy(predicted, labels),
            "frechet": round(measures.frechet(features, test_features), 3),
        }
        sweep.append({"guidance": guidance, "temperature": temperature} | figures)
        print(sweep[-1], flush=True)

    labels = torch.arange(settings.samples) % classes
    guidance, temperature = config.sampling.guidance, config.sampling.temperature
    drawn = draw(config, tokenizer, denoiser, codebook, labels, guidance, temperature)
    features, predicted = classifier.judge(judge, drawn, on)
    precision, recall = measures.precision_recall(test_features, features)
    train_precision, train_recall = measures.precision_recall(test_features, train_features[: len(test_features)])

    # A blurred image is nearer to everything: the reconstructions of unseen test images are the fair comparison.
    few = settings.nearest_samples
    nearest = {
        name: measures.nearest_distance(images[:few], train)
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
                "samples": accuracy(predicted, labels),
                "test": accuracy(test_classes, dataset.test.labels),
                "reconstructed_test": accuracy(reconstructed_classes, dataset.test.labels),
                "samples_per_class": {
                    name: accuracy(predicted[labels == index], labels[labels == index])
                    for index, name in enumerate(dataset.classes)
                },
            },
            "frechet": {
                "samples": round(measures.frechet(features, test_features), 4),
                "train": round(measures.frechet(train_features, test_features), 4),
                "reconstructed_test": round(measures.frechet(reconstructed_features, test_features), 4),
            },
            "precision_recall": {
                "samples": [round(precision, 4), round(recall, 4)],
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


def reconstruct(config: Config, folder: Path, tokenizer: Tokenizer, codebook: Tensor) -> Tensor:
    """The test images after T quantized steps and back."""
    _, latents = codebook_stage.latents(config, folder)
    eps = torch.randn(latents.shape, generator=runs.generator(config.seed, STAGE, 1))
    z = trajectory.last(latents, eps, codebook, trajectory.schedule(config.trajectory))
    return tokenizer_stage.decode_all(tokenizer, z, runs.device())
