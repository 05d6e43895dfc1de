"""What radiologists and hospitals say about a patient: AIM v4 annotations and clinical tables -> patients x features.

An AIM v4 file answers a template's questions about one lesion: each answer has a label, the code behind it (RadLex or
the template's own) and the vocabulary of that code.
"""

from __future__ import annotations

import filecmp
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from radiogenesis.cohort.tables import reading
from radiogenesis.cohort.tables.geo import is_series_matrix, read_characteristics
from radiogenesis.cohort.tables.identity import Known, style_told
from radiogenesis.cohort.walk import files_under, refuse_passing
from radiogenesis.errors import AnnotationError
from radiogenesis.given_files import is_special, refuse_special

_AIM = "{gme://caCORE.caCORE/4.4/edu.northwestern.radiology.AIM}"
_ANSWERS = ("ImagingPhysicalEntity", "ImagingPhysicalEntityCharacteristic", "ImagingObservationCharacteristic")
_MM = {"mm": 1.0, "cm": 10.0, "linear": 10.0}
"""Units of a line's length. ePAD writes "linear" and means cm: in NSCLC Radiogenomics, 10 times the length over the
distance in pixels is the pixel spacing of the scan's header, for every file that has both."""

_PERSON = re.compile(rb"<(?:\w+:)?person\b")
_ID = re.compile(rb"""<(?:\w+:)?id\b[^<>]*?\bvalue\s*=\s*["']([^"'<]+)["']""")

MARK = ("mark_length_px", "mark_length_mm", "mark_length_from")
"""Columns about the mark that the radiologist drew. Its two points are what the archive describes as the ends of the
lesion's long axis; in NSCLC Radiogenomics they span about a seventh of the tumor's diameter (59 tumors with
PyRadiomics shapes; median ratio 0.14, Spearman 0.65), so the length ranks lesions and does not measure them."""


@dataclass(frozen=True)
class Annotations:
    """What a folder of AIM files says.

    Attributes:
        features: index patient; one column per question of the template with the label of the answer (several answers
            joined by "; " in alphabetical order, the parts of a compound answer by " + "; NaN where the question was
            not asked), then `mark_length_px`, `mark_length_mm` and `mark_length_from` (see MARK; mm from the spacing
            where it is known, or from the length that the file itself states, NaN otherwise and the reason beside it),
            then `series_uid`, `image_uid`, `annotated` (date and time) and `file`.
        codes: tidy: feature, label, code, scheme; every code that was used.
        skipped: (file, why) of files that could not be used.
        remarks: patient -> which of these files name the patient, and why they could not be used.
    """

    features: pd.DataFrame
    codes: pd.DataFrame
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    remarks: dict[str, str] = field(default_factory=dict)


def read_aim(folder: str | Path, *, pixel_mm: Mapping[str, float] | None = None) -> Annotations:
    """Read every AIM v4 file under a folder; the patient's id is the one inside the file, never the file's name.

    Of a patient with several annotations that differ none is used, since nothing says which one holds; identical copies
    count once.

    Args:
        folder: searched deeply for *.xml.
        pixel_mm: pixel spacing in mm of scans whose headers are at hand, by series UID.

    Raises:
        AnnotationError: no AIM file there that can be used.
    """
    folder = Path(folder)
    files, passed_over = files_under(folder) if folder.is_dir() else ([folder], [])
    files = [path for path in files if path == folder or path.suffix == ".xml"]
    if not folder.exists():
        raise AnnotationError("there is no such folder", path=folder)
    read: dict[str, list[_File]] = {}
    skipped = [(path, why, "") for path, why in passed_over]  # file, why, patient
    for path in files:
        try:
            file = _read_file(path, pixel_mm or {})
        except AnnotationError as error:
            skipped.append((path, error.problem, _named_patient(path)))
            continue
        same = read.setdefault(file.patient, [])
        if any(filecmp.cmp(path, one.path, shallow=False) for one in same):
            skipped.append((path, "a copy of another file", ""))
        else:
            same.append(file)
    used = {patient: same[0] for patient, same in read.items() if len(same) == 1}
    several = [one for same in read.values() if len(same) > 1 for one in same]
    skipped += [(one.path, "one of several annotations of its patient", one.patient) for one in several]
    if not used:
        why = f" ({skipped[0][0].name}: {skipped[0][1]})" if skipped else ""
        raise AnnotationError(f"holds no AIM v4 annotation that can be used{why}", path=folder)
    rows = {patient: file.row | {"file": file.path.name} for patient, file in used.items()}
    codes = set().union(*(file.codes for file in used.values()))
    about = [*MARK, "series_uid", "image_uid", "annotated", "file"]
    features = pd.DataFrame.from_dict(rows, orient="index").rename_axis("patient").sort_index()
    questions = [name for name in features.columns if name not in about]
    table = pd.DataFrame(sorted(codes), columns=["feature", "label", "code", "scheme"])
    told = [(path, why) for path, why, _ in skipped]
    return Annotations(features[questions + about], table, told, _remarks(skipped))


