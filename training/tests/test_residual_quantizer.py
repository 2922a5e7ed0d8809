"""Residual quantization."""

from __future__ import annotations

import torch

from rdpm_training import residual_quantizer, runs


def test_error_decreases_with_every_level() -> None:
    points = torch.randn(500, 3, generator=runs.generator(1))
    codebooks = residual_quantizer.fit(points, levels=5, codes=8, iterations=6, generator=runs.generator(2))
    assert codebooks.shape == (5, 8, 3)
    codes = residual_quantizer.encode(points[None], codebooks)
    errors = [
        (residual_quantizer.decode(codes[..., :level], codebooks[:level]) - points).square().mean().item()
        for level in range(1, 6)
    ]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.2 * errors[0]


def test_encode_is_greedy_over_levels() -> None:
    # 1.3 is nearest to 1, the residual 0.3 to 0.25.
    codebooks = torch.tensor([[[0.0], [1.0], [2.0]], [[-0.25], [0.0], [0.25]]])
    codes = residual_quantizer.encode(torch.tensor([[[1.3], [1.8]]]), codebooks)
    assert codes.tolist() == [[[1, 2], [2, 0]]]
    torch.testing.assert_close(residual_quantizer.decode(codes, codebooks), torch.tensor([[[1.25], [1.75]]]))


def test_points_in_the_codebook_are_reproduced_exactly() -> None:
    points = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]).repeat(20, 1)
    codebooks = residual_quantizer.fit(points, levels=1, codes=16, iterations=5, generator=runs.generator(3))
    torch.testing.assert_close(
        residual_quantizer.decode(residual_quantizer.encode(points[None], codebooks), codebooks)[0], points
    )
