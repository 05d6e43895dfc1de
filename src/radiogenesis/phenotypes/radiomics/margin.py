"""Margin: how the HU fall across the outline. IBSI has no such family, hence no codes."""

from __future__ import annotations

import torch
from torch import Tensor

from radiogenesis.phenotypes.edge import first_fit
from radiogenesis.phenotypes.morphology import mean, signed_distance
from radiogenesis.phenotypes.radiomics.feature import Feature
from radiogenesis.phenotypes.radiomics.lesions import Lesions

TEN_TO_NINETY = 2.5631  # of the integral of a Gaussian, in its standard deviations
RING_MM = 3.0
AERATED_HU = -500.0

_ROWS = (
    ("width", "mm", "distance over which a blurred step fitted to the outline's 6 mm falls from 90 to 10 %"),
    ("contrast", "HU", "height of that step"),
    ("offset", "mm", "how far the step lies outside the outline"),
    ("gradient", "HU/mm", "mean fall of the HU outwards along the outline"),
    ("gradient_deviation", "HU/mm", "its standard deviation along the outline: a margin sharp here and blurred there"),
    ("aerated_share", "", "share of the 3 mm around the outline below -500 HU; the rest is vessel, pleura, chest wall"),
)
FEATURES = {f"margin_{name}": Feature("margin", None, *row) for name, *row in _ROWS}


def outline_margin(lesions: Lesions) -> dict[str, Tensor]:
    """The features of `FEATURES`, (B,) float32 each; nan where the fit has too few pixels (`edge.fit_edge`)."""
    (hu, outline), side = lesions.surroundings, lesions.pixel_mm
    depth = signed_distance(outline, max(4, round(8.0 / side))) * side  # (B, P, P) mm
    fit = first_fit(hu, depth, torch.isfinite(hu), side)
    (down, right), (out_down, out_right) = torch.gradient(hu, dim=(1, 2)), torch.gradient(depth, dim=(1, 2))
    outwards = torch.hypot(out_down, out_right).clamp_min(1e-6)
    fall = -(down * out_down + right * out_right) / outwards / side  # (B, P, P) HU per mm
    edge = depth.abs() < side
    gradient = mean(fall, edge)
    ring = (depth > 0) & (depth < RING_MM)
    features = {
        "width": TEN_TO_NINETY * fit.sigma_mm,
        "contrast": fit.contrast_hu,
        "offset": fit.offset_mm,
        "gradient": gradient,
        "gradient_deviation": mean((fall - gradient[:, None, None]).square(), edge).sqrt(),
        "aerated_share": mean((hu < AERATED_HU).float(), ring),
    }
    return {f"margin_{name}": value for name, value in features.items()}
