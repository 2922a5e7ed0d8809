"""A small patch discriminator that tells decoded from real images, so that the decoder learns to avoid blur.

It is used in training only and is not exported. Its first layer halves the resolution, so it takes a tenth of the
decoder's time.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

WIDTHS = [48, 96, 128, 192, 192]
LAYERS = 3  # for images of up to 64 pixels; a logit then sees 38 x 38 pixels


class Discriminator(nn.Module):
    """(b, channels, size, size) to the features of each layer and a map of logits (positive: real).

    Each further layer doubles the side of the square that a logit sees.
    """

    def __init__(self, channels: int, layers: int = LAYERS) -> None:
        super().__init__()
        widths = WIDTHS[:layers]
        inputs = [channels, *widths[:-1]]
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1))
            for in_channels, out_channels in zip(inputs, widths, strict=True)
        )
        self.out = spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        features = []
        x = images
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return features, self.out(x)


def discriminator_loss(discriminator: Discriminator, decoded: Tensor, images: Tensor) -> Tensor:
    """Hinge loss (Lim & Ye 2017, arXiv 1705.02894): pushes real patches above 1 and decoded ones below -1."""
    _, logits = discriminator(torch.cat([images, decoded.detach()]))
    real, fake = logits.chunk(2)
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def decoder_losses(discriminator: Discriminator, decoded: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Adversarial loss, and feature-matching loss relative to the features' size (Larsen et al. 2015, arXiv
    1512.09300)."""
    features, logits = discriminator(torch.cat([decoded, images]))
    feature_loss = decoded.new_zeros(())
    for layer in features:
        fake, real = layer.chunk(2)
        real = real.detach()
        feature_loss = feature_loss + F.l1_loss(fake, real) / real.abs().mean()
    return -logits.chunk(2)[0].mean(), feature_loss / len(features)