def _remarks(skipped: list[tuple[Path, str, str]]) -> dict[str, str]:
    """Patient -> the files that name the patient and could not be used."""
    remarks: dict[str, list[str]] = {}
    for path, why, patient in skipped:
        if patient:
            remarks.setdefault(patient, []).append(f"annotation {path.name} not used: {why}")
    return {patient: "; ".join(lines) for patient, lines in remarks.items()}


def read_clinical(
    path: str | Path,
    *,
    patients: Collection[str] | None = None,
    id_column: str = "",
    id_map: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """A clinical table, index patient: CSV, TSV or semicolons (see `reading.read_table`), or the characteristics of a
    GEO series matrix. Columns that are numbers throughout are numbers; everything else stays as it was written.

    An id that differs from a known patient's only in case, separators or leading zeros is that patient's;
    `attrs["remarks"]` says so in sentences.

    Args:
        path: the file.
        patients: ids of known patients: the column that has most of them is the index.
        id_column: the column to index by, where no patients are known.
        id_map: id in the table -> id of a known patient.

    Raises:
        AnnotationError: unreadable, no column of ids, a row without an id, or a patient twice.
    """
    path = Path(path)
    if not path.is_file():
        raise AnnotationError("there is no such file", path=path)
    known = Known.of(patients, id_map)
    if is_series_matrix(path):
        return _with_known_ids(read_characteristics(path), known)
    table = reading.read_table(path, AnnotationError)
    ids = id_column or _id_column(table, path, known)
    if ids not in table.columns:
        raise AnnotationError(f"has no column {ids!r}", path=path, remedy=f"choose from {', '.join(table.columns)}")
    index = table.pop(ids).str.strip()
    blank = table[index == ""]
    if len(blank):
        cells = ", ".join(filter(None, map(str.strip, blank.iloc[0])))
        raise AnnotationError(
            f"a row has no id in column {ids!r}: {cells[:80]}", path=path, remedy="fill the id in, or delete the row"
        )
    by_patient = _with_known_ids(plain_columns(table).set_axis(pd.Index(index, dtype=object, name="patient")), known)
    twice = by_patient.index[by_patient.index.duplicated()]
    if len(twice):
        raise AnnotationError(f"patient {twice[0]!r} appears twice in column {ids!r}", path=path)
    return by_patient


def _with_known_ids(table: pd.DataFrame, known: Known) -> pd.DataFrame:
    """The table with the ids of known patients where it writes them in another way."""
    names, alike = known.renamed(list(map(str, table.index)))
    renamed = table.set_axis(pd.Index(names, dtype=object, name=table.index.name))
    renamed.attrs["remarks"] = style_told("clinical table", alike)
    return renamed


def _id_column(table: pd.DataFrame, path: Path, known: Known) -> str:
    cells = {name: list(table[name].str.strip()) for name in table.columns}
    matches = {name: (known.count(ids), len(known.alike(ids))) for name, ids in cells.items()}
    best = max(matches, key=lambda name: matches[name])
    if not any(matches[best]):
        raise AnnotationError(
            "no column holds the id of a known patient",
            path=path,
            remedy=f"name the column with --clinical_id ({', '.join(table.columns[:8])} ...), and pair ids that are"
            " written otherwise with --id_map",
        )
    return str(best)


def plain_columns(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that are numbers throughout as numbers; everything else as it was written, NaN for empty cells."""
    return table.apply(_plain)


def _plain(column: pd.Series[str]) -> pd.Series[str] | pd.Series[float]:
    """Numbers where every cell that is not empty is a finite one; NaN for empty cells."""
    given = column.where(column.str.strip() != "")
    pointed = pd.Series(reading.with_points(column.to_numpy(dtype=object)), column.index)
    numbers = pd.to_numeric(pointed.where(given.notna()), errors="coerce").replace([np.inf, -np.inf], np.nan)
    return numbers if numbers.notna().sum() == given.notna().sum() and given.notna().any() else given


@dataclass(frozen=True)
class _File:
    """One usable file: its patient, the row of features (without the file's name), and the codes that it uses."""

    path: Path
    patient: str
    row: dict[str, object]
    codes: set[tuple[str, str, str, str]]


def _read_file(path: Path, pixel_mm: Mapping[str, float]) -> _File:
    root = _parse(path)
    lesions = root.findall(f".//{_AIM}ImageAnnotation")
    if len(lesions) != 1:
        raise AnnotationError(f"annotates {len(lesions)} lesions, where one is expected", path=path)
    patient = _value(root.find(f"{_AIM}person/{_AIM}id"))
    if not patient:
        raise AnnotationError("names no patient", path=path)
    answers: dict[str, set[str]] = {}
    codes: set[tuple[str, str, str, str]] = set()
    for kind in _ANSWERS:
        for entity in lesions[0].iter(_AIM + kind):
            feature = _value(entity.find(f"{_AIM}label"))
            types = entity.findall(f"{_AIM}typeCode")
            label = " + ".join(map(_label, types))
            if feature and label:
                answers.setdefault(feature, set()).add(label)
                parts = (" + ".join(kind.get(name, "") for kind in types) for name in ("code", "codeSystemName"))
                codes.add((feature, label, *parts))  # type: ignore[arg-type]
    series = _root(lesions[0].find(f".//{_AIM}imageSeries/{_AIM}instanceUid"), "root")
    row: dict[str, object] = {feature: "; ".join(sorted(labels)) for feature, labels in answers.items()}
    row |= dict(zip(MARK, _mark(lesions[0], pixel_mm.get(series)), strict=True))
    row |= {
        "series_uid": series,
        "image_uid": _root(lesions[0].find(f".//{_AIM}sopInstanceUid"), "root"),
        "annotated": _value(root.find(f"{_AIM}dateTime")),
    }
    return _File(path, patient, row, codes)


def _named_patient(path: Path) -> str:
    """The patient that a file names, though it cannot be used: it may be cut off behind that. "" where it does not."""
    try:
        content = b"" if is_special(path) else path.read_bytes()
    except OSError:
        return ""
    # One after the other: in one pattern each person would look for an id up to the end of the file.
    person = _PERSON.search(content)
    own = None if person is None else _ID.search(content, person.end())
    return "" if own is None else unescape(own[1].decode("utf-8", "replace")).strip()


def _parse(path: Path) -> ElementTree.Element:
    """The root of an AIM v4 file. A document type is refused: AIM has none, and entities in it can exhaust memory."""
    refuse_special(path, AnnotationError)
    try:
        content = path.read_bytes()
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content or b"\x00" in content[:64]:
            raise AnnotationError("declares a document type or is not UTF-8, which no AIM file does", path=path)
        root = ElementTree.fromstring(content)
    except OSError as error:
        refuse_passing(error, path)
        raise AnnotationError(f"cannot be read ({error.strerror})", path=path) from error
    except ElementTree.ParseError as error:
        raise AnnotationError("is not well-formed XML", path=path) from error
    except (LookupError, ValueError, RecursionError) as error:
        raise AnnotationError(f"is in an encoding that cannot be read ({error})", path=path) from error
    if root.tag != f"{_AIM}ImageAnnotationCollection":
        raise AnnotationError("is not an AIM v4 annotation", path=path)
    return root


def _label(code: ElementTree.Element) -> str:
    """The words of a typeCode: a displayName inside it, or, as older exports of ePAD have it, its codeSystem."""
    display = next((child for child in code if child.tag.endswith("displayName")), None)
    return (_value(display) or code.get("codeSystem", "")).strip()


def _mark(lesion: ElementTree.Element, spacing: float | None) -> tuple[float, float, str]:
    """Length of the longest mark in pixels and in mm, and where the mm come from."""
    lengths = [
        math.dist(points[0], points[1])
        for points in map(_points, lesion.iter(f"{_AIM}MarkupEntity"))
        if len(points) == 2
    ]
    if not lengths:
        return float("nan"), float("nan"), "no mark of two points"
    length = max(lengths)
    if spacing is not None:
        return length, length * spacing, "pixel spacing of the scan"
    stated = max(filter(None, map(_stated_mm, lesion.iter(f"{_AIM}CalculationEntity"))), default=0.0)
    if stated > 0:
        return length, stated, "length stated in the annotation"
    return length, float("nan"), "unknown: the annotation has pixels only, and its scan is not at hand"


def _points(mark: ElementTree.Element) -> list[tuple[float, float]]:
    points = []
    for point in mark.iter(f"{_AIM}TwoDimensionSpatialCoordinate"):
        x, y = (_number(_value(point.find(_AIM + axis))) for axis in "xy")
        if math.isfinite(x) and math.isfinite(y):
            points.append((x, y))
    return points


def _stated_mm(calculation: ElementTree.Element) -> float:
    """The length that a LineLength calculation states, in mm; 0 where it states none."""
    if _value(calculation.find(f"{_AIM}description")) != "LineLength":
        return 0.0
    unit = _MM.get(_value(calculation.find(f".//{_AIM}unitOfMeasure")), 0.0)
    length = _number(_value(calculation.find(f".//{_AIM}CalculationData/{_AIM}value")))
    return length * unit if math.isfinite(length) else 0.0


def _value(element: ElementTree.Element | None) -> str:
    return _root(element, "value")


def _root(element: ElementTree.Element | None, attribute: str) -> str:
    return "" if element is None else element.get(attribute, "").strip()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
