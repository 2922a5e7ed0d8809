"""Makes the corners of decoded images white where the image's are, after training.

Zero padding makes the features in the corners differ from all others, and four pixels count little in a loss: emoji
decoded after a short training have a grey dot in each corner. The weighted least squares here changes only the last
convolution, and keeps its outputs everywhere else.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .tokenizer import Tokenizer

CORNER_WEIGHT = 100.0  # of a corner's squared error, relative to any other position's
WHITE = 0.97  # corners above this are corrected
RIDGE = 1e-4  # relative to the mean of the diagonal
BATCH = 16


@torch.no_grad()
def fit(tokenizer: Tokenizer, latents: Tensor, images: Tensor) -> None:
    """Changes the last convolution of the decoder in place, given quantized latents (b, n, c) of images in -1..1."""
    out = tokenizer.decoder.out
    inputs = out.in_channels * 9 + 1  # 3 x 3 positions, and the bias
    squares = torch.zeros(inputs, inputs, dtype=torch.double)
    products = torch.zeros(inputs, out.out_channels, dtype=torch.double)
    for z, targets in zip(latents.split(BATCH), images.split(BATCH), strict=True):
        features = last_features(tokenizer, z)
        columns = F.unfold(features, 3, padding=1)  # (b, 9 width, positions)
        columns = torch.cat([columns, torch.ones_like(columns[:, :1])], 1)
        wanted = F.pixel_unshuffle(targets, 2)
        is_corner = torch.zeros(wanted.shape[-2:], dtype=torch.bool)
        is_corner[[0, 0, -1, -1], [0, -1, 0, -1]] = True
        corrected = (is_corner & (wanted > WHITE).all(1)).flatten(1)
        weights = torch.where(corrected, CORNER_WEIGHT, 1.0)[:, None]
        error = torch.where(corrected[:, None], (wanted - out(features)).flatten(2), 0.0)
        squares += torch.einsum("bip,bjp->ij", columns * weights, columns).double()
        products += torch.einsum("bip,bjp->ij", columns * weights, error).double()
    ridge = RIDGE * squares.diagonal().mean() * torch.eye(inputs, dtype=torch.double)
    change = torch.linalg.solve(squares + ridge, products).to(out.weight.dtype)
    out.weight += change[:-1].T.reshape(out.weight.shape)
    assert out.bias is not None
    out.bias += change[-1]


def last_features(tokenizer: Tokenizer, z: Tensor) -> Tensor:
    """The input of the decoder's last convolution for latents z (b, n, c)."""
    found: list[Tensor] = []
    handle = tokenizer.decoder.out.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
    tokenizer.decode(z)
    handle.remove()
    return found[0]
