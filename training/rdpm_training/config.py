"""A run's configuration: a TOML file read into frozen dataclasses. Unknown keys are errors."""

from __future__ import annotations

import argparse
import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class ConfigError(ValueError):
    """The configuration is invalid; the message names the key."""


@dataclass(frozen=True)
class DataConfig:
    source: str
    path: str
    image_size: int
    channels: int
    license: str = "unknown"
    test_fraction: float = 0.1  # fraction of a folder's images or of all emoji; Fashion-MNIST has its own test set
    strict: bool = False  # refuse a folder with files that cannot be used, instead of skipping them
    variants: int = 1  # augmented variants of each training image (emoji only); 0: no augmentation


@dataclass(frozen=True)
class Package:
    """A package of the npm registry: its version, the SHA-256 of its archive, and the licence that it states."""

    package: str
    version: str
    sha256: str
    license: str


@dataclass(frozen=True)
class EmojiClassConfig:
    subgroups: list[str]  # Unicode's subgroups; `*` is a wildcard
    without: list[str] = dataclasses.field(default_factory=list)  # names of emoji to exclude; `*` is a wildcard
    looks: int = 1  # maximum number of skin-tone and gender variants of one emoji in one style
    limit: int | None = None  # maximum number of images from one style
    flip: bool = True  # whether horizontal flips are valid images


@dataclass(frozen=True)
class EmojiConfig:
    unicode: str
    styles: dict[str, Package]
    classes: dict[str, EmojiClassConfig]
    annotations: Package | None = None  # Unicode's keywords; if given, the denoiser is conditioned on style and words
    held_out: str = ""  # file that lists the held-out emoji and pairs; must agree with the hashes
    pair_fraction: float = 0.0  # fraction of (emoji, style) pairs to hold out, for emoji that other styles have


@dataclass(frozen=True)
class TokenizerConfig:
    latent_channels: int
    widths: list[int]
    blocks: list[int]
    updates: int
    batch_size: int
    learning_rate: float
    kl_weight: float
    latent_noise: float
    edge_weight: float = 0.0
    # Further levels of the decoder, largest resolution first. With n of them, images have 2^n times the size that the
    # encoder sees.
    upsample_widths: list[int] = dataclasses.field(default_factory=list)
    upsample_blocks: list[int] = dataclasses.field(default_factory=list)


@dataclass(frozen=True)
class TrajectoryConfig:
    steps: int
    schedule: str
    codes: int
    exponent: float = 1.0  # for schedule "power"
    noise: float = 1.0  # standard deviation of eps; the server uses 1, ablations also 0


@dataclass(frozen=True)
class CodebookConfig:
    images: int
    rounds: int
    iterations: int


