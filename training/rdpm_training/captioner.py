"""The captioner: names what an image shows, from what the denoiser computes of the image's tokens.

It is a second head on the denoiser's trunk. The trunk sees z_{T-1} of the tokenized image at t = T and the null
condition; the residual stream after two of its blocks is averaged over all positions and over each quarter of the grid,
and two linear layers turn these features into logits of the vocabulary's words. The trunk is not trained with it, so
that it costs no image quality.

Stage `captioner` trains it, on one noise per image, and evaluates it on held-out pairs of an emoji and a style, on
training images with other noise, and on emoji that training never showed.

`src/model/captioner.rs` reads the file that `save` writes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from . import codebook_stage, data, denoiser_stage, runs, tokenizer_stage, trajectory
from .conditions import Condition, Descriptions
from .config import Config, ConfigError
from .dataset import Split
from .denoiser import Denoiser

FILE = "captioner.safetensors"
RANDOM_STREAM = 14
WIDTH = 512
EPOCHS, BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY, DROPOUT = 24, 128, 1e-3, 0.05, 0.3
LEAST_LOG_PROBABILITY = -12.0  # of a word, in the score of a name


def layers(config: Config) -> tuple[int, int]:
    """Numbers of the blocks after which the residual stream is read: the last, and one at two thirds of the depth."""
    return 2 * config.denoiser.layers // 3, config.denoiser.layers


def pool(x: Tensor) -> Tensor:
    """Residual stream (b, n, d) to its means over the grid and over each quarter of it, row by row: (b, 5 d)."""
    side = int(x.shape[1] ** 0.5)
    quarters = x.unflatten(1, (2, side // 2, 2, side // 2)).mean((2, 4))  # (b, 2, 2, d)
    return torch.cat([x.mean(1), quarters.flatten(1)], 1)


@torch.no_grad()
def features(denoiser: Denoiser, z: Tensor, step: int, layers: tuple[int, int]) -> Tensor:
    """Features (b, len(layers) 5 d) of images whose running latents z_{t-1} are z (b, n, c), at t = step."""
    streams: list[Tensor] = []
    hooks = [
        denoiser.blocks[layer - 1].register_forward_hook(lambda _module, _inputs, output: streams.append(output))
        for layer in layers
    ]
    count = torch.tensor([denoiser.null_class]).expand(len(z))
    null = Condition(
        count, torch.full_like(count, denoiser.null_style), torch.full_like(count, denoiser.padding_word)[:, None]
    )
    denoiser(z, torch.full_like(count, step), null)
    for hook in hooks:
        hook.remove()
    return torch.cat([pool(stream.float()) for stream in streams], 1)


class Captioner(nn.Module):
    """From features (b, f) to logits (b, words)."""

    def __init__(self, inputs: int, words: int, width: int = WIDTH) -> None:
        super().__init__()
        self.up = nn.Linear(inputs, width)
        self.down = nn.Linear(width, words)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.dropout(F.silu(self.up(self.dropout(x)))))


def score_names(logits: Tensor, names: Tensor) -> Tensor:
    """Score of each name (b, k): the mean log-probability of its words. `names` (k, words) has 1 for each word."""
    return logits.log_softmax(-1).clamp(min=LEAST_LOG_PROBABILITY) @ names.T / names.sum(1)


def one_hot(names: Tensor, words: int) -> Tensor:
    """Padded indices of words (k, l) to (k, words), 1 for each word."""
    return torch.zeros(len(names), words + 1).scatter_(1, names.long(), 1.0)[:, :words]


@dataclass(frozen=True)
class Examples:
    """Features of images, and their descriptions."""

    features: Tensor
    descriptions: Descriptions


def examples(
    config: Config, denoiser: Denoiser, codebook: Tensor, split: Split, v: Tensor, generator: torch.Generator
) -> Examples:
    """Features of all images of a split with the latents v (k, n, c)."""
    assert split.descriptions is not None  # of every data set with words
    schedule, last = trajectory.schedule(config.trajectory), config.trajectory.steps
    found = []
    for part in v.split(64):
        eps = trajectory.noise(config.trajectory, part.shape, generator)
        steps = trajectory.tokenize(part, eps, codebook, schedule)
        before = next(step.before for step in steps if step.t == last)
        with runs.autocast(part.device):
            found.append(features(denoiser, before, last, layers(config)))
    return Examples(torch.cat(found), split.descriptions)


def fit(seen: Examples, words: int, generator: torch.Generator) -> Captioner:
    """Trains a captioner, and folds the normalization of the features into its first layer."""
    mean, deviation = seen.features.mean(0), seen.features.std(0) + 1e-3
    x, names = (seen.features - mean) / deviation, one_hot(seen.descriptions.names, words)
    targets = names / names.sum(1, keepdim=True).clamp(min=1)
    captioner = Captioner(x.shape[1], words).train()
    optimizer = torch.optim.AdamW(captioner.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for epoch in range(EPOCHS):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - epoch / EPOCHS)
        for batch in torch.randperm(len(x), generator=generator).split(BATCH_SIZE):
            loss = F.cross_entropy(captioner(x[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    with torch.no_grad():
        captioner.up.weight /= deviation
        captioner.up.bias -= captioner.up.weight @ mean
    return captioner.eval().requires_grad_(False)


def ranks(scores: Tensor, targets: Tensor) -> dict[str, float]:
    """Fractions of images (b,) whose name is the first, or among the first five, by scores (b, k)."""
    rank = (scores > scores.gather(1, targets[:, None])).sum(1)
    return {"name": _fraction(rank == 0), "name_in_5": _fraction(rank < 5)}


def _fraction(right: Tensor) -> float:
    return round(right.double().mean().item(), 4)


def inverse_temperature(scores: Tensor, targets: Tensor) -> float:
    """The factor of scores with which a softmax over names gives the images' names the highest likelihood."""
    candidates = [0.25 * 1.1**power for power in range(40)]
    losses = [float(F.cross_entropy(factor * scores, targets)) for factor in candidates]
    return candidates[losses.index(min(losses))]


