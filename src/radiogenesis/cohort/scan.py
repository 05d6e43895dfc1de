"""The noun `Scan`: one volume, of CT in HU, where it lies in the patient, and what is outlined on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from radiogenesis.errors import ScanError

AIR_HU = -1024


@dataclass(frozen=True, kw_only=True)
class Acquisition:
    """How a scan was made: what a batch effect may hide in. Unknown text is "", unknown numbers are nan."""

    manufacturer: str = ""
    model: str = ""
    kernel: str = ""
    slice_thickness_mm: float = float("nan")
    kvp: float = float("nan")
    study_date: str = ""
    series_uid: str = ""
    frame_of_reference_uid: str = ""
    chosen_because: str = ""
    """The rule by which this series was chosen among several, in words; "" where there was only one."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One volume.

    Attributes:
        patient: patient identifier.
        hu: (Z, Y, X) int16, Hounsfield units; z ascends along the slice normal, voxels outside the scan circle are air.
            Of MR float32 as it was read, until `sampling.scale` puts it on the scale of the cohort, int16 again.
        affine: (4, 4) float64, maps array index (z, y, x, 1) to patient coordinates (x, y, z, 1), mm, LPS as in DICOM.
        masks: name -> (Z, Y, X) bool; the tumor is under the name that `tumor` gives. What else is outlined may be
            another lesion: it is no healthy lung either.
        tumor: name of the tumor's mask in `masks`, or None where nothing is outlined.
        acquisition: scanner, kernel, slice thickness, identifiers.
        remarks: what was assumed when the scan was read, in words, for the audit.
        parts: (Z, Y, X) int16, which label, ROI or file a voxel of the tumor is from, as its place in `part_names` plus
            one; 0 elsewhere. None where there is only one: then lesions are told apart by lying apart.
        part_names: what these are called.
        organ: (Z, Y, X) bool, the organ by masks of the user's own; None where it is to be found.
        unplaced: an outline whose place on the scan is unknown, in words: what looks healthy may be in it. "" for none.
    """

    patient: str
    hu: NDArray[Any]
    affine: NDArray[np.float64]
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    tumor: str | None = None
    acquisition: Acquisition = field(default_factory=Acquisition)
    remarks: tuple[str, ...] = ()
    unplaced: str = ""
    parts: NDArray[np.int16] | None = None
    part_names: tuple[str, ...] = ()
    organ: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.hu.ndim != 3 or self.affine.shape != (4, 4):
            raise ScanError(f"scan of {self.patient}: hu {self.hu.shape} must be 3-D, affine {self.affine.shape} 4 x 4")
        for name, mask in self.masks.items():
            if mask.shape != self.hu.shape or mask.dtype != np.bool_:
                kind = f"{mask.dtype} {mask.shape}, not bool {self.hu.shape}"
                raise ScanError(f"scan of {self.patient}: mask {name!r} is {kind}")
        if self.tumor is not None and self.tumor not in self.masks:
            raise ScanError(f"scan of {self.patient}: no mask {self.tumor!r} among {sorted(self.masks)}")

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centers in mm along (z, y, x)."""
        dz, dy, dx = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(dz), float(dy), float(dx)

    @property
    def tumor_mask(self) -> NDArray[np.bool_]:
        """(Z, Y, X) bool; all False where nothing is outlined."""
        return np.zeros(self.hu.shape, bool) if self.tumor is None else self.masks[self.tumor]

    @property
    def outlined_mask(self) -> NDArray[np.bool_]:
        """(Z, Y, X) bool; the tumor and all else that is outlined."""
        return np.logical_or.reduce([np.zeros(self.hu.shape, bool), *self.masks.values()])

    def volume_ml(self, name: str) -> float:
        """Volume of a mask in millilitres: voxels counted, times the voxel's volume."""
        return float(self.masks[name].sum() * np.prod(self.spacing_mm) / 1000)

    def to_patient(self, index_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
        """Array indices (..., 3) as (z, y, x) -> patient coordinates (..., 3) as (x, y, z) in mm."""
        return index_zyx @ self.affine[:3, :3].T + self.affine[:3, 3]

    def with_mask(self, name: str, mask: NDArray[np.bool_], *, tumor: bool = False) -> Scan:
        """The same scan with one more mask, which is the tumor's if `tumor`."""
        return replace(self, masks={**self.masks, name: mask}, tumor=name if tumor else self.tumor)

    def with_parts(self, parts: Sequence[tuple[str, NDArray[np.bool_]]]) -> Scan:
        """The same scan, its tumor told apart by (name, mask); a voxel in two of them is the first one's, and one in
        none, where planes between contours were interpolated, the nearest one's."""
        whose = np.zeros(self.hu.shape, np.int16)
        for number, (_, mask) in reversed(list(enumerate(parts, start=1))):
            whose[mask] = number
        tumor = self.tumor_mask
        if (tumor & (whose == 0)).any():
            nearest = distance_transform_edt(whose == 0, self.spacing_mm, return_distances=False, return_indices=True)
            whose = whose[tuple(nearest)]
        whose[~tumor] = 0
        return replace(self, parts=whose, part_names=tuple(name for name, _ in parts))
