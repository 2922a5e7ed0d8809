"""The order in which training sees its images."""

from __future__ import annotations

import torch
from torch import Tensor

from . import runs


class BatchSampler:
    """Endless shuffled batches of indices.

    The order of an epoch depends on (seed, epoch) alone, so a resumed run sees the same batches.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size, self.seed = count, min(batch_size, count), seed
        self.batches_per_epoch = count // self.batch_size
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.long)

    def batch(self, update: int) -> Tensor:
        """Indices of the batch for update number `update` (from 0)."""
        epoch, index = divmod(update, self.batches_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = torch.randperm(self.count, generator=runs.generator(self.seed, epoch))
        return self._order[index * self.batch_size : (index + 1) * self.batch_size]
