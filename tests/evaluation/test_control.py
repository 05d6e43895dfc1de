"""Control: a perfect controller reaches the regression, a deaf one the null."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import Ridge

from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.measures.control import (
    MEAN,
    OWN,
    TRUTH,
    Measured,
    control_table,
    ridge_prediction,
    shared_backgrounds,
)
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.training.data import training_backgrounds

SETTINGS = EvaluationSettings(bootstrap=500, permutations=999)


def made(drawn: np.ndarray, truth: np.ndarray, *, noise: float = 0.5) -> Measured:
    rng = np.random.default_rng(5)
    n, f = truth.shape
    own, predicted = (truth + noise * rng.normal(size=truth.shape) for _ in range(2))
    names = tuple(f"f{number}" for number in range(f))
    return Measured(tuple(f"P{k}" for k in range(n)), names, drawn, own, predicted, truth, n * 16, 0.0)


@pytest.fixture
def truth() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(32, 4))


def row(table: pd.DataFrame, feature: str, reference: str = TRUTH) -> dict[str, float]:
    return table[(table["feature"] == feature) & (table["reference"] == reference)].to_dict("records")[0]


def test_a_perfect_controller_is_above_regression_and_null(truth: np.ndarray) -> None:
    found = row(control_table(made(truth.copy(), truth), SETTINGS), "f0")
    assert found["rho"] == found["low"] == found["high"] == 1
    assert found["share"] > 1
    assert found["p"] == pytest.approx(1 / 1000)
    assert abs(found["null_mean"]) < 0.05


def test_a_deaf_controller_is_at_the_null(truth: np.ndarray) -> None:
    table = control_table(made(np.random.default_rng(2).normal(size=truth.shape), truth), SETTINGS)
    mean = row(table, MEAN)
    assert mean["null_low"] < mean["rho"] < mean["null_high"]
    assert mean["p"] > 0.05


def test_p_values_of_deaf_controllers_are_uniform(truth: np.ndarray) -> None:
    settings = EvaluationSettings(bootstrap=1, permutations=199)
    p = []
    for trial in range(200):
        drawn = np.random.default_rng([9, trial]).normal(size=(32, 1))
        p.append(row(control_table(made(drawn, truth[:, :1]), settings), "f0")["p"])
    assert 0.02 <= np.mean(np.array(p) < 0.05) <= 0.09
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_a_controller_that_draws_the_same_for_everybody_controls_nothing(truth: np.ndarray) -> None:
    found = row(control_table(made(np.ones_like(truth), truth), SETTINGS), "f2")
    assert found["rho"] == 0
    assert found["p"] == 1


def test_the_mean_row_is_the_mean_of_the_others_and_shares_are_ratios(truth: np.ndarray) -> None:
    table = control_table(made(truth + np.random.default_rng(3).normal(size=truth.shape), truth), SETTINGS)
    for reference in (TRUTH, OWN):
        mine = table[table["reference"] == reference]
        single, mean = mine[mine["feature"] != MEAN], row(table, MEAN, reference)
        assert mean["rho"] == pytest.approx(single["rho"].mean())
        assert mean["share"] == pytest.approx(single["rho"].mean() / single["regression"].mean())
        assert mean["low"] < mean["rho"] < mean["high"]
    assert row(table, "f1")["rho"] == pytest.approx(
        stats.spearmanr(
            made(truth, truth).truth[:, 1], (truth + np.random.default_rng(3).normal(size=truth.shape))[:, 1]
        ).statistic
    )


def test_a_patient_without_a_feature_is_left_out_of_it_alone(truth: np.ndarray) -> None:
    drawn = truth.copy()
    drawn[:3, 1] = np.nan
    table = control_table(made(drawn, truth), SETTINGS)
    assert row(table, "f1")["patients"] == 29
    assert row(table, "f0")["patients"] == 32
    assert row(table, "f1")["rho"] == 1


def test_without_truth_only_the_own_slices_are_compared(truth: np.ndarray) -> None:
    whole = made(truth.copy(), truth)
    table = control_table(
        Measured(*(getattr(whole, n) if n != "truth" else None for n in whole.__dataclass_fields__)), SETTINGS
    )
    assert set(table["reference"]) == {OWN}


def test_the_regression_finds_a_linear_map_and_leaves_nan_out() -> None:
    rng = np.random.default_rng(0)
    genes, held_out = rng.normal(size=(90, 300)), rng.normal(size=(40, 300))
    weights = np.zeros((300, 2))
    weights[:3, 0], weights[5:8, 1] = 1, 1
    values = genes @ weights
    values[4, 1] = np.nan
    predicted = ridge_prediction(genes, values, held_out)
    for column in range(2):
        assert stats.spearmanr(predicted[:, column], (held_out @ weights)[:, column]).statistic > 0.3
    known = np.isfinite(values[:, 1])
    line = np.column_stack(
        [(Ridge(alpha=a).fit(genes[known], values[known, 1]).predict(held_out)) for a in np.logspace(0, 7, 29)]
    )
    assert np.min(np.abs(line - predicted[:, 1:]).max(0)) < 1.0  # one of the alphas, up to the scaling of y
    assert np.isnan(ridge_prediction(genes, np.full((90, 1), np.nan), held_out)).all()


@pytest.fixture
def lungs() -> Cohort:
    """Five backgrounds each of a to d; of d no lesion was sliced, so its lungs are trained on."""
    patients = pd.DataFrame({"n_slices": [2, 2, 2, 0]}, index=pd.Index(list("abcd")))
    owner = np.repeat(list("abcd"), 5)
    return cast(Cohort, SimpleNamespace(patients=patients, background_patient=owner))


def test_backgrounds_come_from_held_out_patients_one_after_the_other(lungs: Cohort) -> None:
    split = Split(train=("a",), validation=(), test=("b", "c"))
    index, whose = shared_backgrounds(lungs, split, 6, seed=1)
    assert whose == "held-out patients"
    owner = lungs.background_patient[index]
    assert sorted(owner[:2]) == ["b", "c"]
    assert sorted(owner) == ["b"] * 3 + ["c"] * 3
    assert len(set(index)) == 6
    assert (index == shared_backgrounds(lungs, split, 6, seed=1)[0]).all()


def test_where_held_out_patients_have_none_no_background_was_trained_on(lungs: Cohort) -> None:
    index, whose = shared_backgrounds(lungs, Split(("a",), ("b",), ("x",)), 20, seed=1)
    assert whose == "patients outside training"
    assert set(lungs.background_patient[index]) == {"b", "c"}  # not d
    assert not set(index) & set(training_backgrounds(lungs, ["a"]))


def test_backgrounds_that_were_trained_on_are_called_so(lungs: Cohort) -> None:
    index, whose = shared_backgrounds(lungs, Split(("a", "b", "c"), (), ("x",)), 20, seed=1)
    assert whose == "scans that were trained on: no others have any"
    assert len(index) == 20
