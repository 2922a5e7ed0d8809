"""One update of a network's parameters, and learning-rate schedules."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Sets the learning rate of every parameter group to `factor` times its initial value."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group.setdefault("full_lr", group["lr"])


def optimizer_step(loss: Tensor, network: nn.Module, *optimizers: torch.optim.Optimizer) -> None:
    """Computes the gradients of `loss`, clips those of the network to norm 1 and steps the optimizers."""
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()


def warmup_cosine(update: int, updates: int, warmup: int = 50) -> float:
    """Learning-rate factor in 0..1: linear warm-up, then a cosine to zero."""
    return min(1.0, (update + 1) / warmup) * cosine(update / updates)


def cosine(spent: float) -> float:
    """Learning-rate factor from 1 to 0 after the fraction `spent` of the training."""
    return 0.5 * (1 + math.cos(math.pi * min(spent, 1.0)))
