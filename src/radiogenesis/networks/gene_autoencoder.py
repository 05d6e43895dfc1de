"""The two halves of the autoencoder H of Li, Sui et al. (section 3.2, figure 3): regions to genes, genes to a region.

The paper pads the gene vector to the size of the encoder's output, which is therefore a map: `head="grid"` reads the
genes off a map of `ltr_pixels / 8` a side with as many channels as the genes need, so that 60,607 genes cost no large
matrix. `head="dense"` (beyond the paper) pools the map to a code that the whole tumour shares, and needs no padding.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Head = Literal["grid", "dense"]
DOWN = 8  # the loose region is halved three times


def grid_channels(genes: int, ltr_pixels: int) -> int:
    """Channels of a map of `ltr_pixels / 8` a side that has room for all genes."""
    return -(-genes // (ltr_pixels // DOWN) ** 2)


def convolution(incoming: int, outgoing: int) -> nn.Sequential:
    """3 x 3 convolution, batch normalisation, LeakyReLU(0.2)."""
    return nn.Sequential(
        nn.Conv2d(incoming, outgoing, 3, padding=1, bias=False), nn.BatchNorm2d(outgoing), nn.LeakyReLU(0.2)
    )


class RegionEncoder(nn.Module):
    """h: TTR (B, 1, L / 2, L / 2) and LTR (B, 1, L, L) in [0, 1] -> genes (B, length) as logits.

    Args:
        genes: number of genes.
        ltr_pixels: L, a multiple of 16.
        widths: channels of the three blocks of each region's branch; 2 x (32 + 64) are the paper's 192 features.
        head: see above.
        code: length of the dense head's code.
        dropout: share of the code set to zero while training.
    """

    def __init__(
        self, genes: int, *, ltr_pixels: int, widths: tuple[int, int, int], head: Head, code: int, dropout: float
    ) -> None:
        super().__init__()
        first, second, third = widths
        self.loose, self.tight = (
            nn.ModuleList([convolution(1, first), convolution(first, second), convolution(second, third)])
            for _ in range(2)
        )
        self.merge = convolution(2 * third, 2 * third)
        channels = grid_channels(genes, ltr_pixels)
        self.length = channels * (ltr_pixels // DOWN) ** 2 if head == "grid" else genes
        self.head: nn.Module
        if head == "grid":
            self.head = nn.Sequential(nn.Conv2d(2 * third, channels, 1, bias=False), nn.Flatten())
        else:
            self.head = nn.Sequential(
                MeanAndDeviation(), nn.Linear(4 * third, code), nn.LayerNorm(code), nn.LeakyReLU(0.2),
                nn.Dropout(dropout), nn.Linear(code, genes, bias=False),
            )  # fmt: skip
        self.bias = nn.Parameter(torch.zeros(self.length))
        """The genes' logits before anything is seen."""

    def forward(self, ttr: Tensor, ltr: Tensor) -> Tensor:
        (_, _, loose), (_, _, tight) = self.blocks(ttr, ltr)
        merged = self.merge(torch.cat([F.max_pool2d(loose, 2), tight], dim=1))  # (B, 2 C, L / 8, L / 8)
        logits: Tensor = self.head(merged).float() + self.bias
        return logits

    def blocks(self, ttr: Tensor, ltr: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The outputs of the three blocks of the loose and of the tight branch, each pooled before the next."""
        found = []
        for blocks, x in ((self.loose, ltr), (self.tight, ttr)):
            outputs: list[Tensor] = []
            for block in blocks:
                outputs.append(block(F.max_pool2d(outputs[-1], 2) if outputs else x))
            found.append(outputs)
        return found[0], found[1]

    def features(self, ttr: Tensor, ltr: Tensor) -> Tensor:
        """The features of figure 6: every channel of the first two blocks of both branches, averaged over its map.

        (B, 2 x (widths[0] + widths[1])): loose 1, loose 2, tight 1, tight 2.
        """
        loose, tight = self.blocks(ttr, ltr)
        return torch.cat([out.mean((2, 3)) for branch in (loose, tight) for out in branch[:2]], dim=1)


class MeanAndDeviation(nn.Module):
    """(B, C, H, W) -> (B, 2 C): mean and standard deviation of every channel over the map."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        mean = x.mean((2, 3))
        return torch.cat([mean, ((x - mean[:, :, None, None]).square().mean((2, 3)) + 1e-6).sqrt()], dim=1)


class RegionDecoder(nn.Module):
    """t: genes (B, length), centred -> LTR (B, 1, L, L) in [0, 1].

    Args:
        genes: number of genes.
        ltr_pixels, widths, head: as of the encoder.
        hidden: units between genes and map, of the dense head only.
    """

    def __init__(self, genes: int, *, ltr_pixels: int, widths: tuple[int, int, int], head: Head, hidden: int) -> None:
        super().__init__()
        first, second, third = widths
        side, channels = ltr_pixels // DOWN, grid_channels(genes, ltr_pixels)
        incoming = channels if head == "grid" else third
        start: list[nn.Module] = []
        if head == "dense":
            start = [nn.Linear(genes, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, third * side**2)]
        self.start = nn.Sequential(*start, nn.Unflatten(1, (incoming, side, side)), convolution(incoming, third))
        self.up = nn.ModuleList([convolution(third, second), convolution(second, first), convolution(first, first)])
        self.last = nn.Conv2d(first, 1, 3, padding=1)

    def forward(self, genes: Tensor) -> Tensor:
        x = self.start(genes)
        for block in self.up:
            x = block(F.interpolate(x, scale_factor=2, mode="bilinear"))
        return torch.sigmoid(self.last(x).float())
