"""Stage `distillation`: trains a denoiser that computes guided logits in one pass.

Classifier-free guidance computes each step twice, with the condition and without. The student of this stage is told the
guidance scale w and learns to give the guided logits of the teacher, the denoiser in `weights/NAME`, in one pass
(guidance distillation, Meng et al., arXiv 2210.03142). It needs no images: both see the latents of images that are
being sampled, half of them with the teacher's codes and half with the student's, so that the student also learns to go
on from its own. It begins with the teacher's weights.

It writes `weights/NAME/one-pass.safetensors` in f16, for `rdpm serve --passes 1`.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from . import export, generation, model_card, runs, sampler, trainer, weights_folder
from .conditions import MAX_KEYWORDS, NAME_AND_KEYWORDS, NAME_ONLY, Condition, Vocabulary
from .config import Config, ConfigError, DistillationConfig
from .denoiser import Denoiser
from .emoji.words import split_words

RANDOM_STREAM = 15
FILE = "one-pass.safetensors"
REPORT = "distillation"
DROPOUT = 0.15  # probability that an image is told no class; the same of style and words
ANY_STYLE = 0.3  # probability of a style in which training may not show the subject
# Temperatures of the images that are sampled, as factors of the model's default.
TEMPERATURES = (0.8, 1.25)


class ConditionSampler:
    """Random conditions such as requests have, from the files of a weights folder."""

    def __init__(self, folder: Path) -> None:
        described = json.loads((folder / "config.json").read_text())
        self.classes, self.styles = len(described["classes"]), len(described.get("styles", []))
        if not self.styles:
            return
        words = json.loads((folder / export.VOCABULARY).read_text())
        self.vocabulary = Vocabulary(words["words"])
        # For each class: its words, and its subjects, each with the styles in which training shows it.
        self.keywords: list[list[str]] = [[] for _ in range(self.classes)]
        for word, label in zip(words["words"], words["classes"], strict=True):
            self.keywords[label].append(word)
        self.subjects: list[dict[str, list[int]]] = [words["subjects"][name] for name in described["classes"]]

    def sample(self, count: int, width: int, generator: torch.Generator) -> Tensor | Condition:
        """Conditions (count,), with up to `width` words each."""
        labels = torch.randint(self.classes, (count,), generator=generator)
        drop = torch.rand(3, count, generator=generator) < DROPOUT
        told = labels.masked_fill(drop[0], self.classes)
        if not self.styles:
            return told

        def draw(count: int) -> int:
            return generation.draw_index(count, generator)

        styles, texts = [], []
        for label in labels.tolist():
            name, style = generation.draw_subject(self.subjects[label], generator)
            kind, any_style = torch.rand(2, generator=generator).tolist()
            styles.append(draw(self.styles) if any_style < ANY_STYLE else style)
            text = split_words(name) if kind < NAME_ONLY + NAME_AND_KEYWORDS else []
            if kind >= NAME_ONLY:
                keywords = self.keywords[label]
                text = text + [keywords[draw(len(keywords))] for _ in range(1 + draw(MAX_KEYWORDS))]
            texts.append(text)
        style = torch.tensor(styles).masked_fill(drop[1], self.styles)
        padding = len(self.vocabulary.words)
        encoded = F.pad(self.vocabulary.encode(texts), (0, width), value=padding)[:, :width]
        return Condition(told, style, encoded.masked_fill(drop[2][:, None], padding))


@dataclass
class Pool:
    """Images that are being sampled, each at its own step; one that is done is replaced by a new one."""

    z: Tensor  # z_{t-1}, (b, n, c)
    t: Tensor  # (b,), in 1..T
    labels: Tensor  # (b,)
    styles: Tensor  # (b,)
    words: Tensor  # (b, l)
    guidance: Tensor  # (b,)
    temperature: Tensor  # (b,)

    def state_dict(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, tensor in state.items():
            getattr(self, name).copy_(tensor)


MAX_WORDS = 12


class Sampling:
    """Makes and replaces the images of a pool."""

    def __init__(self, config: Config, settings: DistillationConfig, conditions: ConditionSampler, channels: int):
        self.config, self.settings, self.conditions, self.channels = config, settings, conditions, channels

    def start(self, count: int, generator: torch.Generator) -> Pool:
        """Images before their first step. Half of the guidance scales lie within a factor of two of the default, the
        others anywhere."""
        y = self.conditions.sample(count, MAX_WORDS, generator)
        labels, styles, words = y if isinstance(y, Condition) else (y, torch.zeros_like(y), y.new_zeros(count, 0))
        usual, most = self.config.sampling.guidance, self.settings.max_guidance
        near = usual * 2 ** (2 * torch.rand(count, generator=generator) - 1)
        anywhere = most * torch.rand(count, generator=generator)
        guidance = torch.where(torch.rand(count, generator=generator) < 0.5, near.clamp(max=most), anywhere)
        low, high = (factor * self.config.sampling.temperature for factor in TEMPERATURES)
        temperature = low + (high - low) * torch.rand(count, generator=generator)
        z = torch.randn(count, self.config.positions, self.channels, generator=generator)
        return Pool(z, torch.ones(count, dtype=torch.long), labels, styles, words, guidance, temperature)

    def replace_finished(self, pool: Pool, done: Tensor, generator: torch.Generator) -> None:
        """Replaces the images that are `done` (b,)."""
        if count := int(done.sum()):
            for name, tensor in self.start(count, generator).state_dict().items():
                getattr(pool, name)[done] = tensor

    def condition(self, pool: Pool) -> Tensor | Condition:
        return Condition(pool.labels, pool.styles, pool.words) if self.conditions.styles else pool.labels


def student_of(teacher: Denoiser, max_guidance: int, described: dict[str, Any]) -> Denoiser:
    """A copy of the teacher that is also told the guidance scale, 0 to `max_guidance`. `described` is `config.json`."""
    student = Denoiser(
        teacher.codebook,
        described["trajectory"]["schedule"],
        len(teacher.position),
        teacher.null_class,
        **described["denoiser"],
        styles=teacher.null_style,
        words=teacher.padding_word,
        max_guidance=max_guidance,
    ).fold()
    student.load_state_dict(teacher.state_dict(), strict=False)
    return student


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence of the codes' probabilities (nats a position) at a temperature from those of the
    teacher; logits are (b, n, V)."""
    expected = (teacher / temperature).log_softmax(-1)
    found = (student / temperature).log_softmax(-1)
    return F.kl_div(found, expected, reduction="sum", log_target=True) / (found.shape[0] * found.shape[1])


