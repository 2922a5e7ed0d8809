"""PyTorch and ONNX Runtime as contenders of `benches/inference`: the exported model, drawn from given noise.

A contender is a process of its own, so that its threads and its memory are its own. It reads a line of JSON, measures,
and answers with one:

    {"batch": 8, "seconds": 0.5}    draws 8 images again and again for half a second
    {"gemm": 1024}                  multiplies two matrices of this size

It is handed the same noise, uniforms and pictures that the Rust side draws and reads (`inputs.safetensors`), so both
must draw the same tokens; making them isn't part of its time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from . import exported
from .denoiser import Denoiser
from .tokenizer import Tokenizer

ENGINES = ["eager", "compile", "bf16", "onnx"]


class Step(nn.Module):
    """One step with guidance: z_{t-1} (b, n, c), t and y (b,), uniforms (b, n, V) to C_t (b, n) and z_t."""

    def __init__(self, config: dict, codebook: Tensor, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.register_buffer("codebook", codebook)
        self.guidance = config["sampling"]["guidance"]
        self.temperature = config["sampling"]["temperature"]

    def forward(self, z: Tensor, t: Tensor, y: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        # Both passes in one batch: what whoever cares for speed would write.
        null = torch.full_like(y, self.denoiser.null_class)
        logits, free = self.denoiser(torch.cat([z, z]), torch.cat([t, t]), torch.cat([y, null])).float().chunk(2)
        logits = free + self.guidance * (logits - free)
        codes = (logits / self.temperature - torch.log(-torch.log(uniforms))).argmax(-1)
        return codes, z + self.codebook[codes]


class Decode(nn.Module):
    """Latents (b, n, c) to bytes of pictures (b, channels, size, size)."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, z: Tensor) -> Tensor:
        return ((self.tokenizer.decode(z).float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


class Encode(nn.Module):
    """Pictures (b, channels, size, size) in -1..1 to latents (b, n, c)."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, pictures: Tensor) -> Tensor:
        return self.tokenizer.encode(pictures)


Call = Callable[..., tuple[Tensor, ...]]


def prepare(engine: str, module: nn.Module, example: tuple[Tensor, ...], threads: int) -> Call:
    """The module as the engine runs it. `example` are inputs of any batch size."""
    if engine == "onnx":
        return onnx(module, example, threads)
    run = torch.compile(module, dynamic=False) if engine == "compile" else module

    def call(*inputs: Tensor) -> tuple[Tensor, ...]:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=engine == "bf16"):
            found = run(*inputs)
        return found if isinstance(found, tuple) else (found,)

    return call


def onnx(module: nn.Module, example: tuple[Tensor, ...], threads: int) -> Call:
    """The module in ONNX Runtime, with all of its graph optimizations."""
    import onnxruntime

    names = [f"input{i}" for i in range(len(example))]
    shapes = tuple({0: torch.export.Dim.DYNAMIC} for _ in example)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model.onnx"
        # Left to the runtime: the exporter's own optimizer fails on this graph.
        settings = {"dynamic_shapes": shapes, "dynamo": True, "optimize": False, "verbose": False}
        program = torch.onnx.export(module, example, input_names=names, **settings)
        program.save(path)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def call(*inputs: Tensor) -> tuple[Tensor, ...]:
        found = session.run(None, {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)})
        return tuple(torch.from_numpy(array) for array in found)

    return call


class Contender:
    """A model and inputs, ready to be measured."""

    def __init__(self, weights: Path, inputs: Path, engine: str, threads: int) -> None:
        torch.set_num_threads(threads)
        config, codebook, denoiser, tokenizer = exported.load(weights)
        self.inputs = load_file(inputs)
        self.steps = len(config["trajectory"]["schedule"]) - 1
        eps, labels = self.inputs["eps"][:2], self.inputs["labels"][:2]
        step = (eps, torch.ones_like(labels), labels, self.inputs["uniforms"][0, :2])
        self.step = prepare(engine, Step(config, codebook, denoiser).eval(), step, threads)
        self.decode = prepare(engine, Decode(tokenizer).eval(), (eps,), threads)
        self.encode = prepare(engine, Encode(tokenizer).eval(), (self.inputs["pictures"][:2],), threads)

    def draw(self, batch: int) -> tuple[list[float], Tensor]:
        """Seconds of all steps, of decoding and of encoding; tokens (b, T, n)."""
        labels, z = self.inputs["labels"][:batch], self.inputs["eps"][:batch]
        marks, tokens = [time.perf_counter()], []
        for t in range(1, self.steps + 1):
            codes, z = self.step(z, torch.full_like(labels, t), labels, self.inputs["uniforms"][t - 1, :batch])
            tokens.append(codes)
        marks.append(time.perf_counter())
        self.decode(z)
        marks.append(time.perf_counter())
        self.encode(self.inputs["pictures"][:batch])
        marks.append(time.perf_counter())
        return [end - start for start, end in zip(marks, marks[1:], strict=False)], torch.stack(tokens, 1)

    def measure(self, batch: int, seconds: float) -> dict[str, object]:
        """Means over as many runs as fit into the time, at least one."""
        forget_peak()
        started, runs = time.perf_counter(), []
        while not runs or time.perf_counter() - started < seconds:
            parts, tokens = self.draw(batch)
            runs.append(parts)
        steps, decode, encode = (sum(part) / len(runs) for part in zip(*runs, strict=True))
        return {
            "steps": steps,
            "decode": decode,
            "encode": encode,
            "peak_bytes": peak(),
            "tokens": tokens.flatten().tolist(),
        }


def gemm(size: int) -> float:
    """Operations per second of the best of some products of two square matrices."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(20):
        started = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def forget_peak() -> None:
    """Starts the kernel's record of the peak memory anew."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Most memory that was resident since, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--engine", choices=ENGINES, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    # What libraries print must not be taken for an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    contender = Contender(arguments.weights, arguments.inputs, arguments.engine, arguments.threads)
    for line in sys.stdin:
        request = json.loads(line)
        if "gemm" in request:
            answer: dict[str, object] = {"operations_per_second": gemm(request["gemm"])}
        else:
            answer = contender.measure(**request)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
