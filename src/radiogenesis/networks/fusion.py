"""The generator of the fusion GAN (Xu et al. 2020, figure 1a and 1b)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNEL_FACTORS = (1, 2, 4, 4, 4)  # times the base width, at 1/1, 1/2, 1/4, 1/8, 1/16 of the resolution

MASK_REACH = 6.0  # how far the logits of the mask may move from their learned bias: not far enough for the chest wall


@dataclass(frozen=True)
class Drawing:
    """What the generator returns.

    Attributes:
        image: G_x (B, 1, P, P) in [-1, 1].
        mask: G_m (B, 1, P, P) in [0, 1]; 0 everywhere from a generator without a mask output.
        weight: (B, 1, P, P) in [0, 1], the last block's weight map averaged over channels (figure 2c, 2g).
    """

    image: Tensor
    mask: Tensor
    weight: Tensor


class _StyledNormalization(torch.autograd.Function):
    """gamma * (o - mean(o)) / std(o) + beta, over the pixels of each image and channel; moments in float32 or better.

    In the memory layout of o, forward and backward. torch's instance normalization leaves channels last for the
    contiguous layout, and on a CPU the batch normalization before it then takes ten times as long backward.
    """

    @staticmethod
    def forward(ctx: Any, o: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        precise = torch.promote_types(o.dtype, torch.float32)
        mean = o.mean((2, 3), keepdim=True, dtype=precise)
        centered = o.to(precise) - mean
        per_std = (centered.square().mean((2, 3), keepdim=True) + 1e-5).rsqrt()  # epsilon as in nn.InstanceNorm2d
        ctx.save_for_backward(o, mean, per_std, gamma)
        return torch.addcmul(beta.to(precise), centered, gamma * per_std).to(o.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        o, mean, per_std, gamma = ctx.saved_tensors
        layout = torch.channels_last if o.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        g, precise_o = gradient.to(mean.dtype).contiguous(memory_format=layout), o.to(mean.dtype)
        to_beta = g.sum((2, 3), keepdim=True)
        to_gamma = per_std * ((g * precise_o).sum((2, 3), keepdim=True) - mean * to_beta)
        # gamma / std (g - E g - z E g z) for the normalized z, as one line in g and o
        slope, share = gamma * per_std, 1 / (o.shape[2] * o.shape[3])
        on_o = -slope * per_std * to_gamma * share
        rest = -slope * to_beta * share - mean * on_o
        to_o = torch.addcmul(torch.addcmul(rest, slope, g), on_o, precise_o)
        return to_o.to(o.dtype), to_gamma.to(gamma.dtype), to_beta.to(gamma.dtype)


class AdaIN(nn.Module):
    """Adaptive instance normalization: each channel of o gets the mean and scale that the style asks for.

    AdaIN(o, s) = (1 + gamma(s)) * (o - mean(o)) / std(o) + beta(s)   (Karras et al. 2018)
    """

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.affine = nn.Linear(style, 2 * channels)

    def forward(self, o: Tensor, style: Tensor) -> Tensor:
        gamma, beta = self.affine(style)[:, :, None, None].chunk(2, dim=1)  # (B, C, 1, 1) each
        styled: Tensor = _StyledNormalization.apply(o, 1 + gamma, beta)
        return styled


class FusionBlock(nn.Module):
    """Fuses background features b, the previous block's features h and the style (figure 1b).

        logits, o = conv(conv(h));   w = sigmoid(logits)
        out = w * AdaIN(w * o, style) + (1 - w) * b

    Args:
        incoming: channels of h.
        channels: channels C of b and of the output.
        style: length of the style.
        outer_weight: apply w after AdaIN too; the paper's figure applies it before AdaIN only (False).
        adain: False leaves the style to the generator's start: plain instance normalization (an ablation).
        weight_map: False adds object features to the background's, out = AdaIN(o) + b, and w is 0 (an ablation).
        decided: start with weight maps that are nearly decided, and mostly for the background (beyond the paper).
        spatial_noise: add one noise map per block with a learned strength (beyond the paper).
    """

    def __init__(
        self,
        incoming: int,
        channels: int,
        style: int,
        *,
        outer_weight: bool,
        spatial_noise: bool,
        adain: bool = True,
        weight_map: bool = True,
        decided: bool = True,
    ) -> None:
        super().__init__()
        self.weight_map = weight_map
        drawn = 2 * channels if weight_map else channels
        split = nn.BatchNorm2d(drawn)
        if weight_map and decided:
            nn.init.constant_(split.weight[:channels], 3.0)
            nn.init.constant_(split.bias[:channels], -2.0)
        self.encode = nn.Sequential(
            nn.Conv2d(incoming, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(channels, drawn, 3, padding=1, bias=False),
            split,
        )
        self.adain = AdaIN(channels, style) if adain else nn.InstanceNorm2d(channels, affine=True)
        self.outer_weight = outer_weight
        self.noise_strength = nn.Parameter(0.3 * torch.randn(1, channels, 1, 1)) if spatial_noise else None

    def forward(self, h: Tensor, b: Tensor, style: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """h (B, I, H, W), b (B, C, H, W), style (B, S), noise (B, 1, H, W) -> out (B, C, H, W), w (B, C, H, W)."""
        if self.weight_map:
            logits, o = self.encode(h).chunk(2, dim=1)  # (B, C, H, W) each
            w = torch.sigmoid(logits.clone())  # of half of the channels, uncopied, it takes six times as long
        else:
            o = self.encode(h)
            w = torch.ones_like(o)
        if self.noise_strength is not None and noise is not None:
            o = torch.addcmul(o, self.noise_strength.to(o.dtype), noise.to(o.dtype))
        styled = (self.adain(w * o, style) if isinstance(self.adain, AdaIN) else self.adain(w * o)).to(b.dtype)
        if not self.weight_map:
            return styled + b, torch.zeros_like(o)
        if self.outer_weight:
            return torch.lerp(b, styled, w), w  # w * styled + (1 - w) * b
        return styled + (1 - w) * b, w


class BackgroundEncoder(nn.Module):
    """Convolutional encoder of the background; returns its features at every resolution, finest first."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        stages = [nn.Sequential(nn.Conv2d(1, channels[0], 3, padding=1), nn.LeakyReLU(0.2, inplace=True))]
        for fine, coarse in pairwise(channels):
            stages.append(
                nn.Sequential(
                    nn.Conv2d(fine, coarse, 4, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(coarse),
                    nn.LeakyReLU(0.2, inplace=True),
                )
            )
        self.stages = nn.ModuleList(stages)

    def forward(self, background: Tensor) -> list[Tensor]:
        features = [self.stages[0](background)]
        for stage in self.stages[1:]:
            features.append(stage(features[-1]))
        return features


class FusionGenerator(nn.Module):
    """Background (B, 1, P, P) and style (B, S) -> image, mask and weight map (figure 1a).

    Args:
        pixels: P, a multiple of 16, at least 32.
        style: length of the style, the gene code and the noise n together.
        width: channels at full resolution.
        outer_weight, spatial_noise, adain, weight_map, decided_weight_map: see FusionBlock.
        upsampling: of the features between two blocks.
        central_mask: start from a mask that covers the middle of the image, by a learned bias of the mask's logits
            (beyond the paper). Every volume is centered on its tumor, so the middle is where lesions are.
        mask_output: False gives the image only (an ablation).
    """

    def __init__(
        self,
        *,
        pixels: int,
        style: int,
        width: int = 16,
        outer_weight: bool = True,
        spatial_noise: bool = True,
        upsampling: Literal["bilinear", "nearest"] = "bilinear",
        central_mask: bool = True,
        adain: bool = True,
        weight_map: bool = True,
        decided_weight_map: bool = True,
        mask_output: bool = True,
    ) -> None:
        super().__init__()
        if pixels % 16 or pixels < 32:
            raise ValueError(f"pixels must be a multiple of 16 and at least 32, not {pixels}")
        channels = [width * factor for factor in CHANNEL_FACTORS]
        self.base, self.upsampling = pixels // 16, upsampling
        self.start = nn.Linear(style, channels[-1] * self.base**2)
        self.background = BackgroundEncoder(channels)
        coarse_to_fine = channels[::-1]
        self.blocks = nn.ModuleList(
            FusionBlock(
                incoming,
                c,
                style,
                outer_weight=outer_weight,
                spatial_noise=spatial_noise,
                adain=adain,
                weight_map=weight_map,
                decided=decided_weight_map,
            )
            for incoming, c in zip([coarse_to_fine[0], *coarse_to_fine[:-1]], coarse_to_fine, strict=True)
        )
        self.head = nn.Conv2d(width, 2 if mask_output else 1, 3, padding=1)
        self.mask_bias = nn.Parameter(central_logits(pixels)) if central_mask and mask_output else None

    def forward(self, background: Tensor, style: Tensor, noise: Sequence[Tensor] | None = None) -> Drawing:
        """`noise`: one (B, 1, H, W) map per block, coarse to fine; None or empty for none."""
        features = self.background(background)[::-1]  # coarse to fine
        h = self.start(style).view(style.shape[0], -1, self.base, self.base)
        w = h
        for level, (block, b) in enumerate(zip(self.blocks, features, strict=True)):
            if level:
                h = F.interpolate(h, scale_factor=2, mode=self.upsampling)
            h, w = block(h, b, style, noise[level] if noise else None)
        with torch.autocast(h.device.type, enabled=False):  # the 8 bits of bfloat16 would band the image
            image, *masks = self.head(h.float()).split(1, dim=1)
        weight = w.permute(0, 2, 3, 1).float().mean(3)[:, None]  # so permuted, its gradient has channels last too
        if not masks:
            return Drawing(torch.tanh(image), torch.zeros_like(image), weight)
        (mask,) = masks
        if self.mask_bias is not None:
            mask = leaning(mask, self.mask_bias)
        return Drawing(torch.tanh(image), torch.sigmoid(mask), weight)

    @property
    def sides(self) -> list[int]:
        """The side of each block's map, coarse to fine."""
        return [self.base * 2**level for level in range(len(self.blocks))]


def leaning(logits: Tensor, bias: Tensor) -> Tensor:
    """The mask's logits about their bias, and no further from it than MASK_REACH."""
    return MASK_REACH * torch.tanh(logits / MASK_REACH) + bias


def central_logits(pixels: int, *, peak: float = 2.0, floor: float = -8.0, width: float = 0.2) -> Tensor:
    """Logits (1, 1, P, P) that are `peak` in the middle and fall to `floor` as a Gaussian of `width` times the side."""
    line = (torch.arange(pixels) - (pixels - 1) / 2) / (width * pixels)
    bump = torch.exp(-(line[:, None].square() + line[None, :].square()) / 2)
    return (floor + (peak - floor) * bump)[None, None]
