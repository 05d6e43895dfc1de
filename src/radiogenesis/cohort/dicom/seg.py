"""DICOM SEG: through highdicom, and frame by frame with pydicom where highdicom refuses.

The SEG objects of NSCLC Radiogenomics come from a very early 3D Slicer writer: references are doubled, and fields that
belong to each frame are shared or absent (highdicom issues 344 and 370). The pydicom path reads what such files do say,
and what it used is returned in words, so that it is recorded with the scan.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import highdicom
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from radiogenesis.cohort.dicom.headers import DAMAGE, number, text
from radiogenesis.cohort.dicom.outlines import Outline, check_frame_of_reference, items, listed, matches
from radiogenesis.cohort.dicom.series import Series
from radiogenesis.cohort.plausible import refuse_size
from radiogenesis.cohort.sampling.pieces import whole_planes
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.errors import ScanError

log = logging.getLogger(__name__)

ABNORMAL_STRUCTURE = ("49755003", "M-01000")  # morphologically abnormal structure, as SNOMED CT and SRT code it
ANATOMY = ("91723000", "T-D0005", "123037004", "T-D000A")  # anatomical structure, as DICOM codes it now and did before
LUNGS = ("39607008", "T-28000", "3341006", "T-28100", "44029006", "T-28500")  # both, right, left
LESIONS = (
    *("108369006", "M-8FFFF", "86049000", "M-80003", "14799000", "M-80006"),  # neoplasm; primary; secondary
    *("27925004", "M-03010", "4147007", "M-03000", "52988006", "M-01100"),  # nodule; mass; lesion
)
MOST_FRACTION = 255  # fractions have 8 bits
_REFUSALS = (*DAMAGE, RuntimeError, sqlite3.Error)  # highdicom indexes frames in SQLite


@dataclass(frozen=True)
class _Frame:
    """One frame: pixels (R, C) bool; geometry (3, 3) LPS mm, its columns: corner, step to next row, to next column."""

    pixels: NDArray[np.bool_]
    geometry: NDArray[np.float64]


def describe_seg(data: Dataset, path: Path, settings: ReadSettings) -> Outline:
    """What a SEG outlines, and on which images."""
    segments = list(items(data, "SegmentSequence"))
    series = list(items(data, "ReferencedSeriesSequence"))
    instances = [one for ref in series for one in items(ref, "ReferencedInstanceSequence")]
    names = tuple(_label(segment) for segment in segments)
    chosen = _tumor_segments(data, settings)
    return Outline(
        path=path,
        kind="SEG",
        patient=text(data, "PatientID") or text(data, "PatientName"),
        series_uids=frozenset(text(ref, "SeriesInstanceUID") for ref in series) - {""},
        image_uids=frozenset(text(one, "ReferencedSOPInstanceUID") for one in [*instances, *_sources(data)]) - {""},
        frames_of_reference=frozenset([text(data, "FrameOfReferenceUID")]) - {""},
        names=names,
        chosen=tuple(chosen.values()),
        automatic=bool(segments) and all(text(one, "SegmentAlgorithmType") == "AUTOMATIC" for one in segments),
        made=(text(data, "ContentDate") or text(data, "SeriesDate")) + (text(data, "ContentTime")),
        uid=text(data, "SOPInstanceUID"),
        coded=", ".join(_coded(segment) for segment in segments if int(segment.SegmentNumber) in chosen),
    )


def read_seg(
    data: Dataset, path: Path, series: Series, settings: ReadSettings
) -> tuple[str, NDArray[np.bool_], str, str]:
    """The tumor's name, its mask (Z, Y, X) on the grid of the CT, a remark on how it was read ("" as usual), and one
    on what was assumed (see `pieces.whole_planes`).

    Raises:
        ScanError: no such segment, several that cannot be united, another frame of reference, pixels that do not fall
            on the CT's voxels or lie outside the CT, an empty segment.
    """
    check_frame_of_reference([text(data, "FrameOfReferenceUID")], series, path)
    segments = _tumor_segments(data, settings)
    if not segments:
        raise ScanError(_why_none(data, settings), path=path, remedy="set --segment")
    mask, how = _mask(data, list(segments), series, path, settings)
    name = "+".join(dict.fromkeys(segments.values()))
    if not mask.any():
        raise ScanError(f"segment {name!r} is empty", path=path)
    mask, remark = whole_planes(mask, series.spacing_mm, path)
    return name, mask, how, remark


def tumor_segments(
    data: Dataset, path: Path, series: Series, settings: ReadSettings
) -> list[tuple[str, NDArray[np.bool_]]]:
    """Label and mask (Z, Y, X) of each segment that is the tumor, where several are; `read_seg` unites them."""
    segments = _tumor_segments(data, settings)
    if len(segments) < 2:
        return []
    apart = [(label, _mask(data, [number], series, path, settings)[0]) for number, label in segments.items()]
    return [(label, mask) for label, mask in apart if mask.any()]


def other_segments(
    data: Dataset, path: Path, series: Series, settings: ReadSettings, *, all_of_them: bool
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Name and mask (Z, Y, X) of the segments that are neither the tumor nor coded as anatomy.

    Args:
        all_of_them: the segments that are the tumor by the settings too.

    Raises:
        ScanError: as `read_seg`.
    """
    check_frame_of_reference([text(data, "FrameOfReferenceUID")], series, path)
    tumor = {} if all_of_them else _tumor_segments(data, settings)
    for segment in items(data, "SegmentSequence"):
        if int(segment.SegmentNumber) not in tumor and not _is_anatomy(segment):
            yield _label(segment), _mask(data, [int(segment.SegmentNumber)], series, path, settings)[0]


