"""RTSTRUCT: closed planar contours, and the voxels whose centers lie inside them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy.spatial import cKDTree

from radiogenesis.cohort.dicom.headers import text
from radiogenesis.cohort.dicom.outlines import Outline, check_frame_of_reference, items, listed, matches
from radiogenesis.cohort.dicom.series import Series
from radiogenesis.cohort.sampling.pieces import whole_planes, with_gaps_filled
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.errors import ScanError

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")  # of the second, DICOM says that contours are combined by XOR
SAME = 0.95  # intersection over union from which two contours are one, redrawn
TILE = 16  # pixels; contours are compared with those that reach the same tile of their plane
MOST_ON_ONE_PLACE = 500  # of them, which bounds the time for what nobody draws
WALL = 1.5  # pixels; a contour within another is its hole only where the wall between them is thicker somewhere


def describe_rtstruct(data: Dataset, path: Path, settings: ReadSettings) -> Outline:
    """What an RTSTRUCT outlines, and on which images."""
    frames = list(items(data, "ReferencedFrameOfReferenceSequence"))
    series = [
        one
        for frame in frames
        for study in items(frame, "RTReferencedStudySequence")
        for one in items(study, "RTReferencedSeriesSequence")
    ]
    contours = [contour for roi in items(data, "ROIContourSequence") for contour in items(roi, "ContourSequence")]
    images = [image for one in [*series, *contours] for image in items(one, "ContourImageSequence")]
    rois = list(items(data, "StructureSetROISequence"))
    names = tuple(text(roi, "ROIName") for roi in rois)
    return Outline(
        path=path,
        kind="RTSTRUCT",
        patient=text(data, "PatientID") or text(data, "PatientName"),
        series_uids=frozenset(text(one, "SeriesInstanceUID") for one in series) - {""},
        image_uids=frozenset(text(image, "ReferencedSOPInstanceUID") for image in images) - {""},
        frames_of_reference=frozenset(
            [text(frame, "FrameOfReferenceUID") for frame in frames]
            + [text(roi, "ReferencedFrameOfReferenceUID") for roi in rois]
        )
        - {""},
        names=names,
        chosen=matches(names, settings.roi),
        automatic=False,
        made=text(data, "StructureSetDate") + text(data, "StructureSetTime"),
        uid=text(data, "SOPInstanceUID"),
    )


def read_rtstruct(
    data: Dataset, path: Path, series: Series, settings: ReadSettings
) -> tuple[str, NDArray[np.bool_], str]:
    """The tumor's name, its mask (Z, Y, X) on the grid of the CT, and a remark on what was assumed.

    A voxel is inside if its center is. On one plane an inner contour is a hole (see `nested`); several ROIs that match
    `settings.roi` are united; a plane that was forgotten is interpolated (see `pieces.whole_planes`).

    Raises:
        ScanError: no such ROI, no closed contour in it, another frame of reference, a contour that lies on no plane of
            the CT or leaves it.
    """
    rois = {int(roi.ROINumber): roi for roi in items(data, "StructureSetROISequence")}
    names = {number: text(roi, "ROIName") for number, roi in rois.items()}
    chosen = set(matches(list(names.values()), settings.roi))
    if not chosen:
        raise ScanError(
            f"no ROI {settings.roi!r} in the RTSTRUCT; it has {listed(names.values())}", path=path, remedy="set --roi"
        )
    mask = np.zeros(series.hu.shape, bool)
    remarks: Counter[str] = Counter()
    for roi in items(data, "ROIContourSequence"):
        number = int(roi.ReferencedROINumber)
        if names.get(number) not in chosen:
            continue
        check_frame_of_reference([text(rois[number], "ReferencedFrameOfReferenceUID")], series, path)
        remarks += _draw(roi, names[number], mask, series, path, settings)
    name = "+".join(sorted(chosen))
    if not mask.any():
        raise ScanError(f"ROI {name!r} is empty: no closed contour holds the center of a voxel", path=path)
    mask, gaps = whole_planes(mask, series.spacing_mm, path)
    told = [f"{count} contour{'s' * (count > 1)} {what}" for what, count in remarks.items()]
    return name, mask, "; ".join(filter(None, [*told, gaps]))


def tumor_rois(
    data: Dataset, path: Path, series: Series, settings: ReadSettings
) -> list[tuple[str, NDArray[np.bool_]]]:
    """Name and mask (Z, Y, X) of each ROI that is the tumor, where several are; as `read_rtstruct` unites them."""
    names = {int(roi.ROINumber): text(roi, "ROIName") for roi in items(data, "StructureSetROISequence")}
    chosen = set(matches(list(names.values()), settings.roi))
    rois = [roi for roi in items(data, "ROIContourSequence") if names.get(int(roi.ReferencedROINumber)) in chosen]
    if len(rois) < 2:
        return []
    apart = []
    for roi in rois:
        name, mask = names[int(roi.ReferencedROINumber)], np.zeros(series.hu.shape, bool)
        _draw(roi, name, mask, series, path, settings)
        apart.append((name, mask))
    return [(name, mask) for name, mask in apart if mask.any()]


def other_rois(
    data: Dataset, path: Path, series: Series, settings: ReadSettings, *, all_of_them: bool
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Name and mask (Z, Y, X) of the ROIs that are not the tumor, where the CT reaches them.

    They are drawn to keep away from: without holes, each contour on the nearest plane, gaps between planes filled.

    Args:
        all_of_them: the ROIs that are the tumor by the settings too.

    Raises:
        ScanError: a ROI lies in another frame of reference.
    """
    rois = {int(roi.ROINumber): roi for roi in items(data, "StructureSetROISequence")}
    tumor = () if all_of_them else matches([text(roi, "ROIName") for roi in rois.values()], settings.roi)
    to_index = np.linalg.inv(series.affine)
    for roi in items(data, "ROIContourSequence"):
        described = rois.get(int(roi.ReferencedROINumber), Dataset())
        if text(described, "ROIName") in tumor:
            continue
        check_frame_of_reference([text(described, "ReferencedFrameOfReferenceUID")], series, path)
        mask: NDArray[np.bool_] = np.zeros(series.hu.shape, bool)
        shape = (mask.shape[1], mask.shape[2])
        for contour in items(roi, "ContourSequence"):
            if text(contour, "ContourGeometricType") in CLOSED:
                zyx = _points(contour) @ to_index[:3, :3].T + to_index[:3, 3]
                plane = round(float(np.median(zyx[:, 0])))
                if 0 <= plane < len(mask):
                    mask[plane] |= fill_even_odd([zyx[:, 1:]], shape)
        yield text(described, "ROIName"), with_gaps_filled(mask, series.spacing_mm)


