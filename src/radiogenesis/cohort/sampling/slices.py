"""Slices of 60 mm: the nodule's, which are what a method learns from, and the healthy lung's, onto which it draws.

Xu et al. 2020, section 2: a 60 x 60 x 60 mm volume around each tumor, whose axial slices with tumor are the samples;
backgrounds from volumes around points drawn at random 5 to 25 mm inside the boundary of lung minus tumor.

The scan's own planes are kept along z; within a plane the 60 mm square is resampled to `pixels` x `pixels`. Both
images and masks are separable weighted sums, so a stack of slices is two small matrix products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.scan import AIR_HU, Scan
from radiogenesis.errors import ScanError
from radiogenesis.imaging import LUNG_CT, ORGANS, Imaging, OrganName

Weights = Callable[[float, float, int], tuple[NDArray[np.float64], NDArray[np.intp]]]

AERATED_HU = -500.0  # the median of a background's middle is below: vessels may cross it, a dome of the diaphragm not
CENTERS_TRIED = 50  # for one background volume
# So many candidates are looked at one by one before the distance of every voxel is worth computing.
CANDIDATES = 500


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """What is cut out of a scan, and how finely."""

    organ: OrganName = "lung"
    """Whose lesions they are: backgrounds are cut inside it, and the defaults below follow it (radiogenesis.imaging).
    Lungs and brains are found; inside breast, liver and kidney, which are not, backgrounds are of the whole body."""
    window: tuple[float, float] | None = None
    """Intensities that are told apart, in HU, or in standard deviations with --normalize zscore; what lies outside is
    clipped when it is used. By default the organ's: lung and body -1000 500, brain -20 120, breast -200 300, liver
    -160 240, kidney -160 300; of z-scores -3 5."""
    pixels: int = 64
    """Pixels per side of an image (the paper does not say; 128 for its preset)."""
    field_of_view_mm: float = None  # type: ignore[assignment]  # __post_init__ puts in the organ's
    """Side of the square and of the volume it is cut from, in mm. By default the organ's: lung 60 (Xu et al. 2020),
    breast 60, others 80."""
    boundary_mm: tuple[float, float] = None  # type: ignore[assignment]  # the same
    """Least and greatest distance of a background's center from the boundary of organ minus tumor, in mm. By default
    the organ's: lung 5 25 (Xu et al. 2020, section 3), brain and liver 12 60, breast 8 60, kidney 5 40, body 12 80."""
    middle_in_lung: bool = True
    """The middle of every background slice keeps the least distance too, and is lung as far (beyond the paper): else
    some show the diaphragm or the tumor where a lesion is to be drawn. false takes any slice of the volume, as Xu et
    al. 2020, section 3, have it: for their preset `paper`. Of another organ the distance alone counts, not the air."""
    background_centers: int = 1
    """Background volumes drawn in each scan (the paper does not say)."""
    slices_per_center: int = 20
    """Random slices of each background volume (Xu et al. 2020: 20); one comes twice only where a volume has fewer."""
    min_area_mm2: float = 10.0
    """Slices with less tumor than this in the image, in square mm, are left out; 0 keeps every slice in which
    some pixel is more than half tumor (Xu et al. 2020, section 3: slices with nodule presence; for their preset
    `paper`)."""
    lesions: Literal["largest", "all"] = "largest"
    """Which of several lesions of a patient are cut: the largest, or all, each centered on itself. All of them are
    their patient's, whose genes they share: splits, intervals and permutations are over patients either way."""
    least_lesion_ml: float = 0.1
    """Of all lesions, smaller ones are left out, in ml (0.1 ml: a ball of 6 mm, below which Fleischner 2017 wants no
    follow-up); the largest one always counts."""
    whole_pixels: int = 0
    """Pixels per side of the whole axial slices that are kept for the detection of tumors, of lungs only; 0 keeps none,
    128 suits a CPU (Li, Sui et al. 2021 take the 512 of the scan)."""
    whole_field_mm: float = 384.0
    """Side of a whole slice in mm, the lungs' box in its middle: every scan at the same scale (the paper does not say).
    """
    whole_every_mm: float = 5.0
    """Distance between the whole slices that are kept, in mm, to the nearest number of planes; 0 keeps every plane."""
    whole_lung_mm2: float = 1000.0
    """Only slices with at least so much lung, in square mm, are kept (Li, Sui et al. 2021: slices that contain lung).
    """
    seed: int = 0
    """Seed of the drawn centers and slices; each patient has a stream of its own."""

    def __post_init__(self) -> None:
        if self.organ not in ORGANS:
            raise ValueError(f"organ {self.organ!r}: one of {', '.join(ORGANS)}")
        for name in ("field_of_view_mm", "boundary_mm"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, getattr(ORGANS[self.organ], name))
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ValueError(f"window {self.window}: the lower end first")
        if self.whole_pixels and self.organ != "lung":
            raise ValueError(f"whole_pixels {self.whole_pixels}: whole slices are of lungs only, not of {self.organ}")
        low, high = self.boundary_mm
        if self.pixels < 8:
            raise ValueError(f"pixels {self.pixels}: at least 8")
        if not self.field_of_view_mm > 0:
            raise ValueError(f"field_of_view_mm {self.field_of_view_mm}: above 0")
        if not 0 <= low < high:
            raise ValueError(f"boundary_mm {self.boundary_mm}: two distances, the smaller first, not below 0")
        if self.background_centers < 0 or self.slices_per_center < 1:
            raise ValueError(
                f"background_centers {self.background_centers} must be 0 or more, "
                f"slices_per_center {self.slices_per_center} 1 or more"
            )
        if not self.min_area_mm2 >= 0:
            raise ValueError(f"min_area_mm2 {self.min_area_mm2}: not below 0")
        if self.whole_pixels < 0 or self.whole_pixels % 32:
            raise ValueError(f"whole_pixels {self.whole_pixels}: a multiple of 32, or 0 for none")
        if not self.whole_field_mm > 0:
            raise ValueError(f"whole_field_mm {self.whole_field_mm}: above 0")
        if not (self.whole_every_mm >= 0 and self.whole_lung_mm2 > 0):
            raise ValueError(
                f"whole_every_mm {self.whole_every_mm}: not below 0; whole_lung_mm2 {self.whole_lung_mm2}: above 0"
            )
        if not self.least_lesion_ml >= 0:
            raise ValueError(f"least_lesion_ml {self.least_lesion_ml}: not below 0")
        if self.seed < 0:
            raise ValueError(f"seed {self.seed}: not below 0")

    @property
    def pixel_mm(self) -> float:
        """Side of a pixel in mm."""
        return self.field_of_view_mm / self.pixels