def _mask(
    data: Dataset, segments: list[int], series: Series, path: Path, settings: ReadSettings
) -> tuple[NDArray[np.bool_], str]:
    """Some segments as one mask (Z, Y, X), and a remark on how they were read ("" as usual)."""
    _check_frames(data, path)
    how = ""
    try:
        frames = list(_frames_by_highdicom(data, segments, path, settings))
    except _REFUSALS as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        how = f"read with pydicom, because highdicom refused it ({why})"
        log.warning("%s: %s", path, how)
        frames = list(_frames_by_pydicom(data, segments, series, path, settings))
    mask = np.zeros(series.hu.shape, bool)
    for frame in frames:
        _place(frame, mask, series, path, settings)
    return mask, how


def _check_frames(data: Dataset, path: Path) -> None:
    """Raises ScanError where the header promises more than memory should hold, or fractions of nothing."""
    try:
        refuse_size((int(data.get("NumberOfFrames") or 1), int(data.Rows), int(data.Columns)), path)
    except DAMAGE as error:
        raise ScanError("the SEG's number of frames, rows or columns is no number", path=path) from error
    whole = number(data, "MaximumFractionalValue")
    if text(data, "SegmentationType") == "FRACTIONAL" and not 1 <= whole <= MOST_FRACTION:
        raise ScanError(
            f"the SEG's MaximumFractionalValue is {whole:g}, so nothing says which voxels are inside",
            path=path,
            remedy="export it again, BINARY or with a MaximumFractionalValue of 1 to 255",
        )


def _refuse_above(largest: float, path: Path) -> None:
    """Raises ScanError where a voxel is inside by more than all of it."""
    if largest > 1 + 1e-6:
        raise ScanError(
            f"the SEG holds values of up to {largest:g} times its MaximumFractionalValue",
            path=path,
            remedy="export it again, BINARY or with the right MaximumFractionalValue",
        )


def _label(segment: Dataset) -> str:
    return text(segment, "SegmentLabel") or text(segment, "SegmentDescription") or f"segment {segment.SegmentNumber}"


def _tumor_segments(data: Dataset, settings: ReadSettings) -> dict[int, str]:
    """Number and label of the segments that are the tumor; empty where none is, or where it cannot be told."""
    segments = list(items(data, "SegmentSequence"))
    wanted = set(matches([_label(segment) for segment in segments], settings.segment))
    tumors = [segment for segment in segments if _label(segment) in wanted]
    if len(tumors) > 1:
        tumors = [segment for segment in tumors if _is_abnormal(segment)]
    elif settings.segment.strip() == "*":  # whoever names the segment knows what it is
        tumors = [segment for segment in tumors if not _is_anatomy(segment)]
    return {int(segment.SegmentNumber): _label(segment) for segment in tumors}


