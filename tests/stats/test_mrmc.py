"""Several readers: against the published worked example, brute force, simulation and another library."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve
from statsmodels.stats.inter_rater import fleiss_kappa as fleiss_elsewhere
from statsmodels.stats.proportion import proportion_confint
from van_dyke import DISEASED, RATINGS

from radiogenesis.stats import mrmc

EVERY_CASE = np.eye(114, dtype=bool)


def test_the_worked_example_of_van_dyke() -> None:
    """MRMCaov's user guide and OR-DBM MRMC 2.51 print these for treatment 1, empirical AUC, jackknife."""
    found = mrmc.auc_of_readers(RATINGS, DISEASED, EVERY_CASE)
    assert mrmc.auc(RATINGS, DISEASED) == pytest.approx(
        [0.91964573, 0.85877617, 0.90386473, 0.97310789, 0.82979066], abs=1e-8
    )
    assert found.value == pytest.approx(0.8970370, abs=1e-7)
    assert found.between == pytest.approx(0.003082629, abs=1e-9)
    assert found.own == pytest.approx(0.00101410, abs=1e-8)
    assert found.shared == pytest.approx(0.0004839618, abs=1e-10)
    assert found.error == pytest.approx(0.03317360, abs=1e-8)
    assert found.df == pytest.approx(12.74465, abs=1e-5)
    assert (found.low, found.high) == pytest.approx((0.8252236, 0.9688505), abs=1e-7)


def test_the_one_shot_is_the_mean_product_of_what_shares_nothing() -> None:
    pairs = mrmc.successes(RATINGS[:3, 60:75], DISEASED[60:75])
    apart = [
        pairs[j, d, n] * pairs[k, e, m]
        for j, k in itertools.permutations(range(3), 2)
        for d, e in itertools.permutations(range(6), 2)
        for n, m in itertools.permutations(range(9), 2)
    ]
    assert mrmc.one_shot_variance(pairs) == pytest.approx(pairs.mean() ** 2 - np.mean(apart))


def simulated(rng: np.random.Generator, readers: int, cases: int, skill: float) -> np.ndarray:
    """Ratings (J, 2 C): case difficulty shared by readers, noise of the reader's own, and skill that varies."""
    truth = np.repeat([0.0, 1.0], cases)
    skills = skill + 0.3 * rng.normal(size=(readers, 1))
    return np.asarray(skills * truth + 0.7 * rng.normal(size=2 * cases) + rng.normal(size=(readers, 2 * cases)))


def test_both_errors_are_those_of_repeated_studies() -> None:
    rng = np.random.default_rng(0)
    positive, owners = np.arange(40) >= 20, np.eye(40, dtype=bool)
    studies = [simulated(rng, 4, 20, 0.8) for _ in range(200)]
    found = [mrmc.auc_of_readers(one, positive, owners) for one in studies]
    spread = np.var([one.value for one in found])
    one_shot = [mrmc.one_shot_variance(mrmc.successes(one, positive)) for one in studies]
    assert np.mean(one_shot) == pytest.approx(spread, rel=0.2)
    assert np.mean([one.error**2 for one in found]) == pytest.approx(spread, rel=0.15)
    large = np.mean([mrmc.auc(simulated(rng, 1, 400, 0.8), np.arange(800) >= 400)[0] for _ in range(50)])
    assert np.mean([one.low <= large <= one.high for one in found]) == pytest.approx(0.95, abs=0.02)


def test_images_of_one_patient_are_no_further_patients() -> None:
    """Every case twice over says no more than once."""
    once = mrmc.auc_of_readers(RATINGS, DISEASED, EVERY_CASE)
    owners = np.repeat(EVERY_CASE, 2, axis=1)
    again = mrmc.auc_of_readers(np.repeat(RATINGS, 2, axis=1), np.repeat(DISEASED, 2), owners)
    assert (again.value, again.error, again.df) == pytest.approx((once.value, once.error, once.df))


def test_one_reader_and_shares_of_right_answers_have_the_closed_form() -> None:
    right = np.array([[1, 1, 0, 1, 0, 1, 1, 1, 0, 1]])
    found = mrmc.share_of_readers(right, np.eye(10, dtype=bool))
    error = right.std(ddof=1) / math.sqrt(10)  # the jackknife of a mean
    assert (found.value, found.error, found.df) == pytest.approx((0.7, error, 9))
    assert found.low == pytest.approx(0.7 - stats.t.ppf(0.975, 9) * error)  # the t interval of a mean
    assert found.detectable() == pytest.approx((stats.t.ppf(0.975, 9) + stats.t.ppf(0.8, 9)) * error)


def test_readers_who_are_always_right_have_an_exact_interval() -> None:
    found = mrmc.share_of_readers(np.ones((6, 20)), np.eye(20, dtype=bool))
    assert (found.low, found.high) == pytest.approx(proportion_confint(20, 20, method="beta"))
    assert math.isnan(found.error)


def test_both_kinds_must_come_from_two_patients() -> None:
    with pytest.raises(ValueError, match="at least two patients"):
        mrmc.auc_of_readers(np.array([[1, 2, 3]]), np.array([True, False, False]), np.eye(3, dtype=bool))


def test_exact_intervals_kappa_and_curves_are_those_of_other_libraries() -> None:
    assert mrmc.exact_interval(7, 30) == pytest.approx(proportion_confint(7, 30, method="beta"))
    counts = np.stack([(rating == RATINGS).sum(0) for rating in range(1, 6)], axis=1)
    assert mrmc.fleiss_kappa(counts) == pytest.approx(fleiss_elsewhere(counts))
    assert math.isnan(mrmc.fleiss_kappa(np.array([[4, 0], [4, 0]])))
    false, true = mrmc.roc(RATINGS[0], DISEASED)
    elsewhere = roc_curve(DISEASED, RATINGS[0], drop_intermediate=False)
    assert false == pytest.approx(elsewhere[0])
    assert true == pytest.approx(elsewhere[1])
    assert mrmc.auc(RATINGS[:1], DISEASED)[0] == pytest.approx(roc_auc_score(DISEASED, RATINGS[0]))
