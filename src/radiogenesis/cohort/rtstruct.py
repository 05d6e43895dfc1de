"""RTSTRUCT: closed planar contours, and the voxels whose centres lie inside them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from radiogenesis.cohort.ct import Series
from radiogenesis.cohort.headers import text
from radiogenesis.cohort.outlines import Outline, check_frame_of_reference, check_planes, items, listed, matches
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.errors import ScanError

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")  # of the second, DICOM says that contours are combined by XOR
SAME = 0.95  # intersection over union from which two contours are one, redrawn


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
        series_uids=frozenset(text(one, "SeriesInstanceUID") for one in series),
        image_uids=frozenset(text(image, "ReferencedSOPInstanceUID") for image in images),
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


def read_rtstruct(data: Dataset, path: Path, series: Series, settings: ReadSettings) -> tuple[str, NDArray[np.bool_]]:
    """The tumour's name and its mask (Z, Y, X) on the grid of the CT.

    A voxel is inside if its centre is. On one plane an inner contour is a hole (see `nested`); several ROIs that match
    `settings.roi` are united.

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
    for roi in items(data, "ROIContourSequence"):
        number = int(roi.ReferencedROINumber)
        if names.get(number) not in chosen:
            continue
        check_frame_of_reference([text(rois[number], "ReferencedFrameOfReferenceUID")], series, path)
        _draw(roi, names[number], mask, series, path, settings)
    name = "+".join(sorted(chosen))
    if not mask.any():
        raise ScanError(f"ROI {name!r} is empty: no closed contour holds the centre of a voxel", path=path)
    check_planes(mask, path)
    return name, mask


def _draw(roi: Dataset, name: str, mask: NDArray[np.bool_], series: Series, path: Path, settings: ReadSettings) -> None:
    """Unite one ROI's contours with `mask`."""
    to_index = np.linalg.inv(series.affine)
    closed: dict[int, list[NDArray[np.float64]]] = defaultdict(list)
    exclusive: dict[int, list[NDArray[np.float64]]] = defaultdict(list)
    for contour in items(roi, "ContourSequence"):
        kind = text(contour, "ContourGeometricType")
        if kind not in CLOSED:
            continue
        points = _points(contour)  # (n, 3) LPS mm
        zyx = points @ to_index[:3, :3].T + to_index[:3, 3]  # (n, 3) index
        plane = _plane(zyx, name, series, path, settings)
        (closed if kind == "CLOSED_PLANAR" else exclusive)[plane].append(zyx[:, 1:])
    shape = (mask.shape[1], mask.shape[2])
    for plane, polygons in closed.items():
        mask[plane] |= nested([fill_even_odd([polygon], shape) for polygon in polygons], shape)
    for plane, polygons in exclusive.items():
        mask[plane] |= fill_even_odd(polygons, shape)
    if settings.contour_edge == "touched":
        for plane, polygon in [(z, one) for group in (closed, exclusive) for z in group for one in group[z]]:
            mask[plane][tuple(touched_pixels(polygon).T)] = True


def _points(contour: Dataset) -> NDArray[np.float64]:
    """(n, 3) LPS mm. Above 64 kB, contour data is bytes: explicit VR can only hold it as UN."""
    values = contour.ContourData
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


def nested(regions: list[NDArray[np.bool_]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(Y, X) bool: several regions of one plane as one mask, by how they lie in each other.

    A region within another is a hole, one within the hole is filled again (even-odd); regions side by side, or that
    cross, are united. A region that repeats another (they share `SAME` of their union) counts once: planning systems
    write contours twice, and by the even-odd rule alone those would erase each other.
    """
    kept: list[NDArray[np.bool_]] = []
    for region in sorted(filter(np.any, regions), key=np.count_nonzero, reverse=True):
        if not any((region & other).sum() >= SAME * (region | other).sum() for other in kept):
            kept.append(region)
    mask = np.zeros(shape, bool)
    for index, region in enumerate(kept):
        depth = sum(not (region & ~larger).any() for larger in kept[:index])
        mask[region] = depth % 2 == 0
    return mask


def touched_pixels(polygon: NDArray[np.float64]) -> NDArray[np.intp]:
    """(n, 2) indices of the pixels that the polygon's edges pass through, found in steps of a twentieth of a pixel.

    Args:
        polygon: (n, 2) vertices as (y, x) index.
    """
    edges = np.roll(polygon, -1, axis=0) - polygon
    steps = np.ceil(20 * np.abs(edges).max(axis=1)).astype(int) + 1  # per edge
    edge = np.repeat(np.arange(len(polygon)), steps)
    share = (np.arange(len(edge)) - np.repeat(np.cumsum(steps) - steps, steps)) / steps[edge]
    return np.unique(np.rint(polygon[edge] + share[:, None] * edges[edge]).astype(np.intp), axis=0)


def fill_even_odd(polygons: list[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(Y, X) bool: pixels whose centres lie inside an odd number of the polygons, each (n, 2) as (y, x) index.

    Scan lines through the pixel centres: each edge that crosses a row toggles all pixels to its right. Intervals are
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
    toggles = np.zeros((height, width + 1), np.int64)
    np.add.at(toggles, (row, np.ceil(crossing).clip(0, width).astype(int)), 1)
    return np.cumsum(toggles, axis=1)[:, :width] % 2 == 1
