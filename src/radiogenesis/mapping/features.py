"""The features of a map: what is measured on the lesion, what the radiologist says, what the clinic knows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from radiogenesis.cohort.annotations import MARK
from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.drawing import own_features
from radiogenesis.mapping.noise import UNITS as NOISE_UNITS
from radiogenesis.mapping.noise import patient_noise
from radiogenesis.phenotypes.lesion import UNITS as LESION_UNITS

LESION, NOISE, SEMANTIC, CLINICAL, RADIOMIC = "lesion", "image noise", "semantic", "clinical", "radiomic"
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
    noise.columns = pd.Index([f"{name} ({unit})" if unit else name for name, unit in NOISE_UNITS.items()])
    made = made.joined(named(noise, NOISE))
    if cohort.annotations is not None:
        rows = cohort.annotations.reindex(index)
        made = made.joined(from_table(rows, SEMANTIC, smallest, _ABOUT_THE_FILE))
    if cohort.clinical is not None:
        made = made.joined(from_table(cohort.clinical.reindex(index), CLINICAL, smallest, not_features))
    return made


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