@dataclass(frozen=True)
class NoduleSlices:
    """The axial slices of one tumor.

    Attributes:
        image: (N, P, P) int16, HU.
        mask: (N, P, P) bool, pixels that are more than half tumor.
        offset_mm: (N,) float32, distance of the slice from the tumor's center along the slice normal.
        center_mm: (3,) float64, the tumor's centroid (x, y, z) in patient coordinates (LPS).
    """

    image: NDArray[np.int16]
    mask: NDArray[np.bool_]
    offset_mm: NDArray[np.float32]
    center_mm: NDArray[np.float64]


@dataclass(frozen=True)
class Backgrounds:
    """Axial slices of healthy lung.

    Attributes:
        image: (M, P, P) int16, HU.
        center_mm: (M, 3) float64, center of the volume the slice was drawn from, (x, y, z) in LPS.
        boundary_mm: (M,) float32, distance of the middle of the slice from the boundary of lung minus tumor; no more
            than the greatest that settings ask for.
    """

    image: NDArray[np.int16]
    center_mm: NDArray[np.float64]
    boundary_mm: NDArray[np.float32]


def nodule_slices(scan: Scan, settings: SamplingSettings) -> NoduleSlices:
    """The axial slices that contain tumor, in the volume centered on the tumor's centroid (Xu et al. 2020).

    Raises:
        ScanError: nothing is outlined, or no slice shows enough of it.
    """
    tumor = scan.tumor_mask
    planes, rows, columns = (np.flatnonzero(tumor.any(axis)) for axis in ((1, 2), (0, 2), (0, 1)))
    if not len(planes):
        raise ScanError(
            f"scan of {scan.patient}: no voxel is outlined as tumor", remedy="check the ROI or segment setting"
        )
    box = tuple(slice(int(span[0]), int(span[-1]) + 1) for span in (planes, rows, columns))
    voxels = np.argwhere(tumor[box]) + [edge.start for edge in box]
    center = voxels.mean(axis=0)

    dz = scan.spacing_mm[0]
    planes = planes[np.abs(planes - center[0]) * dz <= settings.field_of_view_mm / 2]
    share = squares(tumor, planes, center[1:], scan.spacing_mm, settings.pixels, settings.pixel_mm, area_weights, 0)
    mask = share > 0.5
    area_mm2 = share.sum(axis=(1, 2)) * settings.pixel_mm**2
    kept = mask.any(axis=(1, 2)) & (area_mm2 >= settings.min_area_mm2)
    if not kept.any():
        raise ScanError(
            f"scan of {scan.patient}: none of the {len(planes)} slices shows {settings.min_area_mm2:g} mm2 of tumor, "
            f"the largest {area_mm2.max(initial=0):.1f} mm2",
            remedy="lower min_area_mm2 or leave the patient out",
        )
    planes = planes[kept]
    return NoduleSlices(
        image=_images(scan, planes, center, settings),
        mask=mask[kept],
        offset_mm=((planes - center[0]) * dz).astype(np.float32),
        center_mm=scan.to_patient(center),
    )


