"""The network alone."""

from __future__ import annotations

import torch

from rdpm_training.denoiser import Denoiser


def test_folding_the_output_table_keeps_the_logits() -> None:
    torch.manual_seed(4)
    network = Denoiser(torch.randn(12, 3), [0.0, 0.5, 1.0], positions=4, classes=2, width=8, layers=1, heads=2)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)  # off the zeros that some begin with
    inputs = torch.randn(5, 4, 3), torch.tensor([1, 2, 1, 2, 2]), torch.tensor([0, 1, 2, 0, 1])
    expected, table = network(*inputs), network.output_weight()
    network.fold()
    assert torch.equal(network.output, table)
    torch.testing.assert_close(network(*inputs), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert network.output_weight().dtype == torch.float32, "the sum is not rounded"
        assert torch.equal(network.output_weight(), table)
