"""A small convolutional classifier for evaluation, trained on real training images only.

It shares nothing with the tokenizer or the denoiser. Its last hidden layer is the feature space of the Fréchet
distance, precision and recall. The space is this project's own, so its figures are not comparable with published ones.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from . import data, dataloader, runs
from .config import Config

RANDOM_STREAM = 5
FEATURES = 128
BATCH = 128


class Classifier(nn.Module):
    """(b, channels, size, size) in -1..1 to features (b, 128) and logits (b, classes)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()

        def stage(inputs: int, outputs: int) -> list[nn.Module]:
            return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]

        self.body = nn.Sequential(
            *stage(channels, 32), nn.MaxPool2d(2), *stage(32, 64), *stage(64, 64), nn.MaxPool2d(2), *stage(64, FEATURES)
        )
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(images).mean(dim=(2, 3))
        return features, self.head(features)


@torch.no_grad()
def predict(classifier: Classifier, images: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Features (b, 128) and predicted classes (b,) of images in -1..1, on the host."""
    parts = [classifier(chunk.to(device)) for chunk in images.split(500)]
    return torch.cat([f.cpu() for f, _ in parts]), torch.cat([logits.argmax(1).cpu() for _, logits in parts])


def trained(config: Config, folder: Path, dataset: data.Dataset) -> Classifier:
    """Loads the classifier from `folder`, or trains it and writes it there."""
    device, path = runs.device(), folder / "classifier.pt"
    torch.manual_seed(config.seed + RANDOM_STREAM)
    classifier = Classifier(config.data.channels, len(dataset.classes)).to(device, memory_format=torch.channels_last)
    if path.exists():
        classifier.load_state_dict(runs.load(path)["model"])
        return classifier.eval()
    batches = dataloader.BatchSampler(len(dataset.train), BATCH, config.seed + RANDOM_STREAM)
    updates = config.evaluation.classifier_epochs * batches.batches_per_epoch
    optimizer = torch.optim.AdamW(classifier.parameters(), 3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=updates)
    progress = tqdm(range(updates), "classifier", unit="update")
    for update in progress:
        indices = batches.batch(update)
        images, labels = (part.to(device) for part in dataset.train.batch(indices))
        images = images.contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(classifier(images)[1], labels, label_smoothing=0.05)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if update % 10 == 0:
            progress.set_postfix(loss=f"{loss.item():.4f}")
    runs.save(path, {"model": classifier.state_dict()})
    return classifier.eval()
