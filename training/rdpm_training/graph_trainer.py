"""Trains the denoiser for a given time, each update as one CUDA graph.

An update of this small network is about a thousand short kernels, which a GPU finishes faster than Python can start
them. So data, random numbers, learning rates and optimizers are on the device here, and an update is one launch. Unlike
`trainer`, it draws images with replacement and does not resume exactly: it is for minutes on a lent GPU. Without a GPU,
the same update runs without a graph.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from . import data, denoiser_stage, optimization, runs, trainer, trajectory
from .config import Config
from .denoiser import Denoiser

WARMUP_UPDATES = 12  # before the graph is captured: compiles, and allocates the optimizers' state
SPENT_EVERY = 20  # updates between changes of the learning rate
REPORT_EVERY = 1000


class Update:
    """One update of `network` and its running average `ema`. All state is in tensors that keep their addresses."""

    def __init__(
        self,
        config: Config,
        network: Denoiser,
        ema: Denoiser,
        latents: Tensor,
        codebook: Tensor,
        split: data.Split,
        device: torch.device,
    ) -> None:
        self.config, self.network, self.device = config, network, device
        settings = config.denoiser
        descriptions = split.descriptions.to(device) if split.descriptions else None
        self.split = data.Split(split.images, split.label(torch.arange(len(split))).to(device), descriptions)
        self.latents, self.codebook = latents.to(device), codebook.to(device)
        self.schedule = trajectory.schedule(config.trajectory)
        self.averaged, self.current = list(ema.parameters()), list(network.parameters())
        on_gpu = device.type == "cuda"
        self.muon_rate, self.adam_rate = (torch.zeros((), device=device) for _ in range(2))
        self.optimizers = trainer.optimizers(network, self.muon_rate, self.adam_rate, capturable=on_gpu, fused=on_gpu)
        self.loss_sum = torch.zeros((), device=device)
        self.forward_loss: Callable[..., Tensor] = torch.compile(self._loss) if settings.compile else self._loss

    def set_learning_rate(self, factor: float) -> None:
        """Sets both learning rates to `factor` times the configured ones."""
        self.muon_rate.fill_(factor * self.config.denoiser.muon_learning_rate)
        self.adam_rate.fill_(factor * self.config.denoiser.learning_rate)

    def _loss(self, z: Tensor, t: Tensor, y: object, targets: Tensor) -> Tensor:
        with runs.autocast(self.device):
            logits = self.network(z, t, y)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())

    def __call__(self) -> None:
        settings, steps, device = self.config.denoiser, self.config.trajectory.steps, self.device
        with torch.no_grad():
            indices = torch.randint(len(self.latents), (settings.batch_size,), device=device)
            v = self.latents[indices]
            eps = self.config.trajectory.noise * torch.randn(v.shape, device=device)
            t = denoiser_stage.sample_timesteps(len(v), steps, None, device)
            y = denoiser_stage.sample_conditions(self.split, indices, self.network, settings, None)
            inputs, targets = denoiser_stage.inputs_and_targets(v, eps, t, self.codebook, self.schedule)
        loss = self.forward_loss(inputs, t, y, targets)
        optimization.optimizer_step(loss, self.network, *self.optimizers)
        with torch.no_grad():
            torch._foreach_lerp_(self.averaged, self.current, 1 - settings.ema)
            self.loss_sum.add_(loss.detach())


def capture(update: Update, device: torch.device) -> Callable[[], None]:
    """Does a few updates, then returns a function that does one: a CUDA graph on a GPU."""
    stream = torch.cuda.Stream() if device.type == "cuda" else None
    with torch.cuda.stream(stream) if stream else nullcontext():
        if stream:
            stream.wait_stream(torch.cuda.default_stream())
        for _ in range(WARMUP_UPDATES):
            update()
    if not stream:
        return update
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        update()
    return graph.replay


def train(
    config: Config,
    network: Denoiser,
    latents: Tensor,
    codebook: Tensor,
    split: data.Split,
    seconds: float,
    snapshot: Callable[[Denoiser, int], None],
    snapshot_fractions: list[float],
    use_graph: bool = True,
) -> tuple[Denoiser, int]:
    """Trains for `seconds`, compilation included, and returns the average network and the number of updates.

    Calls `snapshot(average network, updates)` when these fractions of the time have passed.
    """
    device, settings, started = runs.device(), config.denoiser, time.monotonic()
    torch.manual_seed(config.seed)
    network = network.to(device)
    ema = copy.deepcopy(network).requires_grad_(False)
    update = Update(config, network, ema, latents, codebook, split, device)
    update.set_learning_rate(1 / settings.warmup)
    step = capture(update, device) if use_graph else update
    count, pending, reported = (WARMUP_UPDATES if use_graph else 0), sorted(snapshot_fractions), time.monotonic()
    update.loss_sum.zero_()
    print(f"first update after {time.monotonic() - started:.1f} s", flush=True)
    while (spent := (time.monotonic() - started) / seconds) < 1:
        update.set_learning_rate(trainer.learning_rate_factor(count, spent, settings))
        for _ in range(SPENT_EVERY):
            step()
        count += SPENT_EVERY
        if device.type == "cuda":
            torch.cuda.synchronize()  # otherwise Python runs ahead of the clock
        if count % REPORT_EVERY < SPENT_EVERY:
            now, mean = time.monotonic(), update.loss_sum.item() / REPORT_EVERY
            update.loss_sum.zero_()
            if not mean < math.log(len(codebook)):
                raise FloatingPointError(f"the loss is {mean} after {count:,} updates")
            print(f"{count:,} updates, loss {mean:.4f}, {REPORT_EVERY / (now - reported):.0f} a second", flush=True)
            reported = now
        if pending and (time.monotonic() - started) / seconds >= pending[0]:
            pending.pop(0)
            snapshot(ema, count)
    return ema, count
