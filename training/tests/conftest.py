"""A tiny data set and configuration with all parts of a real one, which train in a few seconds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rdpm_training import config as configuration
from rdpm_training.config import Config

ROOT = Path(__file__).resolve().parent.parent.parent

TOML = """
name = "tiny"
title = "Tiny"
seed = 3
[data]
source = "folder"
path = "{path}"
image_size = 16
channels = 3
[tokenizer]
latent_channels = 4
widths = [8, 16]
blocks = [1, 1]
updates = 6
batch_size = 8
learning_rate = 1e-3
kl_weight = 0.004
latent_noise = 0.2
[trajectory]
steps = 4
schedule = "linear"
codes = 16
[codebook]
images = 40
rounds = 2
iterations = 3
[decoder]
updates = 6
batch_size = 8
learning_rate = 1e-3
adversarial_weight = 0.05
feature_weight = 0.5
[denoiser]
width = 16
layers = 2
heads = 2
updates = 6
batch_size = 8
warmup = 2
decay = 0.5
learning_rate = 1e-3
muon_learning_rate = 1e-3
class_dropout = 0.1
ema = 0.9
[sampling]
guidance = 2.0
temperature = 0.9
[evaluation]
samples = 40
nearest_samples = 10
classifier_epochs = 1
sweep = [[1.0, 1.0]]
sweep_samples = 20
"""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes, warm and cool, 24 images each, of several sizes and modes."""
    root = tmp_path / "images"
    generator = np.random.default_rng(0)
    for label, tint in {"cool": (40, 90, 200), "warm": (200, 120, 40)}.items():
        (root / label).mkdir(parents=True)
        for index in range(24):
            size = (20 + index, 18, 3)
            pixels = np.clip(generator.normal(tint, 25, size), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / label / f"{index}.png")
    return root


@pytest.fixture
def tiny(tmp_path: Path, images: Path) -> Config:
    file = tmp_path / "tiny.toml"
    file.write_text(TOML.format(path=images))
    return configuration.load(file)


@pytest.fixture
def binary() -> Path:
    """The program, which scripts/test builds first."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = Path(os.environ.get("RDPM_PROGRAM", target / "release" / "rdpm"))
    assert path.exists(), "build it first: cargo build --release"
    return path
