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
    test_fraction: float = 0.1  # of a folder's images, of all emoji; Fashion-MNIST has its own test set
    variants: int = 1  # of each training image, shifted, turned, scaled and mirrored; 0: as they are; emoji only


@dataclass(frozen=True)
class Package:
    """A package of the npm registry at a version, the SHA-256 of its archive, the licence it states."""

    package: str
    version: str
    sha256: str
    license: str


@dataclass(frozen=True)
class EmojiClass:
    subgroups: list[str]  # of Unicode's, `*` allowed
    without: list[str] = dataclasses.field(default_factory=list)  # names of emoji left out, `*` allowed
    looks: int = 1  # skin tones and genders taken of one emoji in one style
    limit: int | None = None  # pictures taken from one style
    flip: bool = True  # whether a mirrored picture is as good


@dataclass(frozen=True)
class Emoji:
    unicode: str
    styles: dict[str, Package]
    classes: dict[str, EmojiClass]
    annotations: Package | None = None  # Unicode's keywords; with them the denoiser is told style and words
    held_out: str = ""  # file that lists what is held out; must be what the hashes give
    pair_fraction: float = 0.0  # of the (emoji, style) pairs held out whose emoji is known in other styles


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
    edge_weight: float = 0.0


@dataclass(frozen=True)
class Trajectory:
    steps: int
    schedule: str
    codes: int
    exponent: float = 1.0  # of schedule "power"
    noise: float = 1.0  # standard deviation of eps; the server draws with 1, the ablations also ask for 0


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
    adversarial_weight: float = 0.0  # of looking real to a discriminator; 0: there is none
    feature_weight: float = 0.0  # of agreeing with the image in the discriminator's features


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
    style_dropout: float = 0.0
    words_dropout: float = 0.0
    condition_dropout: float = 0.0  # class, style and words together, beside what each loses alone
    compile: bool = False
    seconds: float = 0.0  # of training time (`trainer.Clock`), instead of `updates`; 0: the updates count


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
    retrieval_samples: int = 320  # of each kind of request, for stage `retrieval`
    retrieval_seeds: list[int] = dataclasses.field(default_factory=lambda: [1, 2, 3])


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
    emoji: Emoji | None = None
    remarks: str = ""  # for the model card: what a reader of the figures should know

    @property
    def shrink(self) -> int:
        """By how much the tokenizer shrinks an image: by two for each of its levels."""
        return 2 ** len(self.tokenizer.widths)

    @property
    def grid(self) -> int:
        """Side of the token grid."""
        return self.data.image_size // self.shrink

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


def _named(kind: type, values: dict[str, Any], where: str) -> dict[str, Any]:
    return {name: record(kind, entry, f"{where[:-1]}.{name}]") for name, entry in values.items()}


def record(kind: type, values: dict[str, Any], where: str) -> Any:
    """A dataclass from a table of TOML. Raises ConfigError, naming a key that is unknown or missing."""
    fields = {f.name: f for f in dataclasses.fields(kind)}
    if unknown := values.keys() - fields.keys():
        raise ConfigError(f"{where}: unknown key {sorted(unknown)[0]!r}; known are {', '.join(fields)}")
    missing_default = dataclasses.MISSING
    required = {n for n, f in fields.items() if f.default is missing_default and f.default_factory is missing_default}
    if missing := required - values.keys():
        raise ConfigError(f"{where}: {sorted(missing)[0]!r} is missing")
    return kind(**values)


def read(path: Path) -> dict[str, Any]:
    """A TOML file as it is. Raises ConfigError where it can't be read."""
    try:
        return tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def load(path: Path) -> Config:
    """Reads and checks a TOML file.

    Raises ConfigError, naming the key and what is allowed.
    """
    raw = read(path)
    for section, kind in SECTIONS.items():
        if section not in raw:
            raise ConfigError(f"{path}: section [{section}] is missing")
        raw[section] = record(kind, raw[section], f"{path} [{section}]")
    if "emoji" in raw:
        where, emoji = f"{path} [emoji]", raw["emoji"]
        for key, kind in (("styles", Package), ("classes", EmojiClass)):
            emoji[key] = _named(kind, emoji.get(key, {}), f"{path} [emoji.{key}]")
        if "annotations" in emoji:
            emoji["annotations"] = record(Package, emoji["annotations"], f"{path} [emoji.annotations]")
        raw["emoji"] = record(Emoji, emoji, where)
    config: Config = record(Config, raw, str(path))
    check(config, str(path))
    return config


def override(config: Config, changes: dict[str, Any], where: str) -> Config:
    """The configuration with some values changed: {section: {key: value}}, as TOML reads `section.key = value`.

    Raises ConfigError, naming what isn't known.
    """
    for section, values in changes.items():
        if section not in SECTIONS:
            raise ConfigError(f"{where}: unknown section {section!r}; known are {', '.join(SECTIONS)}")
        if not isinstance(values, dict):
            raise ConfigError(f"{where}: {section} is a section; name a key of it")
        former = dataclasses.asdict(getattr(config, section))
        changed = record(SECTIONS[section], former | values, f"{where} [{section}]")
        config = dataclasses.replace(config, **{section: changed})
    check(config, where)
    return config


def check(config: Config, where: str) -> None:
    """Raises ConfigError where values don't fit each other."""
    if any(width % 8 for width in config.tokenizer.widths) or not 1 <= len(config.tokenizer.widths) <= 4:
        raise ConfigError(f"{where} [tokenizer]: widths must be one to four multiples of 8 (GroupNorm has 8 groups)")
    if len(config.tokenizer.blocks) != len(config.tokenizer.widths):
        raise ConfigError(f"{where} [tokenizer]: blocks must be as many as widths")
    size, shrink = config.data.image_size, config.shrink
    if size % shrink:
        raise ConfigError(f"{where} [data]: image_size is {size}; it must be a multiple of {shrink}")
    if config.data.channels not in (1, 3):
        raise ConfigError(f"{where} [data]: channels is {config.data.channels}; it must be 1 or 3")
    if config.denoiser.width % config.denoiser.heads:
        raise ConfigError(f"{where} [denoiser]: width {config.denoiser.width} is no multiple of heads")
