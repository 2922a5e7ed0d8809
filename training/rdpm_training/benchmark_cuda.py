"""Measures PyTorch on a GPU, to compare with `rdpm bench --device cuda`: sampling and decoding as one CUDA graph.

    python -m rdpm_training.benchmark_cuda ../weights/fashion-mnist --batches 1,16,64,256

Everything is bf16 by autocast, random numbers are drawn on the GPU, and pictures are copied to the host.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch

from . import weights_folder
from .benchmark_engine import Decode, Step

RUNS = 30


class Sampler:
    """All steps of a batch and their decoding, captured as one CUDA graph."""

    def __init__(self, weights: Path, batch: int, compiled: bool) -> None:
        config, codebook, denoiser, tokenizer = weights_folder.load(weights)
        self.steps = len(config["trajectory"]["schedule"]) - 1
        self.codes = codebook.shape[0]
        self.shape = (batch, config["latent"]["grid"] ** 2, codebook.shape[1])
        step, decode = Step(config, codebook, denoiser).eval().cuda(), Decode(tokenizer).eval().cuda()
        self.step, self.decode = (torch.compile(m, dynamic=False) if compiled else m for m in (step, decode))
        self.labels = torch.arange(batch, device="cuda") % len(config["classes"])
        stream = torch.cuda.Stream()
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
            with torch.cuda.stream(stream):
                for _ in range(3):
                    self.generate()
            torch.cuda.synchronize()
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=stream):
                self.pictures = self.generate()

    def generate(self) -> torch.Tensor:
        z = torch.randn(self.shape, device="cuda")
        for t in range(1, self.steps + 1):
            uniforms = torch.rand(*self.shape[:2], self.codes, device="cuda").clamp_(1e-7, 1 - 1e-6)
            _, z = self.step(z, torch.full_like(self.labels, t), self.labels, uniforms)
        return self.decode(z)

    def seconds(self) -> float:
        """Median time of a batch, from launch to pictures in host memory."""
        times = []
        for _ in range(RUNS):
            started = time.perf_counter()
            self.graph.replay()
            self.pictures.cpu()
            times.append(time.perf_counter() - started)
        return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--batches", default="1,16,64,256")
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    print(f"PyTorch {torch.__version__}, {torch.cuda.get_device_name()}, bf16, CUDA graph", flush=True)
    for batch in map(int, arguments.batches.split(",")):
        seconds = Sampler(arguments.weights, batch, arguments.compile).seconds()
        print(f"batch {batch}: {1000 * seconds:.2f} ms, {batch / seconds:,.0f} images/s", flush=True)


if __name__ == "__main__":
    main()
