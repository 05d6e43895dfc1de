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
    features, usable = size_statistics(counts, lengths, pixels)
    return {
        f"glrlm_{_ROWS[key][0]}": mean_of_usable(value.view(batch, -1), usable.view(batch, -1))
        for key, value in features.items()
    }


def _runs(lesions: Lesions) -> Tensor:
    """(B, 4, Ng, R) int64, runs of each lesion, direction, level and length from 1.

    Only runs of two pixels and more are followed, all at once, each until it ends; what they leave are runs of one.
    """
    bins, cells = lesions.highest_level, 4 * len(lesions.pixels) * lesions.highest_level
    goes_on = torch.zeros(4, len(lesions.levels), dtype=torch.bool, device=lesions.levels.device)
    places, steps, cell_of = [], [], []
    for direction, ahead in enumerate(lesions.ahead):
        alike = (ahead == lesions.level).nonzero()[:, 0]
        place = lesions.places.index_select(0, alike)
        goes_on[direction, place] = True
        places.append(place + direction * len(lesions.levels))
        steps.append(torch.full_like(place, lesions.steps[direction]))
        matrix = 4 * lesions.owners.index_select(0, alike) + direction
        cell_of.append(matrix * bins + lesions.level.index_select(0, alike) - 1)
    line = goes_on.flatten()
    place, step, cell = (torch.cat(parts) for parts in (places, steps, cell_of))
    running = (~line.index_select(0, place - step)).nonzero()[:, 0]  # where a run begins
    at_least = []  # runs of at least 2, 3, ... pixels, (cells,) each
    while len(running):
        place, step, cell = (x.index_select(0, running) for x in (place, step, cell))
        at_least.append(torch.bincount(cell, minlength=cells))
        place = place + step
        running = line.index_select(0, place).nonzero()[:, 0]
    reached = torch.stack([*at_least, cell.new_zeros(cells)], dim=1)
    longer = reached[:, :-1] - reached[:, 1:]  # (B 4 Ng, R - 1), runs of 2, 3, ...
    lengths = torch.arange(2, longer.shape[1] + 2, device=longer.device)
    pixels = torch.bincount(lesions.owners * bins + lesions.level - 1, minlength=cells // 4).view(-1, 1, bins)
    single = pixels - (longer * lengths).sum(1).view(-1, 4, bins)
    return torch.cat([single[..., None], longer.view(len(single), 4, bins, longer.shape[1])], dim=3)
