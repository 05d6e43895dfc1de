"""A series: from the slices' files to one volume, of CT in HU, that is known to be complete and straight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from radiogenesis.cohort.dicom.headers import (
    DAMAGE,
    ENHANCED_CT,
    ENHANCED_MR,
    in_hounsfield,
    lenient,
    number,
    read_dataset,
    text,
)
from radiogenesis.cohort.hounsfield import IMPOSSIBLE_HU, as_int16, checked_hu, with_sign
from radiogenesis.cohort.plausible import MOST_PIXELS, refuse_grid, refuse_other_rescale, refuse_rescale, refuse_size
from radiogenesis.cohort.scan import Acquisition
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.cohort.walk import refuse_passing
from radiogenesis.errors import ScanError

PADDING = int(np.iinfo(np.int16).min)  # below every HU; becomes air with the rest that is below air


@dataclass(frozen=True)
class Series:
    """One series, stacked.

    Attributes:
        hu: (Z, Y, X) int16, z ascends along the slice normal; of MR float32, as it is stored and rescaled.
        affine: (4, 4) float64, index (z, y, x, 1) -> LPS in mm.
        sop_uids: SOP instance UID of each of the Z slices.
        acquisition: from the first slice's header.
        remarks: what was assumed, in words.
    """

    hu: NDArray[Any]
    affine: NDArray[np.float64]
    sop_uids: tuple[str, ...]
    acquisition: Acquisition
    remarks: tuple[str, ...] = ()

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centers in mm along (z, y, x)."""
        dz, dy, dx = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(dz), float(dy), float(dx)


@dataclass(frozen=True)
class _Slice:
    path: Path
    data: Dataset
    hu: NDArray[Any]  # (Y, X), not yet clipped at air
    remark: str
    position: NDArray[np.float64]  # (3,) LPS mm of the first voxel's center
    orientation: NDArray[np.float64]  # (2, 3) directions of growing x and growing y
    spacing_mm: tuple[float, float]  # between rows (y), between columns (x)

    @property
    def rescale(self) -> tuple[float, float]:
        """Slope and intercept; 1 and 0 where there are none."""
        return _or(number(self.data, "RescaleSlope"), 1.0), _or(number(self.data, "RescaleIntercept"), 0.0)


def read_series(files: Sequence[Path], settings: ReadSettings) -> Series:
    """Stack the slices of one series, of CT or, with `settings.normalize`, of MR.

    Raises:
        ScanError: a slice is damaged, missing or there twice; slices are unevenly spaced, of mixed size or orientation,
            or not stacked along their normal (gantry tilt); the values are not HU; a codec is missing.
    """
    slices: list[_Slice] = []
    with lenient():
        for path in files:
            slices.append(_read_slice(path, settings))
            refuse_size((len(files), *slices[0].hu.shape), files[0].parent)
    folder = files[0].parent
    if len(slices) < 2:
        raise ScanError(
            f"the {settings.modality} series has one slice, so the distance between slices is unknown",
            path=files[0],
            remedy="give the whole series",
        )
    _check_alike(slices)
    along_x, along_y = slices[0].orientation
    normal = np.cross(along_x, along_y)
    slices.sort(key=lambda one: float(one.position @ normal))
    heights = np.array([one.position @ normal for one in slices])  # (Z,) mm
    dz = _even_spacing(slices, heights, folder, settings)
    _check_straight(slices, normal, folder, settings)
    dy, dx = slices[0].spacing_mm
    refuse_grid((len(slices), *slices[0].hu.shape), (dz, dy, dx), folder)
    refuse_other_rescale(
        [one.rescale for one in slices], [one.hu for one in slices], [one.path for one in slices],
        in_hu=settings.normalize == "none",
    )  # fmt: skip
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([normal * dz, along_y * dy, along_x * dx])
    affine[:3, 3] = slices[0].position
    volume = np.stack([one.hu for one in slices])
    hu, remarks = checked_hu(volume, folder) if settings.normalize == "none" else (_without_padding(volume), ())
    return Series(
        hu=hu,
        affine=affine,
        sop_uids=tuple(text(one.data, "SOPInstanceUID") for one in slices),
        acquisition=_acquisition(slices[0].data),
        remarks=tuple(dict.fromkeys([*filter(None, (one.remark for one in slices)), *remarks])),
    )


