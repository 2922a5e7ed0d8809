"""Stage `export`: writes `weights/NAME` for the server: `config.json`, `model.safetensors` and, for a model that knows
words, `vocabulary.json` and, if it was trained, `captioner.safetensors`; beside them the model card and the stages'
reports, which `restore` reads."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from . import captioner, codebook_stage, data, denoiser_stage, model_card, runs, tokenizer_stage, trajectory
from .config import Config, ConfigError
from .dataset import Dataset
from .denoiser import Denoiser
from .tokenizer import Tokenizer

FORMAT_VERSION = 1
WORDS_FORMAT_VERSION = 2  # of a model that knows styles and words
VOCABULARY = "vocabulary.json"
# The denoiser's tensors that have another name in the weights file, where they are a linear layer.
RENAMED = {"output": "output.weight", "bias": "output.bias"}
REPORTS = "training"  # name of the JSON file with the reports of the training stages
WEIGHTS = Path(__file__).resolve().parent.parent.parent / "weights"


def describe(config: Config, classes: list[str], styles: list[str] | None = None) -> dict[str, object]:
    """The content of `config.json`; `src/model/config.rs` reads it."""
    d, t = config.denoiser, config.tokenizer
    upsample = {"upsample_widths": t.upsample_widths, "upsample_blocks": t.upsample_blocks}
    return {
        "format_version": WORDS_FORMAT_VERSION if styles else FORMAT_VERSION,
        "name": config.name,
        "title": config.title,
        "image": {"size": config.data.image_size, "channels": config.data.channels},
        "latent": {"grid": config.grid, "channels": t.latent_channels},
        "trajectory": {"codes": config.trajectory.codes, "schedule": trajectory.schedule(config.trajectory)},
        "tokenizer": {"widths": t.widths, "blocks": t.blocks, **(upsample if t.upsample_widths else {})},
        "denoiser": {"width": d.width, "layers": d.layers, "heads": d.heads},
        "classes": classes,
        **({"styles": styles} if styles else {}),
        "sampling": {name: value for name, value in dataclasses.asdict(config.sampling).items() if value is not None},
    }


def tensors(tokenizer: Tokenizer, codebook: Tensor, denoiser: Denoiser) -> dict[str, Tensor]:
    """All tensors that the server loads, by parameter name, in f32. The denoiser must be folded."""
    named = dict(tokenizer.state_dict())
    named["codebook"] = codebook
    for name, tensor in denoiser.state_dict().items():
        named["denoiser." + RENAMED.get(name, name)] = tensor
    return {name: tensor.detach().float().contiguous().clone() for name, tensor in sorted(named.items())}


def describe_words(dataset: Dataset) -> dict[str, object]:
    """The content of `vocabulary.json`; `src/model/vocabulary.rs` reads it.

    - `words` by index;
    - `classes`: for each word, the class in which it describes the most training images;
    - `subjects`: for each class, the names of what it can show, each with the indices of the styles in which training
      shows it; a request for a class alone draws one of the subjects and one of its styles;
    - `emoji`: names of emoji by their characters, so that a prompt may contain them.
    """
    subjects = dict(zip(dataset.classes, dataset.subjects, strict=True))
    words = dataset.vocabulary.words
    counts = torch.zeros(len(words) + 1, len(dataset.classes))
    descriptions = dataset.train.descriptions
    assert descriptions is not None  # of every data set with styles
    described = torch.cat([descriptions.names, descriptions.keywords], 1)  # padded with the number of words
    labels = dataset.train.labels[:, None].expand_as(described)
    counts.index_put_((described, labels), torch.ones(()), accumulate=True)
    classes = counts[:-1].argmax(1).tolist()
    return {"words": words, "classes": classes, "subjects": subjects, "emoji": dataset.emoji}


def write_vocabulary(path: Path, described: dict[str, object]) -> None:
    """Writes `vocabulary.json`, with lists of numbers in one line."""

    def in_one_line(numbers: re.Match[str]) -> str:
        return re.sub(r"\s+", " ", numbers[0]).replace("[ ", "[").replace(" ]", "]")

    text = json.dumps(described, indent=1, ensure_ascii=False)
    path.write_text(re.sub(r"\[[\s\d,]+\]", in_one_line, text) + "\n")


def write(
    config: Config,
    classes: list[str],
    tensors: dict[str, Tensor],
    target: Path,
    styles: list[str] | None = None,
) -> None:
    """Writes `config.json` and `model.safetensors`."""
    # A running server may have the old file mapped, so it is replaced, not overwritten.
    new = target / "model.safetensors.new"
    save_file(tensors, new)
    new.chmod(0o644)  # safetensors makes it readable by its owner only
    new.replace(target / "model.safetensors")
    (target / "config.json").write_text(json.dumps(describe(config, classes, styles), indent=2) + "\n")


def copy_captioner(folder: Path, target: Path) -> None:
    """Copies the captioner, if the run has one, and removes one of an older denoiser from the weights folder.

    Raises ConfigError if the run's captioner was trained for another state of its denoiser.
    """
    trained = runs.read_report(folder, "captioner")
    if not trained:
        (target / captioner.FILE).unlink(missing_ok=True)
        return
    if trained["update"] != runs.load(folder / "denoiser.pt").get("update"):
        raise ConfigError(
            f"{folder / captioner.FILE} was trained for update {trained['update']} of the denoiser, which has changed:"
            " run stage `captioner` again"
        )
    new = target / f"{captioner.FILE}.new"
    new.write_bytes((folder / captioner.FILE).read_bytes())
    new.replace(target / captioner.FILE)


def export(config: Config, folder: Path, to: Path | None = None) -> None:
    """Writes `weights/NAME/`, or the folder `to`.

    Raises ConfigError if the server cannot use the model, or if it is not known how it was trained.
    """
    if config.trajectory.noise != 1:
        raise ConfigError(f"[trajectory]: noise is {config.trajectory.noise:g}, but the server only supports 1")
    if runs.read_report(folder, "restored") and not runs.read_report(folder, "denoiser"):
        raise ConfigError(
            f"{folder} was restored from a weights folder without training reports, so no model card can be written"
        )
    target = to or WEIGHTS / config.name
    target.mkdir(parents=True, exist_ok=True)
    dataset = data.load(config.data, config.seed)
    classes = dataset.classes
    tokenizer = tokenizer_stage.trained(config, folder)
    denoiser = denoiser_stage.trained(config, folder, len(classes))
    write(config, classes, tensors(tokenizer, codebook_stage.trained(folder), denoiser), target, dataset.styles)
    if dataset.styles:
        write_vocabulary(target / VOCABULARY, describe_words(dataset))
    copy_captioner(folder, target)
    reports = {stage: runs.read_report(folder, stage) for stage in model_card.TRAINING_STAGES}
    runs.write_report(target, REPORTS, {stage: report for stage, report in reports.items() if report})
    model_card.write(config, folder, target)
    size = (target / "model.safetensors").stat().st_size / 1e6
    print(f"{target}: {size:.1f} MB")
