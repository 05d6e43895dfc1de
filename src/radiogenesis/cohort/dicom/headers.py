"""Reading DICOM files from archives: leniently where a header is sloppy, precisely where a file is damaged."""

from __future__ import annotations

import contextlib
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydicom.config import IGNORE, settings
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from radiogenesis.cohort.walk import files_under, refuse_passing

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")  # enhanced, legacy converted enhanced
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = ("1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")  # enhanced, legacy converted enhanced
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # segmentation, label map
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # what ITK and SimpleITK write a CT as
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"

THREADS = 8  # reading headers waits for the disk or the network more than for the processor

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_META = 2048  # bytes in which a meta header says how the rest is written
MOST_DEFLATED = 2**28
"""Bytes that a deflated data set may unpack to: no slice or outline has so many."""

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
    "Rows",
    "RescaleType",
]
_LAST_TAG = Tag("RescaleType")  # the highest of them: what lies behind it is not read, and may be damaged
_PIXELS = Tag(0x7FE0, 0)
_HU = ("HU", "HOUNSFIELD")  # also HU_MOD, HU of which a contrast agent was taken
_CLASSES = b"1.2.840.10008.5.1.4.1.1."  # how the class UID of every kind of image and outline begins
_OUTLINES = tuple(uid.encode() for uid in (RTSTRUCT, *SEGMENTATIONS))
_NAMED_OUTLINE = re.compile(r"(?<![a-z])(rtstruct|rtss|seg|segmentation)s?(?![a-z])", re.IGNORECASE)
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
    OverflowError,
    RecursionError,  # sequences in sequences without end
    struct.error,
    zlib.error,
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
    rescale_type: str = ""

    @property
    def is_ct(self) -> bool:
        """Whether it is a slice of CT: by its class, or a secondary capture of CT that says where it lies."""
        captured = self.sop_class == SECONDARY_CAPTURE and self.modality == "CT" and len(self.orientation) == 6
        return self.sop_class in (CT_IMAGE, *ENHANCED_CT) or captured

    @property
    def is_mr(self) -> bool:
        """Whether it is a slice of MR."""
        return self.sop_class in (MR_IMAGE, *ENHANCED_MR)

    @property
    def scan(self) -> str:
        """What a slice is of, in words."""
        return "MR" if self.is_mr else "CT"


@dataclass(frozen=True)
class Unread:
    """A file that cannot be read, and what can still be told of it.

    Attributes:
        path: the file.
        reason: why, without its path.
        patient: the patient that it names; "" where it does not get that far.
        outline: whether it is, or was, an RTSTRUCT or SEG.
    """

    path: Path
    reason: str
    patient: str = ""
    outline: bool = False


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


def read_dataset(path: Path, *, pixels: bool = True) -> Dataset:
    """One DICOM file, also without preamble and meta header where its first tag is a DICOM one.

    Raises:
        One of `DAMAGE` where the file is not DICOM, or where anything before its pixels is damaged or cut off.
    """
    return _read(path, None if pixels else _PIXELS)


def read_headers(folder: Path, also: Iterable[Path] = ()) -> tuple[list[Header], list[Unread]]:
    """The headers of all DICOM files under `folder`, in the order of their paths, and the files that have none.

    The files `also` lie elsewhere. Folders that were passed over stand among the latter: one that is named after
    outlines may hold some.
    """
    files, passed_over = files_under(folder)
    files = sorted({*files, *also})
    with lenient(), ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(_read_header, files))
    headers = [result for result in results if isinstance(result, Header)]
    unread = [result for result in results if isinstance(result, Unread)]
    return headers, [*unread, *(_behind(path, reason) for path, reason in passed_over)]


def _behind(path: Path, reason: str) -> Unread:
    """A file or folder that was passed over."""
    return Unread(path, reason, outline="cannot be opened" in reason and bool(_NAMED_OUTLINE.search(path.name)))


def _read(path: Path, stop: int | None, tags: list[str] | None = None) -> Dataset:
    """The data elements of a file before the tag `stop`, of which only `tags` are kept."""
    with path.open("rb") as file:
        start = file.read(132)
        if not start:
            raise InvalidDicomError("empty file")
        headless = start[128:132] != b"DICM"
        if _DEFLATED in file.read(_META):
            _refuse_bomb(file)
        # Without a preamble the first tag must be of the file meta (0002) or the identifying group (0008).
        if headless and start[:2] not in (b"\x02\x00", b"\x08\x00"):
            raise InvalidDicomError("not a DICOM file")
        file.seek(0)
        beyond = None if stop is None else lambda tag, vr, length: tag >= stop
        data = read_partial(file, beyond, force=headless, specific_tags=_as_tags(tags))
    _refuse_cut(data)
    if not getattr(data, "file_meta", None):
        data.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" not in data.file_meta:
        implicit, little = data.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return data


