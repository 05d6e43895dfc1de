"""What one patient contributes, computed on any machine and kept as one file until the cohort is written.

A part is an npz without pickles. Its name carries a key over everything it was made from (settings, files with their
sizes and times), so that an interrupted build goes on where it was and nothing stale is ever used.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote

import numpy as np

from radiogenesis.cohort.dicom.folder import read_dicom
from radiogenesis.cohort.digest import json_digest
from radiogenesis.cohort.mask_files import with_mask_files, with_organ
from radiogenesis.cohort.nifti import read_nifti
from radiogenesis.cohort.previews import write_preview
from radiogenesis.cohort.sampling.lesions import LesionRows, cut_lesions
from radiogenesis.cohort.sampling.organ_mask import organ_mask, remark_on
from radiogenesis.cohort.sampling.pieces import main_lesion
from radiogenesis.cohort.sampling.scale import on_scale
from radiogenesis.cohort.sampling.slices import (
    Backgrounds,
    NoduleSlices,
    SamplingSettings,
    background_slices,
)
from radiogenesis.cohort.sampling.upright import upright
from radiogenesis.cohort.sampling.whole_slices import WholeSlices, whole_slices
from radiogenesis.cohort.scan import Acquisition, Scan
from radiogenesis.cohort.sources import ReadSettings, Source
from radiogenesis.cohort.store import PatientData
from radiogenesis.cohort.volume_files import is_volume
from radiogenesis.errors import ScanError, may_pass
from radiogenesis.imaging import Imaging
from radiogenesis.output import whole_file
from radiogenesis.version import __version__

Status = Literal["in", "background only", "out"]

_DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, SyntaxError, zipfile.BadZipFile, zlib.error)
"""What a damaged part raises when it is read: its header is an expression of Python, which numpy parses."""
NOT_OUTLINED = "nothing is outlined on the scan"
_LONGEST_NAME = 150  # most file systems take 255 bytes, and endings come behind it
_PART_VERSION = 5  # raise it when the same scan and settings give another part


@dataclass(frozen=True)
class Outcome:
    """What became of one patient: cheap to send between processes, the images stay in the part's file."""

    patient: str
    status: Status
    reason: str
    """Why not more; "" where slices and backgrounds were both cut."""
    series_uid: str = ""
    spacing_xy_mm: float = float("nan")
    passing: bool = False
    """Whether an error of the system was the cause, such as a full disk: another attempt may go well."""


def patient_rng(seed: int, patient: str) -> np.random.Generator:
    """The patient's own stream: the same whatever the order of patients or the number of workers."""
    name = hashlib.sha256(patient.encode()).digest()[:8]
    return np.random.default_rng([seed, int.from_bytes(name, "little")])


def part_path(folder: Path, source: Source, read: ReadSettings, sampling: SamplingSettings) -> Path:
    """Where a source's part lies in `folder`, keyed by all that goes into it."""
    key = source_key(source, version=[__version__, _PART_VERSION], read=asdict(read), sampling=asdict(sampling))
    return folder / f"{file_name(source.patient)}-{key}.npz"


def source_key(source: Source, **settings: Any) -> str:
    """A digest of the source, its files with their sizes and times, and the settings that something is made with."""
    files = [(str(file), *_state(file)) for file in (*source.image_files, *source.outline_files)]
    unread = [(str(file), *_state(file)) for file in (*source.unread_outlines, *source.other_outlines)]
    organ = None if source.organ_files is None else [(str(file), *_state(file)) for file in source.organ_files]
    how = [source.outline_labels, source.label_names, source.structures, source.channel, organ]
    about = [source.patient, source.kind, source.chosen_because, how]
    return json_digest({**settings, "source": about, "files": files, "unread": unread})[:16]


def read_scan(source: Source, read: ReadSettings, *, of_lungs: bool = True) -> Scan:
    """The scan of a source, its planes axial; `of_lungs` as of `read_dicom`. ScanError where it cannot be read."""
    if source.kind == "nifti":
        scan = read_nifti(source, read)
    else:
        label = next(filter(None, source.outline_labels), "")
        read = replace(read, roi=label, segment=label) if label else read
        own = replace(source, outline_files=tuple(file for file in source.outline_files if not is_volume(file)))
        scan = with_mask_files(read_dicom(own, read, of_lungs=of_lungs), source, read)
    return upright(with_organ(scan, source, read))


