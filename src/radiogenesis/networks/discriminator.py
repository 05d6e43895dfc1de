"""The discriminator with three heads (Park et al. 2018; Xu et al. 2020, figure 1c)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PatchEncoder(nn.Module):
    """Stride-2 convolutions from (B, channels, P, P) down to (B, C, 4, 4)."""

    def __init__(self, incoming: int, *, pixels: int, width: int) -> None:
        super().__init__()
        if pixels < 16 or pixels & (pixels - 1):
            raise ValueError(f"pixels must be a power of two of at least 16, not {pixels}")
        layers: list[nn.Module] = []
        channels, side = incoming, pixels
        while side > 4:
            outgoing = min(width * 2 ** (len(layers) // 3), width * 4)
            layers += [
                nn.Conv2d(channels, outgoing, 4, stride=2, padding=1, bias=not layers),
                nn.BatchNorm2d(outgoing) if layers else nn.Identity(),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            channels, side = outgoing, side // 2
        self.layers = nn.Sequential(*layers)
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layers(x)
        return features


class ThreeHeadDiscriminator(nn.Module):
    """D_I judges the image, D_IS image with mask, D_ISG image, mask and gene code together.

    Args:
        pixels: side of the images, a power of two.
        code: length of the gene code phi(g).
        width: channels after the first convolution.
    """

    def __init__(self, *, pixels: int, code: int, width: int = 32) -> None:
        super().__init__()
        self.image_encoder = PatchEncoder(1, pixels=pixels, width=width)
        self.pair_encoder = PatchEncoder(2, pixels=pixels, width=width)
        channels = self.pair_encoder.channels
        self.head_i = nn.Conv2d(channels, 1, 4)
        self.head_is = nn.Conv2d(channels, 1, 4)
        self.joint = nn.Sequential(
            nn.Conv2d(channels + code, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(0.2, inplace=True),
        )
        self.head_isg = nn.Conv2d(channels, 1, 4)

    def d_i(self, x: Tensor) -> Tensor:
        """D_I(x): (B, 1, P, P) -> (B,)."""
        return self.head_i(self.image_encoder(x)).float().flatten()

    def pair(self, x: Tensor, m: Tensor) -> Tensor:
        """Features of image and mask, (B, C, 4, 4): what D_IS and D_ISG share."""
        features: Tensor = self.pair_encoder(torch.cat([x, m], dim=1))
        return features

    def d_is(self, pair: Tensor) -> Tensor:
        """D_IS from the pair's features: (B, C, 4, 4) -> (B,)."""
        return self.head_is(pair).float().flatten()

    def d_isg(self, pair: Tensor, phi: Tensor) -> Tensor:
        """D_ISG from the pair's features and the gene code spread over the grid: (B, C, 4, 4), (B, K) -> (B,)."""
        spread = phi.to(pair.dtype)[:, :, None, None].expand(-1, -1, *pair.shape[2:])
        return self.head_isg(self.joint(torch.cat([pair, spread], dim=1))).float().flatten()
