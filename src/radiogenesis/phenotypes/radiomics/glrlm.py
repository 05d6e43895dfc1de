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
    batch = len(lesions.pixels)
    counts, pixels = _runs(lesions), lesions.pixels.double()  # (B, 4, Ng, R), (B,)
    if directions == "merge":
        counts, pixels = counts.sum(1), 4 * pixels
    else:
        counts, pixels = counts.flatten(0, 1), pixels.repeat_interleave(4)
    lengths = torch.arange(1.0, counts.shape[2] + 1, dtype=torch.float64, device=counts.device)
    found, usable = size_statistics(counts, lengths, pixels)
    return {
        f"glrlm_{_ROWS[key][0]}": mean_of_usable(value.view(batch, -1), usable.view(batch, -1))
        for key, value in found.items()
    }


def _runs(lesions: Lesions) -> Tensor:
    """(B, 4, Ng, R) int64, runs of each lesion, direction, level and length from 1.

    Counted by windows: in a run of length L there are w_k = max(0, L - k + 1) stretches of k pixels, so the runs of
    length k are w_k - 2 w_(k+1) + w_(k+2). A stretch of k + 1 pixels is one of k whose last pixel goes on.
    """
    bins, cells = lesions.highest_level, 4 * len(lesions.pixels) * lesions.highest_level
    goes_on = torch.zeros(4, len(lesions.levels), dtype=torch.bool, device=lesions.levels.device)
    starts, ends, cell_of = [], [], []
    for direction, ahead in enumerate(lesions.ahead):
        alike = (ahead == lesions.level).nonzero()[:, 0]
        place = lesions.places.index_select(0, alike)
        goes_on[direction, place] = True
        starts.append(place + direction * len(lesions.levels))
        ends.append(torch.full_like(place, lesions.steps[direction]))
        cell = 4 * lesions.owners.index_select(0, alike) + direction
        cell_of.append(cell * bins + lesions.level.index_select(0, alike) - 1)
    line = goes_on.flatten()
    end, step, cell = (torch.cat(parts) for parts in (starts, ends, cell_of))
    single = torch.bincount(lesions.owners * bins + lesions.level - 1, minlength=cells // 4).view(-1, 1, bins)
    windows = [single.expand(-1, 4, -1).reshape(-1)]  # stretches of 1 pixel
    while len(end):
        windows.append(torch.bincount(cell, minlength=cells))
        end = end + step
        still = line.index_select(0, end).nonzero()[:, 0]
        end, step, cell = (x.index_select(0, still) for x in (end, step, cell))
    w = torch.stack([*windows, *[torch.zeros_like(windows[0])] * 2], dim=1)  # (B 4 Ng, R + 2)
    return (w[:, :-2] - 2 * w[:, 1:-1] + w[:, 2:]).view(-1, 4, bins, w.shape[1] - 2)