def _draw(
    roi: Dataset, name: str, mask: NDArray[np.bool_], series: Series, path: Path, settings: ReadSettings
) -> Counter[str]:
    """Unite one ROI's contours with `mask`; returns what was assumed, and of how many contours."""
    to_index = np.linalg.inv(series.affine)
    closed: dict[int, list[NDArray[np.float64]]] = defaultdict(list)
    exclusive: dict[int, list[NDArray[np.float64]]] = defaultdict(list)
    remarks: Counter[str] = Counter()
    for contour in items(roi, "ContourSequence"):
        kind = text(contour, "ContourGeometricType")
        if kind not in CLOSED:
            remarks[f"left out, not closed ({kind or 'no type'})"] += 1
            continue
        points = _points(contour)  # (n, 3) LPS mm
        zyx = points @ to_index[:3, :3].T + to_index[:3, 3]  # (n, 3) index
        plane = _plane(zyx, name, series, path, settings)
        (closed if kind == "CLOSED_PLANAR" else exclusive)[plane].append(zyx[:, 1:])
    shape = (mask.shape[1], mask.shape[2])
    redrawn = f"taken for another one redrawn: they lie within {WALL:g} pixels of it"
    try:
        for plane, polygons in closed.items():
            kept, again = drawn_once(polygons, shape)
            mask[plane] |= nested(kept, shape)
            remarks[redrawn] += again
        for plane, polygons in exclusive.items():
            kept, again = drawn_once(polygons, shape)
            mask[plane] |= fill_even_odd([np.zeros((0, 2)), *(region.polygon for region in kept)], shape)
            remarks[redrawn] += again
    except TooManyError as error:
        raise ScanError(
            f"more than {MOST_ON_ONE_PLACE} contours of {name!r} lie within {TILE} pixels of one place on one plane",
            path=path,
            remedy="check the outline: nobody draws that many",
        ) from error
    if settings.contour_edge == "touched":
        for plane, polygon in [(z, one) for group in (closed, exclusive) for z in group for one in group[z]]:
            mask[plane][tuple(touched_pixels(polygon).T)] = True
    return +remarks


def _points(contour: Dataset) -> NDArray[np.float64]:
    """(n, 3) LPS mm, from the text as it stands in the file.

    Above 64 kB it is bytes anyhow, since explicit VR can only hold it as UN; and as pydicom's numbers, each an object
    that knows how it was written, an outline takes longer to read than the CT.
    """
    values = contour.get_item("ContourData").value if "ContourData" in contour else contour.ContourData
    if isinstance(values, bytes):
        values = values.decode("ascii").rstrip(" \0").split("\\")
    return np.asarray(values, float).reshape(-1, 3)


