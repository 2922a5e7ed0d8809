"""Metrics of generated images in the feature space of `classifier`, relative to the test images."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from . import classifier, data, metrics, runs
from .config import Config


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Fraction of correct predictions."""
    return round((predicted == labels).double().mean().item(), 4)


class ClassifierMetrics:
    """The classifier in `folder` (trained if it is missing), and its features and predictions for the test images."""

    def __init__(self, config: Config, folder: Path, dataset: data.Dataset) -> None:
        self.device = runs.device()
        self.classifier = classifier.trained(config, folder, dataset)
        self.test = data.to_unit(dataset.test.images)
        self.test_features, self.test_classes = self.predict(self.test)

    def predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (b, 128) and predicted classes (b,) of images in -1..1."""
        return classifier.predict(self.classifier, images, self.device)

    def compute(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """Accuracy, Fréchet distance, precision and recall of images generated for `labels`.

        Precision and recall use as many test images as there are generated ones, if there are that many.
        """
        features, predicted = self.predict(images)
        precision, recall = metrics.precision_recall(self.test_features[: len(features)], features)
        return {
            "accuracy": accuracy(predicted, labels),
            "frechet": round(metrics.frechet(features, self.test_features), 4),
            "precision": round(precision, 4),
            "recall": round(recall, 4),
        }