def is_whole_slice(path: Path) -> bool:
    """Whether a file holds one slice with all of its pixels."""
    try:
        with lenient():
            _read_slice(path, ReadSettings())
    except ScanError as error:
        refuse_passing(error, path)
        return False
    return True


def _read_slice(path: Path, settings: ReadSettings) -> _Slice:
    """One file. Whatever is odd in its header is this slice's fault: two numbers of rows, a number that is text."""
    try:
        return _slice_of(read_dataset(path), path, settings)
    except FileNotFoundError as error:
        raise ScanError("the slice is no longer there", path=path) from error
    except DAMAGE as error:
        raise ScanError(f"the slice cannot be read: {_one_line(error)}", path=path, remedy="copy it again") from error


def _slice_of(data: Dataset, path: Path, settings: ReadSettings) -> _Slice:
    if data.get("SOPClassUID") in (*ENHANCED_CT, *ENHANCED_MR) or int(data.get("NumberOfFrames") or 1) > 1:
        raise ScanError(
            f"enhanced multi-frame {settings.modality} is not read",
            path=path,
            remedy=f"convert it to single-frame {settings.modality}, for example with dcm4che's emf2sf",
        )
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns"):
        if data.get(keyword) is None:
            remedy = f"export the original {settings.modality} series"
            raise ScanError(f"the slice has no {keyword}", path=path, remedy=remedy)
    try:
        position = np.array(data.ImagePositionPatient, float).reshape(3)
        across = np.array(data.ImageOrientationPatient, float).reshape(2, 3)
        dy, dx = (float(value) for value in data.PixelSpacing)
    except (ValueError, TypeError) as error:
        raise ScanError(f"the slice's geometry is not in numbers: {_one_line(error)}", path=path) from error
    if np.abs(across @ across.T - np.eye(2)).max() > 1e-2 or not (dy > 0 and dx > 0):
        raise ScanError(
            f"the slice's geometry is impossible: orientation {across.ravel().tolist()}, spacing {dy} x {dx} mm",
            path=path,
            remedy=f"export the original {settings.modality} series",
        )
    hu, remark = _hounsfield(data, path) if settings.normalize == "none" else (_signal(data, path), "")
    return _Slice(
        path=path,
        hu=hu,
        remark=remark,
        position=position,
        orientation=across / np.linalg.norm(across, axis=1, keepdims=True),
        spacing_mm=(dy, dx),
        data=_without_pixels(data),
    )


def _without_pixels(data: Dataset) -> Dataset:
    for keyword in ("PixelData", "FloatPixelData"):
        if keyword in data:
            del data[keyword]
    return data


def _hounsfield(data: Dataset, path: Path) -> tuple[NDArray[np.int16], str]:
    """(Y, X) HU of one slice, stored value * slope + intercept, padding far below air; and what was assumed."""
    if not in_hounsfield(text(data, "RescaleType")):
        raise ScanError(
            f"the slice's values are {text(data, 'RescaleType')} (RescaleType), not HU",
            path=path,
            remedy="give the series in HU",
        )
    slope, intercept = number(data, "RescaleSlope"), number(data, "RescaleIntercept")
    refuse_rescale(slope, intercept, path, in_hu=True)
    if not np.isfinite(slope * intercept):
        raise ScanError(
            "no RescaleSlope or RescaleIntercept, so HU are not defined",
            path=path,
            remedy="export the original CT series",
        )
    stored = _stored(data, path)
    values, signed = with_sign(stored, stored.astype(np.float64) * slope + intercept, slope)
    hu = as_int16(values)
    hu[_padding(stored, data)] = PADDING
    return hu, f"stored values that would be above {IMPOSSIBLE_HU} HU are read as negative" if signed else ""


