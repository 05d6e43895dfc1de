"""The discriminator with three heads (Park et al. 2018; Xu et al. 2020, figure 1c)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

Norm = Literal["batch", "spectral"]


def block(incoming: int, outgoing: int, kernel: int, stride: int, norm: Norm | None) -> nn.Sequential:
    """Convolution, normalization, LeakyReLU(0.2). Spectral normalization bounds the convolution, not its output."""
    convolution: nn.Module = nn.Conv2d(incoming, outgoing, kernel, stride, padding=1, bias=norm != "batch")
    if norm == "spectral":
        # Two iterations per pass: what is judged passes together, so passes are few (1 left the norm 3 % too low).
        convolution = spectral_norm(convolution, n_power_iterations=2)
    normalize = [nn.BatchNorm2d(outgoing)] if norm == "batch" else []
    return nn.Sequential(convolution, *normalize, nn.LeakyReLU(0.2, inplace=True))


def in_full(head: nn.Module, features: Tensor) -> Tensor:
    """The head's answer in float32, under autocast too: the 8 bits of bfloat16 would round it before it is squared."""
    with torch.autocast(features.device.type, enabled=False):
        answer: Tensor = head(features.float())
    return answer


class PatchEncoder(nn.Module):
    """Stride-2 convolutions from (B, channels, P, P) to (B, C, side, side), C at most `growth` times `width`."""

    def __init__(
        self, incoming: int, *, pixels: int, width: int, norm: Norm = "batch", growth: int = 4, side: int = 4
    ) -> None:
        super().__init__()
        if pixels < 16 or pixels & (pixels - 1):
            raise ValueError(f"pixels must be a power of two of at least 16, not {pixels}")
        layers: list[nn.Module] = []
        channels, now = incoming, pixels
        while now > side:
            outgoing = min(width * 2 ** len(layers), width * growth)
            # As in DCGAN, no batch normalization of the first layer: the image's own level must be seen.
            layers.append(block(channels, outgoing, 4, 2, norm if layers or norm == "spectral" else None))
            channels, now = outgoing, now // 2
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
        norm: "batch" (the papers), or "spectral" (Miyato et al. 2018), which keeps a discriminator that sees few
            patients from being so sure of itself that the generator learns nothing from it (beyond the papers).
        growth: the most channels, in units of `width` (8 in Park et al. 2018).
        side: side of the grid that the heads see, a power of two (a sixteenth of the pixels in Park et al. 2018).
    """

    def __init__(
        self, *, pixels: int, code: int, width: int = 32, norm: Norm = "batch", growth: int = 4, side: int = 4
    ) -> None:
        super().__init__()
        self.batch_statistics = norm == "batch"
        self.image_encoder = PatchEncoder(1, pixels=pixels, width=width, norm=norm, growth=growth, side=side)
        self.pair_encoder = PatchEncoder(2, pixels=pixels, width=width, norm=norm, growth=growth, side=side)
        channels = self.pair_encoder.channels
        self.head_i = nn.Conv2d(channels, 1, side)
        self.head_is = nn.Conv2d(channels, 1, side)
        self.joint = block(channels + code, channels, 3, 1, norm)
        self.head_isg = nn.Conv2d(channels, 1, side)

    def each(self, judge: Callable[..., Tensor], *inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """`judge` of several batches of one size, in one pass: each[k] = judge(inputs[0][k], inputs[1][k], ...).

        Batch normalization gives every batch statistics of its own, so there they pass one after the other.
        """
        if self.batch_statistics:
            return [judge(*batch) for batch in zip(*inputs, strict=True)]
        return judge(*(torch.cat(list(batches)) for batches in inputs)).chunk(len(inputs[0]))

    def d_i(self, x: Tensor) -> Tensor:
        """D_I(x): (B, 1, P, P) -> (B,)."""
        return in_full(self.head_i, self.image_encoder(x)).flatten()

    def pair(self, x: Tensor, m: Tensor) -> Tensor:
        """Features of image and mask, (B, C, side, side): what D_IS and D_ISG share."""
        features: Tensor = self.pair_encoder(torch.cat([x, m], dim=1))
        return features

    def d_is(self, pair: Tensor) -> Tensor:
        """D_IS from the pair's features: (B, C, side, side) -> (B,)."""
        return in_full(self.head_is, pair).flatten()

    def d_isg(self, pair: Tensor, phi: Tensor) -> Tensor:
        """D_ISG from the pair's features and the gene code spread over the grid: (B, C, side, side), (B, K) -> (B,)."""
        spread = phi.to(pair.dtype)[:, :, None, None].expand(-1, -1, *pair.shape[2:])
        return in_full(self.head_isg, self.joint(torch.cat([pair, spread], dim=1))).flatten()
