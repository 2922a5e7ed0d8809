"""Writes the model card; all figures in it come from the stages' reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import runs
from .config import Config

TRAINING_STAGES = ["data", "tokenizer", "codebook", "decoder", "denoiser", "captioner", "distillation"]
STAGES = [*TRAINING_STAGES, "evaluate"]


def write(config: Config, folder: Path, target: Path) -> None:
    """Writes `README.md` into a weights folder. Sections of stages that were not run are omitted."""
    reports = {stage: runs.read_report(folder, stage) for stage in STAGES}
    parts = [_head(config), _training(config, reports)]
    if reports["data"]:
        parts.append(_data(config, reports["data"]))
    if all(reports[stage] for stage in ("codebook", "denoiser")):
        parts.append(_networks(reports))
    if reports["captioner"]:
        parts.append(_captioner(reports["captioner"]))
    if reports["distillation"]:
        parts.append(one_pass(config.name, reports["distillation"]))
    if reports["evaluate"]:
        parts.append(_evaluation(config, reports["evaluate"]))
    parts.append(_limits(config, reports["evaluate"]))
    (target / "README.md").write_text("\n".join(parts))


def markdown_table(head: list[str], rows: list[list[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def _head(config: Config) -> str:
    t, d = config.trajectory, config.denoiser
    vocabulary = (
        "\n  `vocabulary.json` lists words, subjects and emoji." if config.emoji and config.emoji.annotations else ""
    )
    size, colours = config.data.image_size, "grey" if config.data.channels == 1 else "RGB"
    seen = (
        f" (the encoder sees {size // config.reduction} × {size // config.reduction} pixels)"
        if config.reduction > 1
        else ""
    )
    return f"""# {config.title}

