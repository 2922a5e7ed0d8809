"""Finds near-duplicates: copies of an image in another size, format or quality."""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE = 16  # images are compared at this size
# The largest root mean square difference of near-duplicates, in levels of 255. A copy as JPEG of quality 75, or scaled
# to three quarters, differs by 3 to 5; of 20,000 images of Fashion-MNIST, only 0.04% have another one within 6.
THRESHOLD = 5.0
_CHUNK = 512


def find(images: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of indices (smaller first, sorted) of near-duplicates among byte images (b, channels, size, size)."""
    points = np.stack([_thumbnail(image) for image in images])
    limit = THRESHOLD * points.shape[1] ** 0.5
    # Near-duplicates are near on every axis too. Sorted along the one with the largest variance (roughly: a few power
    # iterations), only neighbours have to be compared.
    axis = np.random.default_rng(0).normal(size=points.shape[1]).astype(np.float32)
    centered = points - points.mean(axis=0)
    for _ in range(5):
        axis = centered.T @ (centered @ axis)
        axis /= max(np.linalg.norm(axis), 1e-12)
    places = centered @ axis
    order = np.argsort(places, kind="stable")
    points, places = points[order], places[order]
    norms = (points**2).sum(axis=1)
    pairs = []
    for start in range(0, len(points), _CHUNK):
        stop = min(start + _CHUNK, len(points))
        end = int(np.searchsorted(places, places[stop - 1] + limit, side="right"))
        block, others = points[start:stop], points[start:end]
        squares = norms[start:stop, None] + norms[None, start:end] - 2 * (block @ others.T)
        for row, column in np.argwhere(squares <= limit**2 * 1.01):
            if column > row and ((block[row] - others[column]) ** 2).sum() <= limit**2:
                first, second = sorted((int(order[start + row]), int(order[start + column])))
                pairs.append((first, second))
    return sorted(pairs)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """All values (channels * side * side) of a small version, as floats."""
    side = min(SIDE, image.shape[-1])
    planes = [Image.fromarray(plane).resize((side, side), Image.Resampling.BOX) for plane in image]
    return np.stack(planes).astype(np.float32).ravel()


def group(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    """For each of `count` images the smallest index of the images that are connected with it by pairs."""
    leaders = list(range(count))

    def leader(index: int) -> int:
        while leaders[index] != index:
            leaders[index] = leaders[leaders[index]]
            index = leaders[index]
        return index

    for first, second in pairs:
        low, high = sorted((leader(first), leader(second)))
        leaders[high] = low
    return [leader(index) for index in range(count)]
