"""The two halves of the autoencoder H of Li, Sui et al. (section III.C, figure 3): regions to genes, genes to a region.

The paper pads the gene vector to the size of the encoder's output, which is therefore a map: `head="grid"` reads the
genes off a map of `ltr_pixels / 8` a side with as many channels as the genes need, so that 60,607 genes cost no large
matrix. `head="dense"` (beyond the paper) pools the map to a code that the whole tumor shares, and needs no padding.
`head="components"` (beyond the paper) reads the scores of a few principal components of the training patients' genes
off that pool: some dozen patients cannot teach thousands of genes one by one which of them an image shows.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Head = Literal["grid", "dense", "components"]
DOWN = 8  # the loose region is halved three times


def grid_channels(genes: int, ltr_pixels: int) -> int:
    """Channels of a map of `ltr_pixels / 8` a side that has room for all genes."""
    return -(-genes // (ltr_pixels // DOWN) ** 2)


def convolution(incoming: int, outgoing: int) -> nn.Sequential:
    """3 x 3 convolution, batch normalization, LeakyReLU(0.2)."""
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
        components: number of principal components that the components head knows.
        dropout: share of the code, or of what the components are read off, set to zero while training.
    """

    def __init__(
        self,
        genes: int,
        *,
        ltr_pixels: int,
        widths: tuple[int, int, int],
        head: Head,
        code: int,
        components: int,
        dropout: float,
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
        elif head == "components":
            scores = nn.Linear(4 * third, components)
            nn.init.normal_(scores.weight, std=1e-2)  # training starts close to the mean of the training patients
            nn.init.zeros_(scores.bias)
            self.head = nn.Sequential(
                MeanAndDeviation(),
                nn.BatchNorm1d(4 * third),
                nn.Dropout(dropout),
                scores,
                Components(components, genes),
            )
        else:
            last = nn.Linear(code, genes, bias=False)
            nn.init.normal_(last.weight, std=1e-3)  # else training starts with an MSE a fifth above the mean's
            self.head = nn.Sequential(
                MeanAndDeviation(), nn.Linear(4 * third, code), nn.LayerNorm(code), nn.LeakyReLU(0.2),
                nn.Dropout(dropout), last,
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


class Components(nn.Module):
    """Scores (B, K) -> genes' logits (B, G) along principal components, which are fitted and then held still."""

    def __init__(self, components: int, genes: int) -> None:
        super().__init__()
        self.register_buffer("axes", torch.zeros(components, genes))
        self.axes: Tensor

    def fit(self, genes: Tensor) -> None:
        """Take the components of genes (N, G) in [0, 1]; a score of 1 is one standard deviation over the N patients.

        An axis dy of genes y becomes one of logits to first order, dy / (y (1 - y)), at their mean. Where there are
        fewer patients than components the rest is nothing.
        """
        mean = genes.mean(0)
        _, size, axes = torch.linalg.svd(genes.double() - mean, full_matrices=False)
        axes = axes * (size / len(genes) ** 0.5)[:, None]
        largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
        axes = axes * torch.where(largest < 0, -1.0, 1.0)  # of the two signs always the same
        kept = min(len(self.axes), len(genes) - 1)
        self.axes.zero_()
        self.axes[:kept] = (axes[:kept] / (mean * (1 - mean)).clamp_min(1e-2)).to(self.axes.dtype)

    def forward(self, scores: Tensor) -> Tensor:
        return scores @ self.axes


class MeanAndDeviation(nn.Module):
    """(B, C, H, W) -> (B, 2 C): mean and standard deviation of every channel over the map."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        mean = x.mean((2, 3))
        return torch.cat([mean, ((x - mean[:, :, None, None]).square().mean((2, 3)) + 1e-6).sqrt()], dim=1)


class RegionDecoder(nn.Module):
    """t: genes (B, length), centered -> LTR (B, 1, L, L) in [0, 1].

    Args:
        genes: number of genes.
        ltr_pixels, widths, head: as of the encoder.
        hidden: units between genes and map, of all heads but the grid.
    """

    def __init__(self, genes: int, *, ltr_pixels: int, widths: tuple[int, int, int], head: Head, hidden: int) -> None:
        super().__init__()
        first, second, third = widths
        side, channels = ltr_pixels // DOWN, grid_channels(genes, ltr_pixels)
        incoming = channels if head == "grid" else third
        start: list[nn.Module] = []
        if head != "grid":
            start = [nn.Linear(genes, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, third * side**2)]
        self.start = nn.Sequential(*start, nn.Unflatten(1, (incoming, side, side)), convolution(incoming, third))
        self.up = nn.ModuleList([convolution(third, second), convolution(second, first), convolution(first, first)])
        self.last = nn.Conv2d(first, 1, 3, padding=1)

    def forward(self, genes: Tensor) -> Tensor:
        x = self.start(genes)
        for block in self.up:
            x = block(F.interpolate(x, scale_factor=2, mode="bilinear"))
        return torch.sigmoid(self.last(x).float())
