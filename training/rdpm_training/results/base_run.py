"""The base run of an evaluation plan: its data, autoencoder, latents and classifier, which all results share."""

from __future__ import annotations

import os
from pathlib import Path

from .. import codebook_stage, data
from ..classifier_metrics import ClassifierMetrics
from .plan import Plan

SHARED_FILES = ("tokenizer.pt", "latents.pt", "classifier.pt")


class BaseRun:
    """The base run. Its folder is only read; missing files are computed in `folder`, inside the results folder."""

    def __init__(self, plan: Plan, results: Path) -> None:
        if not (plan.run / SHARED_FILES[0]).exists():
            raise FileNotFoundError(f"{plan.run / SHARED_FILES[0]} is missing: train the base run's tokenizer first")
        self.folder = link_shared_files(plan.run, results / "base")
        self.train_latents, self.test_latents = codebook_stage.latents(plan.base, self.folder)
        self.dataset = data.load(plan.base.data, plan.base.seed)
        self.classes = len(self.dataset.classes)
        self.classifier_metrics = ClassifierMetrics(plan.base, self.folder, self.dataset)


def link_shared_files(source: Path, folder: Path) -> Path:
    """Links the shared files into `folder`, if they are not there yet, and returns `folder`.

    A decoder fine-tuned on one codebook's tokens is not shared, because it would favour that codebook.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in SHARED_FILES:
        if (source / name).exists() and not (folder / name).exists():
            (folder / name).unlink(missing_ok=True)  # a dangling link
            (folder / name).symlink_to(os.path.relpath(source / name, folder))
    return folder
