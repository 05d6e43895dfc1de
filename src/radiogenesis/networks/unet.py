"""The U-Net that finds tumors in whole CT slices (Li, Sui et al. 2021, figure 2; METHODS.md section 3, stage 1)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class UNet(nn.Module):
    """Five encoder blocks and five decoder blocks, as many as there are widths.

    An encoder block is two 3x3 convolutions, a batch normalization and 2x2 max pooling; a decoder block is upsampling,
    the merge with the encoder's features of that resolution, dropout and two 3x3 convolutions. Convolutions are
    followed by ReLU (open in the paper).

    Args:
        widths: channels of each block at full, half, quarter ... resolution.
        dropout: share of the merged channels set to zero while training.
        decoder_norm: batch normalization in the decoder's blocks as well (beyond the paper).
        he_start: convolutions start with the spread that keeps a signal's size through ReLU (He et al. 2015): with
            torch's own start each leaves a sixth of the variance, and through five decoder blocks nothing arrives of
            what the deep blocks see.
    """

    def __init__(
        self, *, widths: Sequence[int], dropout: float, decoder_norm: bool = False, he_start: bool = True
    ) -> None:
        super().__init__()
        self.factor = 2 ** len(widths)
        self.encoder = nn.ModuleList(
            nn.Sequential(*_two_convolutions(before, width), nn.BatchNorm2d(width))
            for before, width in pairwise([1, *widths])
        )
        upwards = [widths[-1], *reversed(widths)]
        self.decoder = nn.ModuleList(
            nn.Sequential(
                nn.Dropout2d(dropout),
                *_two_convolutions(below + width, width),
                *([nn.BatchNorm2d(width)] if decoder_norm else []),
            )
            for below, width in pairwise(upwards)
        )
        self.to_logit = nn.Conv2d(widths[0], 1, 1)
        if not he_start:
            return
        for layer in [*self.encoder.modules(), *self.decoder.modules()]:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        """Images (B, 1, H, W) in [-1, 1] -> logits (B, 1, H, W). H and W are multiples of 2 ** len(widths).

        Raises:
            ValueError: another shape.
        """
        if image.ndim != 4 or image.shape[1] != 1 or any(side % self.factor for side in image.shape[2:]):
            raise ValueError(f"images {tuple(image.shape)} must be (B, 1, H, W), sides multiples of {self.factor}")
        h, kept = image, []
        for block in self.encoder:
            kept.append(block(h))  # (B, C, H / 2^i, W / 2^i)
            h = F.max_pool2d(kept[-1], 2)
        for block, skip in zip(self.decoder, reversed(kept), strict=True):
            h = block(torch.cat([F.interpolate(h, scale_factor=2.0, mode="nearest"), skip], dim=1))
        logits: Tensor = self.to_logit(h)
        return logits


def _two_convolutions(before: int, width: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(before, width, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(inplace=True),
    )
