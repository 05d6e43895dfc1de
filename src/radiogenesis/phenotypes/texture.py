"""Texture inside a lesion, without the edge's fall, without vessels, without the scan's noise."""

from __future__ import annotations

import torch
from torch import Tensor

from radiogenesis.phenotypes.morphology import blur_within, count, mean, quantile

LAG_MM = 0.94
FEWEST_PIXELS = 10


def neighbor_covariance(x: Tensor, mask: Tensor, lag: int) -> Tensor:
    """(B,) mean product of pixels `lag` apart along rows and columns, both in the mask; x has mean 0.

    Neighbors share texture, which is millimeters wide, and little of the noise.
    """
    w = mask.float()
    x = torch.where(mask, x, 0.0)
    products = (x[:, lag:] * x[:, :-lag]).flatten(1).sum(1) + (x[:, :, lag:] * x[:, :, :-lag]).flatten(1).sum(1)
    pairs = (w[:, lag:] * w[:, :-lag]).flatten(1).sum(1) + (w[:, :, lag:] * w[:, :, :-lag]).flatten(1).sum(1)
    return products / pairs


def heterogeneity(hu: Tensor, edge: Tensor, interior: Tensor, depth: Tensor, pixel_mm: float) -> Tensor:
    """(B,) HU: square root of the texture's covariance inside, less that of the noise in the lung around.

    Args:
        hu: (B, P, P).
        edge: (B, P, P) HU, the fitted fall of the edge, taken away first.
        interior: (B, P, P) bool, lesion without rim and cavity.
        depth: (B, P, P) signed distance to the outline in mm.
    """
    lag = max(1, round(LAG_MM / pixel_mm))
    rest = hu - edge
    kept = _without_vessels(rest, interior)
    texture = neighbor_covariance(rest - mean(rest, kept)[:, None, None], kept, lag)
    deviation = (texture - _lung_noise(hu, depth, lag, pixel_mm)).clamp_min(0.0).sqrt()
    return torch.where(count(kept) >= FEWEST_PIXELS, deviation, torch.nan)


def _without_vessels(rest: Tensor, interior: Tensor) -> Tensor:
    """The interior without what is bright beyond two standard deviations (of the dark half, which has no vessels)."""
    kept = interior
    for _ in range(2):
        middle = quantile(rest, kept, 0.5)
        spread = middle - quantile(rest, kept, 0.16)
        kept = interior & (rest <= (middle + 2 * spread)[:, None, None])
    return kept


def _lung_noise(hu: Tensor, depth: Tensor, lag: int, pixel_mm: float) -> Tensor:
    """Covariance of neighbors in the lung around the lesion, vessels left out; 0 where there is no such lung."""
    far = depth > 3.5
    level = quantile(hu, far & (depth < 7.9), 0.4)[:, None, None]
    smooth = blur_within(hu, far, 1.4 / pixel_mm)
    clean = far & ((smooth - level).abs() < 60) & ((hu - smooth).abs() < 200)
    rest = torch.where(clean, hu - blur_within(hu, clean, 2.3 / pixel_mm), 0.0)
    return neighbor_covariance(rest, clean, lag).nan_to_num(0.0).clamp_min(0.0)
