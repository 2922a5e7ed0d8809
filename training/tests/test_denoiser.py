"""The denoiser network."""

from __future__ import annotations

import torch

from rdpm_training.denoiser import Denoiser


def network() -> Denoiser:
    """A small denoiser with random parameters, including those that are initialized to zero."""
    torch.manual_seed(4)
    small = Denoiser(torch.randn(12, 3), [0.0, 0.5, 1.0], positions=4, classes=2, width=8, layers=1, heads=2)
    for parameter in small.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return small


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """z, t and y of five images."""
    return torch.randn(5, 4, 3), torch.tensor([1, 2, 1, 2, 2]), torch.tensor([0, 1, 2, 0, 1])


def test_fold_keeps_the_logits() -> None:
    denoiser, batch = network(), inputs()
    expected, table = denoiser(*batch), denoiser.output_weight()
    denoiser.fold()
    assert torch.equal(denoiser.output, table)
    torch.testing.assert_close(denoiser(*batch), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert denoiser.output_weight().dtype == torch.float32, "the output matrix is not rounded"
        assert torch.equal(denoiser.output_weight(), table)


def test_offset_common_to_all_codes_does_not_change_bf16_logits() -> None:
    denoiser, batch = network(), inputs()
    expected = denoiser(*batch)
    with torch.no_grad():
        denoiser.code_free += 30 * torch.randn(8)
    torch.testing.assert_close(denoiser(*batch), expected, rtol=0, atol=1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        error = denoiser(*batch).float() - expected
    assert error.square().mean().sqrt() < 0.02 * expected.std()


def test_load_folded_reproduces_the_logits_unfolded() -> None:
    denoiser, other, batch = network(), network(), inputs()
    expected = denoiser(*batch)
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    assert not torch.allclose(other(*batch), expected)
    other.load_folded(denoiser.fold().state_dict())
    assert other.output is None
    torch.testing.assert_close(other(*batch), expected)
