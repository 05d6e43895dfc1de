"""Grey level zones: how large the patches of one grey level are, diagonal neighbors included (IBSI family 9SAK)."""

from __future__ import annotations

import math

import torch
from skimage.measure import label
from torch import Tensor

from radiogenesis.phenotypes.radiomics.feature import Feature
from radiogenesis.phenotypes.radiomics.glcm import mean_of_usable
from radiogenesis.phenotypes.radiomics.lesions import Lesions
from radiogenesis.phenotypes.radiomics.sizes import size_statistics

_ROWS = {
    "small": ("small_zone_emphasis", "P001", "", "mean of 1 / size^2"),
    "large": ("large_zone_emphasis", "48P8", "", "mean of size^2"),
    "low": ("low_grey_level_zone_emphasis", "XMSY", "", "mean of 1 / level^2"),
    "high": ("high_grey_level_zone_emphasis", "5GN9", "", "mean of level^2"),
    "small_low": ("small_zone_low_grey_level_emphasis", "5RAI", "", "mean of 1 / (size level)^2"),
    "small_high": ("small_zone_high_grey_level_emphasis", "HW1V", "", "mean of (level / size)^2"),
    "large_low": ("large_zone_low_grey_level_emphasis", "YH51", "", "mean of (size / level)^2"),
    "large_high": ("large_zone_high_grey_level_emphasis", "J17V", "", "mean of (size level)^2"),
    "level_non_uniformity": ("grey_level_non_uniformity", "JNSA", "", "zones, times the sum of squared level shares"),
    "level_non_uniformity_normalised": (
        "normalised_grey_level_non_uniformity", "Y1RO", "", "sum of the squared shares of the levels"),
    "size_non_uniformity": ("zone_size_non_uniformity", "4JP3", "", "zones, times the sum of squared size shares"),
    "size_non_uniformity_normalised": (
        "normalised_zone_size_non_uniformity", "VB3A", "", "sum of the squared shares of the sizes"),
    "percentage": ("zone_percentage", "P30P", "", "zones per pixel"),
    "level_variance": ("grey_level_variance", "BYLV", "", "variance of the zones' level"),
    "size_variance": ("zone_size_variance", "3NSA", "", "variance of the zones' size"),
    "entropy": ("zone_size_entropy", "GU8N", "bit", "entropy of level and size of the zones"),
}  # fmt: skip
FEATURES = {f"glszm_{name}": Feature("glszm", *row) for name, *row in _ROWS.values()}


def size_zones(lesions: Lesions) -> dict[str, Tensor]:
    """The features of `FEATURES`, (B,) float64 each; nan where the mask is empty."""
    counts, sizes = _zones(lesions)
    features, usable = size_statistics(counts, sizes, lesions.pixels.double())
    return {
        f"glszm_{_ROWS[key][0]}": mean_of_usable(value[:, None], usable[:, None]) for key, value in features.items()
    }


def _zones(lesions: Lesions) -> tuple[Tensor, Tensor]:
    """(B, Ng, S) int64, zones of each lesion, level and size, and (S,) float64, the sizes that occur.

    The images are labeled at once, as one tall image: their outermost rows are empty, so no zone crosses over.
    """
    batch, height, width = lesions.outline.shape
    zones = label(lesions.levels.view(-1, width).cpu().numpy(), background=0, connectivity=2)
    zone = torch.from_numpy(zones).flatten().to(lesions.places.device).index_select(0, lesions.places).long() - 1
    size = torch.bincount(zone)
    place = torch.empty_like(size)
    place[zone] = lesions.places  # any pixel of each zone
    level = lesions.levels.index_select(0, place) - 1
    occurs = torch.bincount(size, minlength=2) > 0
    occurs[1] = True  # a column even where there is no lesion
    rank, sizes = occurs.cumsum(0) - 1, occurs.nonzero()[:, 0].double()
    shape = (batch, lesions.highest_level, len(sizes))
    cell = (torch.div(place, height * width, rounding_mode="floor") * shape[1] + level) * shape[2] + rank[size]
    return torch.bincount(cell, minlength=math.prod(shape)).view(shape), sizes
