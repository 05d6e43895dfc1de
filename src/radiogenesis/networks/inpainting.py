"""The networks of the in-painting method (Jin et al. 2018), in two dimensions.

METHODS.md section 2 asks for a U-Net-like generator and a patch discriminator that sees image and erased image; their
depth and channels are open, and follow pix2pix (Isola et al. 2017).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from radiogenesis.networks.discriminator import block, in_full

CHANNEL_FACTORS = (1, 2, 4, 8, 8)  # times the base width, at 1/1, 1/2, 1/4, 1/8, 1/16 of the resolution


class Merging(nn.Module):
    """One step up: enlarge, put the encoder's features beside it, convolve."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.convolve = block(coarse + fine, fine, 3, 1, "batch")

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, K, H/2, W/2) and (B, C, H, W) -> (B, C, H, W)."""
        up = F.interpolate(coarse, scale_factor=2, mode="bilinear")
        merged: Tensor = self.convolve(torch.cat([up, fine], dim=1))
        return merged


class InpaintingGenerator(nn.Module):
    """G(y): a slice whose center is erased (B, 1, P, P) -> the whole slice (B, 1, P, P) in [-1, 1].

    Args:
        pixels: P, a multiple of 16, at least 32.
        width: channels at full resolution.
    """

    def __init__(self, *, pixels: int, width: int = 16) -> None:
        super().__init__()
        if pixels % 16 or pixels < 32:
            raise ValueError(f"pixels must be a multiple of 16 and at least 32, not {pixels}")
        channels = [width * factor for factor in CHANNEL_FACTORS]
        first = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.LeakyReLU(0.2, inplace=True))
        down = [block(fine, coarse, 4, 2, "batch") for fine, coarse in pairwise(channels)]
        self.down = nn.ModuleList([first, *down])
        self.up = nn.ModuleList(Merging(coarse, fine) for coarse, fine in pairwise(channels[::-1]))
        self.head = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, y: Tensor) -> Tensor:
        features = [y]
        for stage in self.down:
            features.append(stage(features[-1]))
        h = features.pop()
        for merge in self.up:
            h = merge(h, features.pop())
        with torch.autocast(h.device.type, enabled=False):  # the 8 bits of bfloat16 would band the image
            return torch.tanh(self.head(h.float()))


class PatchDiscriminator(nn.Module):
    """D(x, y): whether each patch of an image (B, 1, P, P) belongs to the erased one (B, 1, P, P) -> (B, P/8, P/8).

    A number of the output sees a patch of 38 x 38 pixels.
    """

    def __init__(self, *, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            block(2, width, 4, 2, None),  # as in DCGAN, no batch normalization of the first layer
            block(width, 2 * width, 4, 2, "batch"),
            block(2 * width, 4 * width, 4, 2, "batch"),
            nn.Conv2d(4 * width, 1, 3, padding=1),
        )

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        features = self.layers[:-1](torch.cat([x, y], dim=1))
        return in_full(self.layers[-1], features).squeeze(1)
