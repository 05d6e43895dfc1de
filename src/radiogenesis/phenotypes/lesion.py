"""Six measures of a lesion on a CT slice, for thousands of slices at once.

They are measured alike on real and on drawn slices, so that "do the genes control it?" has a number. Each is built to
move with one property only: attenuation leaves the rim and a cavity out, margin is a width whatever the contrast,
heterogeneity is freed of noise, spiculation of size.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from radiogenesis.phenotypes.edge import EdgeFit, fit_edge, radial_profile
from radiogenesis.phenotypes.morphology import closed, fill_holes, main_component, perimeter, signed_distance

FEATURES = ("size", "attenuation", "spiculation", "margin", "heterogeneity", "cavitation")
UNITS = {"size": "mm", "attenuation": "HU", "spiculation": "", "margin": "mm", "heterogeneity": "HU", "cavitation": ""}

SMALLEST_PIXELS = 9
AIR_HU = -1000.0
BATCH = 512


def lesion_features(image: Tensor, mask: Tensor, pixel_mm: float) -> dict[str, Tensor]:
    """Measure lesions.

    Args:
        image: (B, 1, P, P) in HU.
        mask: (B, 1, P, P), lesion where above 0.5.
        pixel_mm: side of a pixel in mm.

    Returns:
        six tensors (B,), named as in `FEATURES`, units in `UNITS`; nan where the lesion is empty or too small.
    """
    parts = [_features(image[i : i + BATCH], mask[i : i + BATCH], pixel_mm) for i in range(0, len(image), BATCH)]
    return {name: torch.cat([part[name] for part in parts]) for name in FEATURES}


def _features(image: Tensor, mask: Tensor, pixel_mm: float) -> dict[str, Tensor]:
    hu = image[:, 0].float()
    raw = mask[:, 0] > 0.5
    lesion = fill_holes(main_component(closed(raw, 1.0)))
    area = lesion.flatten(1).sum(1).float()
    reach = max(4, round(8.0 / pixel_mm))
    depth = signed_distance(lesion, reach) * pixel_mm
    core = _core(depth, area, pixel_mm)
    air = _air(hu, core, lesion)
    solid = core & ~_grow(air)
    solid = torch.where(solid.flatten(1).sum(1)[:, None, None] >= 5, solid, core & ~air)
    edges = torch.arange(-6.0, 6.01, pixel_mm)
    centers = (edges[1:] + edges[:-1]) / 2
    profile, count = radial_profile(hu, depth, (~_grow(air)).float(), edges)
    fit = fit_edge(profile, count, centers)
    out = {
        "size": 2 * (area / torch.pi).sqrt() * pixel_mm,
        "attenuation": _mean(hu, solid),
        "spiculation": perimeter(lesion) / (4 * torch.pi * area).sqrt() - 1,
        "margin": 2.563 * fit.sigma_mm,
        "heterogeneity": _texture(hu, depth, solid, fit, pixel_mm),
        "cavitation": (air & lesion).flatten(1).sum(1) / area,
    }
    too_small = area < SMALLEST_PIXELS
    return {k: torch.where(too_small, torch.nan, v) for k, v in out.items()}


def _core(depth: Tensor, area: Tensor, pixel_mm: float) -> Tensor:
    """Lesion without its rim: 2 mm, less where that would leave under a quarter of the area."""
    core = depth < 0
    for rim in (0.5, 1.0, 1.5, 2.0):
        eroded = depth < -rim * 1.0
        enough = eroded.flatten(1).sum(1) >= (0.25 * area).clamp_min(5)
        core = torch.where(enough[:, None, None], eroded, core)
    return core


def _grow(mask: Tensor) -> Tensor:
    return F.max_pool2d(mask.float()[:, None], 3, 1, 1)[:, 0] > 0.5


def _mean(image: Tensor, where: Tensor) -> Tensor:
    w = where.float()
    return (image * w).flatten(1).sum(1) / w.flatten(1).sum(1)


def _air(hu: Tensor, core: Tensor, lesion: Tensor) -> Tensor:
    """Below the half-way level between air and the wall (its 75th percentile), where smoothed HU says so."""
    w = lesion.float()[:, None]
    smooth = F.avg_pool2d(hu[:, None] * w, 3, 1, 1) / F.avg_pool2d(w, 3, 1, 1).clamp_min(1e-6)
    wall = torch.where(core, hu, torch.nan).flatten(1).nanquantile(0.75, dim=1)
    return core & (smooth[:, 0] < (wall[:, None, None] + AIR_HU) / 2)


def _texture(hu: Tensor, depth: Tensor, solid: Tensor, fit: EdgeFit, pixel_mm: float) -> Tensor:
    """Square root of the covariance of neighbours 2 mm apart, after the edge's own fall is taken away."""
    edge = fit.contrast_hu[:, None, None] * torch.special.ndtr(
        -(depth - fit.offset_mm[:, None, None]) / fit.sigma_mm[:, None, None]
    )
    rest = torch.where(solid, hu - edge, 0.0)
    w = solid.float()
    rest = (rest - _mean(rest, solid)[:, None, None]) * w
    lag = max(1, round(2.0 / pixel_mm))
    num = (rest[:, lag:] * rest[:, :-lag]).flatten(1).sum(1) + (rest[:, :, lag:] * rest[:, :, :-lag]).flatten(1).sum(1)
    den = (w[:, lag:] * w[:, :-lag]).flatten(1).sum(1) + (w[:, :, lag:] * w[:, :, :-lag]).flatten(1).sum(1)
    cov = num / den
    return cov.sign() * cov.abs().sqrt()
