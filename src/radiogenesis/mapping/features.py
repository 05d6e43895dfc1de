"""The features of a map: what is measured on the lesion, what the radiologist says, what the clinic knows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from radiogenesis.cohort.annotations import MARK
from radiogenesis.cohort.radiomics_table import read_radiomics
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import SettingError
from radiogenesis.evaluation.drawing import own_features
from radiogenesis.mapping.controls import DISTINCT, patient_radiomics
from radiogenesis.mapping.noise import UNITS as NOISE_UNITS
from radiogenesis.mapping.noise import patient_noise
from radiogenesis.phenotypes.lesion import UNITS as LESION_UNITS
from radiogenesis.phenotypes.radiomics import FEATURES

LESION, NOISE, SEMANTIC, CLINICAL, RADIOMIC = "lesion", "image noise", "semantic", "clinical", "radiomic"
IBSI = "ibsi"
_UNKNOWN = re.compile(
    r"|not (collected|assessed|recorded.*|applicable|available|stated|done)|n/?a|nan|none given|unknown", re.IGNORECASE
)
_ABOUT_THE_FILE = (*MARK, "series_uid", "image_uid", "annotated", "file")
_NOT_A_PROPERTY = re.compile(r"\bdate\b|\buid\b|\bid\b", re.IGNORECASE)
MOST_LEVELS = 12


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Patients x features, numbers throughout, NaN where unknown.

    Attributes:
        values: index patient; a level of a categorical property is a column of 0 and 1, "Histology = Adenocarcinoma".
        family: feature -> where it comes from.
    """

    values: pd.DataFrame
    family: dict[str, str]

    def joined(self, other: FeatureTable) -> FeatureTable:
        """Both side by side, of the patients of this one."""
        twice = sorted(set(self.values.columns) & set(other.values.columns))
        if twice:
            raise ValueError(f"features in both tables: {twice}")
        values = self.values.join(other.values.reindex(self.values.index))
        return FeatureTable(values, {**self.family, **other.family})


def named(values: pd.DataFrame, family: str) -> FeatureTable:
    """A table of numbers as features of one family."""
    return FeatureTable(values.astype(np.float64), dict.fromkeys(map(str, values.columns), family))


def from_table(
    table: pd.DataFrame, family: str, smallest: int, skip: Sequence[str] = (), prefix: str = ""
) -> FeatureTable:
    """Numbers stay numbers; every common answer of a text column becomes an indicator.

    Text is read as answers joined by "; " (as in AIM annotations); "Not Collected" and its like are missing. An answer
    is common when at least `smallest` patients have it and as many do not. A column of two exclusive answers gives one
    indicator, that of the rarer. Dates, identifiers, and text of more than 12 different answers are no properties of
    a lesion or a patient, and are left out.
    """
    columns: dict[str, pd.Series[float]] = {}
    for name in map(str, table.columns):
        if name in skip or _NOT_A_PROPERTY.search(name):
            continue
        for label, values in _indicators(table[name], smallest).items():
            title = f"{prefix}{' '.join(name.split())}"
            columns[f"{title} = {label}" if label else title] = values
    return named(pd.DataFrame(columns, index=table.index), family)


def cohort_features(
    cohort: Cohort, patients: Sequence[str], smallest: int, not_features: Sequence[str] = ()
) -> FeatureTable:
    """All features that a cohort has of these patients: lesion, image noise, semantic, clinical.

    Args:
        not_features: clinical columns that are batch variables.
    """
    index = pd.Index(list(patients), name="patient")
    columns = [f"{name} ({unit})" if unit else name for name, unit in LESION_UNITS.items()]
    made = named(pd.DataFrame(own_features(cohort, patients), index, columns), LESION)
    noise = patient_noise(cohort, patients)
    made = made.joined(named(noise.rename(columns=noise_label), NOISE))
    if cohort.annotations is not None:
        rows = cohort.annotations.reindex(index)
        made = made.joined(from_table(rows, SEMANTIC, smallest, _ABOUT_THE_FILE))
    if cohort.clinical is not None:
        made = made.joined(from_table(cohort.clinical.reindex(index), CLINICAL, smallest, not_features))
    return made