def imaging_of(read: ReadSettings, sampling: SamplingSettings) -> Imaging:
    """What settings say of organ and scale."""
    return Imaging.of(sampling.organ, read.normalize, sampling.window)


def preview_path(folder: Path, patient: str) -> Path:
    """Where a patient's preview lies in the folder of parts."""
    return folder / "previews" / f"{file_name(patient)}.png"


def file_name(patient: str) -> str:
    """The patient's id as a file name; a long one is cut, and a digest tells it from others with the same beginning.

    Examples:
        >>> file_name("R01-001"), file_name("..")  # the second would be the folder above
        ('R01-001', '%2E%2E')
    """
    name = quote(patient, safe=" ")
    if not name.strip("."):
        name = "%2E" * len(name)
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:_LONGEST_NAME]}~{hashlib.sha256(patient.encode()).hexdigest()[:16]}"


def make_part(source: Source, read: ReadSettings, sampling: SamplingSettings, path: Path) -> Outcome:
    """Read the scan, cut slices and backgrounds, and write part and preview. Errors of the scan become the outcome."""
    try:
        data, notes, organ, scan = cut_source(source, read, sampling)
    except ScanError as error:
        outcome = Outcome(source.patient, "out", str(error), passing=may_pass(error))
        return outcome if outcome.passing else _write(path, None, outcome)  # another attempt reads the scan again
    if data.slices is None and data.backgrounds is None:
        return _write(path, None, Outcome(source.patient, "out", "; ".join(notes)))
    status: Status = "background only" if data.slices is None else "in"
    acquisition = data.acquisition
    outcome = Outcome(source.patient, status, "; ".join(notes), acquisition.series_uid, scan.spacing_mm[1])
    imaging = imaging_of(read, sampling)
    write_preview(preview_path(path.parent, source.patient), scan, organ, data, outcome.reason, imaging)
    return _write(path, data, outcome)


def cut_source(
    source: Source, read: ReadSettings, sampling: SamplingSettings
) -> tuple[PatientData, list[str], Any, Scan]:
    """Read the scan of a source, and cut slices and backgrounds: see `_cut`. ScanError where it cannot be read."""
    imaging = imaging_of(read, sampling)
    scan = read_scan(source, read, of_lungs=imaging.of_lungs)
    if not imaging.in_hu and scan.organ is None and source.organ_files is not None:
        raise ScanError(
            "no mask of the organ is given, and others are scaled inside theirs", path=source.image_files[0]
        )
    organ = None if imaging.in_hu else organ_mask(scan, imaging, scan.organ)
    return _cut(scan, sampling, imaging, organ, source.unread_outlines, source.organ_files)


def read_outcome(path: Path) -> Outcome | None:
    """The outcome of a part that is there and whole, all of it; else None."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as part:
            if part.zip.testzip() is not None:
                return None
            outcome = Outcome(**json.loads(str(part["outcome"])))
        if outcome.status not in get_args(Status) or not all(map(_is_text, (outcome.patient, outcome.reason))):
            return None
        return outcome if outcome.status == "out" or _is_whole(read_part(path), outcome.patient) else None
    except _DAMAGED:
        return None


def _is_whole(data: PatientData, patient: str) -> bool:
    """Whether a part holds this patient's arrays, with a row for each slice."""
    for record in filter(None, (data.slices, data.backgrounds, data.whole, data.lesions)):
        if not all(isinstance(one, np.ndarray) and one.ndim for one in vars(record).values()):
            return False
        of_slices = [len(one) for name, one in vars(record).items() if record is not data.slices or name != "center_mm"]
        if record is not data.lesions and (len(set(of_slices)) > 1 or vars(record)["image"].ndim != 3):
            return False
    return data.patient == patient


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def read_part(path: Path) -> PatientData:
    """The images of a part whose outcome is not "out"."""
    with np.load(path, allow_pickle=False) as part:
        about = json.loads(str(part["about"]))
        slices = backgrounds = whole = lesions = None
        if "slices.image" in part:
            slices = NoduleSlices(**{name: part[f"slices.{name}"] for name in _fields(NoduleSlices)})
        if "backgrounds.image" in part:
            backgrounds = Backgrounds(**{name: part[f"backgrounds.{name}"] for name in _fields(Backgrounds)})
        if "scans.image" in part:
            whole = WholeSlices(**{name: part[f"scans.{name}"] for name in _fields(WholeSlices)})
        if "lesions.of" in part:
            lesions = LesionRows(**{name: part[f"lesions.{name}"] for name in _fields(LesionRows)})
    return PatientData(
        patient=about["patient"],
        slices=slices,
        backgrounds=backgrounds,
        acquisition=Acquisition(**about["acquisition"]),
        spacing_mm=tuple(about["spacing_mm"]),
        tumor_volume_ml=about["tumour_volume_ml"],
        whole=whole,
        lesions=lesions,
    )


