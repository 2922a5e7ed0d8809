"""What all measurements share: the base run's data, autoencoder, latents and classifier."""

from __future__ import annotations

import os
from pathlib import Path

from .. import codebook_stage, data
from ..judge import Judge
from .plan import Plan

SHARED = ("tokenizer.pt", "latents.pt", "classifier.pt")


class Base:
    """The base run, seen from a results folder; itself it is never written to: what it lacks is made in `folder`."""

    def __init__(self, plan: Plan, results: Path) -> None:
        if not (plan.run / SHARED[0]).exists():
            raise FileNotFoundError(f"{plan.run / SHARED[0]} is missing: train the base run's tokenizer first")
        self.folder = share(plan.run, results / "base")
        self.train_latents, self.test_latents = codebook_stage.latents(plan.base, self.folder)
        self.dataset = data.load(plan.base.data, plan.base.seed)
        self.classes = len(self.dataset.classes)
        self.judge = Judge(plan.base, self.folder, self.dataset)


def share(source: Path, folder: Path) -> Path:
    """Links what is shared into a folder, where it is not yet, and returns that.

    A decoder that was fine-tuned on one codebook's tokens is left out: it would favour them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in SHARED:
        if (source / name).exists() and not (folder / name).exists():
            (folder / name).unlink(missing_ok=True)  # a link that leads nowhere
            (folder / name).symlink_to(os.path.relpath(source / name, folder))
    return folder
