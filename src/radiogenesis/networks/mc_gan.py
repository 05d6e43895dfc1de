"""The generator of MC-GAN (Park et al. 2018, figure 2); what the paper leaves open is as in the authors' code."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from radiogenesis.networks.fusion import Drawing, central_logits, leaning

CHANNEL_FACTORS = (16, 8, 4, 2, 1)  # times the base width, at 1/16, 1/8, 1/4, 1/2, 1/1 of the resolution


class ConditioningAugmentation(nn.Module):
    """Condition -> mean and log variance of a Gaussian code: one linear layer with GLU (Zhang et al. 2017).

    g (B, G) -> (B, K), (B, K).
    """

    def __init__(self, genes: int, code: int) -> None:
        super().__init__()
        self.linear = nn.Linear(genes, 4 * code)

    def forward(self, g: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(g.device.type, enabled=False):  # thousands of genes are summed: 8 bits are too few
            mean, log_variance = F.glu(self.linear(g.float()), dim=1).chunk(2, dim=1)
        return mean, log_variance


class SynthesisBlock(nn.Module):
    """Lays the foreground over the part of the background that its gate lets through.

        new, logits = conv(conv(foreground));   out = new + background * sigmoid(logits)

    The foreground is not gated, and genes do not enter: the two things that Xu et al. (2020) change.

    Args:
        channels: C of foreground and background.
        spatial_noise: add one noise map to the new foreground with a learned strength (beyond the paper).
    """

    def __init__(self, channels: int, *, spatial_noise: bool = False) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.LeakyReLU(0.02, inplace=True),
            nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(2 * channels),
        )
        self.noise_strength = nn.Parameter(0.3 * torch.randn(1, channels, 1, 1)) if spatial_noise else None

    def forward(self, foreground: Tensor, background: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Both (B, C, H, W), noise (B, 1, H, W) -> out (B, C, H, W), gate (B, C, H, W)."""
        new, logits = self.encode(foreground).chunk(2, dim=1)
        if self.noise_strength is not None and noise is not None:
            new = torch.addcmul(new, self.noise_strength.to(new.dtype), noise.to(new.dtype))
        gate = torch.sigmoid(logits)
        return torch.addcmul(new, background, gate), gate


class GLU(nn.Module):
    """a * sigmoid(b) for the halves a and b of the channels, (B, 2C, H, W) -> (B, C, H, W).

    The same as nn.GLU, whose gradient leaves channels last, so that the batch normalization before it takes ten times
    as long backward on a CPU.
    """

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=1)
        return a * torch.sigmoid(b)


class Upsampling(nn.Sequential):
    """Twice the resolution: nearest neighbor, 3x3 convolution, batch normalization, GLU."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv2d(incoming, 2 * outgoing, 3, padding=1, bias=False),
            nn.BatchNorm2d(2 * outgoing),
            GLU(),
        )


class MCGANGenerator(nn.Module):
    """Base image (B, 1, P, P) and start vector (B, S) -> image, mask and weight map.

    Args:
        pixels: P, a multiple of 16, at least 32.
        start: S, the conditioning code and the noise together.
        width: channels at full resolution.
        spatial_noise: see SynthesisBlock.
        central_mask: start from a mask that covers the middle of the image, by a learned bias of the mask's logits
            (beyond the paper), as in FusionGenerator.
    """

    def __init__(
        self, *, pixels: int, start: int, width: int = 16, spatial_noise: bool = False, central_mask: bool = False
    ) -> None:
        super().__init__()
        if pixels % 16 or pixels < 32:
            raise ValueError(f"pixels must be a multiple of 16 and at least 32, not {pixels}")
        channels = [width * factor for factor in CHANNEL_FACTORS]
        self.base = pixels // 16
        numbers = 2 * channels[0] * self.base**2
        self.start = nn.Sequential(nn.Linear(start, numbers, bias=False), nn.BatchNorm1d(numbers), nn.GLU(dim=1))
        # No activation between the four convolutions: so it is in the authors' code.
        fine_to_coarse = [1, *channels[-2::-1]]
        self.background = nn.ModuleList(
            nn.Sequential(nn.Conv2d(fine, coarse, 3, stride=2, padding=1), nn.BatchNorm2d(coarse))
            for fine, coarse in pairwise(fine_to_coarse)
        )
        self.blocks = nn.ModuleList(SynthesisBlock(c, spatial_noise=spatial_noise) for c in channels[:-1])
        self.up = nn.ModuleList(Upsampling(coarse, fine) for coarse, fine in pairwise(channels))
        self.head = nn.Conv2d(width, 2, 3, padding=1, bias=False)
        self.mask_bias = nn.Parameter(central_logits(pixels)) if central_mask else None

    def forward(self, background: Tensor, start: Tensor, noise: Sequence[Tensor] | None = None) -> Drawing:
        """The mask is the paper's tanh, moved from [-1, 1] to [0, 1]. The weight map is 1 - gate of the finest block
        (at half the resolution, enlarged), averaged over channels: where the background is held back.

        `noise`: one (B, 1, H, W) map per block, coarse to fine; None or empty for none."""
        features = []
        for stage in self.background:
            background = stage(background)
            features.append(background)
        h = self.start(start).view(len(start), -1, self.base, self.base)
        gate = h
        for level, (block, up, b) in enumerate(zip(self.blocks, self.up, features[::-1], strict=True)):
            h, gate = block(h, b, noise[level] if noise else None)
            h = up(h)
        with torch.autocast(h.device.type, enabled=False):  # the 8 bits of bfloat16 would band the image
            drawn = self.head(h.float())
        image, mask = torch.tanh(drawn).chunk(2, dim=1)
        mask = (mask + 1) / 2
        if self.mask_bias is not None:
            logits = 2 * drawn[:, 1:]  # of the same mask: (tanh(a) + 1) / 2 = sigmoid(2 a)
            mask = torch.sigmoid(leaning(logits, self.mask_bias))
        held_back = 1 - gate.float().mean(1, keepdim=True)
        weight = F.interpolate(held_back, scale_factor=2, mode="bilinear")
        return Drawing(image, mask, weight)

    @property
    def sides(self) -> list[int]:
        """The side of each block's map, coarse to fine."""
        return [self.base * 2**level for level in range(len(self.blocks))]


def initialize(module: nn.Module) -> None:
    """The authors' starting weights: orthogonal, and normal around 1 for the scales of batch normalization."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            normalized = parametrize.is_parametrized(part, "weight")  # spectrally: its weight is computed from another
            nn.init.orthogonal_(part.get_parameter("parametrizations.weight.original" if normalized else "weight"))
            if isinstance(part, nn.Linear) and part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.02)
            nn.init.zeros_(part.bias)
