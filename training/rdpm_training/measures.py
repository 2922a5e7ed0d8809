"""Figures of merit for two sets of feature vectors or images."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def frechet(a: Tensor, b: Tensor) -> float:
    """Fréchet distance of Gaussians fitted to features (k, f) each (Heusel et al. 2017, arXiv 1706.08500)."""
    x, y = a.double().numpy(), b.double().numpy()
    difference = x.mean(0) - y.mean(0)
    first, second = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    # The trace of the product's square root is the sum of the roots of its eigenvalues, which are real and >= 0.
    roots = np.sqrt(np.clip(np.linalg.eigvals(first @ second).real, 0, None))
    return float(difference @ difference + np.trace(first) + np.trace(second) - 2 * roots.sum())


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Kernel Inception Distance of features (k, f) each: the squared maximum mean discrepancy with the kernel
    (x y / f + 1)^3, unbiased (Bińkowski et al. 2018, arXiv 1801.01401)."""
    x, y = a.double(), b.double()

    def kernel(first: Tensor, second: Tensor) -> Tensor:
        return (first @ second.T / first.shape[1] + 1) ** 3

    def others(table: Tensor) -> Tensor:
        """Mean without the diagonal."""
        return (table.sum() - table.trace()) / (len(table) * (len(table) - 1))

    return (others(kernel(x, x)) + others(kernel(y, y)) - 2 * kernel(x, y).mean()).item()


def _radii(features: Tensor, k: int) -> Tensor:
    """Distance of each vector to its k-th nearest other one."""
    # The nearest of all is the vector itself.
    return torch.cat([torch.cdist(chunk, features).kthvalue(k + 1, dim=1).values for chunk in features.split(500)])


def _covered(points: Tensor, features: Tensor, radii: Tensor) -> float:
    """Share of the points inside at least one ball around a feature vector."""
    inside = [(torch.cdist(chunk, features) <= radii).any(dim=1) for chunk in points.split(500)]
    return torch.cat(inside).double().mean().item()


def precision_recall(real: Tensor, drawn: Tensor, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991) with k neighbours."""
    return _covered(drawn, real, _radii(real, k)), _covered(real, drawn, _radii(drawn, k))


def nearest(images: Tensor, among: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    """The k nearest others of each image: distances (b, k) per pixel (root mean square of -1..1) and indices."""
    flat = among.flatten(1)
    parts = [torch.cdist(chunk, flat).topk(k, dim=1, largest=False) for chunk in images.flatten(1).split(100)]
    return torch.cat([part.values for part in parts]) / flat.shape[1] ** 0.5, torch.cat([p.indices for p in parts])
