"""Grey level runs: how long a grey level goes on along a line (IBSI family TP0I)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from radiogenesis.phenotypes.radiomics.feature import Feature
from radiogenesis.phenotypes.radiomics.glcm import mean_of_usable
from radiogenesis.phenotypes.radiomics.lesions import Lesions
from radiogenesis.phenotypes.radiomics.sizes import size_statistics

_ROWS = {
    "small": ("short_runs_emphasis", "22OV", "", "mean of 1 / length^2"),
    "large": ("long_runs_emphasis", "W4KF", "", "mean of length^2"),
    "low": ("low_grey_level_run_emphasis", "V3SW", "", "mean of 1 / level^2"),
    "high": ("high_grey_level_run_emphasis", "G3QZ", "", "mean of level^2"),
    "small_low": ("short_run_low_grey_level_emphasis", "HTZT", "", "mean of 1 / (length level)^2"),
    "small_high": ("short_run_high_grey_level_emphasis", "GD3A", "", "mean of (level / length)^2"),
    "large_low": ("long_run_low_grey_level_emphasis", "IVPO", "", "mean of (length / level)^2"),
    "large_high": ("long_run_high_grey_level_emphasis", "3KUM", "", "mean of (length level)^2"),
    "level_non_uniformity": ("grey_level_non_uniformity", "R5YN", "", "runs, times the sum of squared level shares"),
    "level_non_uniformity_normalised": (
        "normalised_grey_level_non_uniformity", "OVBL", "", "sum of the squared shares of the levels"),
    "size_non_uniformity": ("run_length_non_uniformity", "W92Y", "", "runs, times the sum of squared length shares"),
    "size_non_uniformity_normalised": (
        "normalised_run_length_non_uniformity", "IC23", "", "sum of the squared shares of the lengths"),
    "percentage": ("run_percentage", "9ZK5", "", "runs per pixel"),
    "level_variance": ("grey_level_variance", "8CE5", "", "variance of the runs' level"),
    "size_variance": ("run_length_variance", "SXLW", "", "variance of the runs' length"),
    "entropy": ("run_entropy", "HJ9O", "bit", "entropy of level and length of the runs"),
}  # fmt: skip
FEATURES = {f"glrlm_{name}": Feature("glrlm", *row) for name, *row in _ROWS.values()}


def run_lengths(lesions: Lesions, directions: Literal["average", "merge"]) -> dict[str, Tensor]:
    """The features of `FEATURES`, (B,) float64 each; nan where the mask is empty."""
    batch = len(lesions.levels)
    matrix, level, length = _runs(lesions.levels)
    pixels = lesions.count  # (B,)
    if directions == "merge":
        matrix, pixels = matrix // 4, 4 * pixels
    else:
        pixels = pixels.repeat_interleave(4)
    found, usable = size_statistics(matrix, level, length, pixels, lesions.highest_level)
    return {
        f"glrlm_{_ROWS[key][0]}": mean_of_usable(value.view(batch, -1), usable.view(batch, -1))
        for key, value in found.items()
    }


def _runs(levels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All runs: (N,) matrix (4 b + direction), (N,) level, (N,) length.

    The pixels are read out line after line in each direction; a run starts where the line or the level changes.
    """
    height, width = levels.shape[1:]
    order, first_of_line = _lines(height, width, levels.device)
    read = levels.flatten(1)[:, order].flatten()  # (B 4 h w)
    starts = first_of_line.repeat(len(levels))
    starts[1:] |= read[1:] != read[:-1]
    start = starts.nonzero()[:, 0]
    length = start.diff(append=torch.tensor([len(read)], device=levels.device))
    level = read[start]
    inside = level > 0
    return (start // (height * width))[inside], level[inside], length[inside]


def _lines(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(4 h w,) pixels in the order of the lines in the 4 directions, and (4 h w,) bool, where a line begins."""
    y, x = (v.flatten() for v in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))
    orders, firsts = [], []
    for line, place in ((y, x), (x, y), (y - x + width, y), (y + x, y)):
        order = (line * max(height, width) + place).argsort()
        first = torch.ones_like(order, dtype=torch.bool)
        first[1:] = line[order].diff() != 0
        orders.append(order)
        firsts.append(first)
    return torch.cat(orders).to(device), torch.cat(firsts).to(device)
