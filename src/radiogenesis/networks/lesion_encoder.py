"""The lesion encoder: what a lesion looks like, pooled where the lesion is (METHODS.md section 1b).

Strided, flattened encoders are blind to spiculation and texture; full-resolution convolutions pooled to mean and
standard deviation inside the lesion and in its rim are not.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def masked_statistics(features: Tensor, regions: Tensor) -> Tensor:
    """Mean and standard deviation over each region.

    Both come from two matrix products, E f and E f^2: an order of magnitude less memory traffic than masking.

    Args:
        features: (B, C, H, W).
        regions: (B, R, H, W) weights, not negative; an empty region gives mean and deviation near zero.

    Returns:
        (B, 2RC) float32: the means of every region, then the deviations.
    """
    with torch.autocast(features.device.type, enabled=False):  # the difference of two moments needs 24 bits
        f = features.permute(0, 2, 3, 1).flatten(1, 2).float()  # (B, HW, C)
        w = regions.flatten(2).float()  # (B, R, HW)
        w = w / (w.sum(2, keepdim=True) + 1e-3)
        mean = w @ f  # (B, R, C)
        variance = (w @ f.square() - mean.square()).clamp_min(0)
    return torch.cat([mean.flatten(1), (variance + 1e-4).sqrt().flatten(1)], dim=1)


def rim(mask: Tensor, reach: int = 3) -> Tensor:
    """The band around the edge: dilated minus eroded mask, `reach` pixels to either side. (B, 1, P, P)."""
    return dilate(mask, 2 * reach + 1) + dilate(1 - mask, 2 * reach + 1) - 1


def core(mask: Tensor, reach: int = 3) -> Tensor:
    """The lesion without its rim, eroded by `reach` pixels: texture apart from the edge. (B, 1, P, P)."""
    return 1 - dilate(1 - mask, 2 * reach + 1)


def dilate(mask: Tensor, pixels: int) -> Tensor:
    """Grey dilation by a square of `pixels` (odd), along one axis after the other."""
    reach = pixels // 2
    rows = F.max_pool2d(mask, (pixels, 1), 1, (reach, 0))
    return F.max_pool2d(rows, (1, pixels), 1, (0, reach))


def texture_maps(x: Tensor) -> Tensor:
    """Local contrast and gradient of an image, each at two saturation levels: (B, 1, H, W) -> (B, 4, H, W).

    v / (v + t) with t of 22 and 75 HU: what is far above t counts once, however strong, so that a vessel through ground
    glass or the wall of a cavity does not outweigh the texture of the tissue.
    """
    smooth = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    contrast = (x - smooth).abs()
    dy, dx = F.pad(x.diff(dim=2), (0, 0, 0, 1)), F.pad(x.diff(dim=3), (0, 1, 0, 0))
    gradient = (dy.square() + dx.square() + 1e-8).sqrt()
    strengths = torch.cat([contrast, gradient], dim=1)
    return torch.cat([strengths / (strengths + 0.03), strengths / (strengths + 0.1)], dim=1)


def mask_shape(mask: Tensor) -> Tensor:
    """Square root of the area, perimeter, and perimeter over that of the circle of equal area: (B, 3) float32.

    The perimeter is the total variation of the (soft) mask; lengths are in units of the image's side.
    """
    mask = mask.float()
    side = mask.shape[-1]
    root_area = (mask.mean((1, 2, 3)) + 1e-6).sqrt()
    dy = F.pad(mask.diff(dim=2), (0, 0, 0, 1))
    dx = F.pad(mask.diff(dim=3), (0, 1, 0, 0))
    perimeter = (dy.square() + dx.square() + 1e-8).sqrt().sum((1, 2, 3)) / side
    return torch.stack([root_area * 4, perimeter, perimeter / (3.545 * root_area)], dim=1)  # 3.545 = 2 sqrt(pi)


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
        self.standardise = nn.BatchNorm1d(statistics)
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
        regions = torch.cat([m, rim(m), core(m)], dim=1)
        h = torch.cat([x, m], dim=1)
        pooled = []
        for level, stage in enumerate(self.stages):
            if level:
                h, x, regions = (F.avg_pool2d(t, 2) for t in (h, x, regions))
            h = stage(h)
            pooled += [mask_shape(regions[:, :1])]
            pooled += [masked_statistics(f, regions) for f in (x, texture_maps(x.float()), h)]
        return torch.cat(pooled, dim=1)

    def standardised(self, x: Tensor, m: Tensor) -> Tensor:
        """The statistics, each of mean 0 and deviation 1 over the training slices once trained, (B, S) float32."""
        standardised: Tensor = self.standardise(self.statistics(x, m)).float()
        return standardised

    def grouped(self, standardised: Tensor) -> list[Tensor]:
        """Standardised statistics (B, S) by kind, in the order of GROUPS: shape, level, texture, learned features."""
        return [standardised.index_select(1, self.get_buffer(f"{name}_index")) for name in GROUPS]

    def embed(self, standardised: Tensor) -> Tensor:
        """Standardised statistics (B, S) -> unit vectors (B, D)."""
        return F.normalize(self.project(standardised).float(), dim=1)

    def forward(self, x: Tensor, m: Tensor) -> Tensor:
        return self.embed(self.standardised(x, m))
