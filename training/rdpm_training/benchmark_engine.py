"""PyTorch and ONNX Runtime as engines of `cargo bench --bench inference`: they sample from an exported model.

Each engine is a process of its own, with its own threads and memory. It reads requests and writes responses, one line
of JSON each:

    {"batch": 8, "seconds": 0.5}    generates 8 images repeatedly for half a second
    {"gemm": 1024}                  multiplies two matrices of this size
    {"settings": true}              describes versions and settings

Noise, uniform numbers and images come from the Rust side (`inputs.safetensors`), so both sides must sample the same
tokens. Generating these inputs is not measured.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from . import weights_folder
from .conditions import Condition
from .denoiser import Denoiser
from .tokenizer import Tokenizer

ENGINES = ["eager", "compile", "bf16", "onnx", "onnx-int8"]


class Step(nn.Module):
    """One step with guidance: z_{t-1} (b, n, c), t (b,), uniforms (b, n, V) and classes (b,), for a model that knows
    words also styles (b,) and words (b, l), to C_t (b, n) and z_t."""

    def __init__(self, config: dict, codebook: Tensor, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.register_buffer("codebook", codebook)
        if "guidance_steps" in config["sampling"]:
            raise NotImplementedError("guidance in some steps only isn't compared")
        self.guidance = config["sampling"]["guidance"]
        self.temperature = config["sampling"]["temperature"]

    def forward(
        self,
        z: Tensor,
        t: Tensor,
        uniforms: Tensor,
        label: Tensor,
        style: Tensor | None = None,
        words: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        # Both passes of the guidance in one batch, for speed.
        denoiser = self.denoiser
        y: Tensor | Condition = with_null(label, denoiser.null_class)
        if style is not None and words is not None:
            y = Condition(y, with_null(style, denoiser.null_style), with_null(words, denoiser.padding_word))
        logits, unconditional = denoiser(torch.cat([z, z]), torch.cat([t, t]), y).float().chunk(2)
        logits = unconditional + self.guidance * (logits - unconditional)
        codes = (logits / self.temperature - torch.log(-torch.log(uniforms))).argmax(-1)
        return codes, z + self.codebook[codes]


def with_null(indices: Tensor, null: int) -> Tensor:
    """Indices (b, …), followed by as many that stand for nothing."""
    return torch.cat([indices, torch.full_like(indices, null)])


class Decode(nn.Module):
    """Latents (b, n, c) to images (b, channels, size, size) as bytes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, z: Tensor) -> Tensor:
        return ((self.tokenizer.decode(z).float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


class Encode(nn.Module):
    """Images (b, channels, size, size) in -1..1 to latents (b, n, c)."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, images: Tensor) -> Tensor:
        return self.tokenizer.encode(images)


Call = Callable[..., tuple[Tensor, ...]]


def prepare(engine: str, module: nn.Module, example: tuple[Tensor, ...], threads: int) -> Call:
    """The module, compiled or converted for the engine. `example` are inputs of any batch size."""
    if engine.startswith("onnx"):
        # Only the transformer's products in int8, as in this program's own precisions.
        return onnx(module, example, threads, int8=engine == "onnx-int8" and isinstance(module, Step))
    run = torch.compile(module, dynamic=False) if engine == "compile" else module

    def call(*inputs: Tensor) -> tuple[Tensor, ...]:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=engine == "bf16"):
            outputs = run(*inputs)
        return outputs if isinstance(outputs, tuple) else (outputs,)

    return call


def onnx(module: nn.Module, example: tuple[Tensor, ...], threads: int, int8: bool) -> Call:
    """The module in ONNX Runtime, with all of its graph optimizations, and with its products in int8 if asked for."""
    import onnxruntime

    names = [f"input{i}" for i in range(len(example))]
    shapes = tuple({0: torch.export.Dim.DYNAMIC} for _ in example)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        # The exporter's optimizer fails on this graph; ONNX Runtime optimizes it instead.
        settings = {"dynamic_shapes": shapes, "dynamo": True, "optimize": False, "verbose": False}
        program = torch.onnx.export(module, example, input_names=names, **settings)
        program.save(path)
        if int8:
            from onnxruntime.quantization import QuantType, quantize_dynamic
            from onnxruntime.quantization.shape_inference import quant_pre_process

            quant_pre_process(path, path, skip_symbolic_shape=True)
            settings = {"per_channel": True, "weight_type": QuantType.QInt8, "op_types_to_quantize": ["MatMul", "Gemm"]}
            quantize_dynamic(path, path, **settings)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def call(*inputs: Tensor) -> tuple[Tensor, ...]:
        outputs = session.run(None, {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)})
        return tuple(torch.from_numpy(array) for array in outputs)

    return call


class BenchmarkEngine:
    """A model and its inputs, ready to be measured."""

    def __init__(self, weights: Path, inputs: Path, engine: str, threads: int) -> None:
        torch.set_num_threads(threads)
        config, codebook, denoiser, tokenizer = weights_folder.load(weights)
        # As outputs are: otherwise torch.compile compiles the step a second time, for the first step's input.
        with torch.inference_mode():
            self.inputs = {name: tensor.clone() for name, tensor in load_file(inputs).items()}
        self.steps = len(config["trajectory"]["schedule"]) - 1
        self.condition = [self.inputs[name] for name in ("labels", "styles", "words") if name in self.inputs]
        eps, condition = self.inputs["eps"][:2], [part[:2] for part in self.condition]
        step = (eps, torch.ones_like(condition[0]), self.inputs["uniforms"][0, :2], *condition)
        self.step = prepare(engine, Step(config, codebook, denoiser).eval(), step, threads)
        self.decode = prepare(engine, Decode(tokenizer).eval(), (eps,), threads)
        self.encode = prepare(engine, Encode(tokenizer).eval(), (self.inputs["pictures"][:2],), threads)

    def generate(self, batch: int) -> tuple[list[float], Tensor]:
        """Runs once. Returns the seconds for all steps, for decoding and for encoding, and the tokens (b, T, n)."""
        condition, z = [part[:batch] for part in self.condition], self.inputs["eps"][:batch]
        times, tokens = [time.perf_counter()], []
        for t in range(1, self.steps + 1):
            timestep = torch.full_like(condition[0], t)
            codes, z = self.step(z, timestep, self.inputs["uniforms"][t - 1, :batch], *condition)
            tokens.append(codes)
        times.append(time.perf_counter())
        self.decode(z)
        times.append(time.perf_counter())
        self.encode(self.inputs["pictures"][:batch])
        times.append(time.perf_counter())
        return [end - start for start, end in itertools.pairwise(times)], torch.stack(tokens, 1)

    def measure(self, batch: int, seconds: float) -> dict[str, object]:
        """Mean times over as many runs as fit into `seconds`, at least one."""
        reset_peak_memory()
        compiled = compilations()
        started, runs = time.perf_counter(), []
        while not runs or time.perf_counter() - started < seconds:
            parts, tokens = self.generate(batch)
            runs.append(parts)
        steps, decode, encode = (sum(part) / len(runs) for part in zip(*runs, strict=True))
        return {
            "steps": steps,
            "decode": decode,
            "encode": encode,
            "peak_bytes": peak_memory(),
            "compilations": compilations() - compiled,
            "tokens": tokens.flatten().tolist(),
        }


def gemm(size: int) -> float:
    """Floating-point operations per second of the fastest of 20 products of two square matrices."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(20):
        started = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def compilations() -> int:
    """Graphs that torch.compile has compiled in this process."""
    dynamo = sys.modules.get("torch._dynamo.utils")  # imported by torch.compile only
    return dynamo.counters["stats"]["unique_graphs"] if dynamo else 0


def settings(engine: str) -> str:
    """Versions and settings of an engine, to read."""
    text = f"PyTorch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"
    if engine.startswith("onnx"):
        import onnxruntime

        text = f"ONNX Runtime {onnxruntime.__version__}, all graph optimizations"
        return f"{text}, int8 by quantize_dynamic, per channel" if engine == "onnx-int8" else text
    if engine == "bf16":
        supported = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return f"{text}, autocast to bf16, {'with' if supported else 'WITHOUT'} hardware for it"
    return f"{text}, f32{', torch.compile' if engine == 'compile' else ''}"


def reset_peak_memory() -> None:
    """Resets the kernel's record of peak resident memory."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Peak resident memory since the last reset, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--engine", choices=ENGINES, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    # Libraries may print to stdout; responses must not be mixed with that.
    responses, sys.stdout = sys.stdout, sys.stderr
    engine = BenchmarkEngine(arguments.weights, arguments.inputs, arguments.engine, arguments.threads)
    for line in sys.stdin:
        request = json.loads(line)
        if "gemm" in request:
            response: object = {"operations_per_second": gemm(request["gemm"])}
        elif "settings" in request:
            response = settings(arguments.engine)
        else:
            response = engine.measure(**request)
        print(json.dumps(response), file=responses, flush=True)


if __name__ == "__main__":
    main()
