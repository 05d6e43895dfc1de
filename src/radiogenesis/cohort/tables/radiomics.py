"""Tables of radiomic features as PyRadiomics writes them (`pyradiomics --out x.csv`): patients x features."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from radiogenesis.cohort.tables import reading
from radiogenesis.cohort.tables.identity import Known
from radiogenesis.errors import AnnotationError

DIAGNOSTICS = "diagnostics_"
SUFFIXES = re.compile(r"(\.nii|\.nrrd|\.mha|\.mhd|\.hdr|\.img|\.gz)+$", re.IGNORECASE)


def read_radiomics(
    path: str | Path, *, patients: Collection[str] | None = None, image_types: Collection[str] = ()
) -> pd.DataFrame:
    """A table of PyRadiomics, one lesion per patient.

    Args:
        path: CSV with a column `Image`, the path of each patient's image, columns of diagnostics, which are left out,
            and columns named image type, class, feature, as `original_glcm_JointEntropy`.
        patients: ids of known patients: a row is of the one whose id stands in its image's path, the longest where
            one is a part of another. Where `cohort radiomics` wrote the table, images are ids, and rows of scans that
            are not among these patients are left out. Without patients, the image's file name without its ending is
            the id.
        image_types: which to keep, as `original` or `wavelet-LLH`; all if empty.

    Returns:
        float64, index patient, columns as PyRadiomics names them; NaN where PyRadiomics wrote none.

    Raises:
        AnnotationError: no such file, no column Image, a row of no known patient or of several, a patient twice, a
            feature that is no number, no feature of an image type.
    """
    path = Path(path)
    if not path.is_file():
        raise AnnotationError("there is no such file", path=path)
    table = reading.read_table(path, AnnotationError)
    if "Image" not in table.columns:
        raise AnnotationError("has no column 'Image'", path=path, remedy="give the table that PyRadiomics wrote")
    table["Image"] = table["Image"].str.strip()
    if patients is not None:
        table = _with_known_ids(table, Known.of(patients))
    known = sorted(map(str, patients)) if patients is not None else None
    index = pd.Index([_patient(image, known, path) for image in table["Image"]], dtype=object, name="patient")
    if index.has_duplicates:
        raise AnnotationError(f"patient {index[index.duplicated()][0]!r} appears twice", path=path)
    features = [name for name in table.columns if name.count("_") >= 2 and not name.startswith(DIAGNOSTICS)]
    missing = set(image_types) - {name.split("_")[0] for name in features}
    if missing or not features:
        raise AnnotationError(
            f"has no features of {min(missing)!r}" if missing else "has no features",
            path=path,
            remedy=f"it has {', '.join(sorted({name.split('_')[0] for name in features})) or 'none'}",
        )
    kept = [name for name in features if not image_types or name.split("_")[0] in image_types]
    return pd.DataFrame({name: _numbers(table[name], index, path) for name in kept}, index=index)


def _with_known_ids(table: pd.DataFrame, known: Known) -> pd.DataFrame:
    """The table with known ids as they are known. Where images are ids, an id of nobody known is another scan's row,
    which goes: it must not be searched for the id of somebody else (P1 in P1_2)."""
    images, alike = known.renamed(list(table["Image"]))
    if not alike and not known.count(images):
        return table
    is_path = np.array([bool(re.search(r"[/\\]", image) or SUFFIXES.search(image)) for image in images], bool)
    return table.assign(Image=images)[is_path | np.isin(images, list(known.patients))]


def _named_in(image: str, known: list[str]) -> list[str]:
    """The ids that stand in a path, but not as a part of another one of them: P1_2 names P1_2, not P1 too."""
    alone = {one: rf"(?<![A-Za-z0-9]){re.escape(one)}(?![A-Za-z0-9])" for one in known}
    places = {one: {match.span() for match in re.finditer(pattern, image)} for one, pattern in alone.items()}
    spans = set().union(*places.values()) if places else set()

    def inside(span: tuple[int, int]) -> bool:
        return any(other != span and other[0] <= span[0] and span[1] <= other[1] for other in spans)

    return [one for one, found in places.items() if any(not inside(span) for span in found)]


def _patient(image: str, known: list[str] | None, path: Path) -> str:
    """The patient whose image it is. An id must stand alone in the path: R01-01 is not in R01-012."""
    if known is None:
        return SUFFIXES.sub("", PurePosixPath(image.strip().replace("\\", "/")).name)
    if image in known:
        return image
    named = _named_in(image, known)
    if len(named) != 1:
        what = f"names {len(named)} known patients ({', '.join(named)})" if named else "names no known patient"
        raise AnnotationError(
            f"the image {image!r} {what}", path=path, remedy="leave the row out, or name the patients"
        )
    return named[0]


def _numbers(column: pd.Series[str], index: pd.Index[str], path: Path) -> list[float]:
    cells = reading.with_points(column.to_numpy(dtype=object))
    values = list(map(reading.number_or_inf, cells))
    for patient, cell, value in zip(index, column, values, strict=True):
        if math.isinf(value):
            raise AnnotationError(
                f"patient {patient!r}, column {column.name!r} is {cell!r}, not a finite number",
                path=path,
                remedy="mend the cell, or leave it empty",
            )
    return values
