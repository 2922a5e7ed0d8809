"""Stage `fixture`: writes reference values for the test that compares the Rust implementation with this one
(`tests/library/parity.rs`).

They are computed in PyTorch in f32 from the trained model: guided logits, the T token grids and the pixels of two
images from given noise and uniform numbers, and the latents and tokens of two test images.

`three_levels` does the same for a small colour model with a deeper tokenizer and random weights, `upsampled` for one
whose images are four times as large as what the encoder sees, and `with_words` for the logits of one that is told
styles and words, for a run in which some of its codes are given, and for one that is guided in some steps only.
`captions` gives the latter a captioner with random weights, `one_pass` a denoiser that is told the guidance scale.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from . import (
    captioner,
    codebook_stage,
    data,
    denoiser_stage,
    distillation,
    export,
    runs,
    sampler,
    tokenizer_stage,
    trajectory,
    weights_folder,
)
from .conditions import Condition, Vocabulary
from .config import Config
from .denoiser import Denoiser

RANDOM_STREAM = 9
FIXTURES = Path(__file__).resolve().parent.parent.parent / "tests" / "fixtures"
PATH = FIXTURES / "parity.safetensors"
LABELS = [7, 3]
GUIDANCE, TEMPERATURE = 2.5, 0.8
GUIDANCE_STEPS = "3-7"


@torch.no_grad()
def write(config: Config, folder: Path, to: Path = PATH) -> None:
    dataset = data.load(config.data, config.seed)
    tokenizer = tokenizer_stage.trained(config, folder)
    codebook = codebook_stage.trained(folder)
    denoiser = denoiser_stage.trained(config, folder, len(dataset.classes))
    generator = runs.generator(config.seed, RANDOM_STREAM)
    codes, steps = len(codebook), config.trajectory.steps

    labels = torch.tensor(LABELS)
    eps = torch.randn(2, config.positions, codebook.shape[1], generator=generator)
    # Odd multiples of 2^-17 are exact in f32, lie inside (0, 1) and take 16 bits on disk.
    ticks = torch.randint(1 << 16, (steps, 2, config.positions, codes), generator=generator)
    uniforms = (ticks.float() + 0.5) / (1 << 16)
    settings = sampler.SamplingSettings(GUIDANCE, TEMPERATURE)
    sampled_steps = list(sampler.sample(denoiser, codebook, steps, labels, eps, iter(uniforms), settings))
    pixels = tokenizer.decode(sampled_steps[-1].z)

    images = dataset.test.images[:2]
    v = tokenizer.encode(data.to_unit(images))
    grids = [step.codes for step in trajectory.tokenize(v, eps, codebook, trajectory.schedule(config.trajectory))]
    fixture: dict[str, Tensor] = {
        "labels": labels.to(torch.uint8),
        "guidance_temperature": torch.tensor([GUIDANCE, TEMPERATURE]),
        "eps": eps,
        "uniform_ticks": torch.stack([ticks // 256, ticks % 256], -1).to(torch.uint8),  # high and low byte
        "logits_first": sampled_steps[0].logits,
        "logits_last": sampled_steps[-1].logits,
        "sampled_tokens": torch.stack([step.codes for step in sampled_steps], 1).to(torch.int64),  # (2, T, n)
        "sampled_z": sampled_steps[-1].z,
        "sampled_pixels": pixels,
        "images": images,
        "encoded_v": v,
        "tokenized_tokens": torch.stack(grids, 1).to(torch.int64),
    }
    to.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in fixture.items()}, to)
    print(f"{to}: {to.stat().st_size / 1e3:.0f} kB")
    three_levels(config, FIXTURES / "eighth")
    upsampled(config, FIXTURES / "upsampled")
    with_words(config, FIXTURES / "words")
    captions(FIXTURES / "words")
    one_pass(FIXTURES / "words")


def small(
    config: Config, name: str, title: str, *, size: int, widths: list[int], blocks: list[int], layers: int
) -> Config:
    """The configuration of a small model in colour with 16 codes."""
    return dataclasses.replace(
        config,
        name=name,
        title=title,
        data=dataclasses.replace(config.data, image_size=size, channels=3),
        tokenizer=dataclasses.replace(config.tokenizer, latent_channels=3, widths=widths, blocks=blocks),
        trajectory=dataclasses.replace(config.trajectory, codes=16),
        denoiser=dataclasses.replace(config.denoiser, width=8, layers=layers, heads=2),
    )


def perturb(module: nn.Module) -> None:
    """Changes all weights at random: initial values, some of which are zeros and ones, would hide mistakes."""
    for tensor in module.state_dict().values():
        tensor.add_(0.2 * torch.randn_like(tensor))


@torch.no_grad()
def three_levels(config: Config, to: Path) -> None:
    """Writes a small model with three levels and random weights, and its outputs for two random images."""
    config = small(config, "eighth", "Three levels", size=24, widths=[8, 24, 16], blocks=[1, 0, 2], layers=1)
    write_tokenizer(config, to)


@torch.no_grad()
def upsampled(config: Config, to: Path) -> None:
    """Writes a small model whose decoder has two levels more than its encoder, as `three_levels` does."""
    config = small(config, "upsampled", "Upsampled", size=24, widths=[16], blocks=[1], layers=1)
    tokenizer = dataclasses.replace(config.tokenizer, upsample_widths=[8, 24], upsample_blocks=[1, 2])
    write_tokenizer(dataclasses.replace(config, tokenizer=tokenizer), to)


def write_tokenizer(config: Config, to: Path) -> None:
    """Writes a small model with random weights, and the latents and decoded images of two random images."""
    torch.manual_seed(config.seed + RANDOM_STREAM)
    codebook, classes = 0.3 * torch.randn(16, 3), ["one", "two"]
    tokenizer, denoiser = tokenizer_stage.build(config), denoiser_stage.build(config, codebook, len(classes))
    perturb(tokenizer)
    to.mkdir(parents=True, exist_ok=True)
    export.write(config, classes, export.tensors(tokenizer, codebook, denoiser.fold()), to)
    size = config.data.image_size
    images = torch.randint(256, (2, 3, size, size), dtype=torch.uint8)
    v = tokenizer.encode(data.to_unit(images))
    expected = {"images": images, "v": v.contiguous(), "pixels": tokenizer.decode(v).contiguous()}
    save_file(expected, to / "expected.safetensors")


@torch.no_grad()
def with_words(config: Config, to: Path) -> None:
    """Writes a small model that is told styles and words, with random weights, its guided logits, and a run with given
    codes from the noise and the uniform numbers in `noise.safetensors`, which `tests/library/given.rs` writes."""
    config = small(config, "words", "Words", size=16, widths=[8, 16], blocks=[1, 1], layers=2)
    torch.manual_seed(config.seed + RANDOM_STREAM)
    classes, styles = ["Face", "Heart"], ["flat", "round"]
    words = ["cat", "eyes", "face", "glass", "happy", "heart", "red", "with"]
    vocabulary = {
        "words": words,
        "classes": [0, 0, 0, 0, 0, 1, 1, 0],
        "subjects": {
            "Face": {"cat face": [0, 1], "face with eyes": [0], "happy face": [0, 1]},
            "Heart": {"heart eyes": [1], "red heart": [0, 1]},
        },
        "emoji": {"\U0001f431": "cat face", "\u2764": "red heart"},
    }
    codebook, schedule = 0.3 * torch.randn(16, 3), trajectory.schedule(config.trajectory)
    size = config.denoiser
    denoiser = Denoiser(
        codebook,
        schedule,
        config.positions,
        len(classes),
        size.width,
        size.layers,
        size.heads,
        styles=len(styles),
        words=len(words),
    )
    tokenizer = tokenizer_stage.build(config)
    perturb(tokenizer)
    perturb(denoiser)
    denoiser.word.weight[-1].zero_()  # the padding word
    to.mkdir(parents=True, exist_ok=True)
    export.write(config, classes, export.tensors(tokenizer, codebook, denoiser.fold()), to, styles)
    export.write_vocabulary(to / export.VOCABULARY, vocabulary)

    # As `tests/library/words.rs` asks for them: a class, with a style, with words, with both.
    prompts = [[], [], ["red", "heart"], ["happy", "cat", "face", "with", "eyes"]]
    y = Condition(torch.tensor([0, 1, 1, 0]), torch.tensor([2, 0, 2, 1]), Vocabulary(words).encode(prompts))
    z, t = torch.randn(len(prompts), config.positions, 3), torch.tensor([1, 4, 7, 10])
    unconditional = denoiser(z, t, denoiser.null_condition(y))
    logits = unconditional + GUIDANCE * (denoiser(z, t, y) - unconditional)
    save_file({"z": z, "t": t, "logits": logits.contiguous()}, to / "expected.safetensors")

    noise = load_file(to / "noise.safetensors")  # eps (1, n, c), uniforms (T, 1, n, V)
    steps, positions = config.trajectory.steps, config.positions
    # The first two steps are given, then every third position.
    given = torch.randint(len(codebook), (1, steps, positions))
    is_free = (torch.arange(positions) % 3 > 0) & (torch.arange(steps)[:, None] > 1)
    given[:, is_free] = -1
    y = Condition(torch.tensor([1]), torch.tensor([0]), Vocabulary(words).encode([["red", "heart"]]))
    settings = sampler.SamplingSettings(GUIDANCE, TEMPERATURE)
    uniforms = iter(noise["uniforms"])
    run = list(sampler.sample(denoiser, codebook, steps, y, noise["eps"], uniforms, settings, given))
    tokens = torch.stack([step.codes for step in run], 1)
    chances = torch.stack([sampler.filter_logits(step.logits, settings).softmax(-1) for step in run], 1)
    constrained = {
        "given": given,
        "tokens": tokens,
        "probability": chances.gather(-1, tokens[..., None])[..., 0],
        "z": run[-1].z,
    }
    save_file({name: tensor.contiguous() for name, tensor in constrained.items()}, to / "given.safetensors")

    settings = sampler.SamplingSettings(GUIDANCE, TEMPERATURE, guidance_steps=GUIDANCE_STEPS)
    run = list(sampler.sample(denoiser, codebook, steps, y, noise["eps"], iter(noise["uniforms"]), settings))
    guided = {
        "logits": torch.cat([step.logits for step in run]),  # (T, n, V)
        "tokens": torch.cat([step.codes for step in run]),  # (T, n)
        "z": run[-1].z,
    }
    save_file({name: tensor.contiguous() for name, tensor in guided.items()}, to / "guidance_steps.safetensors")


@torch.no_grad()
def captions(folder: Path) -> None:
    """Writes a captioner with random weights beside the model of `with_words`, and what it says of two latents."""
    torch.manual_seed(RANDOM_STREAM)
    info, _, denoiser, _ = weights_folder.load(folder)
    vocabulary = json.loads((folder / export.VOCABULARY).read_text())
    words, steps = vocabulary["words"], len(info["trajectory"]["schedule"]) - 1
    depth = info["denoiser"]["layers"]
    read = (2 * depth // 3, depth)
    head = captioner.Captioner(2 * 5 * info["denoiser"]["width"], len(words), width=12).eval()
    perturb(head)
    captioner.save(head, read, 3.5, folder / captioner.FILE)

    z = torch.randn(2, info["latent"]["grid"] ** 2, info["latent"]["channels"])
    logits = head(captioner.features(denoiser, z, steps, read))
    names = [name.split() for subjects in vocabulary["subjects"].values() for name in subjects]
    encoded = captioner.one_hot(Vocabulary(words).encode(names), len(words))
    expected = {
        "z": z,
        "words": logits.softmax(-1),  # (2, words)
        "names": (3.5 * captioner.score_names(logits, encoded)).softmax(-1),  # (2, names), in the vocabulary's order
    }
    save_file({name: tensor.contiguous() for name, tensor in expected.items()}, folder / "captions.safetensors")


@torch.no_grad()
def one_pass(folder: Path) -> None:
    """Writes a denoiser with random weights that is told the guidance scale beside the model of `with_words`, its
    logits, and a run from the noise and the uniform numbers in `noise.safetensors`."""
    torch.manual_seed(RANDOM_STREAM + 1)
    info, codebook, teacher, _ = weights_folder.load(folder)
    student = distillation.student_of(teacher, 4, info)
    perturb(student)
    student.word.weight[-1].zero_()  # the padding word
    distillation.write(student, folder)
    for parameter in student.parameters():
        parameter.copy_(parameter.half())  # as written

    words = json.loads((folder / export.VOCABULARY).read_text())["words"]
    steps = len(info["trajectory"]["schedule"]) - 1
    # As `tests/library/one_pass.rs` asks for them.
    prompts = [[], [], ["red", "heart"], ["happy", "cat", "face", "with", "eyes"]]
    y = Condition(torch.tensor([0, 1, 1, 0]), torch.tensor([2, 0, 2, 1]), Vocabulary(words).encode(prompts))
    z, t = torch.randn(len(prompts), len(teacher.position), codebook.shape[1]), torch.tensor([1, 4, 7, 10])
    w = torch.tensor([0.5, 2.0, 3.25, 4.0])
    expected = {"z": z, "logits": student(z, t, y, w).contiguous()}

    noise = load_file(folder / "noise.safetensors")
    y = Condition(torch.tensor([1]), torch.tensor([0]), Vocabulary(words).encode([["red", "heart"]]))
    z, tokens = noise["eps"], []
    settings = sampler.SamplingSettings(GUIDANCE, TEMPERATURE)
    for step in range(steps):
        logits = student(z, torch.tensor([step + 1]), y, torch.tensor([GUIDANCE]))
        tokens.append(sampler.sample_codes(logits, noise["uniforms"][step], settings))
        z = z + codebook[tokens[-1]]
    expected |= {"tokens": torch.cat(tokens)}  # (T, n)
    save_file(expected, folder / "one_pass_expected.safetensors")