def background_slices(
    scan: Scan,
    organ: NDArray[np.bool_],
    settings: SamplingSettings,
    rng: np.random.Generator,
    imaging: Imaging = LUNG_CT,
) -> Backgrounds:
    """Random slices of volumes around points of healthy lung (Xu et al. 2020), or of another healthy organ.

    Whatever else is outlined on the scan may be another tumor, and is none of the healthy lung either. A center is
    drawn uniformly among the voxels that lie `boundary_mm` inside the boundary of lung minus tumor, and its slices
    among those of its volume. With `middle_in_lung` only slices count whose middle keeps the least of these distances
    and, of lungs, shows air as far; where none does, another center is drawn. Between thick slices the mask of the
    lungs closes over a dome of the diaphragm. The end of the stack is no boundary: a lung that the scan cuts off goes
    on. Planes beyond it cannot be drawn.

    Args:
        scan: the scan.
        organ: (Z, Y, X) bool, both lungs or another organ, tumor included or not.
        settings: sizes and distances.
        rng: draws the centers and the slices.
        imaging: on which scale the scan is.

    Raises:
        ScanError: no voxel lies at such a distance.
    """
    healthy = organ & ~scan.outlined_mask
    centers, _ = draw_centers(healthy, scan.spacing_mm, settings.boundary_mm, settings.background_centers, rng)
    if len(centers) < settings.background_centers:
        low, high = settings.boundary_mm
        raise ScanError(
            f"scan of {scan.patient}: no voxel of {settings.organ} minus tumor lies {low:g} to {high:g} mm inside its "
            f"boundary ({healthy.sum() * np.prod(scan.spacing_mm) / 1000:.0f} ml of {settings.organ} were found)",
            remedy=f"{_check_that(settings.organ)}, or widen boundary_mm",
        )
    n = settings.slices_per_center
    ball = _BoundaryDistance(healthy, scan.spacing_mm, settings.boundary_mm[1])
    drawn = []
    for number in range(len(centers)):
        centers[number], planes, distance = _aerated(scan, healthy, ball, centers[number], settings, rng, imaging)
        chosen = np.sort(rng.choice(len(planes), n, replace=len(planes) < n))
        drawn.append((planes[chosen], np.minimum(distance[chosen], settings.boundary_mm[1])))
    images = [_images(scan, planes, center, settings) for center, (planes, _) in zip(centers, drawn, strict=True)]
    size = settings.pixels
    return Backgrounds(
        image=np.concatenate(images) if images else np.empty((0, size, size), np.int16),
        center_mm=np.repeat(scan.to_patient(centers.astype(float)), n, axis=0),
        boundary_mm=np.concatenate([distance for _, distance in drawn] or [np.empty(0)]).astype(np.float32),
    )