def _plane(zyx: NDArray[np.float64], name: str, series: Series, path: Path, settings: ReadSettings) -> int:
    """Index of the CT plane a contour lies on."""
    plane = round(float(np.median(zyx[:, 0])))
    off = float(np.abs(zyx[:, 0] - plane).max())
    spacing = float(np.linalg.norm(series.affine[:3, 0]))
    if off > settings.plane_tolerance:
        raise ScanError(
            f"a contour of {name!r} lies {off * spacing:.2f} mm off the nearest plane of the CT "
            f"(planes are {spacing:.2f} mm apart)",
            path=path,
            remedy="give the CT it was drawn on",
        )
    size = np.array(series.hu.shape)
    if not 0 <= plane < size[0] or (zyx[:, 1:] < -0.5).any() or (zyx[:, 1:] > size[1:] - 0.5).any():
        raise ScanError(
            f"a contour of {name!r} lies outside the CT (plane {plane} of {size[0]})",
            path=path,
            remedy="give the whole CT series it was drawn on",
        )
    return plane


def drawn_once(polygons: list[NDArray[np.float64]], shape: tuple[int, int]) -> tuple[list[Region], int]:
    """The regions of the contours of one plane, largest first, without those that were drawn again.

    Planning systems write contours twice, smoothed or a fraction of a pixel off, and by the even-odd rule those would
    erase each other. A contour repeats another where their regions share `SAME` of their union, or where it lies in the
    other and the wall between them is nowhere thicker than `WALL` pixels. Contours that hold no pixel are left out.

    Returns:
        the regions, and how many were left out by the thickness of the wall.
    """
    regions = [one for one in (Region.of(polygon, shape) for polygon in polygons) if one.pixels]
    kept, seen = Regions(shape), Regions(shape)  # seen: with those left out, they may be drawn thrice
    thin = 0
    for region in sorted(regions, key=lambda one: -one.pixels):
        same = any(
            region.shared(other) >= SAME * (region.pixels + other.pixels - region.shared(other))
            for other in kept.around(region)
            if region.pixels >= SAME * other.pixels
        )
        again = not same and any(
            region.lies_in(other) and _furthest(other.polygon, region.polygon) <= WALL for other in seen.around(region)
        )
        if not (same or again):
            kept.add(region)
        seen.add(region)
        thin += again
    return kept.listed, thin