def _why_none(data: Dataset, settings: ReadSettings) -> str:
    """Why no segment is the tumor."""
    segments = list(items(data, "SegmentSequence"))
    labels = [_label(segment) for segment in segments]
    matched = matches(labels, settings.segment)
    if len(matched) == len(segments) == 1:
        return f"its only segment is coded as anatomy, not as a lesion: {_coded(segments[0])}"
    problem = "several segments match, none coded as abnormal structure" if matched else "no segment matches"
    return f"{problem} {settings.segment!r}; the SEG has {listed(labels)}"


def _is_abnormal(segment: Dataset) -> bool:
    return bool(_codes(segment, "Category") & set(ABNORMAL_STRUCTURE))


def _is_anatomy(segment: Dataset) -> bool:
    """Whether category or type say that it is no lesion. Category "Tissue" says nothing: it was 3D Slicer's default."""
    kind = _codes(segment, "Type")
    if _is_abnormal(segment) or kind & set(LESIONS):
        return False
    return bool(_codes(segment, "Category") & set(ANATOMY) or kind & set(LUNGS))


def _codes(segment: Dataset, kind: Literal["Category", "Type"]) -> set[str]:
    return {text(code, "CodeValue") for code in items(segment, f"SegmentedProperty{kind}CodeSequence")}


def _coded(segment: Dataset) -> str:
    """Label, type and category of a segment in words, for the record."""
    codes = [
        f"{text(code, 'CodeMeaning')} ({text(code, 'CodingSchemeDesignator')} {text(code, 'CodeValue')})"
        for kind in ("Type", "Category")
        for code in items(segment, f"SegmentedProperty{kind}CodeSequence")
    ]
    return f"segment {_label(segment)!r} " + (f"coded as {', '.join(codes)}" if codes else "without codes")


def _sources(group_holder: Dataset) -> Iterator[Dataset]:
    """The source images that frames name in their functional groups."""
    for sequence in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in items(group_holder, sequence):
            yield from _source_images(group)


def _source_images(group: Dataset) -> Iterator[Dataset]:
    for derivation in items(group, "DerivationImageSequence"):
        yield from items(derivation, "SourceImageSequence")


def _frames_by_highdicom(data: Dataset, segments: list[int], path: Path, settings: ReadSettings) -> Iterator[_Frame]:
    seg = highdicom.seg.Segmentation.from_dataset(data, copy=True)
    volume = seg.get_volume(segment_numbers=segments, combine_segments=False, rescale_fractional=True)
    array: NDArray[np.float64] = volume.array  # (planes, R, C, segments)
    _refuse_above(float(array.max(initial=0)), path)
    inside = np.any(array >= settings.fraction, axis=-1)  # (planes, R, C)
    for plane in np.flatnonzero(inside.any(axis=(1, 2))):
        corner = volume.affine[:3, :3] @ [plane, 0, 0] + volume.affine[:3, 3]
        yield _Frame(inside[plane], np.column_stack([corner, volume.affine[:3, 1], volume.affine[:3, 2]]))


def _frames_by_pydicom(
    data: Dataset, segments: list[int], series: Series, path: Path, settings: ReadSettings
) -> Iterator[_Frame]:
    try:
        pixels = data.pixel_array.reshape(-1, int(data.Rows), int(data.Columns))
    except (*DAMAGE, RuntimeError) as error:
        raise ScanError(
            f"the SEG's pixel data cannot be decoded: {error}", path=path, remedy="copy it again"
        ) from error
    fractional = text(data, "SegmentationType") == "FRACTIONAL"
    whole = number(data, "MaximumFractionalValue") if fractional else 1
    if fractional:
        _refuse_above(float(pixels.max(initial=0)) / whole, path)
    threshold = settings.fraction * whole
    shared = next(items(data, "SharedFunctionalGroupsSequence"), Dataset())
    groups = list(items(data, "PerFrameFunctionalGroupsSequence")) or [Dataset()]
    if len(groups) != len(pixels):
        raise ScanError(f"the SEG has {len(pixels)} frames and positions for {len(groups)}", path=path)
    corners = {uid: series.affine[:3, 3] + plane * series.affine[:3, 0] for plane, uid in enumerate(series.sop_uids)}
    only = [int(segment.SegmentNumber) for segment in items(data, "SegmentSequence")]
    for index, (group, frame) in enumerate(zip(groups, pixels, strict=True)):
        inside = frame >= threshold
        if not inside.any():
            continue
        number_of = _macro(group, shared, "SegmentIdentificationSequence", "ReferencedSegmentNumber")
        if number_of is None and len(only) > 1:
            raise ScanError(f"frame {index + 1} of the SEG does not say to which segment it belongs", path=path)
        if (only[0] if number_of is None else int(number_of)) in segments:
            yield _Frame(inside, _geometry(group, shared, corners, series, index, path))


