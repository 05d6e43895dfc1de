"""Power against R's pwr and Cohen's tables, and against simulated correlations; shrinkage against simulated winners."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from radiogenesis.stats.power import (
    critical,
    expected_level,
    findable,
    patients_needed,
    power,
    spread,
    without_selection,
)


@pytest.mark.parametrize(("rho", "patients"), [(0.3, 84.07364), (0.5, 28.24841), (0.1, 781.7516)])
def test_power_is_that_of_pwr_r_test(rho: float, patients: float) -> None:
    """`pwr.r.test(r = 0.3, power = 0.8)` of R's package pwr 1.3 gives n = 84.07364, and so on."""
    assert power(rho, patients - 2, 0.05, ranks=False) == pytest.approx(0.8, abs=1e-6)
    assert patients_needed(rho, 0.05, ranks=False) == np.ceil(patients)
    assert findable(patients - 2, 0.05, ranks=False) == pytest.approx(rho, abs=1e-5)


def test_power_of_ranks_is_what_simulated_patients_show() -> None:
    rng, n, rho = np.random.default_rng(0), 40, 0.45
    x = rng.standard_normal((2, 4000, n))
    x[1] = rho * x[0] + np.sqrt(1 - rho**2) * x[1]
    ranks = stats.rankdata(x, axis=-1)
    r = ((ranks[0] - (n + 1) / 2) * (ranks[1] - (n + 1) / 2)).mean(-1) / ((n**2 - 1) / 12)
    spearman = 6 / np.pi * np.arcsin(rho / 2)  # of a bivariate normal distribution
    found = (r > critical(0.01, n - 2, sided=1)).mean()
    assert power(spearman, n - 2, 0.01, sided=1) == pytest.approx(found, abs=0.03)
    assert np.arctanh(r).std() == pytest.approx(spread(n - 2), rel=0.05)


def test_what_cannot_be_found_is_said() -> None:
    assert findable(3, 0.05) == 1.0
    assert findable(6, 1e-30) == 1.0
    with pytest.raises(ValueError, match="no number of patients"):
        patients_needed(0.0, 0.05)


def test_the_level_lies_between_that_of_one_test_and_that_of_none() -> None:
    assert expected_level([0.9] * 20, [60] * 20, 0.05) == pytest.approx(0.05, rel=0.01)
    assert expected_level([0.0] * 20, [60] * 20, 0.05) == pytest.approx(0.05 / 20)
    assert 0.05 / 20 < expected_level([0.4] * 20, [60] * 20, 0.05) < 0.05
    assert expected_level([], [], 0.05) == 0.05


@pytest.mark.parametrize("true", [1.5, 2.5, 4.0])
def test_shrinkage_takes_most_of_the_winners_curse_away(true: float) -> None:
    z = np.random.default_rng(1).normal(true, 1, 20_000)
    winners = z[np.abs(z) > 2.5][:1500]
    shrunk = without_selection(winners, 2.5)
    assert abs(shrunk.mean() - true) < 0.4
    assert true == 4.0 or abs(shrunk.mean() - true) < 0.4 * abs(winners.mean() - true)
    assert (np.abs(shrunk) <= np.abs(winners)).all()


def test_far_above_the_threshold_nothing_is_taken_and_signs_stay() -> None:
    assert without_selection([9.0, -9.0], 2.0) == pytest.approx([9.0, -9.0], abs=0.01)
    assert without_selection([2.1, -2.1], 2.0) == pytest.approx([1, -1] * without_selection([2.1, 2.1], 2.0))
