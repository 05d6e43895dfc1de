"""Reading DICOM files from archives: leniently where a header is sloppy, precisely where a file is damaged."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.config import IGNORE, settings
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")  # enhanced, legacy converted enhanced
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # segmentation, label map
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"

THREADS = 8  # reading headers waits for the disk or the network more than for the processor

_TAGS = [
    "PatientID",
    "PatientName",
    "Modality",
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "ImageType",
    "ImageOrientationPatient",
    "SliceThickness",
]
# What can go wrong inside pydicom with damaged bytes; anything else is a bug and must show.
DAMAGE = (
    InvalidDicomError,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    AttributeError,
    TypeError,
    IndexError,
    NotImplementedError,
)

_switches = threading.Lock()
_restore = contextlib.ExitStack()
_readers = 0


@dataclass(frozen=True)
class Header:
    """The few fields of one file that decide what it is. Unknown text is "", unknown numbers are nan."""

    path: Path
    patient: str
    modality: str
    sop_class: str
    sop_uid: str
    series_uid: str
    frame_of_reference: str
    image_type: tuple[str, ...]
    orientation: tuple[float, ...]
    thickness_mm: float


@contextlib.contextmanager
def lenient() -> Iterator[None]:
    """Read archives as they are: pydicom neither refuses nor complains about sloppy values; we check what we use.

    Both switches are global: threads started inside see them too, and of several threads the first in throws them and
    the last out puts them back.
    """
    global _readers
    with _switches:
        if _readers == 0:
            _restore.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            _restore.callback(setattr, settings, "reading_validation_mode", settings.reading_validation_mode)
            settings.reading_validation_mode = IGNORE
        _readers += 1
    try:
        yield
    finally:
        with _switches:
            _readers -= 1
            if _readers == 0:
                _restore.close()


def read_dataset(path: Path, *, pixels: bool = True, tags: list[str] | None = None) -> Dataset:
    """One DICOM file, also without preamble and meta header where its first tag is a DICOM one.

    Raises:
        One of `DAMAGE` where the file is not DICOM or its header is damaged.
    """
    with path.open("rb") as file:
        start = file.read(132)
    if not start:
        raise InvalidDicomError("empty file")
    headless = start[128:132] != b"DICM"
    # Without a preamble the first tag must be of the file meta (0002) or the identifying group (0008).
    if headless and start[:2] not in (b"\x02\x00", b"\x08\x00"):
        raise InvalidDicomError("not a DICOM file")
    data = pydicom.dcmread(path, stop_before_pixels=not pixels, specific_tags=tags, force=headless)
    if not getattr(data, "file_meta", None):
        data.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" not in data.file_meta:
        implicit, little = data.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return data


def read_headers(folder: Path) -> tuple[list[Header], list[tuple[Path, str]]]:
    """The headers of all DICOM files under `folder`, in the order of their paths; (file, reason) of those skipped."""
    files = sorted(Path(root) / name for root, _, names in os.walk(folder) for name in names)
    with lenient(), ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(_read_header, files))
    headers = [result for result in results if isinstance(result, Header)]
    skipped = [(file, result) for file, result in zip(files, results, strict=True) if isinstance(result, str)]
    return headers, skipped


def _read_header(path: Path) -> Header | str:
    """The header, or why there is none."""
    if path.name.upper() == "DICOMDIR":
        return "a DICOMDIR, not an image"
    try:
        data = read_dataset(path, pixels=False, tags=_TAGS)
        if not data.get("SOPClassUID") or not data.get("SeriesInstanceUID"):
            return "not a DICOM object, or its header is truncated: no SOPClassUID or SeriesInstanceUID"
        return Header(
            path=path,
            patient=text(data, "PatientID") or text(data, "PatientName"),
            modality=text(data, "Modality") or "unknown",
            sop_class=text(data, "SOPClassUID"),
            sop_uid=text(data, "SOPInstanceUID"),
            series_uid=text(data, "SeriesInstanceUID"),
            frame_of_reference=text(data, "FrameOfReferenceUID"),
            image_type=tuple(str(word).upper() for word in _items(data.get("ImageType"))),
            orientation=tuple(float(value) for value in _items(data.get("ImageOrientationPatient"))),
            thickness_mm=number(data, "SliceThickness"),
        )
    except DAMAGE as error:
        return " ".join(str(error).split()) or type(error).__name__


def text(data: Dataset, keyword: str) -> str:
    """A header field as stripped text, "" where it is absent."""
    value = data.get(keyword)
    return "" if value is None else str(value).strip()


def number(data: Dataset, keyword: str) -> float:
    """A header field as a number, nan where it is absent or not one."""
    try:
        return float(data.get(keyword))
    except (TypeError, ValueError):
        return float("nan")


def _items(value: Any) -> Sequence[Any]:
    """The items of a multi-valued element, also where it holds one value or none."""
    if value is None:
        return ()
    return [value] if isinstance(value, str | int | float) else list(value)
