"""Tables of radiomic features as PyRadiomics writes them (`pyradiomics --out x.csv`): patients x features."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

import pandas as pd

from radiogenesis.cohort import tables
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
        patients: ids of known patients: a row is of the one whose id stands in its image's path. Without them, the
            image's file name without its ending is the id.
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
    table = tables.read_text(path, AnnotationError)
    if "Image" not in table.columns:
        raise AnnotationError("has no column 'Image'", path=path, remedy="give the table that PyRadiomics wrote")
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


def _patient(image: str, known: list[str] | None, path: Path) -> str:
    """The patient whose image it is. An id must stand alone in the path: R01-01 is not in R01-012."""
    if known is None:
        return SUFFIXES.sub("", PurePosixPath(image.strip().replace("\\", "/")).name)
    found = [one for one in known if re.search(rf"(?<![A-Za-z0-9]){re.escape(one)}(?![A-Za-z0-9])", image)]
    if len(found) != 1:
        what = f"names {len(found)} known patients ({', '.join(found)})" if found else "names no known patient"
        raise AnnotationError(
            f"the image {image!r} {what}", path=path, remedy="leave the row out, or name the patients"
        )
    return found[0]


def _numbers(column: pd.Series[str], index: pd.Index[str], path: Path) -> list[float]:
    values = []
    for patient, cell in zip(index, column, strict=True):
        try:
            values.append(float("nan") if cell.strip().lower() in tables.MISSING else float(cell))
        except ValueError:
            raise AnnotationError(
                f"patient {patient!r}, column {column.name!r} is {cell!r}, not a number", path=path
            ) from None
    return values
