"""Clinical columns that every test is adjusted for: numbers, or levels that patients enough share.

One rule for every column, so that a spoilt one is never adjusted for in silence:

1. a column of numbers is one number per patient; a date counts in days;
2. a column every answer of which has at least 5 patients is an indicator for each answer but the first;
3. any other column with a cell that looks like a number was meant to be numbers: the first cell that is none is named;
4. of any other text, answers of fewer than 5 patients are taken together as "other answers", unless most patients have
   such an answer: an indicator for each patient would explain everything and leave nothing to test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from radiogenesis.errors import SettingError
from radiogenesis.mapping.conventional.confounding import SMALLEST_BATCH, days
from radiogenesis.mapping.conventional.features import known_text, numbers, spoilt_cell

OTHER = "other answers"


@dataclass(frozen=True, eq=False)
class Covariates:
    """What tests are adjusted for.

    Attributes:
        values: (n, C) numbers without missing values, of the patients who have all covariates.
        said: sentences about who and what was left out or taken together.
    """

    values: pd.DataFrame
    said: tuple[str, ...] = ()


def covariates_of(clinical: pd.DataFrame | None, patients: Sequence[str], names: Sequence[str]) -> Covariates:
    """Clinical columns as numbers, of those of the patients whose values are all known.

    Raises:
        SettingError: no clinical table, no such column, a cell that is no number, a text that has a level for nearly
            every patient, or a column that does not vary among the patients who have all.
    """
    if clinical is None:
        raise SettingError("covariates: the cohort has no clinical table", remedy="build it with --clinical")
    table = clinical.set_axis([" ".join(str(name).split()) for name in clinical.columns], axis=1)
    rows = table.reindex(pd.Index(list(patients), name="patient"))
    known = pd.DataFrame({name: _known(rows, name) for name in names}, index=rows.index)
    complete = known.dropna()
    if not len(complete):
        raise SettingError(
            f"covariates {', '.join(names)}: no patient of the map has them all", remedy="leave out what is unknown"
        )
    coded = [_coded(complete[name], name) for name in names]
    said = [sentence for _, sentence in coded if sentence]
    return Covariates(pd.concat([values for values, _ in coded], axis=1), (*_left_out(known), *said))


def _known(rows: pd.DataFrame, name: str) -> pd.Series:
    """The column as numbers or as text, NaN where unknown."""
    if name not in rows:
        raise SettingError(
            f"covariates {name!r}: no column of the clinical table",
            remedy=f"choose from: {', '.join(map(str, rows))}",
        )
    column = rows[name]
    if isinstance(column, pd.DataFrame):
        raise SettingError(f"covariates {name!r}: several columns have this name", remedy="rename one and build again")
    text, values = known_text(column), numbers(column)
    if text.nunique() < 2:
        raise SettingError(f"covariates {name!r}: does not vary among the patients", remedy="leave it out")
    spoilt = spoilt_cell(column)
    if spoilt is None and values is not None:
        return values
    dates = days(column) if "date" in name.lower() else None
    if dates is not None and dates.notna().sum() == text.notna().sum():
        return dates
    shared = bool((text.value_counts() >= SMALLEST_BATCH).all())
    if spoilt is not None and not shared:
        raise SettingError(
            f"covariates {name!r}: {spoilt[1]!r} (patient {spoilt[0]}) is not a finite number",
            remedy="write a number with a decimal point, or nothing where it is unknown, and build the cohort again",
        )
    return text


def _coded(column: pd.Series, name: str) -> tuple[pd.DataFrame, str]:
    """A column without missing values as numbers, and what was taken together."""
    if column.nunique() < 2:
        raise SettingError(
            f"covariates {name!r}: does not vary among the {len(column)} patients who have all covariates",
            remedy="leave it out",
        )
    if column.dtype.kind == "f":
        return column.rename(name).to_frame(), ""
    counts = column.value_counts()
    rare = counts.index[counts < SMALLEST_BATCH]
    merged = column.where(~column.isin(rare), OTHER)
    pooled = int((merged == OTHER).sum())
    if merged.nunique() < 2 or 2 * pooled > len(column):
        example = str(column.iloc[0])[:40]
        raise SettingError(
            f"covariates {name!r}: text with {len(counts)} different answers of {len(column)} patients, such as "
            f"{example!r}; {pooled} patients have an answer that fewer than {SMALLEST_BATCH} share",
            remedy=f"give numbers, or a text whose answers at least {SMALLEST_BATCH} patients share",
        )
    levels = pd.get_dummies(merged, prefix=name, prefix_sep=" = ", drop_first=True, dtype=np.float64)
    took = f"Covariate {name}: {len(rare)} answers of fewer than {SMALLEST_BATCH} patients count as one ({OTHER})."
    return levels, took if len(rare) > 1 else ""


def _left_out(known: pd.DataFrame) -> tuple[str, ...]:
    """Who is not in the map because a covariate is unknown."""
    gone = int(known.isna().any(axis=1).sum())
    if not gone:
        return ()
    missing = ", ".join(f"{name} of {count}" for name, count in known.isna().sum().items() if count)
    return (f"{gone} of {len(known)} patients are left out, since a covariate of theirs is unknown: {missing}.",)