@dataclass(frozen=True)
class DecoderConfig:
    updates: int
    batch_size: int
    learning_rate: float
    adversarial_weight: float = 0.0  # weight of the adversarial loss; 0: no discriminator
    feature_weight: float = 0.0  # weight of the feature-matching loss
    adversarial_start: float = 0.0  # fraction of the training after which the discriminator begins


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Training of a transformer (`trainer.train`)."""

    updates: int
    batch_size: int
    warmup: int
    decay: float
    learning_rate: float
    muon_learning_rate: float
    ema: float
    compile: bool = False
    seconds: float = 0.0  # training time (`trainer.TrainingClock`) instead of `updates`; 0: use `updates`


@dataclass(frozen=True, kw_only=True)
class DenoiserConfig(TrainingConfig):
    width: int
    layers: int
    heads: int
    class_dropout: float
    style_dropout: float = 0.0
    words_dropout: float = 0.0
    condition_dropout: float = 0.0  # drops class, style and words together, in addition to the three above


@dataclass(frozen=True, kw_only=True)
class DistillationConfig(TrainingConfig):
    """Training of a denoiser that computes guided logits in one pass, from the denoiser that needs two."""

    max_guidance: int = 8  # guidance scales from 0 to this


@dataclass(frozen=True)
class SamplingConfig:
    guidance: float
    temperature: float
    guidance_steps: str | None = None  # "FIRST-LAST": the steps that are guided; all if omitted


@dataclass(frozen=True)
class EvaluationConfig:
    samples: int
    nearest_samples: int
    classifier_epochs: int
    sweep: list[list[float]]  # pairs of guidance and temperature
    sweep_samples: int
    retrieval_samples: int = 320  # stage `retrieval`: images for each kind of request
    retrieval_seeds: list[int] = dataclasses.field(default_factory=lambda: [1, 2, 3])


@dataclass(frozen=True)
class Config:
    name: str
    title: str
    seed: int
    data: DataConfig
    tokenizer: TokenizerConfig
    trajectory: TrajectoryConfig
    codebook: CodebookConfig
    decoder: DecoderConfig
    denoiser: DenoiserConfig
    sampling: SamplingConfig
    evaluation: EvaluationConfig
    emoji: EmojiConfig | None = None
    distillation: DistillationConfig | None = None
    remarks: str = ""  # additional text for the model card

    @property
    def reduction(self) -> int:
        """Image size divided by the size that the encoder sees."""
        return 2 ** len(self.tokenizer.upsample_widths)

    @property
    def downscale(self) -> int:
        """Image size divided by grid size: the encoder halves the resolution once per level."""
        return self.reduction * 2 ** len(self.tokenizer.widths)

    @property
    def grid(self) -> int:
        """Side of the token grid, in positions."""
        return self.data.image_size // self.downscale

    @property
    def positions(self) -> int:
        """Number of positions n = h * w."""
        return self.grid**2


SECTIONS: dict[str, type] = {
    "data": DataConfig,
    "tokenizer": TokenizerConfig,
    "trajectory": TrajectoryConfig,
    "codebook": CodebookConfig,
    "decoder": DecoderConfig,
    "denoiser": DenoiserConfig,
    "sampling": SamplingConfig,
    "evaluation": EvaluationConfig,
}
OPTIONAL_SECTIONS: dict[str, type] = {"distillation": DistillationConfig}


def _records(kind: type, values: dict[str, Any], where: str) -> dict[str, Any]:
    return {name: record(kind, entry, f"{where[:-1]}.{name}]") for name, entry in values.items()}


def record(kind: type, values: dict[str, Any], where: str) -> Any:
    """Makes a dataclass from a TOML table. Raises ConfigError if a key is unknown or missing."""
    fields = {f.name: f for f in dataclasses.fields(kind)}
    if unknown := values.keys() - fields.keys():
        raise ConfigError(f"{where}: unknown key {sorted(unknown)[0]!r}; known keys are {', '.join(fields)}")
    missing_default = dataclasses.MISSING
    required = {n for n, f in fields.items() if f.default is missing_default and f.default_factory is missing_default}
    if missing := required - values.keys():
        raise ConfigError(f"{where}: {sorted(missing)[0]!r} is missing")
    return kind(**values)


def read(path: Path) -> dict[str, Any]:
    """Parses a TOML file. Raises ConfigError if it cannot be read."""
    try:
        return tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def load(path: Path) -> Config:
    """Reads and validates a TOML file.

    Raises ConfigError; the message names the key and the allowed values.
    """
    raw = read(path)
    for section, kind in (SECTIONS | OPTIONAL_SECTIONS).items():
        if section in raw:
            raw[section] = record(kind, raw[section], f"{path} [{section}]")
        elif section in SECTIONS:
            raise ConfigError(f"{path}: section [{section}] is missing")
    if "emoji" in raw:
        where, emoji = f"{path} [emoji]", raw["emoji"]
        for key, kind in (("styles", Package), ("classes", EmojiClassConfig)):
            emoji[key] = _records(kind, emoji.get(key, {}), f"{path} [emoji.{key}]")
        if "annotations" in emoji:
            emoji["annotations"] = record(Package, emoji["annotations"], f"{path} [emoji.annotations]")
        raw["emoji"] = record(EmojiConfig, emoji, where)
    config: Config = record(Config, raw, str(path))
    check(config, str(path))
    return config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--config` and `--set`, which `from_arguments` reads."""
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="configuration override, as in the TOML file",
    )


def from_arguments(arguments: argparse.Namespace) -> Config:
    """The file that `--config` names, with the changes of each `--set`.

    Raises ConfigError, and TOMLDecodeError if a change isn't TOML.
    """
    config = load(arguments.config)
    for change in arguments.set:
        config = override(config, tomllib.loads(change), "--set")
    return config


def override(config: Config, changes: dict[str, Any], where: str) -> Config:
    """Returns the configuration with some values replaced: {section: {key: value}}, as in TOML.

    Raises ConfigError if a section or key is unknown.
    """
    for section, values in changes.items():
        if section not in SECTIONS:
            raise ConfigError(f"{where}: unknown section {section!r}; known sections are {', '.join(SECTIONS)}")
        if not isinstance(values, dict):
            raise ConfigError(f"{where}: {section} is a section; set one of its keys")
        current = dataclasses.asdict(getattr(config, section))
        changed = record(SECTIONS[section], current | values, f"{where} [{section}]")
        config = dataclasses.replace(config, **{section: changed})
    check(config, where)
    return config


def check(config: Config, where: str) -> None:
    """Raises ConfigError if values are out of range or inconsistent."""
    if any(width % 8 for width in config.tokenizer.widths) or not 1 <= len(config.tokenizer.widths) <= 4:
        raise ConfigError(f"{where} [tokenizer]: widths must be one to four multiples of 8 (GroupNorm has 8 groups)")
    if len(config.tokenizer.blocks) != len(config.tokenizer.widths):
        raise ConfigError(f"{where} [tokenizer]: blocks and widths must have the same length")
    upsample = config.tokenizer.upsample_widths
    if any(width % 8 for width in upsample) or len(upsample) > 2:
        raise ConfigError(f"{where} [tokenizer]: upsample_widths must be at most two multiples of 8")
    if len(config.tokenizer.upsample_blocks) != len(upsample):
        raise ConfigError(f"{where} [tokenizer]: upsample_blocks and upsample_widths must have the same length")
    size, downscale = config.data.image_size, config.downscale
    if size % downscale:
        raise ConfigError(f"{where} [data]: image_size is {size}; it must be a multiple of {downscale}")
    if config.data.channels not in (1, 3):
        raise ConfigError(f"{where} [data]: channels is {config.data.channels}; it must be 1 or 3")
    if config.denoiser.width % config.denoiser.heads:
        raise ConfigError(f"{where} [denoiser]: width {config.denoiser.width} is not a multiple of heads")
