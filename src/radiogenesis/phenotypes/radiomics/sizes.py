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


def size_statistics(counts: Tensor, sizes: Tensor, pixels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Statistics of many matrices at once.

    Args:
        counts: (M, Ng, S) int64, runs or zones of each level (from 1) and size.
        sizes: (S,) float64, the sizes.
        pixels: (M,) float64, pixels that each matrix was counted over.

    Returns:
        the `STATISTICS`, (M,) float64 each, and (M,) bool, which matrices count anything at all.
    """
    i = torch.arange(1, counts.shape[1] + 1, dtype=torch.float64, device=counts.device)  # (Ng,)
    j = sizes
    n = counts.flatten(1).sum(1)
    total = n.clamp_min(1).double()
    p = counts / total[:, None, None]  # (M, Ng, S)
    by_level, by_size = p.sum(2), p.sum(1)  # (M, Ng), (M, S)
    i_powers, j_powers = (torch.stack([v**-2, v**2]) for v in (i, j))  # (2, Ng), (2, S)
    joint = i_powers @ p @ j_powers.T  # (M, 2, 2): [low, high] x [small, large]
    small, large = (by_size @ j_powers.T).unbind(1)
    low, high = (by_level @ i_powers.T).unbind(1)
    uniform_level, uniform_size = by_level.square().sum(1), by_size.square().sum(1)
    statistics = {
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
    return statistics, n > 0


def _variance(p: Tensor, value: Tensor) -> Tensor:
    """(M, K) shares and (K,) values -> (M,)."""
    mean = p @ value
    return (p * (value - mean[:, None]).square()).sum(1)