def _macro(group: Dataset, shared: Dataset, sequence: str, keyword: str) -> Any:
    """A value of a functional group: the frame's own, else the shared one, else None."""
    for holder in (group, shared):
        for item in items(holder, sequence):
            if item.get(keyword) is not None:
                return item.get(keyword)
    return None


def _geometry(
    group: Dataset,
    shared: Dataset,
    corners: Mapping[str, NDArray[np.float64]],
    series: Series,
    index: int,
    path: Path,
) -> NDArray[np.float64]:
    """(3, 3) geometry of a frame: its own position, else that of the CT slice it was drawn on."""
    position = _macro(group, shared, "PlanePositionSequence", "ImagePositionPatient")
    if position is None:
        drawn_on = [text(image, "ReferencedSOPInstanceUID") for image in _source_images(group)]
        position = next((corners[uid] for uid in drawn_on if uid in corners), None)
    if position is None:
        raise ScanError(
            f"frame {index + 1} of the SEG has neither a position nor a source image in the CT series", path=path
        )
    rows, columns = series.affine[:3, 1], series.affine[:3, 2]
    orientation = _macro(group, shared, "PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = _macro(group, shared, "PixelMeasuresSequence", "PixelSpacing")
    dy, dx = (np.linalg.norm(rows), np.linalg.norm(columns)) if spacing is None else np.asarray(spacing, float)
    if orientation is not None:
        across = np.asarray(orientation, float).reshape(2, 3)
        rows, columns = across[1], across[0]
    unit_rows, unit_columns = rows / np.linalg.norm(rows), columns / np.linalg.norm(columns)
    return np.column_stack([np.asarray(position, float), unit_rows * dy, unit_columns * dx])


def _place(frame: _Frame, mask: NDArray[np.bool_], series: Series, path: Path, settings: ReadSettings) -> None:
    """Unite one frame with `mask`; its pixels must be voxels of the CT (cropped, flipped or turned frames may be)."""
    row, column = np.nonzero(frame.pixels)
    to_index = np.linalg.inv(series.affine)
    corner = to_index[:3, :3] @ frame.geometry[:, 0] + to_index[:3, 3]
    steps = to_index[:3, :3] @ frame.geometry[:, 1:]  # (3, 2) CT index steps per frame row and column
    index = corner + np.outer(row, steps[:, 0]) + np.outer(column, steps[:, 1])  # (n, 3)
    voxel = np.rint(index).astype(int)
    off = float(np.abs(index - voxel).max())
    on_grid = np.array_equal(np.sort(np.abs(np.rint(steps)), axis=0), [[0, 0], [0, 0], [1, 1]])
    if off > settings.plane_tolerance or not on_grid:
        dz, dy, dx = np.linalg.norm(series.affine[:3, :3], axis=0)
        size = np.linalg.norm(frame.geometry[:, 1:], axis=0)
        raise ScanError(
            f"the SEG does not fall on the CT's planes: a frame at {_point(frame.geometry[:, 0])} mm with pixels of "
            f"{size[0]:.3f} x {size[1]:.3f} mm lies {off:.2f} voxels off the CT's {dz:.3f} x {dy:.3f} x {dx:.3f} mm",
            path=path,
            remedy="give the CT it was drawn on, or resample the SEG to it",
        )
    if (voxel < 0).any() or (voxel >= mask.shape).any():
        raise ScanError(
            f"the SEG's frame at {_point(frame.geometry[:, 0])} mm reaches outside the CT",
            path=path,
            remedy="give the whole CT series it was drawn on",
        )
    mask[tuple(voxel.T)] = True


def _point(xyz: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{value:.2f}" for value in xyz) + ")"
