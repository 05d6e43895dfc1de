"""Gene mapping: expression -> gene code phi(g) (Xu et al. 2020, section 2.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GeneMapping(nn.Module):
    """Two fully connected layers, g (B, genes) -> phi(g) (B, code).

    Args:
        genes: number of genes.
        hidden: width of the first layer (512 in METHODS.md).
        code: width of the code (128 in the paper, figure 4).
        dropout: share of genes set to zero while training (an improvement beyond the paper; 0 is the paper).
    """

    def __init__(self, genes: int, *, hidden: int = 512, code: int = 128, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(genes, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, code)
        )

    def forward(self, g: Tensor) -> Tensor:
        phi: Tensor = self.layers(g)
        return phi


class GeneEncoder(nn.Module):
    """Genes -> unit vector beside the lesions' (METHODS.md section 1b): dropout, hidden, embedding; (B, D).

    The hidden layer is normalized over its units so that no single patient's outlying library size decides.
    """

    def __init__(self, genes: int, *, hidden: int = 512, embedding: int = 64, dropout: float = 0.5) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(genes, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Dropout(dropout / 2),
            nn.Linear(hidden, embedding),
        )  # fmt: skip

    def forward(self, g: Tensor) -> Tensor:
        return torch.nn.functional.normalize(self.layers(g), dim=1)