def _cut(
    raw: Scan,
    sampling: SamplingSettings,
    imaging: Imaging,
    organ: Any,
    unread_outlines: Collection[Path],
    organ_files: Collection[Path] | None = None,
) -> tuple[PatientData, list[str], Any, Scan]:
    """Slices, backgrounds and whole slices; each may fail, with a note. Then the notes, the organ's mask or None, and
    the scan on the scale of the cohort.

    Where an outline could not be read or placed, what looks like healthy lung may be tumor: then there are nodule
    slices only. So it is where the user gives masks of the organ, and none of this patient.
    """
    scan = on_scale(raw, imaging, organ)
    notes = list(scan.remarks)
    slices = backgrounds = whole = None
    volume, rows = float("nan"), None
    if scan.tumor is None:
        notes.append(NOT_OUTLINED)
    else:
        try:
            cut = cut_lesions(scan, sampling)
            slices, volume, rows = cut.slices, cut.volume_ml, cut.rows
            notes += filter(None, [cut.remark])
        except ScanError as error:
            shown, several = main_lesion(scan)
            volume = shown.volume_ml(scan.tumor)
            notes += filter(None, [several, str(error)])
    if unread_outlines:
        files = ", ".join(map(str, unread_outlines))
        notes.append(f"no backgrounds: an outline could not be read: {files}")
    elif organ_files == ():
        notes.append("no backgrounds: no mask of the organ is given for this patient (--organ_mask)")
    elif scan.unplaced:
        notes.append(f"no backgrounds: {scan.unplaced}")
    elif sampling.background_centers or sampling.whole_pixels:
        notes += [f"backgrounds keep away from {name}" for name in scan.masks if name != scan.tumor]
        notes += filter(None, [remark_on(imaging, raw.organ)])
        try:
            blind = organ_mask(raw, imaging, raw.organ) if organ is None else organ
            organ = blind | scan.tumor_mask
            if sampling.background_centers:
                rng = patient_rng(sampling.seed, scan.patient)
                backgrounds = background_slices(scan, organ, sampling, rng, imaging)
        except ScanError as error:
            notes.append(f"no backgrounds: {error}")
        if sampling.whole_pixels and organ is not None:
            try:
                whole = whole_slices(scan, blind, sampling)
            except ScanError as error:
                notes.append(f"no whole slices: {error}")
    data = PatientData(scan.patient, slices, backgrounds, scan.acquisition, scan.spacing_mm, volume, whole, rows)
    return data, notes, organ, scan


def _write(path: Path, data: PatientData | None, outcome: Outcome) -> Outcome:
    """Write the part beside, then rename: what is there is whole."""
    arrays: dict[str, Any] = {"outcome": json.dumps(asdict(outcome))}
    if data is not None:
        about = {
            "patient": data.patient,
            "acquisition": asdict(data.acquisition),
            "spacing_mm": list(data.spacing_mm),
            "tumour_volume_ml": data.tumor_volume_ml,
        }
        arrays["about"] = json.dumps(about)
        for kind, record in (
            ("slices", data.slices),
            ("backgrounds", data.backgrounds),
            ("scans", data.whole),
            ("lesions", data.lesions),
        ):
            if record is not None:
                arrays |= {f"{kind}.{name}": getattr(record, name) for name in _fields(type(record))}
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return outcome


def _fields(record: type[NoduleSlices | Backgrounds | WholeSlices | LesionRows]) -> list[str]:
    return list(record.__dataclass_fields__)


def _state(file: Path) -> tuple[int, int]:
    """Size and time; a file that cannot be reached has neither, and is refused when it is read."""
    try:
        stat = file.stat()
    except OSError:
        return -1, -1
    return stat.st_size, stat.st_mtime_ns