@torch.no_grad()
def sample_codes(logits: Tensor, temperature: Tensor, generator: torch.Generator) -> Tensor:
    """Codes (b, n) drawn from logits (b, n, V) by the Gumbel-max trick."""
    exponential = torch.empty(logits.shape).exponential_(generator=generator)
    return (logits / temperature[:, None, None] - exponential.log()).argmax(-1)


def fit(config: Config, settings: DistillationConfig, folder: Path, weights: Path) -> trainer.TrainingResult:
    """Trains the student for the weights folder, resuming the run folder's checkpoint if there is one."""
    described, codebook, teacher, _ = weights_folder.load(weights)
    torch.manual_seed(config.seed)
    student = student_of(teacher, settings.max_guidance, described)
    teacher.requires_grad_(False)
    teach: Callable[..., Tensor] = torch.compile(teacher) if settings.compile else teacher
    steps, device = config.trajectory.steps, runs.device()
    generator = runs.generator(config.seed, RANDOM_STREAM)
    sampling = Sampling(config, settings, ConditionSampler(weights), codebook.shape[1])
    pool = sampling.start(settings.batch_size, generator)
    # So that the images are at different steps: image i is replaced after i mod T steps.
    index = torch.arange(settings.batch_size)

    def loss(forward: Callable[..., Tensor], update: int) -> Tensor:
        y, w = sampling.condition(pool), pool.guidance
        with torch.no_grad(), runs.autocast(device):
            conditional = teach(pool.z, pool.t, y).float()
            unconditional = teach(pool.z, pool.t, teacher.null_condition(y)).float()
            guided = unconditional.lerp_(conditional, w[:, None, None])
        with runs.autocast(device):
            logits = forward(pool.z.clone(), pool.t.clone(), copy.deepcopy(y), w.clone()).float()
        found = divergence(logits, guided, config.sampling.temperature)
        own = (index % 2 == update // steps % 2)[:, None]
        drawn = sample_codes(torch.where(own[:, None], logits.detach(), guided), pool.temperature, generator)
        pool.z += codebook[drawn]
        pool.t += 1
        first = update < steps
        sampling.replace_finished(pool, (pool.t > steps) | (first & (index % steps == update)), generator)
        return found

    return trainer.train(student, loss, settings, folder / "one-pass.pt", generator, further={"pool": pool})


@torch.no_grad()
def default_divergence(config: Config, weights: Path, student: Denoiser, images: int = 200) -> float:
    """Mean divergence of the student from the teacher in the steps of images with the model's default settings."""
    _, codebook, teacher, _ = weights_folder.load(weights)
    generator, steps = runs.generator(config.seed, RANDOM_STREAM, 1), config.trajectory.steps
    y = ConditionSampler(weights).sample(images, MAX_WORDS, generator)
    settings = sampler.SamplingSettings(config.sampling.guidance, config.sampling.temperature)
    w = torch.full((images,), settings.guidance)
    z = torch.randn(images, config.positions, codebook.shape[1], generator=generator)
    uniforms = generation.uniform_numbers((*z.shape[:2], len(codebook)), generator)
    total = 0.0
    for step in sampler.sample(teacher, codebook, steps, y, z, uniforms, settings):
        logits = student(z, torch.full((images,), step.t), y, w)
        total += divergence(logits, step.logits, settings.temperature).item()
        z = step.z
    return total / steps


def write(student: Denoiser, target: Path) -> None:
    """Writes `one-pass.safetensors`: the denoiser's tensors in f16."""
    named = {f"denoiser.{export.RENAMED.get(name, name)}": tensor for name, tensor in student.state_dict().items()}
    path, new = target / FILE, target / f"{FILE}.new"
    save_file({name: tensor.detach().half().contiguous() for name, tensor in sorted(named.items())}, new)
    new.chmod(0o644)  # safetensors makes it readable by its owner only
    new.replace(path)


def train(config: Config, folder: Path) -> None:
    if config.distillation is None:
        raise ConfigError(f"{config.name}: the configuration has no section [distillation]")
    folder.mkdir(parents=True, exist_ok=True)
    weights = export.WEIGHTS / config.name
    result = fit(config, config.distillation, folder, weights)
    student = result.ema.eval()
    write(student, weights)
    report = {
        "updates": result.updates,
        "batch_size": config.distillation.batch_size,
        "max_guidance": config.distillation.max_guidance,
        "seconds": round(result.seconds),
        "hardware": runs.hardware(),
        "divergence": round(default_divergence(config, weights, student), 4),
    }
    runs.report(folder, REPORT, report)
    # The weights folder may have been made elsewhere, so only these parts of it change.
    runs.write_report(weights, export.REPORTS, (runs.read_report(weights, export.REPORTS) or {}) | {REPORT: report})
    card = weights / "README.md"
    card.write_text(model_card.replace_one_pass(card.read_text(), config.name, report))