An RDPM (Recurrent Diffusion Probabilistic Model, arXiv 2412.18390; this project's own reading of it) that generates
{size} × {size} {colours} images of a class in {t.steps} steps of {config.grid} × {config.grid} tokens.

- **Files**: `config.json` describes the networks, `model.safetensors` holds their tensors (f32), `classes/` has one
  sample of each class, `training.json` holds the reports of the training stages.{vocabulary}
- **Tokenizer**: a convolutional VAE that divides the resolution by {config.downscale}{seen}, {config.tokenizer.latent_channels} channels; {t.codes}
  codes shared by all steps; {t.schedule} schedule.
- **Denoiser**: a bidirectional transformer, {d.layers} layers, width {d.width}, {d.heads} heads.
- **Defaults**: guidance {config.sampling.guidance:g}, temperature {config.sampling.temperature:g}.
- **Data**: {config.data.license}
"""


def _training(config: Config, reports: dict[str, Any]) -> str:
    rows = [
        [f"`{stage}`", report.get("updates", ""), f"{report['seconds'] / 60:.0f} min", report.get("hardware", "")]
        for stage, report in reports.items()
        if report and "seconds" in report
    ]
    remarks = f"\n{config.remarks.strip()}\n" if config.remarks else ""
    return f"""## Training

In `training/`, with `configs/{config.name}.toml` and its seed {config.seed}:

    python -m rdpm_training STAGE --config configs/{config.name}.toml

for each stage, then `export`. Times are wall-clock times on a machine that ran other work as well. Training and
evaluation use bf16 if the hardware multiplies it natively (a CPU with AMX or AVX512-BF16, or a GPU).
{remarks}
{markdown_table(["stage", "updates", "time", "hardware"], rows)}"""


def _data(config: Config, report: dict[str, Any]) -> str:
    styles = [[name, s["images"], f"`{s['package']}`", s["license"]] for name, s in report["styles"].items()]
    classes = [[name, c["train"], c["test"]] for name, c in report["classes"].items()]
    augmentation = "Training images are not augmented."
    if config.data.variants:
        augmentation = (
            f"Each training image has {config.data.variants} augmented variants on average (shifted, rotated,\n"
        )
        augmentation += "scaled, flipped), more if its class is small."
    return f"""## Data

{report["images"]:,} images of {report["emoji"]:,} emoji in {len(styles)} drawing styles; stage `data` builds the data set from these packages
and checks the licence of each. {report["test_emoji"]} emoji are held out for testing, in all styles. The number of skin-tone and
gender variants of an emoji is limited. {augmentation}

{markdown_table(["style", "images", "package", "licence"], styles)}
{markdown_table(["class", "training images", "test images"], classes)}"""


def _networks(reports: dict[str, Any]) -> str:
    codes = reports["decoder"] or reports["codebook"]
    losses = reports["denoiser"]["test_cross_entropy_per_step"]
    steps = [str(t) for t in range(1, len(losses) + 1)]
    return f"""## Tokenizer and denoiser on the test set

- Reconstruction: {codes["test_psnr_continuous_db"]:.1f} dB from the continuous latent,
  {codes["test_psnr_quantized_db"]:.1f} dB after {
        len(losses)
    } quantized steps (peak signal-to-noise ratio); the latent's
  mean squared error after them is {codes["latent_mse_after_T_steps"]:.4f} of its variance.
- Codes in use: {codes["codes_used"]} of {codes["codes"]}.
- Denoiser: {reports["denoiser"]["parameters"] / 1e6:.1f} million parameters; mean cross-entropy
  {reports["denoiser"]["test_cross_entropy"]:.3f} nats.

{
        markdown_table(
            ["step", *steps],
            [
                ["perplexity of the codes", *(f"{x:.0f}" for x in codes["perplexity_per_step"])],
                ["cross-entropy, nats", *(f"{x:.2f}" for x in losses)],
            ],
        )
    }"""


def _evaluation(config: Config, report: dict[str, Any]) -> str:
    accuracy, frechet, pr = report["accuracy"], report["frechet"], report["precision_recall"]
    nearest = report["nearest_training_image_rms"]
    comparison = [
        ["**samples**", f"**{accuracy['samples']:.3f}**", f"**{frechet['samples']:.2f}**", *pr["samples"]],
        ["test images, tokenized and decoded", accuracy["reconstructed_test"], frechet["reconstructed_test"], "", ""],
        ["training images", "", frechet["train"], *pr["train"]],
        ["test images", accuracy["test"], "0", "1", "1"],
    ]
    rows = {"samples": "**samples**", "test": "test images", "train": "training images"}
    classes = {name: report["accuracy_per_class"][name] for name in rows}
    sweep = [
        [row["guidance"], row["temperature"], row["accuracy"], row["frechet"]] for row in report["sweep"]["figures"]
    ]
    return f"""## Evaluation

To evaluate these weights again:

    python -m rdpm_training {"data " if config.emoji else ""}restore evaluate --config configs/{config.name}.toml

`evaluate` generates {report["samples"]:,} samples, equally many of each class, with guidance {report["guidance"]:g} and
temperature {report["temperature"]:g}. An independent convolutional classifier, trained on the real training images only,
classifies them; its 128 features are the space of the Fréchet distance, precision and recall (against the test images).
That space is this project's own, so the figures are not comparable with published FIDs.

{markdown_table(["images", "accuracy", "Fréchet distance", "precision", "recall"], comparison)}
Accuracy in each class. The classifier's accuracy on unseen test images shows how reliable it is in a class:

{markdown_table(["images", *classes["samples"]], [[label, *(f"{accuracy:.2f}" for accuracy in classes[name].values())] for name, label in rows.items()])}
**Memorization.** Distance of an image to the nearest training image (root mean square per pixel, values in −1…1):

{markdown_table(["images", "median", "smallest"], [[name.replace("_", " "), d["median"], d["smallest"]] for name, d in nearest.items()])}
{100 * report["samples_nearer_than_1_percent_of_reconstructed_test"]:.1f} % of the samples are nearer to a training image than
the nearest 1 % of unseen test images are after tokenizing and decoding, which is the fair comparison, because blur
reduces the distance to all images.

**Sampling settings** ({report["sweep"]["samples"]:,} samples each; the Fréchet distance of so few is biased upwards). The defaults were chosen from
such a table, with the same test images:

{markdown_table(["guidance", "temperature", "accuracy", "Fréchet distance"], sweep)}"""


def _captioner(report: dict[str, Any]) -> str:
    rows: list[list[object]] = [
        [name.replace("_", " "), figures["name"], figures["name_in_5"]] for name, figures in report["figures"].items()
    ]
    return f"""## Captioner

`captioner.safetensors` is a second head on the denoiser's trunk, which was not trained with it: {report["parameters"] / 1e6:.1f} million
parameters that predict the words of an image's name from its tokens. How often the right one of {report["names"]:,} names has
the highest score, and is among the first five:

{markdown_table(["images", "first", "in first five"], rows)}"""


ONE_PASS = "## One pass"


def one_pass(name: str, report: dict[str, Any]) -> str:
    """The section about `one-pass.safetensors` of the configuration `name`."""
    return f"""{ONE_PASS}

`one-pass.safetensors` is a denoiser that is told the guidance scale, 0 to {report["max_guidance"]}, and computes guided logits in one pass
(`rdpm serve --passes 1`). Made in `training/` by

    python -m rdpm_training distillation --config configs/{name}.toml

in {report["updates"]:,} updates of {report["batch_size"]} images that are being sampled, from the denoiser's weights and its guided logits, without training
images; {report["seconds"] / 60:.0f} minutes on {report["hardware"]}, with other work beside it. Its probabilities of codes have a mean Kullback-Leibler
divergence of {report["divergence"]:.4f} nats from those of two passes with the model's defaults. `docs/performance.md` has what the pictures
score.
"""


def replace_one_pass(card: str, name: str, report: dict[str, Any]) -> str:
    """A model card with a new section about `one-pass.safetensors`, before the limits if it had none."""
    start = card.find(ONE_PASS) if ONE_PASS in card else card.find("## Limits")
    end = card.find("\n## ", start) + 1 if ONE_PASS in card else start
    return card[:start] + one_pass(name, report) + "\n" + card[end:]


def _limits(config: Config, report: dict[str, Any] | None) -> str:
    text = f"""## Limits

The model generates {config.title} images only: {config.data.image_size} × {config.data.image_size} pixels, one object, the classes
listed in `config.json`.
"""
    if not report:
        return text
    frechet = report["frechet"]
    ratio = frechet["samples"] / frechet["reconstructed_test"]
    if ratio > 1.5:
        text += (
            f"\nThe denoiser limits the quality, not the tokenizer: the Fréchet distance of samples is {ratio:.0f} times that of\n"
            "tokenized and decoded test images. Longer training or more images would improve it.\n"
        )
    samples, test = (report["accuracy_per_class"][name] for name in ("samples", "test"))
    if rare := [f"{name} ({test[name]:.2f})" for name, accuracy in samples.items() if accuracy < 0.5]:
        text += "\nIn some classes the classifier recognizes fewer than half of the samples; in brackets, the fraction of unseen\n"
        text += f"test images that it recognizes: {', '.join(rare)}.\n"
    return text
