"""The features of a map: what is measured on the lesion, what the radiologist says, what the clinic knows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from radiogenesis.cohort.store import Cohort
from radiogenesis.cohort.tables.annotations import MARK
from radiogenesis.cohort.tables.radiomics import read_radiomics
from radiogenesis.evaluation.descriptions.properties import own_features
from radiogenesis.imaging import Imaging
from radiogenesis.mapping.conventional.controls import DISTINCT, patient_radiomics
from radiogenesis.mapping.conventional.noise import UNITS as NOISE_UNITS
from radiogenesis.mapping.conventional.noise import patient_noise
from radiogenesis.phenotypes.lesion import labels
from radiogenesis.phenotypes.radiomics import FEATURES

LESION, NOISE, SEMANTIC, CLINICAL, RADIOMIC = "lesion", "image noise", "semantic", "clinical", "radiomic"
IBSI = "ibsi"
_UNKNOWN = re.compile(
    r"|not (collected|assessed|recorded.*|applicable|available|stated|done)|#?n/?a!?|nan|null|none given|unk(nown)?"
    r"|[-–—?.]+|#(div/0|value|ref|num|name)[!?]",  # the last are what spreadsheets write where a formula fails
    re.IGNORECASE,
)
_LIKE_A_NUMBER = re.compile(r"[<>≤≥~=\s]*[-+−]?[.,]?\d[\d.,'\s]*(e[-+]?\d+)?\s*[%+]?|[-+]?inf(inity)?", re.IGNORECASE)
_ABOUT_THE_FILE = (*MARK, "series_uid", "image_uid", "annotated", "file")
_NOT_A_PROPERTY = re.compile(r"\bdate\b|\buid\b|\bid\b", re.IGNORECASE)
MOST_LEVELS = 12


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Patients x features, numbers throughout, NaN where unknown.

    Attributes:
        values: index patient; a level of a categorical property is a column of 0 and 1, "Histology = Adenocarcinoma".
        family: feature -> where it comes from.
        left_out: column that was meant to be numbers and is no feature, or cell that counts as unknown -> why.
    """

    values: pd.DataFrame
    family: dict[str, str]
    left_out: dict[str, str] = field(default_factory=dict)

    def joined(self, other: FeatureTable) -> FeatureTable:
        """Both side by side, of the patients of this one."""
        twice = sorted(set(self.values.columns) & set(other.values.columns))
        if twice:
            raise ValueError(f"features in both tables: {twice}")
        values = self.values.join(other.values.reindex(self.values.index))
        return FeatureTable(values, {**self.family, **other.family}, {**self.left_out, **other.left_out})


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
    a lesion or a patient, and are left out. A column that was meant to be numbers and is left out for a cell that is
    none is named with that cell in `left_out`.
    """
    columns: dict[str, pd.Series[float]] = {}
    left_out: dict[str, str] = {}
    for name in map(str, table.columns):
        if name in skip or _NOT_A_PROPERTY.search(name):
            continue
        title = f"{prefix}{' '.join(name.split())}"
        indicators = _indicators(table[name], smallest)
        columns |= {f"{title} = {label}" if label else title: values for label, values in indicators.items()}
        spoilt = spoilt_cell(table[name])
        if spoilt is not None and not any(indicators):  # labels are answers: such a column was read as text, and whole
            what = "counts as unknown" if indicators else "the column is left out of the features"
            left_out[title] = f"{spoilt[1]!r} (patient {spoilt[0]}) is not a finite number: {what}"
    return replace(named(pd.DataFrame(columns, index=table.index), family), left_out=left_out)


def cohort_features(
    cohort: Cohort, patients: Sequence[str], smallest: int, not_features: Sequence[str] = ()
) -> FeatureTable:
    """All features that a cohort has of these patients: lesion, image noise, semantic, clinical.

    Args:
        not_features: clinical columns that are batch variables.
    """
    index = pd.Index(list(patients), name="patient")
    table = named(pd.DataFrame(own_features(cohort, patients), index, list(labels(cohort.imaging))), LESION)
    noise = patient_noise(cohort, patients)
    table = table.joined(named(noise.rename(columns=lambda name: noise_label(name, cohort.imaging)), NOISE))
    if cohort.annotations is not None:
        rows = cohort.annotations.reindex(index)
        table = table.joined(from_table(rows, SEMANTIC, smallest, _ABOUT_THE_FILE))
    if cohort.clinical is not None:
        table = table.joined(from_table(cohort.clinical.reindex(index), CLINICAL, smallest, not_features))
    return table


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


def noise_label(name: str, imaging: Imaging) -> str:
    """What a measure of the image's noise is called, as a feature and as a batch variable."""
    unit = imaging.unit_of(NOISE_UNITS.get(name, ""))
    return f"{name} ({unit})" if unit else name


def known_text(column: pd.Series) -> pd.Series:
    """Text with NaN where it says that nothing is known."""
    text = column.astype(object).where(column.notna(), "").astype(str).str.strip()
    return text.where(~text.map(lambda cell: bool(_UNKNOWN.fullmatch(cell))))


def numbers(column: pd.Series) -> pd.Series | None:
    """The column as numbers where all that is known is a number, else None; an infinite number counts as unknown."""
    known = known_text(column)
    values = pd.to_numeric(known, errors="coerce").astype(np.float64)
    all_are = known.notna().any() and values.notna().sum() == known.notna().sum()
    return values.where(np.isfinite(values)) if all_are else None


def spoilt_cell(column: pd.Series) -> tuple[str, str] | None:
    """(patient, cell) of the first known cell that is no finite number, in a column that was meant to be numbers: at
    least two different cells look like numbers ("60,5" and "<0.5" do). None where there is none."""
    known = known_text(column).dropna()
    look = known.map(lambda cell: bool(_LIKE_A_NUMBER.fullmatch(cell))).astype(bool)
    if known[look].nunique() < 2:
        return None
    spoilt = known[~np.isfinite(pd.to_numeric(known, errors="coerce").astype(np.float64))]
    return (str(spoilt.index[0]), str(spoilt.iloc[0])) if len(spoilt) else None


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
    indicators: dict[str, pd.Series] = {}
    for answer in answers:
        has = given.map(lambda cell, answer=answer: float(answer in cell)).reindex(column.index)
        if min(int((has == 1).sum()), int((has == 0).sum())) >= smallest:
            indicators[answer] = has
    if len(answers) == 2 and len(indicators) == 2 and given.map(len).max() == 1:
        rarer = min(indicators, key=lambda answer: indicators[answer].sum())
        indicators = {rarer: indicators[rarer]}
    return indicators
