"""All families of radiomic features of a batch of lesions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from radiogenesis.phenotypes.radiomics import firstorder, glcm, glrlm, glszm, margin, outline
from radiogenesis.phenotypes.radiomics.feature import Feature
from radiogenesis.phenotypes.radiomics.lesions import Lesions, cut_out
from radiogenesis.phenotypes.radiomics.settings import Family, RadiomicsSettings

FEATURES: dict[str, Feature] = {
    **outline.FEATURES,
    **firstorder.FEATURES,
    **margin.FEATURES,
    **glcm.FEATURES,
    **glrlm.FEATURES,
    **glszm.FEATURES,
}
"""Name of every feature -> family, IBSI code, unit, meaning."""


def radiomic_features(
    image: Tensor, mask: Tensor, pixel_mm: float, settings: RadiomicsSettings | None = None
) -> dict[str, Tensor]:
    """Measure lesions as `FEATURES` says.

    A lesion is everything above 0.5 in its mask, in one piece or several, as outlined: nothing is closed or filled (as
    IBSI and PyRadiomics, unlike `lesion_features`). A lesion that touches the image's border ends there.

    Defined or not: an empty mask gives nan for every feature; so does, for intensity and texture, a mask without a
    pixel in `range_hu`. A single pixel or a uniform lesion has variance, skewness and kurtosis 0; a single pixel has no
    neighbors, so nan for co-occurrence. Pixels that are not finite are left out of intensity and texture.

    Shape and first order are differentiable in the image where they depend on it; texture is counted, and is not.

    Args:
        image: (B, 1, P, P) in HU.
        mask: (B, 1, P, P), lesion where above 0.5.
        pixel_mm: side of a pixel in mm.
        settings: grey levels, range, families; the defaults if not given.

    Returns:
        name -> (B,) float32, in the order of `FEATURES`.

    Raises:
        ValueError: image and mask are not both (B, 1, P, P).
    """
    settings = settings or RadiomicsSettings()
    if image.ndim != 4 or image.shape[1] != 1 or image.shape != mask.shape:
        raise ValueError(f"image {tuple(image.shape)} and mask {tuple(mask.shape)} must both be (B, 1, P, P)")
    names = [name for name, feature in FEATURES.items() if feature.family in settings.families]
    places, parts = [torch.zeros(0, dtype=torch.int64, device=image.device)], []
    for place, lesions in cut_out(image[:, 0], mask[:, 0] > 0.5, pixel_mm, settings):
        places.append(place)
        parts.append(_measure(lesions, settings))
    back = torch.cat(places).argsort()
    empty = torch.zeros(0, device=image.device)
    return {name: torch.cat([empty, *(part[name].float() for part in parts)])[back] for name in names}


def _measure(lesions: Lesions, settings: RadiomicsSettings) -> dict[str, Tensor]:
    measures: dict[Family, Callable[[], dict[str, Tensor]]] = {
        "shape": lambda: outline.outline_shape(lesions),
        "firstorder": lambda: firstorder.first_order(lesions),
        "margin": lambda: margin.outline_margin(lesions),
        "glcm": lambda: glcm.co_occurrence(lesions, settings.directions),
        "glrlm": lambda: glrlm.run_lengths(lesions, settings.directions),
        "glszm": lambda: glszm.size_zones(lesions),
    }
    features: dict[str, Tensor] = {}
    for family, measure in measures.items():
        if family in settings.families:
            features |= measure()
    of_outline = lesions.outline.flatten(1).any(1)
    of_mask = lesions.pixels > 0
    return {
        name: torch.where(of_outline if FEATURES[name].family in ("shape", "margin") else of_mask, value, torch.nan)
        for name, value in features.items()
    }
