"""Scans as the cohort wants them: z to the head, y to the back, x to the left, by turning only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.scan import Scan

_RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_UPRIGHT = nib.orientations.axcodes2ornt("SPL")
_PLANES = {0: "sagittal", 1: "coronal"}  # by the axis of the body that the slices follow each other along


def upright(scan: Scan) -> Scan:
    """The same scan with its planes axial: axes exchanged and flipped, voxels never resampled.

    An oblique scan stays oblique; its axes are put in the order of the nearest ones of the body. Sagittal and coronal
    series leave a remark, since their axial planes are as coarse along one side as the series' planes are apart.
    """
    orientation = _orientation(scan.affine)
    turn = nib.orientations.ornt_transform(orientation, _UPRIGHT)
    if np.array_equal(turn, [[0, 1], [1, 1], [2, 1]]):
        return scan
    remarks = scan.remarks
    if (planes := _PLANES.get(int(orientation[0, 0]))) is not None:
        remarks += (f"the CT is {planes}: turned to axial planes, planes were {scan.spacing_mm[0]:.3g} mm apart",)
    return replace(
        scan,
        hu=_turned(scan.hu, turn),
        affine=scan.affine @ nib.orientations.inv_ornt_aff(turn, scan.hu.shape),
        masks={name: _turned(mask, turn) for name, mask in scan.masks.items()},
        parts=None if scan.parts is None else _turned(scan.parts, turn),
        organ=None if scan.organ is None else _turned(scan.organ, turn),
        remarks=remarks,
    )


def turned_back(mask: NDArray[np.bool_], scan: Scan) -> NDArray[np.bool_]:
    """A mask of `upright(scan)` on the grid of `scan` itself."""
    return _turned(mask, nib.orientations.ornt_transform(_UPRIGHT, _orientation(scan.affine)))


def _orientation(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    orientation: NDArray[np.float64] = nib.orientations.io_orientation(_RAS_FROM_LPS @ affine)
    return orientation


def _turned(volume: NDArray[Any], turn: NDArray[np.float64]) -> NDArray[Any]:
    return np.ascontiguousarray(nib.orientations.apply_orientation(volume, turn))
