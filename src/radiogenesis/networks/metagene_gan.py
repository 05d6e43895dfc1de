"""The two networks of the conditional GAN of Li, Sui et al. (section III.D, figure 4), and the metagene layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from radiogenesis.networks.discriminator import Norm, PatchEncoder, block

BASE = 4  # side of the first map


class MetageneLayer(nn.Module):
    """Scaled genes (B, G) -> metagenes (B, K), each with mean 0 and variance 1 over the training patients.

    A metagene is the mean of its members, those that go against it turned round. What it holds was fitted before the
    first step and is saved with the weights: nothing here is learned.
    """

    def __init__(self, genes: int, metagenes: int) -> None:
        super().__init__()
        for name, value in {
            "label": torch.arange(genes) % metagenes, "sign": torch.ones(genes), "strength": torch.zeros(genes),
            "homogeneity": torch.zeros(metagenes), "mean": torch.zeros(metagenes), "deviation": torch.ones(metagenes),
        }.items():  # fmt: skip
            self.register_buffer(name, value)
        self.label: Tensor
        self.sign: Tensor
        self.strength: Tensor
        self.homogeneity: Tensor
        self.mean: Tensor
        self.deviation: Tensor

    def members_mean(self, g: Tensor) -> Tensor:
        """(B, G) -> (B, K), before standardization."""
        sums = torch.zeros(len(g), len(self.mean), device=g.device).index_add_(1, self.label, g.float() * self.sign)
        return sums / torch.bincount(self.label, minlength=len(self.mean)).clamp_min(1)

    def forward(self, g: Tensor) -> Tensor:
        return (self.members_mean(g) - self.mean) / self.deviation


@dataclass(frozen=True)
class Region:
    """What the generator draws: image (B, 1, P, P) in [-1, 1], mask (B, 1, P, P) in [0, 1] or None."""

    image: Tensor
    mask: Tensor | None


class RegionGenerator(nn.Module):
    """Noise (B, N) and metagenes (B, K) -> tumor region (figure 4, top).

    Args:
        pixels: P, a power of two of at least 16.
        noise, metagenes: N and K.
        width: channels at full resolution; at most 8 times as many at the coarsest.
        mask: draw the lesion's mask beside the image.
        spatial_noise: add one noise map per block with a learned strength (beyond the paper).
    """

    def __init__(
        self, *, pixels: int, noise: int, metagenes: int, width: int, mask: bool, spatial_noise: bool = False
    ) -> None:
        super().__init__()
        if pixels < 16 or pixels & (pixels - 1):
            raise ValueError(f"pixels must be a power of two of at least 16, not {pixels}")
        levels = (pixels // BASE).bit_length() - 1
        channels = [width * min(8, 2**level) for level in range(levels, -1, -1)]  # coarse to fine
        self.start = nn.Sequential(
            nn.Linear(noise + metagenes, channels[0] * BASE**2, bias=False),
            nn.Unflatten(1, (channels[0], BASE, BASE)), nn.BatchNorm2d(channels[0]), nn.ReLU(),
        )  # fmt: skip
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b)) for a, b in pairwise(channels)
        )
        strengths = (0.3 * torch.randn(1, b, 1, 1) for b in channels[1:] if spatial_noise)
        self.noise_strengths = nn.ParameterList(strengths)
        self.last = nn.Conv2d(width, 2 if mask else 1, 3, padding=1)

    @property
    def sides(self) -> list[int]:
        """The side of each block's map, coarse to fine."""
        return [BASE * 2 ** (level + 1) for level in range(len(self.blocks))]

    def forward(self, noise: Tensor, metagenes: Tensor, maps: Sequence[Tensor] = ()) -> Region:
        """`maps`: one (B, 1, H, W) noise map per block, coarse to fine, where the noise is spatial."""
        h = self.start(torch.cat([noise, metagenes], dim=1))
        for level, layers in enumerate(self.blocks):
            h = layers(F.interpolate(h, scale_factor=2, mode="bilinear"))
            if self.noise_strengths:
                h = torch.addcmul(h, self.noise_strengths[level].to(h.dtype), maps[level].to(h.dtype))
            h = F.relu(h)
        drawn = self.last(h).float()  # in float32: the 8 bits of bfloat16 would band the image
        return Region(torch.tanh(drawn[:, :1]), torch.sigmoid(drawn[:, 1:]) if drawn.shape[1] > 1 else None)


class RegionDiscriminator(nn.Module):
    """D(X | Y): region (B, C, P, P) and metagenes (B, K) -> logit (B,) of being real (figure 4, bottom)."""

    def __init__(self, *, channels: int, pixels: int, metagenes: int, width: int, norm: Norm) -> None:
        super().__init__()
        self.encoder = PatchEncoder(channels, pixels=pixels, width=width, norm=norm)
        self.code = nn.Linear(metagenes, 2 * width)
        self.joint = block(self.encoder.channels + 2 * width, self.encoder.channels, 3, 1, norm)
        self.head = nn.Conv2d(self.encoder.channels, 1, BASE)

    def forward(self, region: Tensor, metagenes: Tensor) -> Tensor:
        features = self.encoder(region)
        spread = self.code(metagenes).to(features.dtype)[:, :, None, None].expand(-1, -1, *features.shape[2:])
        logit: Tensor = self.head(self.joint(torch.cat([features, spread], dim=1)))
        return logit.float().flatten()
