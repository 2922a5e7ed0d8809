"""The Muon optimizer (Jordan et al. 2024): momentum, orthogonalized by a Newton-Schulz iteration.

`torch.optim.Muon` iterates in bf16, which a CPU without bf16 instructions emulates at about 1 GFLOP/s. This
implementation uses bf16 only if the hardware multiplies it natively, and processes matrices of one shape as a batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from . import runs

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonalize(matrices: Tensor) -> Tensor:
    """Approximates the nearest (semi-)orthogonal matrices of (k, rows, columns): singular values become about 1."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    if runs.has_native_bf16(x.device):
        x = x.bfloat16()  # the result is approximate anyway
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Orthogonalized Nesterov momentum, scaled so that the update size equals Adam's at the same learning rate."""

    def __init__(
        self, params: Iterable[Tensor], lr: float | Tensor, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:
        assert closure is None, "closures are not supported"
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                by_shape[parameter.shape].append(parameter)
            for shape, parameters in by_shape.items():
                directions = []
                for parameter in parameters:
                    if "momentum" not in self.state[parameter]:
                        self.state[parameter]["momentum"] = torch.zeros_like(parameter)
                    momentum = self.state[parameter]["momentum"]
                    momentum.lerp_(parameter.grad, 1 - group["momentum"])
                    directions.append(parameter.grad.lerp(momentum, group["momentum"]))
                scale = 0.2 * max(shape) ** 0.5
                for parameter, update in zip(parameters, orthogonalize(torch.stack(directions)), strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.sub_(update * (group["lr"] * scale))  # the rate may be a tensor
