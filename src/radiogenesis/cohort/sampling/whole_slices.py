"""Whole axial slices: what a detector of tumors sees of a scan, all scans at one scale, and the way back.

Stage 1 of Li, Sui et al. 2021 (section III.B): whole CT slices, and only those that contain lung. Each slice is
resampled to a square of the same size in millimeters, the lungs' box in its middle, so that a network trained on one
cohort meets the same scale in another. The lungs are found without any knowledge of the outlined tumor: whoever looks
for tumors has no outline.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.sampling.lungs import lung_mask
from radiogenesis.cohort.sampling.slices import SamplingSettings, Weights, area_weights, linear_weights, squares
from radiogenesis.cohort.scan import AIR_HU, Scan
from radiogenesis.errors import ScanError

_AT_ONCE = 16  # planes resampled together: memory, not speed


@dataclass(frozen=True)
class WholeSlices:
    """Whole slices of one scan.

    Attributes:
        image: (N, S, S) int16, HU.
        tumor: (N, S, S) bool, pixels that are more than half outlined tumor.
        lungs: (N, S, S) bool, pixels that are more than half lung, found without the outline.
        plane: (N,) int32, which plane of the scan.
        to_patient: (N, 3, 3) float64, (row, column, 1) of a pixel -> (x, y, z) in patient coordinates, mm, LPS.
    """

    image: NDArray[np.int16]
    tumor: NDArray[np.bool_]
    lungs: NDArray[np.bool_]
    plane: NDArray[np.int32]
    to_patient: NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """Where the whole slices of a scan lie in it.

    Attributes:
        planes: (N,) the planes that are kept.
        middle: (y, x) of the squares' middle, in voxels.
        spacing_mm: of the scan, (z, y, x).
        pixels: S.
        pixel_mm: side of a pixel.
    """

    planes: NDArray[np.intp]
    middle: tuple[float, float]
    spacing_mm: tuple[float, float, float]
    pixels: int
    pixel_mm: float

    @classmethod
    def around(cls, lungs: NDArray[np.bool_], scan: Scan, settings: SamplingSettings) -> Frame:
        """The slices with lung, their middle that of the lungs' box. Raises ScanError where too little lung is seen."""
        dz, dy, dx = scan.spacing_mm
        area_mm2 = lungs.sum(axis=(1, 2)) * dy * dx
        planes = np.flatnonzero(area_mm2 >= settings.whole_lung_mm2)
        if not len(planes):
            raise ScanError(
                f"scan of {scan.patient}: no slice shows {settings.whole_lung_mm2:g} mm2 of lung",
                remedy="check that it is a chest CT in HU, or lower --whole_lung_mm2",
            )
        rows, columns = (np.flatnonzero(lungs.any(axis=others)) for others in ((0, 2), (0, 1)))
        return cls(
            planes=planes[:: max(1, round(settings.whole_every_mm / dz))],
            middle=(float(rows[0] + rows[-1]) / 2, float(columns[0] + columns[-1]) / 2),
            spacing_mm=scan.spacing_mm,
            pixels=settings.whole_pixels,
            pixel_mm=settings.whole_field_mm / settings.whole_pixels,
        )

    def images(self, scan: Scan) -> NDArray[np.int16]:
        """(N, S, S) HU; outside the scan is air."""
        return np.rint(self._cut(scan.hu, linear_weights, AIR_HU)).astype(np.int16)

    def masks(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(Z, Y, X) -> (N, S, S): pixels of which more than half lies inside."""
        return self._cut(mask, area_weights, 0) > 0.5

    def _cut(self, volume: NDArray[np.generic], weights: Weights, outside: float) -> NDArray[np.float64]:
        cut = np.empty((len(self.planes), self.pixels, self.pixels))
        for start in range(0, len(self.planes), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            place = (self.middle, self.spacing_mm, self.pixels, self.pixel_mm)
            cut[some] = squares(volume, self.planes[some], *place, weights, outside)
        return cut

    def to_patient(self, scan: Scan) -> NDArray[np.float64]:
        """(N, 3, 3), see WholeSlices."""
        steps = scan.affine[:3, 1:3] * (self.pixel_mm / np.array(self.spacing_mm[1:]))  # (3, 2) mm per row and column
        corner = np.array(self.middle) - (self.pixels - 1) / 2 * self.pixel_mm / np.array(self.spacing_mm[1:])
        index = np.column_stack([self.planes, np.broadcast_to(corner, (len(self.planes), 2))])
        origins = scan.to_patient(index.astype(np.float64))  # (N, 3)
        return np.concatenate([np.broadcast_to(steps, (len(origins), 3, 2)), origins[:, :, None]], axis=2)

    def back(self, values: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Values of whole slices on the scan's own voxels: (N, S, S) -> (Z, Y, X), interpolated, 0 elsewhere."""
        volume = np.zeros(shape, np.float32)
        from_rows, rows = self._enlarging(shape[1], self.middle[0], self.spacing_mm[1])
        from_columns, columns = self._enlarging(shape[2], self.middle[1], self.spacing_mm[2])
        for plane, image in zip(self.planes, values, strict=True):
            padded = np.zeros((len(rows), len(columns)))
            inside = [(index >= 0) & (index < self.pixels) for index in (rows, columns)]
            padded[np.ix_(*inside)] = image[np.ix_(rows[inside[0]], columns[inside[1]])]
            volume[plane] = from_rows @ padded @ from_columns.T
        return volume

    def _enlarging(self, voxels: int, middle: float, step_mm: float) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Weights (voxels, pixels) by which voxels along an axis are interpolated between pixels."""
        step = step_mm / self.pixel_mm
        return linear_weights((self.pixels - 1) / 2 + ((voxels - 1) / 2 - middle) * step, step, voxels)


def blind_lungs(scan: Scan) -> NDArray[np.bool_]:
    """The lungs as they are found where nothing is outlined. Raises ScanError where there are none."""
    return lung_mask(replace(scan, masks={}, tumor=None))


def whole_slices(scan: Scan, lungs: NDArray[np.bool_], settings: SamplingSettings) -> WholeSlices:
    """The whole slices of a scan that contain lung.

    Args:
        scan: the scan.
        lungs: (Z, Y, X) from `blind_lungs`.
        settings: `whole_pixels` must not be 0.

    Raises:
        ScanError: no slice shows enough lung.
    """
    frame = Frame.around(lungs, scan, settings)
    return WholeSlices(
        image=frame.images(scan),
        tumor=frame.masks(scan.tumor_mask),
        lungs=frame.masks(lungs),
        plane=frame.planes.astype(np.int32),
        to_patient=frame.to_patient(scan),
    )
