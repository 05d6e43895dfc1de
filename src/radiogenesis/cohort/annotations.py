"""What radiologists and hospitals say about a patient: AIM v4 annotations and clinical tables -> patients x features.

An AIM v4 file answers a template's questions about one lesion: each answer has a label, the code behind it (RadLex or
the template's own) and the vocabulary of that code.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from radiogenesis.cohort import tables
from radiogenesis.cohort.geo import is_series_matrix, read_characteristics
from radiogenesis.errors import AnnotationError

_AIM = "{gme://caCORE.caCORE/4.4/edu.northwestern.radiology.AIM}"
_ANSWERS = ("ImagingPhysicalEntity", "ImagingPhysicalEntityCharacteristic", "ImagingObservationCharacteristic")
_MM = {"mm": 1.0, "cm": 10.0, "linear": 10.0}
"""Units of a line's length. ePAD writes "linear" and means cm: in NSCLC Radiogenomics, 10 times the length over the
distance in pixels is the pixel spacing of the scan's header, for every file that has both."""

MARK = ("mark_length_px", "mark_length_mm", "mark_length_from")
"""Columns about the mark that the radiologist drew. Its two points are what the archive describes as the ends of the
lesion's long axis; in NSCLC Radiogenomics they span about a seventh of the tumour's diameter (59 tumours with
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
    """

    features: pd.DataFrame
    codes: pd.DataFrame
    skipped: list[tuple[Path, str]] = field(default_factory=list)


def read_aim(folder: str | Path, *, pixel_mm: Mapping[str, float] | None = None) -> Annotations:
    """Read every AIM v4 file under a folder; the patient's id is the one inside the file, never the file's name.

    Args:
        folder: searched deeply for *.xml.
        pixel_mm: pixel spacing in mm of scans whose headers are at hand, by series UID.

    Raises:
        AnnotationError: no AIM file there, or one patient in two of them.
    """
    folder = Path(folder)
    files = sorted(folder.rglob("*.xml")) if folder.is_dir() else [folder]
    if not folder.exists():
        raise AnnotationError("there is no such folder", path=folder)
    rows: dict[str, dict[str, object]] = {}
    codes: set[tuple[str, str, str, str]] = set()
    skipped: list[tuple[Path, str]] = []
    for file in files:
        try:
            row, used = _read_file(file, pixel_mm or {})
        except AnnotationError as error:
            skipped.append((file, error.problem))
            continue
        patient = str(row.pop("patient"))
        if patient in rows:
            raise AnnotationError(
                f"patient {patient} is also annotated in {rows[patient]['file']}", path=file, remedy="keep one of them"
            )
        rows[patient] = row
        codes |= used
    if not rows:
        why = f" ({skipped[0][0].name}: {skipped[0][1]})" if skipped else ""
        raise AnnotationError(f"holds no AIM v4 annotation{why}", path=folder)
    about = [*MARK, "series_uid", "image_uid", "annotated", "file"]
    features = pd.DataFrame.from_dict(rows, orient="index").rename_axis("patient").sort_index()
    questions = [name for name in features.columns if name not in about]
    table = pd.DataFrame(sorted(codes), columns=["feature", "label", "code", "scheme"])
    return Annotations(features[questions + about], table, skipped)


def read_clinical(path: str | Path, *, patients: Collection[str] | None = None, id_column: str = "") -> pd.DataFrame:
    """A clinical table, index patient: CSV, TSV or semicolons, UTF-8 or Latin-1, or the characteristics of a GEO
    series matrix. Columns that are numbers throughout are numbers; everything else stays as it was written.

    Args:
        path: the file.
        patients: ids of known patients: the column that has most of them is the index.
        id_column: the column to index by, where no patients are known.

    Raises:
        AnnotationError: unreadable, no column of ids, or a patient twice.
    """
    path = Path(path)
    if not path.is_file():
        raise AnnotationError("there is no such file", path=path)
    if is_series_matrix(path):
        return read_characteristics(path)
    table = tables.read_text(path, AnnotationError)
    ids = id_column or _id_column(table, path, set(map(str, () if patients is None else patients)))
    if ids not in table.columns:
        raise AnnotationError(f"has no column {ids!r}", path=path, remedy=f"choose from {', '.join(table.columns)}")
    index = table.pop(ids).str.strip()
    twice = index[index.duplicated()]
    if len(twice):
        raise AnnotationError(f"patient {twice.iloc[0]!r} appears twice in column {ids!r}", path=path)
    return table.apply(_plain).set_axis(pd.Index(index, dtype=object, name="patient"))


def _id_column(table: pd.DataFrame, path: Path, known: set[str]) -> str:
    found = {name: int(table[name].str.strip().isin(known).sum()) for name in table.columns}
    best = max(found, key=lambda name: found[name])
    if not found[best]:
        raise AnnotationError(
            "no column holds the id of a known patient",
            path=path,
            remedy=f"name the column with --clinical_id: {', '.join(table.columns[:8])} ...",
        )
    return str(best)


def _plain(column: pd.Series[str]) -> pd.Series[str] | pd.Series[float]:
    """Numbers where every cell that is not empty is one; NaN for empty cells."""
    given = column.where(column.str.strip() != "")
    numbers = pd.to_numeric(given, errors="coerce")
    return numbers if numbers.notna().sum() == given.notna().sum() and given.notna().any() else given


def _read_file(path: Path, pixel_mm: Mapping[str, float]) -> tuple[dict[str, object], set[tuple[str, str, str, str]]]:
    """One file: a row of features, and the codes that it uses."""
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
    row: dict[str, object] = {"patient": patient}
    row |= {feature: "; ".join(sorted(labels)) for feature, labels in answers.items()}
    row |= dict(zip(MARK, _mark(lesions[0], pixel_mm.get(series)), strict=True))
    row |= {
        "series_uid": series,
        "image_uid": _root(lesions[0].find(f".//{_AIM}sopInstanceUid"), "root"),
        "annotated": _value(root.find(f"{_AIM}dateTime")),
        "file": path.name,
    }
    return row, codes


def _parse(path: Path) -> ElementTree.Element:
    """The root of an AIM v4 file. A document type is refused: AIM has none, and entities in it can exhaust memory."""
    try:
        content = path.read_bytes()
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content or b"\x00" in content[:64]:
            raise AnnotationError("declares a document type or is not UTF-8, which no AIM file does", path=path)
        root = ElementTree.fromstring(content)
    except OSError as error:
        raise AnnotationError(f"cannot be read ({error.strerror})", path=path) from error
    except ElementTree.ParseError as error:
        raise AnnotationError(f"is not well-formed XML ({error})", path=path) from error
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
    found = []
    for point in mark.iter(f"{_AIM}TwoDimensionSpatialCoordinate"):
        x, y = (_number(_value(point.find(_AIM + axis))) for axis in "xy")
        if math.isfinite(x) and math.isfinite(y):
            found.append((x, y))
    return found


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