def _refuse_bomb(file: BinaryIO) -> None:
    """Raises InvalidDicomError where a deflated data set unpacks to more than `MOST_DEFLATED`: pydicom would unpack all
    of it before it looks at anything."""
    file.seek(132)
    group_length = file.read(12)  # tag, VR, length, and how long the rest of the meta header is
    if group_length[:6] != b"\x02\x00\x00\x00UL":
        raise InvalidDicomError("deflated, without the length of its meta header")
    file.seek(int.from_bytes(group_length[8:12], "little"), 1)
    unpacking, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    packed = file.read(2**20)
    while packed and not unpacking.eof:
        size += len(unpacking.decompress(packed, 2**22))
        if size > MOST_DEFLATED:
            raise InvalidDicomError(f"deflated, and unpacks to more than {MOST_DEFLATED:,} bytes")
        packed = unpacking.unconsumed_tail or file.read(2**20)


def _as_tags(keywords: list[str] | None) -> list[Any] | None:
    return None if keywords is None else [Tag(keyword) for keyword in keywords]


def _refuse_cut(data: Dataset) -> None:
    """Raises EOFError where the file ends inside a value: pydicom hands out what is left of it as if it were whole."""
    for tag in data.keys():  # noqa: SIM118, to walk through a dataset itself would convert every element
        if tag < _PIXELS and is_cut(data.get_item(tag)):
            raise EOFError("the file is truncated")


def is_cut(element: Any, *, spare: int = 0) -> bool:
    """Whether more than `spare` bytes of an element's value are missing at the end of the file."""
    if not isinstance(element, RawDataElement) or element.value is None or element.length == 0xFFFFFFFF:
        return False
    return len(element.value) + spare < element.length


def _read_header(path: Path) -> Header | Unread:
    """The header, or why there is none."""
    if path.name.upper() == "DICOMDIR":
        return Unread(path, "a DICOMDIR, not an image")
    try:
        data = _read(path, _LAST_TAG + 1, _TAGS)
        sop_class = text(data, "SOPClassUID") or text(data.file_meta, "MediaStorageSOPClassUID")
        # A blank series may be an anonymizer's; without anything behind it, the header was cut off.
        if not sop_class or not (data.get("SeriesInstanceUID") or "Rows" in data or sop_class == RTSTRUCT):
            return _unread(path, "not a DICOM object, or its header is truncated: no SOPClassUID or SeriesInstanceUID")
        return Header(
            path=path,
            patient=_patient(data),
            modality=text(data, "Modality") or "unknown",
            sop_class=sop_class,
            sop_uid=text(data, "SOPInstanceUID"),
            series_uid=text(data, "SeriesInstanceUID"),
            frame_of_reference=text(data, "FrameOfReferenceUID"),
            image_type=tuple(str(word).upper() for word in _items(data.get("ImageType"))),
            orientation=tuple(float(value) for value in _items(data.get("ImageOrientationPatient"))),
            thickness_mm=number(data, "SliceThickness"),
            rescale_type=text(data, "RescaleType"),
        )
    except DAMAGE as error:
        refuse_passing(error, path)
        return _unread(path, what(error))


def what(error: BaseException) -> str:
    """What is wrong with a file, in the same words for every file with the same fault: without path and position."""
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be opened ({error.strerror})"
    if isinstance(error, InvalidDicomError):
        return str(error)
    return "truncated" if isinstance(error, EOFError) else f"damaged ({type(error).__name__})"


def _unread(path: Path, reason: str) -> Unread:
    if not _was_outline(path):
        return Unread(path, reason)
    try:
        patient = _patient(_read(path, Tag("PatientID") + 1))
    except DAMAGE:
        patient = ""
    return Unread(path, reason, patient, outline=True)


def _was_outline(path: Path) -> bool:
    """Whether a damaged file was an outline: by the class UID in its first bytes or, where no such UID is left, by the
    file's or folder's name. Nothing else goes by names, but an outline that is overlooked puts a tumor among the
    backgrounds."""
    try:
        with path.open("rb") as file:
            start = file.read(1024)
    except OSError:
        start = b""
    if _CLASSES in start:
        return any(uid in start for uid in _OUTLINES)
    return path.suffix.lower() == ".dcm" and bool(_NAMED_OUTLINE.search(f"{path.parent.name}/{path.name}"))


def _patient(data: Dataset) -> str:
    return text(data, "PatientID") or text(data, "PatientName")


def in_hounsfield(rescale_type: str) -> bool:
    """Whether a RescaleType may be HU: that says so, says "unspecified", or nothing at all."""
    return not rescale_type or rescale_type.upper() in ("US", "UNSPECIFIED") or rescale_type.upper().startswith(_HU)


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