def draw_centers(
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    boundary_mm: tuple[float, float],
    count: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Voxels drawn uniformly among those whose distance transform lies within `boundary_mm`.

    The Euclidean distance transform of a whole chest takes seconds, its value at one voxel a fraction of a millisecond.
    So voxels of the mask are drawn and those at another distance rejected, which gives the same distribution.

    Returns:
        indices (count, 3) as (z, y, x) and their distances in mm (count,); both empty where there is no such voxel.
    """
    inside = np.flatnonzero(mask)
    ball = _BoundaryDistance(mask, spacing_mm, boundary_mm[1])
    chosen: list[tuple[int, ...]] = []
    distances: list[float] = []
    if not len(inside):
        return np.empty((0, 3), dtype=np.intp), np.empty(0)
    for flat in inside[rng.integers(0, len(inside), CANDIDATES * count)]:
        index = tuple(int(i) for i in np.unravel_index(flat, mask.shape))
        distance = ball.at(index)
        if boundary_mm[0] <= distance <= boundary_mm[1]:
            chosen.append(index)
            distances.append(distance)
            if len(chosen) == count:
                break
    if len(chosen) < count:
        return _draw_among_all(mask, spacing_mm, boundary_mm, count, rng)
    return np.array(chosen, dtype=np.intp).reshape(-1, 3), np.array(distances)


def _draw_among_all(
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    boundary_mm: tuple[float, float],
    count: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """`draw_centers` where such voxels are rare: the distance transform of all of them."""
    from scipy.ndimage import distance_transform_edt

    distance = distance_transform_edt(mask, sampling=spacing_mm)
    places = np.argwhere((distance >= boundary_mm[0]) & (distance <= boundary_mm[1]) & mask)
    if not len(places) or mask.all():
        return np.empty((0, 3), dtype=np.intp), np.empty(0)
    chosen = places[rng.integers(0, len(places), count)]
    return chosen, distance[tuple(chosen.T)]


class _BoundaryDistance:
    """The Euclidean distance transform of a mask in mm at single voxels, as far as `limit_mm`; inf beyond."""

    def __init__(self, mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float], limit_mm: float) -> None:
        self.mask = mask
        self.reach = [int(np.ceil(limit_mm / step)) for step in spacing_mm]
        axes = [np.arange(-reach, reach + 1) * step for reach, step in zip(self.reach, spacing_mm, strict=True)]
        z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
        self.distance = np.sqrt(z**2 + y**2 + x**2)  # from the middle of the box

    def at(self, index: tuple[int, ...]) -> float:
        """Distance from the voxel to the nearest voxel outside the mask; voxels outside the array do not count."""
        low = [max(i - reach, 0) for i, reach in zip(index, self.reach, strict=True)]
        high = [min(i + reach + 1, n) for i, reach, n in zip(index, self.reach, self.mask.shape, strict=True)]
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        ball = tuple(
            slice(a - i + reach, b - i + reach) for a, b, i, reach in zip(low, high, index, self.reach, strict=True)
        )
        return float(np.min(self.distance[ball], where=~self.mask[box], initial=np.inf))


def _aerated(
    scan: Scan, healthy: NDArray[np.bool_], ball: _BoundaryDistance, center: NDArray[np.intp],
    settings: SamplingSettings, rng: np.random.Generator, imaging: Imaging,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:  # fmt: skip
    """The center, or the first one drawn anew around which there are planes to draw; and these, see `_planes_to_draw`.

    Raises:
        ScanError: there are none around any of them.
    """
    for tried in range(1 + CENTERS_TRIED):
        if tried:
            center = draw_centers(healthy, scan.spacing_mm, settings.boundary_mm, 1, rng)[0][0]
        planes, distance = _planes_to_draw(scan, ball, center, settings, imaging)
        if len(planes):
            return center, planes, distance
    aerated = f"is aerated (median below {AERATED_HU:g} HU in the middle)"
    raise ScanError(
        f"scan of {scan.patient}: around {CENTERS_TRIED} centers in the {settings.organ} no slice "
        + (aerated if settings.organ == "lung" else f"has its middle {settings.boundary_mm[0]:g} mm inside"),
        remedy=_check_that(settings.organ),
    )


def _check_that(organ: OrganName) -> str:
    return "check that it is a chest CT in HU" if organ == "lung" else f"check that the scan shows the {organ}"


def _planes_to_draw(
    scan: Scan, ball: _BoundaryDistance, center: NDArray[np.intp], settings: SamplingSettings, imaging: Imaging
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The planes of the volume around `center`, in ascending order, and how far inside the boundary their middles lie,
    in mm; those whose middle is lung, where the settings ask for it."""
    every = np.arange(scan.hu.shape[0])
    planes = every[np.abs(every - center[0]) * scan.spacing_mm[0] <= settings.field_of_view_mm / 2]
    row, column = int(center[1]), int(center[2])
    distance = np.array([ball.at((int(z), row, column)) for z in planes])
    if not settings.middle_in_lung:
        return planes, distance
    least = settings.boundary_mm[0]
    kept = distance >= least
    if settings.organ == "lung" and imaging.in_hu:
        kept &= _middle_hu(scan, planes, row, column, least) < imaging.stored(AERATED_HU)
    return planes[kept], distance[kept]


def _middle_hu(scan: Scan, planes: NDArray[np.intp], row: int, column: int, radius_mm: float) -> NDArray[np.float64]:
    """Median HU of the disc around a voxel, plane by plane."""
    reach = [int(radius_mm / step) for step in scan.spacing_mm[1:]]
    rows, columns = (
        np.arange(max(at - by, 0), min(at + by + 1, size))
        for at, by, size in zip((row, column), reach, scan.hu.shape[1:], strict=True)
    )
    far = np.hypot((rows[:, None] - row) * scan.spacing_mm[1], (columns - column) * scan.spacing_mm[2]) <= radius_mm
    return np.array([np.median(scan.hu[z][np.ix_(rows, columns)][far]) for z in planes])


def _images(
    scan: Scan, planes: NDArray[np.intp], center: NDArray[np.float64], settings: SamplingSettings
) -> NDArray[np.int16]:
    """HU of the squares around `center` in the given planes, (len(planes), P, P); outside the scan is air."""
    size, step = settings.pixels, settings.pixel_mm
    values = squares(scan.hu, planes, center[1:], scan.spacing_mm, size, step, linear_weights, AIR_HU)
    return np.rint(values).astype(np.int16)


def squares(
    volume: NDArray[np.generic],
    planes: NDArray[np.intp],
    middle: Sequence[float] | NDArray[np.floating],
    spacing_mm: tuple[float, float, float],
    pixels: int,
    pixel_mm: float,
    weights: Weights,
    outside: float,
) -> NDArray[np.float64]:
    """The square around `middle` (y, x) in each plane, resampled along rows and columns: (len(planes), P, P)."""
    from_rows, rows = weights(float(middle[0]), pixel_mm / spacing_mm[1], pixels)
    from_columns, columns = weights(float(middle[1]), pixel_mm / spacing_mm[2], pixels)
    cut = np.full((len(planes), len(rows), len(columns)), outside, dtype=np.float64)
    row_inside = (rows >= 0) & (rows < volume.shape[1])
    column_inside = (columns >= 0) & (columns < volume.shape[2])
    cut[np.ix_(np.arange(len(planes)), row_inside, column_inside)] = volume[
        np.ix_(planes, rows[row_inside], columns[column_inside])
    ]
    return from_rows @ cut @ from_columns.T  # (N, P, P)


def _pixel_centers(center: float, step: float, pixels: int) -> NDArray[np.float64]:
    """Positions of the pixels' centers in voxels, `step` voxels apart, symmetric about `center`."""
    return np.linspace(-0.5, 0.5, pixels, dtype=np.float64) * (step * (pixels - 1)) + center


def linear_weights(center: float, step: float, pixels: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Weights (pixels, voxels) of linear interpolation along one axis, and the voxels' indices.

    Where a pixel is larger than a voxel (step > 1) the interpolated line is averaged over a window, so that details
    smaller than a pixel do not alias: hat * window has the variance of the hat of one pixel, 1/6 + window^2/12 =
    step^2/6. A ramp stays the same ramp at any step.
    """
    positions = _pixel_centers(center, step, pixels)
    window = np.sqrt(2 * max(step**2 - 1, 0))
    voxels = np.arange(np.floor(positions[0] - window / 2) - 1, np.ceil(positions[-1] + window / 2) + 2)
    to_voxel = positions[:, None] - voxels
    if window < 1e-6:
        return np.clip(1 - np.abs(to_voxel), 0, None), voxels.astype(np.intp)
    weights = (_hat_integral(to_voxel + window / 2) - _hat_integral(to_voxel - window / 2)) / window
    return weights, voxels.astype(np.intp)


def _hat_integral(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral of max(0, 1 - |u|) from minus infinity to t."""
    u: NDArray[np.float64] = np.clip(t, -1, 1)
    integral: NDArray[np.float64] = 0.5 + u - u * np.abs(u) / 2
    return integral


def area_weights(center: float, step: float, pixels: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Share of each pixel that each voxel covers along one axis, (pixels, voxels), and the voxels' indices."""
    positions = _pixel_centers(center, step, pixels)
    voxels = np.arange(np.floor(positions[0] - step / 2) - 1, np.ceil(positions[-1] + step / 2) + 2)
    right = np.minimum(positions[:, None] + step / 2, voxels + 0.5)
    left = np.maximum(positions[:, None] - step / 2, voxels - 0.5)
    return np.clip(right - left, 0, None) / step, voxels.astype(np.intp)
