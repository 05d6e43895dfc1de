"""What grey level runs (GLRLM) and grey level zones (GLSZM) share: statistics of level i and size j.

IBSI defines the same 16 features of the matrix counts(i, j) for both.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

STATISTICS = (
    "small", "large", "low", "high", "small_low", "small_high", "large_low", "large_high",
    "level_non_uniformity", "level_non_uniformity_normalised", "size_non_uniformity", "size_non_uniformity_normalised",
    "percentage", "level_variance", "size_variance", "entropy",
)  # fmt: skip


def size_statistics(
    matrix: Tensor, level: Tensor, size: Tensor, pixels: Tensor, bins: int
) -> tuple[dict[str, Tensor], Tensor]:
    """Statistics of many matrices at once, from the list of what they count.

    Args:
        matrix: (N,) the matrix that each run or zone belongs to.
        level: (N,) its grey level, from 1.
        size: (N,) its pixels.
        pixels: (M,) float64, pixels that each matrix was counted over.
        bins: highest grey level.

    Returns:
        the `STATISTICS`, (M,) float64 each, and (M,) bool, which matrices count anything at all.
    """
    present = torch.bincount(size) > 0  # only sizes that occur get a column
    rank = (present.cumsum(0) - 1)[size]
    j = present.nonzero()[:, 0].double()  # (S,)
    i = torch.arange(1, bins + 1, dtype=torch.float64, device=j.device)
    shape = (len(pixels), bins, max(1, len(j)))
    counts = torch.bincount((matrix * bins + level - 1) * shape[2] + rank, minlength=math.prod(shape)).view(shape)
    j = j if len(j) else torch.ones(1, dtype=torch.float64, device=i.device)
    n = counts.flatten(1).sum(1)
    total = n.clamp_min(1).double()
    p = counts / total[:, None, None]  # (M, Ng, S)
    by_level, by_size = p.sum(2), p.sum(1)  # (M, Ng), (M, S)
    i_powers, j_powers = (torch.stack([v**-2, v**2]) for v in (i, j))  # (2, Ng), (2, S)
    joint = i_powers @ p @ j_powers.T  # (M, 2, 2): [low, high] x [small, large]
    small, large = (by_size @ j_powers.T).unbind(1)
    low, high = (by_level @ i_powers.T).unbind(1)
    uniform_level, uniform_size = by_level.square().sum(1), by_size.square().sum(1)
    found = {
        "small": small,
        "large": large,
        "low": low,
        "high": high,
        "small_low": joint[:, 0, 0],
        "small_high": joint[:, 1, 0],
        "large_low": joint[:, 0, 1],
        "large_high": joint[:, 1, 1],
        "level_non_uniformity": uniform_level * total,
        "level_non_uniformity_normalised": uniform_level,
        "size_non_uniformity": uniform_size * total,
        "size_non_uniformity_normalised": uniform_size,
        "percentage": n / pixels,
        "level_variance": _variance(by_level, i),
        "size_variance": _variance(by_size, j),
        "entropy": torch.special.entr(p).flatten(1).sum(1) / math.log(2),
    }
    return found, n > 0


def _variance(p: Tensor, value: Tensor) -> Tensor:
    """(M, K) shares and (K,) values -> (M,)."""
    mean = p @ value
    return (p * (value - mean[:, None]).square()).sum(1)
