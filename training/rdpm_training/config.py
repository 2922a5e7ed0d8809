"""The run's configuration: a TOML file read into frozen, typed records. Unknown keys are errors."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class ConfigError(ValueError):
    """A configuration that cannot be trained; the message names the key."""


@dataclass(frozen=True)
class Data:
    source: str
    path: str
    image_size: int
    channels: int
    license: str = "unknown"
    test_fraction: float = 0.1  # of a folder's images; Fashion-MNIST has its own test set


@dataclass(frozen=True)
class Tokenizer:
    latent_channels: int
    widths: list[int]
    blocks: list[int]
    updates: int
    batch_size: int
    learning_rate: float
    kl_weight: float
    latent_noise: float


@dataclass(frozen=True)
class Trajectory:
    steps: int
    schedule: str
    codes: int


@dataclass(frozen=True)
class Codebook:
    images: int
    rounds: int
    iterations: int


@dataclass(frozen=True)
class Decoder:
    updates: int
    batch_size: int
    learning_rate: float


@dataclass(frozen=True)
class Denoiser:
    width: int
    layers: int
    heads: int
    updates: int
    batch_size: int
    warmup: int
    decay: float
    learning_rate: float
    muon_learning_rate: float
    class_dropout: float
    ema: float
    compile: bool = False


@dataclass(frozen=True)
class Sampling:
    guidance: float
    temperature: float


@dataclass(frozen=True)
class Evaluation:
    samples: int
    nearest_samples: int
    classifier_epochs: int
    sweep: list[list[float]]  # pairs of guidance and temperature
    sweep_samples: int


@dataclass(frozen=True)
class Config:
    name: str
    title: str
    seed: int
    data: Data
    tokenizer: Tokenizer
    trajectory: Trajectory
    codebook: Codebook
    decoder: Decoder
    denoiser: Denoiser
    sampling: Sampling
    evaluation: Evaluation

    @property
    def grid(self) -> int:
        """Side of the token grid: the tokenizer shrinks an image by four."""
        return self.data.image_size // 4

    @property
    def positions(self) -> int:
        """n = h * w."""
        return self.grid**2


SECTIONS: dict[str, type] = {
    "data": Data,
    "tokenizer": Tokenizer,
    "trajectory": Trajectory,
    "codebook": Codebook,
    "decoder": Decoder,
    "denoiser": Denoiser,
    "sampling": Sampling,
    "evaluation": Evaluation,
}


def _record(kind: type, values: dict[str, Any], where: str) -> Any:
    fields = {f.name: f for f in dataclasses.fields(kind)}
    if unknown := values.keys() - fields.keys():
        raise ConfigError(f"{where}: unknown key {sorted(unknown)[0]!r}; known are {', '.join(fields)}")
    required = {n for n, f in fields.items() if f.default is dataclasses.MISSING}
    if missing := required - values.keys():
        raise ConfigError(f"{where}: {sorted(missing)[0]!r} is missing")
    return kind(**values)


def load(path: Path) -> Config:
    """Reads and checks a TOML file.

    Raises ConfigError, naming the key and what is allowed.
    """
    try:
        raw = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    for section, kind in SECTIONS.items():
        if section not in raw:
            raise ConfigError(f"{path}: section [{section}] is missing")
        raw[section] = _record(kind, raw[section], f"{path} [{section}]")
    config: Config = _record(Config, raw, str(path))
    if config.data.image_size % 4:
        raise ConfigError(f"{path} [data]: image_size is {config.data.image_size}; it must be a multiple of 4")
    if config.data.channels not in (1, 3):
        raise ConfigError(f"{path} [data]: channels is {config.data.channels}; it must be 1 or 3")
    if config.denoiser.width % config.denoiser.heads:
        raise ConfigError(f"{path} [denoiser]: width {config.denoiser.width} is no multiple of heads")
    if any(width % 8 for width in config.tokenizer.widths) or len(config.tokenizer.widths) != 2:
        raise ConfigError(f"{path} [tokenizer]: widths must be two multiples of 8 (GroupNorm has 8 groups)")
    return config
