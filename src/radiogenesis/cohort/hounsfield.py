"""From numbers to Hounsfield units: what no CT can hold is padding, or the scan is refused.

A header may lie: a rescale intercept that was lost or applied twice moves all values by 1024, a lost sign by 65536. It
shows in what every chest CT has (air, and hardly any voxel as bright as bone) and in what no CT has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.scan import AIR_HU
from radiogenesis.errors import ScanError

LOWEST_HU = -1300  # below lies padding: air with the noise of a sharp kernel does not reach as far
AIR_BELOW_HU = -500  # lungs, and the air around the body; fat and tissue lie above
FLOOR_HU = -1000  # one single value from here down may be padding, not air
DENSE_HU = 900  # dense bone only
CLIPPED_HU = 3071  # where 12-bit CT ends, and metal with it
PADDING_HU = -10_000  # what scanners fill the space around the scan circle with lies above
IMPOSSIBLE_HU = 30710  # where the extended scale for metal ends
A_FEW, MANY = 0.01, 0.05  # shares of the voxels
_LOOKED_AT = 2_000_000  # voxels of a volume whose values are counted, at least; of each plane the same

Counts = NDArray[np.intp]
_INT16 = np.iinfo(np.int16)
_HU = np.arange(_INT16.min, _INT16.max + 1)


def as_int16(values: NDArray[Any]) -> NDArray[np.int16]:
    """Values rounded to whole numbers, those beyond 16 bit at its ends."""
    return np.asarray(np.rint(values).clip(_INT16.min, _INT16.max).astype(np.int16))


def with_sign(stored: NDArray[Any], hu: NDArray[np.float64], slope: float) -> tuple[NDArray[np.float64], bool]:
    """HU of stored 16-bit values whose sign was lost, and whether it was.

    Where an unsigned value gives HU that no CT has, and the same bits as a negative number give air or padding, they
    are that number.
    """
    if stored.dtype != np.uint16:
        return hu, False
    lost = (hu > IMPOSSIBLE_HU) & (stored >= 2**15) & (hu - slope * 2**16 > PADDING_HU)
    return np.where(lost, hu - slope * 2**16, hu), bool(lost.any())


def checked_hu(values: NDArray[np.int16], path: Path) -> tuple[NDArray[np.int16], tuple[str, ...]]:
    """(Z, Y, X) HU from -1024 (air) on, and what was assumed about them, in words.

    One value above `CLIPPED_HU` that fills more than a hundredth of the scan is padding and becomes air, as everything
    below air does.

    Raises:
        ScanError: there is no air, or values lie where no CT has any.
    """
    remarks = []
    few = values[:, :: _step(values), :: _step(values)]
    counts = _counts(few)
    padding = _HU[(counts > A_FEW * few.size) & (_HU > CLIPPED_HU)]
    if len(padding):
        values, few = (np.where(np.isin(part, padding), _INT16.min, part) for part in (values, few))
        share = counts[np.isin(_HU, padding)].sum() / counts.sum()
        remarks.append(f"{padding.max()} HU fills {share:.0%} of the scan, which is no CT value: taken for padding")
    planes = [_counts(plane) for plane in few]
    why = _why_not(np.sum(planes, axis=0)) or next(
        (f"{found} (plane {z + 1} of {len(few)})" for z, plane in enumerate(planes) if (found := _moved_up(plane))), ""
    )
    if why:
        raise ScanError(
            f"values from {values.min()} to {values.max()} are not HU of a chest CT: {why}",
            path=path,
            remedy="save the scan in HU: air about -1000, water 0 (check RescaleIntercept); of MR, --normalize zscore",
        )
    return values.clip(AIR_HU, None), tuple(remarks)


def _why_not(counts: Counts) -> str:
    """Why the values of a scan are not HU, in words; "" where they may be."""
    real, total = counts * (_HU >= LOWEST_HU), counts.sum()
    if not real[_HU <= AIR_BELOW_HU].any():
        return "there is no air"
    below = np.sort(counts[_HU < LOWEST_HU])[:-2]  # padding is one value, or two
    if below.sum() > A_FEW * total:
        return f"{below.sum() / total:.0%} of them lie below air"
    if real[_HU > IMPOSSIBLE_HU // 6].sum() > A_FEW * total:
        return f"{real[_HU > IMPOSSIBLE_HU // 6].sum() / total:.0%} of them lie above what bone and metal fill"
    return _moved_up(counts)


def _moved_up(counts: Counts) -> str:
    """Whether air lies where tissue should and tissue where bone should, in words. Padding at -1024 is no air."""
    real = counts * (_HU >= LOWEST_HU)
    air = real[_HU <= AIR_BELOW_HU]
    floor = real[_HU <= FLOOR_HU].max()
    dense = real[_HU > DENSE_HU].sum()
    if air.sum() - floor <= A_FEW / 10 * real.sum() and dense > MANY * real.sum():
        return f"there is no air, and {dense / real.sum():.0%} of them lie above {DENSE_HU}"
    return ""


def _counts(values: NDArray[np.int16]) -> Counts:
    return np.bincount(values.ravel().astype(np.int32) - _INT16.min, minlength=len(_HU))


def _step(values: NDArray[Any]) -> int:
    return max(1, int(np.sqrt(values.size / _LOOKED_AT)))
