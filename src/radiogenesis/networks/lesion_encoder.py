"""The lesion encoder: what a lesion looks like, pooled where the lesion is (METHODS.md section 1b).

Strided, flattened encoders are blind to spiculation and texture; full-resolution convolutions pooled to mean and
standard deviation inside the lesion and in its rim are not.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from radiogenesis.networks.lesion_statistics import lesion_regions, mask_shape, masked_statistics, texture_maps

GROUPS = ("shape", "level", "texture", "features")


class LesionEncoder(nn.Module):
    """Image (B, 1, P, P) in [-1, 1] and soft mask (B, 1, P, P) -> unit vector (B, D).

    Args:
        widths: channels at 1/1, 1/2, 1/4, 1/8 of the resolution.
        embedding: D.
        dropout: share of the pooled statistics set to zero while training.
    """

    def __init__(self, *, widths: Sequence[int] = (16, 32, 64, 64), embedding: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        stages, incoming = [], 2
        for channels in widths:
            stages.append(
                nn.Sequential(
                    nn.Conv2d(incoming, channels, 3, padding=1, bias=False),
                    nn.BatchNorm2d(channels),
                    nn.LeakyReLU(0.2, inplace=True),
                    nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                    nn.BatchNorm2d(channels),
                    nn.LeakyReLU(0.2, inplace=True),
                )
            )
            incoming = channels
        self.stages = nn.ModuleList(stages)
        sizes = [count for channels in widths for count in (3, 6, 24, 6 * channels)]
        statistics = sum(sizes)
        kind = [name for name, count in zip(GROUPS * len(widths), sizes, strict=True) for _ in range(count)]
        for name in GROUPS:
            index = torch.tensor([i for i, k in enumerate(kind) if k == name])
            self.register_buffer(f"{name}_index", index, persistent=False)
        self.standardize = nn.BatchNorm1d(statistics)
        self.project = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(statistics, 2 * embedding),
            nn.GELU(),
            nn.Linear(2 * embedding, embedding),
        )

    def statistics(self, x: Tensor, m: Tensor) -> Tensor:
        """The pooled statistics that the embedding is made of, (B, S) float32.

        At every scale: the mask's shape, and mean and deviation of the image, of its texture maps and of the stage's
        features, over lesion, rim and core. Coarser scales are freer of the scanner's noise.
        """
        regions = lesion_regions(m)
        h = torch.cat([x, m], dim=1)
        pooled = []
        for level, stage in enumerate(self.stages):
            if level:
                h, x, regions = (F.avg_pool2d(t, 2) for t in (h, x, regions))
            h = stage(h)
            pooled += [mask_shape(regions[:, :1])]
            pooled += [masked_statistics(f, regions) for f in (x, texture_maps(x.float()), h)]
        return torch.cat(pooled, dim=1)

    def standardized(self, x: Tensor, m: Tensor) -> Tensor:
        """The statistics, each of mean 0 and deviation 1 over the training slices once trained, (B, S) float32."""
        standardized: Tensor = self.standardize(self.statistics(x, m)).float()
        return standardized

    def grouped(self, standardized: Tensor) -> list[Tensor]:
        """Standardized statistics (B, S) by kind, in the order of GROUPS: shape, level, texture, learned features."""
        return [standardized.index_select(1, self.get_buffer(f"{name}_index")) for name in GROUPS]

    def embed(self, standardized: Tensor) -> Tensor:
        """Standardized statistics (B, S) -> unit vectors (B, D)."""
        return F.normalize(self.project(standardized).float(), dim=1)

    def forward(self, x: Tensor, m: Tensor) -> Tensor:
        return self.embed(self.standardized(x, m))
