"""The tokenizer's networks: a small VAE that halves the resolution once per level.

It is designed to be fast on a CPU: pixel-unshuffle halves the resolution before the first convolution, so no
convolution runs at full resolution. Parameter names are the tensor names in the weights file;
`src/model/tokenizer.rs` uses the same names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 8
LEVELS = ["half", "quarter", "eighth", "sixteenth"]  # of the size that the encoder sees
UPSAMPLE_LEVELS = ["double", "full"]  # of the decoder, if images are larger than what the encoder sees


@dataclass(frozen=True)
class Level:
    """One resolution: the module names of its blocks and of the convolutions to the next lower resolution and back, and
    the width there (None for the last level)."""

    blocks: str
    down: str
    up: str
    next_width: int | None


def levels(widths: list[int], upsample_widths: Sequence[int] = ()) -> list[Level]:
    """The levels from the largest resolution down, one for each of `upsample_widths` and then of `widths`."""
    names = UPSAMPLE_LEVELS[len(UPSAMPLE_LEVELS) - len(upsample_widths) :] + LEVELS[: len(widths)]
    next_widths = [*upsample_widths, *widths, None][1:]
    suffixes = ["" if name == "half" else f"_{name}" for name in names]  # `down` and `up` between half and quarter
    return [
        Level(f"{name}_blocks", f"down{suffix}", f"up{suffix}", next_width)
        for name, suffix, next_width in zip(names, suffixes, next_widths, strict=True)
    ]


class ResidualBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), with the second convolution initialized to zero.

    (b, width, h, w) to (b, width, h, w).
    """

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
    """(b, channels, size, size) in -1..1 to mean and log-variance, each (b, c, h, w).

    It sees the means of `reduction` x `reduction` pixels.
    """

    def __init__(
        self, channels: int, widths: list[int], blocks: list[int], latent_channels: int, reduction: int = 1
    ) -> None:
        super().__init__()
        self.reduction = reduction
        self.stem = nn.Conv2d(4 * channels, widths[0], 3, padding=1)
        self.levels = levels(widths)
        for level, width, count in zip(self.levels, widths, blocks, strict=True):
            self.add_module(level.blocks, nn.ModuleList(ResidualBlock(width) for _ in range(count)))
            if level.next_width:
                self.add_module(level.down, nn.Conv2d(width, level.next_width, 3, stride=2, padding=1))
        self.norm = nn.GroupNorm(GROUPS, widths[-1])
        self.out = nn.Conv2d(widths[-1], 2 * latent_channels, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        if self.reduction > 1:
            image = F.avg_pool2d(image, self.reduction)
        x = self.stem(F.pixel_unshuffle(image, 2))
        for level in self.levels:
            for block in self.get_submodule(level.blocks):
                x = block(x)
            if level.next_width:
                x = self.get_submodule(level.down)(x)
        mean, log_variance = self.out(F.silu(self.norm(x))).chunk(2, dim=1)
        return mean, log_variance.clamp(-12.0, 4.0)


class Decoder(nn.Module):
    """(b, c, h, w) to (b, channels, size, size), about -1..1 (not clamped).

    Each of `upsample_widths` is one more level before the last convolution, and doubles the size.
    """

    def __init__(
        self,
        channels: int,
        widths: list[int],
        blocks: list[int],
        latent_channels: int,
        upsample_widths: Sequence[int] = (),
        upsample_blocks: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(latent_channels, widths[-1], 3, padding=1)
        self.levels = levels(widths, upsample_widths)
        widths, blocks = [*upsample_widths, *widths], [*upsample_blocks, *blocks]
        for level, width, count in zip(self.levels, widths, blocks, strict=True):
            if level.next_width:
                self.add_module(level.up, nn.Conv2d(level.next_width, 4 * width, 3, padding=1))
            self.add_module(level.blocks, nn.ModuleList(ResidualBlock(width) for _ in range(count)))
        self.norm = nn.GroupNorm(GROUPS, widths[0])
        self.out = nn.Conv2d(widths[0], 4 * channels, 3, padding=1)

    def forward(self, latent: Tensor) -> Tensor:
        x = self.stem(latent)
        for level in reversed(self.levels):
            if level.next_width:
                x = F.pixel_shuffle(self.get_submodule(level.up)(x), 2)
            for block in self.get_submodule(level.blocks):
                x = block(x)
        return F.pixel_shuffle(self.out(F.silu(self.norm(x))), 2)


class Tokenizer(nn.Module):
    """Encoder, decoder and the statistics that standardize the latent."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self,
        channels: int,
        widths: list[int],
        blocks: list[int],
        latent_channels: int,
        upsample_widths: Sequence[int] = (),
        upsample_blocks: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.encoder = Encoder(channels, widths, blocks, latent_channels, 2 ** len(upsample_widths))
        self.decoder = Decoder(channels, widths, blocks, latent_channels, upsample_widths, upsample_blocks)
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