def radiomic_table(cohort: Cohort, patients: Sequence[str], source: str, smallest: int) -> FeatureTable:
    """Radiomic features of patients, those that vary.

    Args:
        source: "ibsi", measured on the patients' slices, or the path of a table of PyRadiomics.

    Raises:
        AnnotationError: a table that cannot be read, or of no patient of the cohort.
    """
    index = pd.Index(list(patients), name="patient")
    if source == IBSI:
        values = pd.DataFrame(patient_radiomics(cohort, patients), index, list(map(_with_code, DISTINCT)))
    else:
        values = read_radiomics(source, patients=list(map(str, cohort.patients.index))).reindex(index)
    return from_table(values, RADIOMIC, smallest)


def _with_code(name: str) -> str:
    """A radiomic feature with its IBSI code, where it has one: "glcm_joint_entropy [TU9B]"."""
    code = FEATURES[name].ibsi
    return f"{name} [{code}]" if code else name


def noise_label(name: str) -> str:
    """What a measure of the image's noise is called, as a feature and as a batch variable."""
    unit = NOISE_UNITS.get(name, "")
    return f"{name} ({unit})" if unit else name


def covariates_of(clinical: pd.DataFrame | None, patients: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
    """Clinical columns as numbers: (n, C), NaN where unknown; of a text an indicator for each level but the first.

    Raises:
        SettingError: no clinical table, no such column, or one that does not vary.
    """
    if clinical is None:
        raise SettingError("covariates: the cohort has no clinical table", remedy="build it with --clinical")
    table = clinical.set_axis([" ".join(str(name).split()) for name in clinical.columns], axis=1)
    rows = table.reindex(pd.Index(list(patients), name="patient"))
    made = []
    for name in names:
        if name not in rows:
            raise SettingError(
                f"covariates {name!r}: no column of the clinical table",
                remedy=f"choose from: {', '.join(map(str, rows))}",
            )
        values, text = numbers(rows[name]), known_text(rows[name])
        if text.nunique() < 2:
            raise SettingError(f"covariates {name!r}: does not vary among the patients", remedy="leave it out")
        if values is not None:
            made.append(values.rename(name).to_frame())
        else:
            levels = pd.get_dummies(text, prefix=name, prefix_sep=" = ", drop_first=True, dtype=np.float64)
            made.append(levels.where(text.notna()))
    return pd.concat(made, axis=1)


def known_text(column: pd.Series) -> pd.Series:
    """Text with NaN where it says that nothing is known."""
    text = column.astype(object).where(column.notna(), "").astype(str).str.strip()
    return text.where(~text.map(lambda cell: bool(_UNKNOWN.fullmatch(cell))))


def numbers(column: pd.Series) -> pd.Series | None:
    """The column as numbers where all that is known is a number, else None."""
    known = known_text(column)
    found = pd.to_numeric(known, errors="coerce")
    return found.astype(np.float64) if known.notna().any() and found.notna().sum() == known.notna().sum() else None


def _indicators(column: pd.Series, smallest: int) -> dict[str, pd.Series]:
    """Label -> values; the label is "" for a column of numbers."""
    values = numbers(column)
    if column.dtype == bool:
        values = column.astype(np.float64)
    if values is not None:
        common = values.value_counts()
        varies = len(common) > 1 and int(common.sum() - common.iloc[0]) >= smallest
        return {"": values} if varies else {}
    known = known_text(column)
    given = known.dropna().map(lambda cell: {answer.strip() for answer in cell.split(";")})
    answers = sorted(set().union(*given)) if len(given) else []
    if len(answers) > MOST_LEVELS and given.map(len).max() == 1:
        return {}
    made: dict[str, pd.Series] = {}
    for answer in answers:
        has = given.map(lambda cell, answer=answer: float(answer in cell)).reindex(column.index)
        if min(int((has == 1).sum()), int((has == 0).sum())) >= smallest:
            made[answer] = has
    if len(answers) == 2 and len(made) == 2 and given.map(len).max() == 1:
        rarer = min(made, key=lambda answer: made[answer].sum())
        made = {rarer: made[rarer]}
    return made
