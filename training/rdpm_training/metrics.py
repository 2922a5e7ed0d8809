"""Metrics that compare two sets of feature vectors or images."""

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
    """Distance of each vector to its k-th nearest other vector."""
    # k + 1, because the nearest vector is the vector itself.
    return torch.cat([torch.cdist(chunk, features).kthvalue(k + 1, dim=1).values for chunk in features.split(500)])


def _coverage(points: Tensor, features: Tensor, radii: Tensor) -> float:
    """Fraction of the points inside at least one ball around a feature vector."""
    inside = [(torch.cdist(chunk, features) <= radii).any(dim=1) for chunk in points.split(500)]
    return torch.cat(inside).double().mean().item()


def precision_recall(real: Tensor, generated: Tensor, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991) with k neighbours."""
    return _coverage(generated, real, _radii(real, k)), _coverage(real, generated, _radii(generated, k))


def nearest(images: Tensor, among: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    """The k nearest neighbours of each image: distances (b, k), root mean square per pixel in -1..1, and indices."""
    flat = among.flatten(1)
    parts = [torch.cdist(chunk, flat).topk(k, dim=1, largest=False) for chunk in images.flatten(1).split(100)]
    return torch.cat([part.values for part in parts]) / flat.shape[1] ** 0.5, torch.cat([p.indices for p in parts])