def train(config: Config, folder: Path) -> None:
    """Trains the captioner of the run's current EMA denoiser and writes it into the run's folder."""
    dataset, start = data.load(config.data, config.seed), time.monotonic()
    words = len(dataset.vocabulary.words)
    if not words or dataset.pairs is None:
        raise ConfigError("stage `captioner` needs a data set with styles and words")
    torch.manual_seed(config.seed)  # initial weights and dropout
    generator = runs.generator(config.seed, RANDOM_STREAM)
    codebook, tokenizer = codebook_stage.trained(folder), tokenizer_stage.trained(config, folder)
    denoiser = denoiser_stage.trained(config, folder, len(dataset.classes))
    latents, _ = codebook_stage.latents(config, folder)
    pair_latents = tokenizer_stage.encode_all(tokenizer, dataset.pairs, runs.device()).to(latents.device)
    seen, seen_again, pairs = (
        examples(config, denoiser, codebook, split, v, generator)
        for split, v in ((dataset.train, latents), (dataset.train, latents), (dataset.pairs, pair_latents))
    )
    captioner = fit(seen, words, generator)

    first = {int(emoji): row for row, emoji in reversed(list(enumerate(seen.descriptions.emoji)))}
    names = one_hot(seen.descriptions.names[list(first.values())], words)
    row_of = {emoji: row for row, emoji in enumerate(first)}
    figures, factor = {}, 1.0
    for name, found in (("training_images", seen_again), ("held_out_pairs", pairs)):
        targets = torch.tensor([row_of[int(emoji)] for emoji in found.descriptions.emoji])
        scores = score_names(captioner(found.features), names)
        figures[name], factor = (
            ranks(scores, targets),
            inverse_temperature(scores, targets),
        )  # that of held-out pairs is kept
    save(captioner, layers(config), factor, folder / FILE)
    runs.report(
        folder,
        "captioner",
        {
            "parameters": sum(parameter.numel() for parameter in captioner.parameters()),
            "update": runs.load(folder / "denoiser.pt").get("update"),
            "names": len(names),
            "figures": figures,
            "seconds": round(time.monotonic() - start),
        },
    )


def save(captioner: Captioner, layers: tuple[int, int], factor: float, path: Path) -> None:
    """Writes the layers' weights, the numbers of the blocks that they read, and the factor of `inverse_temperature`."""
    described = {"layers": torch.tensor(layers), "inverse_temperature": torch.tensor([factor])}
    new = path.with_suffix(".new")
    save_file(captioner.state_dict() | described, new)
    new.chmod(0o644)  # safetensors makes it readable by its owner only
    new.replace(path)
