"""The tokenizer's networks: a small VAE that shrinks an image by four.

Cheap on a CPU by design: pixel-unshuffle brings the image to half resolution before the first convolution, so none
runs at full resolution. Module names are the weight file's names; `src/model/tokenizer.rs` mirrors them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 8


class ResidualBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), the second convolution zero at first. (b, width, h, w) kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


class Encoder(nn.Module):
    """(b, channels, size, size) in -1..1 to mean and log-variance, each (b, c, size/4, size/4)."""

    def __init__(self, channels: int, widths: list[int], blocks: list[int], latent_channels: int) -> None:
        super().__init__()
        half, quarter = widths
        self.stem = nn.Conv2d(4 * channels, half, 3, padding=1)
        self.half_blocks = nn.ModuleList(ResidualBlock(half) for _ in range(blocks[0]))
        self.down = nn.Conv2d(half, quarter, 3, stride=2, padding=1)
        self.quarter_blocks = nn.ModuleList(ResidualBlock(quarter) for _ in range(blocks[1]))
        self.norm = nn.GroupNorm(GROUPS, quarter)
        self.out = nn.Conv2d(quarter, 2 * latent_channels, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(F.pixel_unshuffle(image, 2))
        for block in self.half_blocks:
            x = block(x)
        x = self.down(x)
        for block in self.quarter_blocks:
            x = block(x)
        mean, log_variance = self.out(F.silu(self.norm(x))).chunk(2, dim=1)
        return mean, log_variance.clamp(-12.0, 4.0)


class Decoder(nn.Module):
    """(b, c, size/4, size/4) to (b, channels, size, size), about -1..1 (not clamped)."""

    def __init__(self, channels: int, widths: list[int], blocks: list[int], latent_channels: int) -> None:
        super().__init__()
        half, quarter = widths
        self.stem = nn.Conv2d(latent_channels, quarter, 3, padding=1)
        self.quarter_blocks = nn.ModuleList(ResidualBlock(quarter) for _ in range(blocks[1]))
        self.up = nn.Conv2d(quarter, 4 * half, 3, padding=1)
        self.half_blocks = nn.ModuleList(ResidualBlock(half) for _ in range(blocks[0]))
        self.norm = nn.GroupNorm(GROUPS, half)
        self.out = nn.Conv2d(half, 4 * channels, 3, padding=1)

    def forward(self, latent: Tensor) -> Tensor:
        x = self.stem(latent)
        for block in self.quarter_blocks:
            x = block(x)
        x = F.pixel_shuffle(self.up(x), 2)
        for block in self.half_blocks:
            x = block(x)
        return F.pixel_shuffle(self.out(F.silu(self.norm(x))), 2)


class Tokenizer(nn.Module):
    """Encoder, decoder and the statistics that standardize the latent."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, channels: int, widths: list[int], blocks: list[int], latent_channels: int) -> None:
        super().__init__()
        self.encoder = Encoder(channels, widths, blocks, latent_channels)
        self.decoder = Decoder(channels, widths, blocks, latent_channels)
        self.register_buffer("latent_mean", torch.zeros(latent_channels))
        self.register_buffer("latent_std", torch.ones(latent_channels))

    def encode(self, image: Tensor) -> Tensor:
        """Images (b, channels, size, size) to standardized latents v (b, n, c), the posterior's mean."""
        mean, _ = self.encoder(image)
        return (mean.flatten(2).transpose(1, 2) - self.latent_mean) / self.latent_std

    def decode(self, v: Tensor) -> Tensor:
        """Standardized latents (b, n, c) to images (b, channels, size, size)."""
        side = int(v.shape[1] ** 0.5)
        latent = v * self.latent_std + self.latent_mean
        return self.decoder(latent.transpose(1, 2).unflatten(2, (side, side)))
