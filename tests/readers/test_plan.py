"""The planner: closed forms, and studies that are simulated from its own model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from radiogenesis.readers.plan import (
    BAR,
    PlanSettings,
    error_variance,
    expected_error,
    fewest_cases,
    plan,
    power_to_meet_the_bar,
    power_to_tell,
)
from radiogenesis.stats.mrmc import auc_of_readers


def test_at_chance_the_variance_is_that_of_mann_whitney() -> None:
    for cases in (5, 40):
        assert error_variance(0.5, cases) == pytest.approx((2 * cases + 1) / (12 * cases**2))


def test_one_reader_without_spread_is_hanley_and_mcneil() -> None:
    """Their example of 1982: an AUC of 0.893 with 58 normal and 51 abnormal cases has a standard error of 0.032; with
    as many of both, between the two."""
    assert error_variance(0.893, 58) ** 0.5 < 0.032 < error_variance(0.893, 51) ** 0.5


@pytest.mark.parametrize(("readers", "cases"), [(6, 90), (20, 20), (12, 120)])
@pytest.mark.parametrize("auc", [0.5, 0.62])
def test_powers_are_those_of_simulated_studies(auc: float, readers: int, cases: int) -> None:
    """Readers and errors drawn from the model; the interval as the analysis makes it, the covariance known."""
    settings = PlanSettings(auc=0.62)
    rng, n = np.random.default_rng(0), 20000
    variance = error_variance(auc, cases)
    shared = variance * settings.shared
    values = auc + settings.reader_sd * rng.normal(size=(n, readers)) + np.sqrt(shared) * rng.normal(size=(n, 1))
    values += np.sqrt(variance - shared) * rng.normal(size=(n, readers))
    mean, between = values.mean(1), values.var(1, ddof=1)
    total = between + readers * shared
    df = np.minimum(total**2 / (between**2 / (readers - 1)), cases - 1)
    reach = stats.t.ppf(0.975, df) * np.sqrt(total / readers)
    if auc > 0.5:
        assert np.mean(mean - reach > 0.5) == pytest.approx(power_to_tell(settings, readers, cases), abs=0.02)
    else:
        inside = np.mean((mean - reach >= BAR[0]) & (mean + reach <= BAR[1]))
        assert inside == pytest.approx(power_to_meet_the_bar(settings, readers, cases), abs=0.03)


def test_the_plan_has_the_degrees_of_freedom_of_the_analysis() -> None:
    """Ratings of 24 patients, each drawn once and scanned once, by readers who differ little."""
    rng, readers, patients = np.random.default_rng(1), 12, 24
    seen = rng.normal(size=2 * patients) + 0.2 * rng.normal(size=(readers, 2 * patients))
    positive = np.arange(2 * patients) < patients
    found = auc_of_readers(seen, positive, np.tile(np.eye(patients, dtype=bool), 2))
    assert found.df == expected_error(0.5, readers, patients, 0.0, 0.9)[1] == patients - 1


def test_the_fewest_cases_are_enough_and_one_less_is_not() -> None:
    settings = PlanSettings()
    tell, bar = fewest_cases(settings, 6)
    assert tell is not None
    assert bar is not None
    assert power_to_tell(settings, 6, tell) >= settings.power > power_to_tell(settings, 6, tell - 1)
    assert power_to_meet_the_bar(settings, 6, bar) >= settings.power > power_to_meet_the_bar(settings, 6, bar - 1)
    assert fewest_cases(PlanSettings(reader_sd=0.3), 6)[1] is None


def test_the_table_holds_every_pair_and_errors_shrink() -> None:
    needed, grid = plan(PlanSettings(readers=(6, 12), cases=(20, 80)))
    assert needed["readers"].tolist() == [6, 12]
    assert len(grid) == 4
    errors = [expected_error(0.5, readers, cases, 0.03, 0.45)[0] for readers in (6, 12) for cases in (20, 80)]
    assert grid["error"].tolist() == pytest.approx(errors)
    assert grid.set_index(["readers", "cases"])["error"].idxmin() == (12, 80)


@pytest.mark.parametrize(
    "wrong", [{"readers": (1,)}, {"cases": (1,)}, {"auc": 0.5}, {"power": 1.0}, {"reader_sd": -1.0}, {"shared": 2.0}]
)
def test_what_cannot_be_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PlanSettings(**wrong)
