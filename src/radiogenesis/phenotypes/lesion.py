"""Six measures of a lesion on a CT slice, for thousands of slices at once.

They are measured alike on real and on drawn slices, so that "do the genes control it?" has a number. Each is built to
move with one property only: attenuation leaves rim and cavity out, the margin is a width whatever the contrast,
heterogeneity is freed of noise and vessels, spiculation of size.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radiogenesis.imaging import Imaging
from radiogenesis.phenotypes.edge import first_fit, fit_margin
from radiogenesis.phenotypes.morphology import (
    blur_within,
    closed,
    count,
    fill_holes,
    grown,
    main_component,
    mean,
    quantile,
    signed_distance,
)
from radiogenesis.phenotypes.shape import spiculation
from radiogenesis.phenotypes.texture import heterogeneity

UNITS = {"size": "mm", "attenuation": "HU", "spiculation": "", "margin": "mm", "heterogeneity": "HU", "cavitation": ""}
FEATURES = tuple(UNITS)
LEVEL, SPREAD = "attenuation", "heterogeneity"
"""Which of them are an intensity, and a deviation of intensities: numbers of the scale that a cohort stores."""

FEWEST_PIXELS = 9
TEN_TO_NINETY = 2.5631  # of the integral of a Gaussian, in its standard deviations
AIR_HU = -1000.0
BATCH = 512  # images at a time: bounds memory


def lesion_features(image: Tensor, mask: Tensor, pixel_mm: float, *, darker: bool = False) -> dict[str, Tensor]:
    """Measure lesions.

    - size: diameter in mm of the circle of equal area, holes filled.
    - attenuation: mean HU inside, without the rim (up to 2 mm) and without a cavity; of MR the mean intensity.
    - spiculation: variation of the radius over directions as a share of its mean (`shape.spiculation`).
    - margin: distance in mm over which the edge rises from 10 to 90 % of its height (`edge`); small is sharp.
    - heterogeneity: standard deviation in HU of the texture inside (`texture.heterogeneity`).
    - cavitation: share of the area that is air, which means below half-way between air and the lesion's wall; where
      the window's lower end is no air, the share that is dark.

    Args:
        image: (B, 1, P, P) in HU, or in the numbers that a cohort of another organ or modality stores: thresholds in
            HU are then thresholds in these numbers (`radiogenesis.imaging`).
        mask: (B, 1, P, P), lesion where above 0.5.
        pixel_mm: side of a pixel in mm.
        darker: whether lesions may be darker than what is around them; else such a one has no margin and no texture.

    Returns:
        six tensors (B,) float32, named as in `FEATURES`, units in `UNITS`; nan where there is no lesion, or one too
        small for the measure.

    Raises:
        ValueError: image and mask are not both (B, 1, P, P).
    """
    if image.ndim != 4 or image.shape[1] != 1 or image.shape != mask.shape:
        raise ValueError(f"image {tuple(image.shape)} and mask {tuple(mask.shape)} must both be (B, 1, P, P)")
    parts = [
        _measure(image[start : start + BATCH, 0].float(), mask[start : start + BATCH, 0] > 0.5, pixel_mm, darker)
        for start in range(0, len(image), BATCH)
    ]
    return {name: torch.cat([part[name] for part in parts]) if parts else torch.zeros(0) for name in FEATURES}


def names(imaging: Imaging) -> tuple[str, ...]:
    """What `FEATURES` are called where they are shown."""
    return tuple(imaging.name(feature) for feature in FEATURES)


def units(imaging: Imaging) -> dict[str, str]:
    """Their units by these names."""
    return {imaging.name(feature): imaging.unit_of(unit) for feature, unit in UNITS.items()}


def labels(imaging: Imaging) -> tuple[str, ...]:
    """The names with their units: "attenuation (HU)"."""
    return tuple(f"{name} ({unit})" if unit else name for name, unit in units(imaging).items())


def per_number(imaging: Imaging) -> NDArray[np.float64]:
    """(F,) what a step of 1 in each feature, as it is measured on stored numbers, is in its unit."""
    return np.array([imaging.per_number if feature in (LEVEL, SPREAD) else 1.0 for feature in FEATURES])


def in_units(values: NDArray[np.float64], imaging: Imaging) -> NDArray[np.float64]:
    """(..., F) features measured on stored numbers -> the same in the units of `units`."""
    if imaging.as_it_is:
        return values
    levels = np.array([feature == LEVEL for feature in FEATURES])
    return np.where(levels, imaging.level(values), values * per_number(imaging))


def _measure(hu: Tensor, mask: Tensor, pixel_mm: float, darker: bool) -> dict[str, Tensor]:
    lesion = fill_holes(main_component(closed(mask, 1.0)))
    area = count(lesion)
    depth = signed_distance(lesion, max(4, round(8.0 / pixel_mm))) * pixel_mm
    core = _core(depth, area)
    air = _air(hu, core, lesion, depth)
    solid = _solid(core, air)
    first = first_fit(hu, depth, ~grown(air), pixel_mm, darker=darker)
    margin = fit_margin(hu, lesion, depth, solid, ~grown(air), first, pixel_mm, darker=darker)
    interior = (depth < -1.0) & ~grown(grown(air))
    features = {
        "size": 2 * (area / torch.pi).sqrt() * pixel_mm,
        "attenuation": mean(hu, solid),
        "spiculation": spiculation(lesion),
        "margin": TEN_TO_NINETY * margin.sigma_mm,
        "heterogeneity": heterogeneity(hu, first.at(depth), interior, depth, pixel_mm),
        "cavitation": count(air) / area,
    }
    return {name: torch.where(area < FEWEST_PIXELS, torch.nan, value) for name, value in features.items()}


def _core(depth: Tensor, area: Tensor) -> Tensor:
    """The lesion without its rim: 2 mm, or less where less than a quarter of the area would be left."""
    core = depth < 0
    for rim_mm in (0.5, 1.0, 1.5, 2.0):
        eroded = depth < -rim_mm
        enough = count(eroded) >= (0.25 * area).clamp_min(5.0)
        core = torch.where(enough[:, None, None], eroded, core)
    return core


def _air(hu: Tensor, core: Tensor, lesion: Tensor, depth: Tensor) -> Tensor:
    """What lies nearer to air than to the wall, noise smoothed away.

    The wall's level is the 70th percentile of all but the outermost pixels: even in a thin-walled cavity the air is
    less than 70 % of those.
    """
    half = (quantile(hu, depth < -0.9, 0.7).nan_to_num(0.0) + AIR_HU) / 2
    return core & (blur_within(hu, lesion, 0.7) < half[:, None, None])


def _solid(core: Tensor, air: Tensor) -> Tensor:
    """The core without the cavity and its blurred wall; where that leaves too little, without the cavity alone."""
    solid = core & ~grown(air)
    return torch.where((count(solid) >= 5)[:, None, None], solid, core & ~air)