def _signal(data: Dataset, path: Path) -> NDArray[np.float32]:
    """(Y, X) signal of one slice of MR, rescaled where its header says how; nan where it is padding."""
    stored = _stored(data, path)
    slope, intercept = number(data, "RescaleSlope"), number(data, "RescaleIntercept")
    refuse_rescale(slope, intercept, path, in_hu=False)
    rescaled = stored * slope + intercept if np.isfinite(slope * intercept) else stored
    return np.where(_padding(stored, data), np.nan, rescaled).astype(np.float32)


def _without_padding(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """Padding as dark as the darkest of what is no padding."""
    real = volume[np.isfinite(volume)]
    return np.nan_to_num(volume, nan=float(real.min()) if real.size else 0.0)


def _padding(stored: NDArray[np.integer[Any]], data: Dataset) -> NDArray[np.bool_]:
    """(Y, X) where the stored value is padding: one value or a closed range, DICOM PS3.3 C.7.5.1.1.2."""
    value = data.get("PixelPaddingValue")
    if not isinstance(value, int):
        return np.zeros(stored.shape, bool)
    limit = data.get("PixelPaddingRangeLimit")
    ends = np.array([value, limit if isinstance(limit, int) else value])
    low, high = np.sort(ends.astype(stored.dtype))  # some writers give the sign that the pixels do not have
    return np.asarray((stored >= low) & (stored <= high))


def _stored(data: Dataset, path: Path) -> NDArray[np.integer[Any]]:
    """(Y, X) stored pixel values, or a ScanError that says what is in the way."""
    syntax = UID(data.file_meta.TransferSyntaxUID)
    if "PixelData" not in data:
        raise ScanError("the slice has no pixel data: it is truncated", path=path, remedy="copy it again")
    if syntax.is_compressed and not _decodable(syntax):
        raise ScanError(
            f"compressed as {syntax.name}, and no codec for it is installed",
            path=path,
            remedy="pip install radiogenesis[codecs]",
        )
    if int(data.Rows) * int(data.Columns) > MOST_PIXELS:
        raise ScanError(
            f"its header promises {data.Rows} x {data.Columns} pixels, more than {MOST_PIXELS:,}", path=path,
            remedy="copy it again",
        )  # fmt: skip
    expected = int(data.Rows) * int(data.Columns) * int(data.get("BitsAllocated", 16)) // 8
    if not syntax.is_compressed and len(data.PixelData) < expected:
        raise ScanError(
            f"the slice is truncated: {len(data.PixelData)} of {expected} bytes of pixel data",
            path=path,
            remedy="copy it again",
        )
    try:
        stored = data.pixel_array
    except (*DAMAGE, RuntimeError) as error:
        raise ScanError(
            f"the pixel data cannot be decoded: {_one_line(error)}", path=path, remedy="copy the file again"
        ) from error
    if stored.ndim != 2:
        raise ScanError(f"pixel data of shape {stored.shape} is not one gray-scale slice", path=path)
    return np.asarray(stored)


def _decodable(syntax: UID) -> bool:
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def _or(value: float, default: float) -> float:
    return default if np.isnan(value) else value


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _check_alike(slices: Sequence[_Slice]) -> None:
    first = slices[0]
    for one in slices[1:]:
        if one.hu.shape != first.hu.shape:
            raise ScanError(
                f"slices of mixed size: {one.hu.shape} here, {first.hu.shape} in {first.path.name}", path=one.path
            )
        if np.abs(one.orientation - first.orientation).max() > 1e-3:
            raise ScanError(f"slices of mixed orientation: differs from {first.path.name}", path=one.path)
        if not np.allclose(one.spacing_mm, first.spacing_mm, rtol=1e-3):
            raise ScanError(
                f"slices of mixed pixel spacing: {one.spacing_mm} mm here, {first.spacing_mm} mm in {first.path.name}",
                path=one.path,
            )


def _even_spacing(
    slices: Sequence[_Slice], heights: NDArray[np.float64], folder: Path, settings: ReadSettings
) -> float:
    """Distance between slices in mm, or a ScanError: slices twice, missing, or uneven."""
    gaps = np.diff(heights)
    twice = int(np.argmin(gaps))
    if gaps[twice] < 1e-3:
        raise ScanError(
            f"duplicate slices: {slices[twice].path.name} and {slices[twice + 1].path.name} both lie at "
            f"{heights[twice]:.2f} mm",
            path=folder,
            remedy="keep one reconstruction per folder entry, or give the phases as separate series",
        )
    usual = float(np.median(gaps))
    steps = gaps / usual
    allowed = 2 * settings.spacing_tolerance_mm  # both ends of a gap may be off
    missing = np.rint(steps).astype(int) - 1
    whole = np.abs(gaps - (missing + 1) * usual) <= allowed
    if np.any(missing[whole] > 0):
        at = int(np.flatnonzero(whole & (missing > 0))[0])
        total = int(missing[whole].clip(min=0).sum())
        raise ScanError(
            f"{total} slice{'s' if total > 1 else ''} missing, first between {heights[at]:.2f} mm and "
            f"{heights[at + 1]:.2f} mm ({slices[at].path.name}, {slices[at + 1].path.name}; slices are "
            f"{usual:.3f} mm apart)",
            path=folder,
            remedy="fetch the series again",
        )
    dz = float(heights[-1] - heights[0]) / (len(heights) - 1)
    off = np.abs(heights - heights[0] - dz * np.arange(len(heights)))
    if off.max() > settings.spacing_tolerance_mm:
        raise ScanError(
            f"uneven slice spacing: {gaps.min():.3f} to {gaps.max():.3f} mm, a slice lies {off.max():.3f} mm off the "
            f"even grid (allowed {settings.spacing_tolerance_mm} mm)",
            path=folder,
            remedy="resample the series, or raise spacing_tolerance_mm",
        )
    return dz


def _check_straight(
    slices: Sequence[_Slice], normal: NDArray[np.float64], folder: Path, settings: ReadSettings
) -> None:
    offsets = np.stack([one.position for one in slices]) - slices[0].position  # (Z, 3)
    sideways = np.linalg.norm(offsets - np.outer(offsets @ normal, normal), axis=1)  # (Z,) mm
    if sideways.max() <= settings.tilt_tolerance_mm:
        return
    at = int(sideways.argmax())
    tilt = np.degrees(np.arctan2(sideways[at], offsets[at] @ normal))
    raise ScanError(
        f"gantry tilt: slices are stacked {tilt:.1f} degrees off their normal, {sideways.max():.1f} mm at "
        f"{slices[at].path.name} (header: {text(slices[0].data, 'GantryDetectorTilt') or 'no'} tilt)",
        path=folder,
        remedy="correct the tilt (for example dcm2niix) and give the scan as NIfTI",
    )


def _acquisition(data: Dataset) -> Acquisition:
    kernel = data.get("ConvolutionKernel")
    return Acquisition(
        manufacturer=text(data, "Manufacturer"),
        model=text(data, "ManufacturerModelName"),
        kernel=" ".join(kernel) if isinstance(kernel, Sequence) and not isinstance(kernel, str) else str(kernel or ""),
        slice_thickness_mm=number(data, "SliceThickness"),
        kvp=number(data, "KVP"),
        study_date=text(data, "StudyDate"),
        series_uid=text(data, "SeriesInstanceUID"),
        frame_of_reference_uid=text(data, "FrameOfReferenceUID"),
    )
