"""Binary morphology for many masks at once, in torch: what the lesion measures are built from.

Masks are (B, H, W) bool. Lengths are in pixels; callers convert from mm.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def _spread(mask: Tensor, *, diagonal: bool) -> Tensor:
    """Dilation by one pixel: with the 4 neighbors, or with all 8."""
    rows = mask.clone()
    rows[:, 1:] |= mask[:, :-1]
    rows[:, :-1] |= mask[:, 1:]
    base = rows if diagonal else mask
    out = rows.clone()
    out[:, :, 1:] |= base[:, :, :-1]
    out[:, :, :-1] |= base[:, :, 1:]
    return out


def flood(seed: Tensor, within: Tensor, *, diagonal: bool) -> Tensor:
    """All of `within` that is connected to `seed` (geodesic dilation until nothing changes)."""
    reached = seed & within
    count = reached.sum()
    while True:
        for _ in range(8):  # looking at the count is dearer than a dilation
            reached = _spread(reached, diagonal=diagonal) & within
        grown = reached.sum()
        if grown == count:
            return reached
        count = grown


def fill_holes(mask: Tensor) -> Tensor:
    """The mask with every hole that the image's border cannot be reached from (4-connected) filled."""
    border = torch.ones_like(mask)
    border[:, 1:-1, 1:-1] = False
    return ~flood(border, ~mask, diagonal=False)


def distance(mask: Tensor, reach: int) -> Tensor:
    """Euclidean distance of every pixel to the nearest pixel of `mask`, exact up to `reach`, then `reach`: float32.

    Separable: squared distances along columns, then the lower envelope along rows.
    """
    columns = torch.where(mask, 0.0, float(reach**2))
    squared = columns
    for offset in range(1, reach):
        for step in (offset, -offset):
            squared = torch.minimum(squared, _shift(columns, step, 1, float(reach**2)) + offset**2)
    rows, best = squared, squared
    for offset in range(1, reach):
        for step in (offset, -offset):
            best = torch.minimum(best, _shift(rows, step, 2, float(reach**2)) + offset**2)
    return best.sqrt()


def _shift(x: Tensor, step: int, axis: int, fill: float) -> Tensor:
    """x moved by `step` pixels along `axis`; what comes in from outside is `fill`."""
    size = x.shape[axis]
    moved = torch.full_like(x, fill)
    if abs(step) < size:
        moved.narrow(axis, max(step, 0), size - abs(step)).copy_(x.narrow(axis, max(-step, 0), size - abs(step)))
    return moved


def signed_distance(mask: Tensor, reach: int) -> Tensor:
    """Distance to the mask's boundary (which runs between pixels), negative inside, within +-(reach - 0.5)."""
    outside, inside = distance(mask, reach), distance(~mask, reach)
    return torch.where(mask, 0.5 - inside, outside - 0.5)


def closed(mask: Tensor, radius: float) -> Tensor:
    """Morphological closing with a disc: gaps narrower than twice `radius` are bridged."""
    reach = math.ceil(radius) + 2
    pad = reach + 1
    padded = F.pad(mask, (pad, pad, pad, pad))
    out = distance(~(distance(padded, reach) <= radius), reach) > radius
    return out[:, pad:-pad, pad:-pad]


def main_component(mask: Tensor) -> Tensor:
    """The 8-connected part of the mask around its most massive place: specks elsewhere are left out."""
    size = mask.shape[-1] // 8 * 2 + 1
    mass = F.avg_pool2d(mask.float()[:, None], size, 1, size // 2)[:, 0] * mask
    seed = torch.zeros_like(mask).flatten(1)
    seed.scatter_(1, mass.flatten(1).argmax(1, keepdim=True), True)
    return flood(seed.view_as(mask), mask, diagonal=True)


def grown(mask: Tensor) -> Tensor:
    """Dilation by one pixel in all 8 directions."""
    return _spread(mask, diagonal=True)


def blur(x: Tensor, sigma: float) -> Tensor:
    """(B, H, W) -> the same through a Gaussian of `sigma` pixels, zeros beyond the border."""
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-torch.arange(-reach, reach + 1.0, device=x.device).square() / (2 * sigma**2))
    kernel /= kernel.sum()
    rows = F.conv2d(x.float()[:, None], kernel.view(1, 1, -1, 1), padding=(reach, 0))
    return F.conv2d(rows, kernel.view(1, 1, 1, -1), padding=(0, reach))[:, 0]


def blur_within(x: Tensor, mask: Tensor, sigma: float) -> Tensor:
    """Gaussian mean of the pixels of `mask` only (normalized convolution)."""
    weight = mask.float()
    return blur(x * weight, sigma) / blur(weight, sigma).clamp_min(1e-3)


def count(mask: Tensor) -> Tensor:
    """(B,) float32, pixels in each mask."""
    return mask.flatten(1).sum(1).float()


def mean(x: Tensor, mask: Tensor) -> Tensor:
    """(B,) mean of x over each mask; nan where it is empty."""
    return torch.where(mask, x, 0.0).flatten(1).sum(1) / count(mask)


def quantile(x: Tensor, mask: Tensor, q: float) -> Tensor:
    """(B,) quantile of x over each mask; nan where it is empty."""
    return torch.where(mask, x, torch.nan).flatten(1).nanquantile(q, dim=1)
