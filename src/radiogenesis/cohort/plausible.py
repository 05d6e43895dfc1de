"""What no scan or outline of a person is: sizes, scales and volumes that are refused with file and value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiogenesis.errors import ScanError

VOXEL_MM = (0.01, 50.0)
"""Least and greatest distance between voxels in mm."""
MOST_MM = 4000.0
"""Longest scan along an axis in mm."""
MOST_VOXELS = 2**29
"""Of a volume: 512 x 512 x 2,048. Two GiB in memory as 32-bit numbers."""
MOST_PIXELS = 2**26
"""Of one DICOM slice: 8,192 x 8,192."""
MOST_OUTLINED = 0.5
"""Share of a scan from which on an outline is no tumor's."""
MOST_OUTLINED_ML = 8000.0
"""Milliliters above which an outline is no tumor's."""
SLOPE_HU = (1e-3, 1e2)
"""Least and greatest RescaleSlope of CT: HU per stored step."""
INTERCEPT_HU = 7e4
"""Greatest RescaleIntercept of CT, of either sign."""
SCALE = 1e9
"""The same two of MR, whose signal has no unit."""


def refuse_grid(shape: Sequence[int], spacing_mm: Sequence[float], path: Path) -> None:
    """Raises ScanError for voxels, or a scan, of a size that no scanner makes.

    Args:
        shape, spacing_mm: of a volume, its axes in the same order.
    """
    sizes = " x ".join(f"{size:.4g}" for size in spacing_mm)
    if not all(VOXEL_MM[0] <= size <= VOXEL_MM[1] for size in spacing_mm):
        problem = f"voxels of {sizes} mm are of no scan of a person"
    elif max(count * size for count, size in zip(shape, spacing_mm, strict=True)) > MOST_MM:
        problem = f"{' x '.join(map(str, shape))} voxels of {sizes} mm are longer than a person"
    else:
        return
    raise ScanError(problem, path=path, remedy="correct the voxel size in its header, in mm")


def refuse_size(shape: Sequence[int], path: Path) -> None:
    """Raises ScanError for a volume that a header promises and no memory should hold."""
    if min(shape, default=0) < 0 or int(np.prod([int(size) for size in shape], dtype=object)) > MOST_VOXELS:
        raise ScanError(
            f"its header promises {' x '.join(map(str, shape))} values, more than {MOST_VOXELS:,}", path=path,
            remedy="copy it again, or crop the scan",
        )  # fmt: skip


def refuse_outline(mask: NDArray[np.bool_], spacing_mm: Sequence[float], path: Path) -> None:
    """Raises ScanError for an outline (Z, Y, X) that fills more of the scan, or more milliliters, than a tumor can."""
    voxels = int(np.count_nonzero(mask))
    ml = voxels * float(np.prod(spacing_mm)) / 1000
    if voxels > MOST_OUTLINED * mask.size or ml > MOST_OUTLINED_ML:
        raise ScanError(
            f"the outline fills {voxels / mask.size:.0%} of the scan, {ml:,.0f} ml: it is no tumor's", path=path,
            remedy="check which structure it is, and that it is not inverted",
        )  # fmt: skip


def refuse_rescale(slope: float, intercept: float, path: Path, *, in_hu: bool) -> None:
    """Raises ScanError for a RescaleSlope or RescaleIntercept that no scanner writes; NaN where there is none."""
    low, high, shift = (*SLOPE_HU, INTERCEPT_HU) if in_hu else (1 / SCALE, SCALE, SCALE)
    for name, value, wrong in (
        ("RescaleSlope", slope, not (np.isnan(slope) or low <= slope <= high)),
        ("RescaleIntercept", intercept, not (np.isnan(intercept) or abs(intercept) <= shift)),
    ):
        if wrong:
            raise ScanError(
                f"the slice's {name} is {value:g}, which no scanner writes", path=path,
                remedy="export the original series",
            )  # fmt: skip


def refuse_other_rescale(
    rescale: Sequence[tuple[float, float]], slices: Sequence[NDArray[Any]], paths: Sequence[Path], *, in_hu: bool
) -> None:
    """Raises ScanError where slices are rescaled otherwise than most, and their values then differ from their
    neighbors' by more than anatomy does.

    Slopes may differ from slice to slice, and then the values agree with those of the slices beside them.

    Args:
        rescale: slope and intercept of each slice, in their order along the scan.
        slices: (Y, X) rescaled values of each; padding far below air, or NaN.
        paths: their files.
        in_hu: whether values are HU, which agree between slices; else only their spread is compared.
    """
    (commonest, count), *others = Counter(rescale).most_common()
    if not others:
        return
    ends = np.array([_ends(values) for values in slices])  # (Z, 2)
    most = 2 * count > len(rescale)
    known = np.array([z for z, one in enumerate(rescale) if not most or one == commonest])
    for z, (slope, intercept) in enumerate(rescale):
        if most and (slope, intercept) == commonest:
            continue
        near = known[known != z]
        near = near[np.argsort(np.abs(near - z), kind="stable")[:4]]
        low, high = np.median(ends[near], axis=0)
        spread, own = high - low, ends[z, 1] - ends[z, 0]
        apart = np.abs(ends[z] - (low, high)).max() > spread / 2 if in_hu else not spread / 5 <= own <= spread * 5
        if apart:
            raise ScanError(
                f"the slice's RescaleSlope {slope:g} and RescaleIntercept {intercept:g} give values from "
                f"{ends[z, 0]:.0f} to {ends[z, 1]:.0f}, and those of the slices beside it lie from {low:.0f} to "
                f"{high:.0f}",
                path=paths[z],
                remedy="export the original series",
            )


def _ends(values: NDArray[Any]) -> tuple[float, float]:
    """The first and last hundredth of what is no padding."""
    real = values[values > _PADDING] if values.dtype.kind == "i" else values[np.isfinite(values)]
    if not real.size:
        return 0.0, 0.0
    low, high = np.percentile(real, (1, 99))
    return float(low), float(high)


_PADDING = -10_000  # of CT, in HU
