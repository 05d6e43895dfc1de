"""What RTSTRUCT and SEG have in common: what is outlined, on which images, and which of it is the tumor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydicom.dataset import Dataset

from radiogenesis.cohort.dicom.headers import RTSTRUCT, is_cut, read_dataset, text
from radiogenesis.cohort.dicom.series import Series
from radiogenesis.errors import ScanError

_HOLDS_RTSTRUCT = ("StructureSetROISequence", "ROIContourSequence")
_HOLDS_SEG = ("SegmentSequence", "PixelData")


@dataclass(frozen=True)
class Outline:
    """One RTSTRUCT or SEG file, described by its header.

    Attributes:
        patient: patient identifier in its header.
        series_uids, image_uids, frames_of_reference: what it says it was drawn on.
        names: everything outlined in it, in its order.
        chosen: those of `names` that are the tumor by the settings; empty where none is.
        automatic: whether an algorithm alone made it.
        made: date and time of its content, sortable text.
        uid: its SOP instance UID.
        coded: label and codes of what was chosen, in words; "" for an RTSTRUCT, which has none.
    """

    path: Path
    kind: Literal["RTSTRUCT", "SEG"]
    patient: str
    series_uids: frozenset[str]
    image_uids: frozenset[str]
    frames_of_reference: frozenset[str]
    names: tuple[str, ...]
    chosen: tuple[str, ...]
    automatic: bool
    made: str
    uid: str
    coded: str = ""


def read_outline(path: Path) -> Dataset:
    """An RTSTRUCT or SEG that is whole: cut off between two data elements it would read as one with fewer contours.

    Raises:
        One of `headers.DAMAGE`.
    """
    data = read_dataset(path)
    if not data.get("SOPClassUID"):  # an anonymizer blanked it; what is read here is not written back
        data.SOPClassUID = text(data.file_meta, "MediaStorageSOPClassUID")
    needed = _HOLDS_RTSTRUCT if data.get("SOPClassUID") == RTSTRUCT else _HOLDS_SEG
    if any(keyword not in data for keyword in needed):
        raise EOFError("the file is truncated")
    if "PixelData" in data and is_cut(data.get_item("PixelData"), spare=1):  # some writers forget the padding byte
        raise EOFError("the file is truncated")
    return data


def matches(names: Sequence[str], pattern: str) -> tuple[str, ...]:
    """Names that equal the pattern or match it (`*`, `?`, `[...]`), case-insensitive.

    A name that equals the pattern wins over those it would match, so that names with brackets can be given.
    """
    wanted = pattern.strip().casefold()
    exact = tuple(name for name in names if name.strip().casefold() == wanted)
    return exact or tuple(name for name in names if fnmatchcase(name.strip().casefold(), wanted))


def listed(names: Iterable[str]) -> str:
    """Names for an error message."""
    return ", ".join(repr(name) for name in dict.fromkeys(names)) or "none"


def items(data: Dataset, keyword: str) -> Iterator[Dataset]:
    """The items of a sequence; none where it is absent or empty."""
    yield from data.get(keyword) or ()


def check_frame_of_reference(frames: Iterable[str], series: Series, path: Path) -> None:
    """Refuse an outline that lies in another coordinate system than the CT. Unstated ones cannot be compared."""
    own = series.acquisition.frame_of_reference_uid
    others = [uid for uid in frames if uid and uid != own]
    if own and others:
        raise ScanError(
            f"the outline refers to another frame of reference ({others[0]}) than the CT series ({own})",
            path=path,
            remedy="give the CT it was drawn on",
        )