def nested(regions: Sequence[Region], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(Y, X) bool: several regions of one plane, the largest first, as one mask, by how they lie in each other.

    A region within another is a hole, one within the hole is filled again (even-odd); regions side by side, or that
    cross, are united.
    """
    mask, larger = np.zeros(shape, bool), Regions(shape)
    for region in regions:
        depth = sum(region.lies_in(other) for other in larger.around(region))
        mask[region.box][region.inside] = depth % 2 == 0
        larger.add(region)
    return mask


@dataclass(frozen=True, eq=False)
class Region:
    """The pixels of one contour, within the box that holds them: a plane may have thousands of contours.

    Attributes:
        polygon: (n, 2) vertices as (y, x) index.
        box: rows and columns of the plane.
        inside: (y, x) bool, within the box.
        pixels: how many.
    """

    polygon: NDArray[np.float64]
    box: tuple[slice, slice]
    inside: NDArray[np.bool_]
    pixels: int

    @classmethod
    def of(cls, polygon: NDArray[np.float64], shape: tuple[int, int]) -> Region:
        """The region that a polygon holds of a plane of that shape."""
        low = np.floor(polygon.min(axis=0)).clip(0, shape).astype(int)
        high = (np.ceil(polygon.max(axis=0)) + 1).clip(low, shape).astype(int)
        box = slice(low[0], high[0]), slice(low[1], high[1])
        # On the whole plane: from another origin a point on an edge might fall to the other side.
        inside = fill_even_odd([polygon], shape)[box].copy()
        return cls(polygon, box, inside, int(np.count_nonzero(inside)))

    def shared(self, other: Region) -> int:
        """How many pixels are in both."""
        common = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(self.box, other.box, strict=True)]
        if any(one.stop <= one.start for one in common):
            return 0
        parts = (
            region.inside[
                tuple(slice(c.start - b.start, c.stop - b.start) for c, b in zip(common, region.box, strict=True))
            ]
            for region in (self, other)
        )
        return int(np.count_nonzero(np.logical_and(*parts)))

    def lies_in(self, other: Region) -> bool:
        """Whether all of its pixels are in the other."""
        return self.pixels <= other.pixels and self.shared(other) == self.pixels


class TooManyError(Exception):
    """More contours on one place than anybody draws."""


class Regions:
    """Regions of one plane, and which of them may touch another one: those of the same tiles.

    Attributes:
        listed: all of them, as they were added.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.listed: list[Region] = []
        self._tiles: dict[tuple[int, int], list[Region]] = defaultdict(list)
        self._shape = shape

    def add(self, region: Region) -> None:
        """Keep one more."""
        self.listed.append(region)
        for tile in self._of(region):
            self._tiles[tile].append(region)

    def around(self, region: Region) -> Sequence[Region]:
        """Those that may hold a region: all that reach the tile of its middle pixel, the last first.

        Raises:
            TooManyError: more lie on one place than anybody draws.
        """
        there = self._tiles.get(self._first(region), [])
        if len(there) > MOST_ON_ONE_PLACE:
            raise TooManyError
        return there[::-1]

    @staticmethod
    def _first(region: Region) -> tuple[int, int]:
        """The tile of the middle one of its pixels: who shares most of them, or all, reaches that tile."""
        rows, columns = np.nonzero(region.inside)
        at = len(rows) // 2
        return (region.box[0].start + int(rows[at])) // TILE, (region.box[1].start + int(columns[at])) // TILE

    @staticmethod
    def _of(region: Region) -> Iterator[tuple[int, int]]:
        down, across = (range(side.start // TILE, (side.stop - 1) // TILE + 1) for side in region.box)
        return ((y, x) for y in down for x in across)


def _furthest(outline: NDArray[np.float64], other_outline: NDArray[np.float64]) -> float:
    """How far, in pixels, a point of one outline lies at most from the other outline."""
    nearest, _ = cKDTree(_along(other_outline)).query(_along(outline))
    return float(nearest.max())


def touched_pixels(polygon: NDArray[np.float64]) -> NDArray[np.intp]:
    """(n, 2) indices of the pixels that the polygon's edges pass through, found in steps of a twentieth of a pixel.

    Args:
        polygon: (n, 2) vertices as (y, x) index.
    """
    return np.unique(np.rint(_along(polygon)).astype(np.intp), axis=0)


def _along(polygon: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) points along a polygon's edges, a twentieth of a pixel apart or less."""
    edges = np.roll(polygon, -1, axis=0) - polygon
    steps = np.ceil(20 * np.abs(edges).max(axis=1)).astype(int) + 1  # per edge
    edge = np.repeat(np.arange(len(polygon)), steps)
    share = (np.arange(len(edge)) - np.repeat(np.cumsum(steps) - steps, steps)) / steps[edge]
    points: NDArray[np.float64] = polygon[edge] + share[:, None] * edges[edge]
    return points


def fill_even_odd(polygons: list[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(Y, X) bool: pixels whose centers lie inside an odd number of the polygons, each (n, 2) as (y, x) index.

    Scan lines through the pixel centers: each edge that crosses a row toggles all pixels to its right. Intervals are
    half-open, so that polygons that share an edge share no pixel.

    >>> fill_even_odd([np.array([[0.5, 0.5], [0.5, 2.5], [2.5, 2.5], [2.5, 0.5]])], (4, 4)).sum()
    np.int64(4)
    """
    height, width = shape
    start = np.concatenate(polygons)  # (E, 2)
    end = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in polygons])
    low, high = np.minimum(start[:, 0], end[:, 0]), np.maximum(start[:, 0], end[:, 0])
    first, stop = (np.ceil(bound).clip(0, height).astype(int) for bound in (low, high))
    count = (stop - first).clip(min=0)  # rows each edge crosses
    edge = np.repeat(np.arange(len(start)), count)  # (C,) one entry per crossing
    row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    share = (row - start[edge, 0]) / (end[edge, 0] - start[edge, 0])
    crossing = start[edge, 1] + share * (end[edge, 1] - start[edge, 1])  # (C,) x of each crossing
    inside = np.zeros(shape, bool)
    if len(row):
        top = row.min()
        toggles = np.zeros((row.max() + 1 - top, width + 1), np.uint8)  # wraps at 256, which leaves odd odd
        np.add.at(toggles, (row - top, np.ceil(crossing).clip(0, width).astype(int)), 1)
        inside[top : row.max() + 1] = np.cumsum(toggles, axis=1, dtype=np.uint8)[:, :width] & 1
    return inside
