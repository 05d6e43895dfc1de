"""Radiomic features of a tumor in three dimensions, by PyRadiomics (the extra `radiomics`)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiogenesis.errors import ScanError, SettingError


@dataclass(frozen=True, kw_only=True)
class VolumeSettings:
    """Settings of the 3-D radiomic features."""

    bin_width_hu: float = 25.0
    """Width of a gray level in HU (IBSI fixed bin size)."""
    voxel_mm: float | None = None
    """Side of the cubic voxels that the scan is resampled to first (B-spline), in mm; as it is if not given. Without
    it, features of scans with different voxels cannot be compared."""
    range_hu: tuple[float, float] | None = None
    """Voxels outside these HU are left out of the tumor (IBSI resegmentation)."""
    filters: tuple[str, ...] = ("Original",)
    """Images to measure, as PyRadiomics names them: Original, Wavelet, LoG (with its default sigmas), Gradient ..."""

    def __post_init__(self) -> None:
        for name in ("bin_width_hu", "voxel_mm"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise SettingError(f"{name} is {value}", remedy="choose a value above 0")
        if self.range_hu is not None and not self.range_hu[0] < self.range_hu[1]:
            raise SettingError(f"range_hu is {self.range_hu}", remedy="give a lower HU, then a higher one")


def feature_extractor(settings: VolumeSettings) -> Any:
    """PyRadiomics' extractor with these settings.

    Raises:
        SettingError: PyRadiomics is not installed, or does not know a filter.
    """
    try:
        from radiomics import getImageTypes
        from radiomics.featureextractor import RadiomicsFeatureExtractor
    except ImportError:
        raise SettingError(
            "3-D radiomics needs PyRadiomics, which is not installed", remedy="pip install 'radiogenesis[radiomics]'"
        ) from None
    unknown = set(settings.filters) - set(getImageTypes())
    if unknown:
        raise SettingError(f"filters has {min(unknown)!r}", remedy=f"choose among {', '.join(getImageTypes())}")
    logging.getLogger("radiomics").setLevel(logging.ERROR)  # it reports every step
    options: dict[str, Any] = {"binWidth": settings.bin_width_hu, "additionalInfo": False, "label": 1}
    if settings.voxel_mm is not None:
        options["resampledPixelSpacing"] = [settings.voxel_mm] * 3
    if settings.range_hu is not None:
        options |= {"resegmentRange": list(settings.range_hu), "resegmentMode": "absolute"}
    extractor = RadiomicsFeatureExtractor(**options)
    extractor.disableAllImageTypes()
    for name in settings.filters:
        extractor.enableImageTypeByName(name)
    return extractor


def volume_features(
    hu: NDArray[Any],
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    settings: VolumeSettings | None = None,
) -> dict[str, float]:
    """All shape, first-order and texture features of PyRadiomics, by its names (`original_glcm_JointEntropy`).

    Args:
        hu: (Z, Y, X) Hounsfield units.
        mask: (Z, Y, X) bool, the tumor.
        spacing_mm: distance of the voxel centers along z, y, x.
        settings: the defaults if not given.

    Raises:
        SettingError: PyRadiomics is not installed, or does not know a filter.
        ScanError: nothing is outlined, or too little for PyRadiomics.
    """
    extractor = feature_extractor(settings or VolumeSettings())
    import SimpleITK

    if not mask.any():
        raise ScanError("nothing is outlined: there is no tumor to measure")
    image, outline = (
        SimpleITK.GetImageFromArray(np.ascontiguousarray(array))
        for array in (hu.astype(np.float64), mask.astype(np.uint8))
    )
    for volume in (image, outline):
        volume.SetSpacing(spacing_mm[::-1])
    try:
        measured = extractor.execute(image, outline)
    except ValueError as error:
        raise ScanError(f"PyRadiomics cannot measure the tumor ({int(mask.sum())} voxels): {error}") from None
    return {name: float(value) for name, value in measured.items() if not name.startswith("diagnostics_")}
