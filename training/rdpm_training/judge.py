"""What images are worth: the classifier's opinion of them beside its opinion of the test images."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from . import classifier, data, metrics, runs
from .config import Config


def accuracy(predicted: Tensor, intended: Tensor) -> float:
    return round((predicted == intended).double().mean().item(), 4)


class Judge:
    """The classifier of `folder` (trained there where it is missing) and what it sees in the test images."""

    def __init__(self, config: Config, folder: Path, dataset: data.Dataset) -> None:
        self.on = runs.device()
        self.classifier = classifier.trained(config, folder, dataset)
        self.test = data.to_unit(dataset.test.images)
        self.test_features, self.test_classes = self.look(self.test)

    def look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (b, 128) and predicted classes (b,) of images in -1..1."""
        return classifier.predict(self.classifier, images, self.on)

    def figures(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """Accuracy, Fréchet distance, precision and recall of images drawn for `labels`.

        Precision and recall compare as many test images as were drawn, where there are so many.
        """
        features, predicted = self.look(images)
        precision, recall = metrics.precision_recall(self.test_features[: len(features)], features)
        return {
            "accuracy": accuracy(predicted, labels),
            "frechet": round(metrics.frechet(features, self.test_features), 4),
            "precision": round(precision, 4),
            "recall": round(recall, 4),
        }
