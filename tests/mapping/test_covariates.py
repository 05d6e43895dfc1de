"""Covariates: a cell that is no number is named, a level has patients, who is left out is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radiogenesis.errors import SettingError
from radiogenesis.mapping.conventional.covariates import OTHER, covariates_of

N = 24
PATIENTS = [f"P{i:03d}" for i in range(N)]


def table(**columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame(columns, index=pd.Index(PATIENTS, name="patient"))


@pytest.mark.parametrize(
    ("cells", "line"),
    [
        ([f"{60 + i / 2:.1f}".replace(".", ",") for i in range(N)], r"'60,0' \(patient P000\) is not a finite number"),
        (["<0.5" if i == 3 else f"{1 + i / 4}" for i in range(N)], r"'<0.5' \(patient P003\) is not a finite number"),
        ([np.inf if i == 3 else 1 + i / 4 for i in range(N)], r"'inf' \(patient P003\) is not a finite number"),
        (["1.234,5" if i == 9 else f"{i}" for i in range(N)], r"'1.234,5' \(patient P009\) is not a finite number"),
        (["12 %" if i == 2 else f"{i}" for i in range(N)], r"'12 %' \(patient P002\) is not a finite number"),
        (["pending" if i < 15 else f"{i}" for i in range(N)], r"'pending' \(patient P000\) is not a finite number"),
        (PATIENTS, r"text with 24 different answers of 24 patients, such as 'P000'"),
        (["A"] * 6 + ["B"] * 5 + [f"surgeon {i}" for i in range(13)], r"13 patients have an answer that fewer than 5"),
        (["one"] * N, "does not vary"),
        (["", "NA", "Not Collected", "unknown"] * 6, "does not vary"),
    ],
)  # fmt: skip
def test_a_column_that_cannot_be_adjusted_for_is_refused_with_the_cell(cells: list[object], line: str) -> None:
    with pytest.raises(SettingError, match=line):
        covariates_of(table(Marker=cells), PATIENTS, ["Marker"])


def test_levels_that_patients_share_are_indicators_even_where_they_look_like_numbers() -> None:
    stage = ["1"] * 9 + ["2"] * 9 + ["3+"] * 6
    found = covariates_of(table(Stage=stage), PATIENTS, ["Stage"])
    assert list(found.values) == ["Stage = 2", "Stage = 3+"]
    assert found.values.sum().tolist() == [9, 6]
    assert found.said == ()


def test_rare_answers_count_as_one_and_it_is_said() -> None:
    grade = ["low"] * 12 + ["high"] * 7 + ["odd"] * 3 + ["odder"] * 2
    found = covariates_of(table(Grade=grade), PATIENTS, ["Grade"])
    assert list(found.values) == ["Grade = low", f"Grade = {OTHER}"]
    assert found.values[f"Grade = {OTHER}"].sum() == 5
    assert found.said == ("Covariate Grade: 2 answers of fewer than 5 patients count as one (other answers).",)


def test_dates_count_in_days() -> None:
    dates = [f"2020-01-{day:02d}" for day in range(1, N + 1)]
    found = covariates_of(table(**{"CT Date": dates}), PATIENTS, ["CT Date"])  # type: ignore[arg-type]
    assert np.diff(found.values["CT Date"]).tolist() == [1.0] * (N - 1)


def test_patients_without_a_covariate_are_left_out_and_counted_by_column() -> None:
    age: list[object] = [float(i) for i in range(N)]
    sex = ["m", "f"] * 12
    age[2], age[3], sex[3], sex[4] = np.nan, "Not Collected", "", "?"
    found = covariates_of(table(Age=age, Sex=sex), PATIENTS, ["Age", "Sex"])
    assert len(found.values) == N - 3
    assert found.said == ("3 of 24 patients are left out, since a covariate of theirs is unknown: Age of 2, Sex of 2.",)


def test_a_covariate_must_vary_among_those_who_have_all() -> None:
    age: list[object] = [float(i) if i < 12 else np.nan for i in range(N)]
    with pytest.raises(SettingError, match="does not vary among the 12 patients who have all covariates"):
        covariates_of(table(Age=age, Arm=["a"] * 12 + ["b"] * 12), PATIENTS, ["Age", "Arm"])
    late: list[object] = [float(i) if i >= 12 else np.nan for i in range(N)]
    with pytest.raises(SettingError, match="no patient of the map has them all"):
        covariates_of(table(Age=age, Late=late), PATIENTS, ["Age", "Late"])
