"""Errors of predicted genes against scipy, closed forms and brute force; the paper's own figures checked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from radiogenesis.evaluation import gene_metrics as gm
from radiogenesis.evaluation.bootstrap import derangements, resamples


def vectors(n: int = 6, genes: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.random((n, genes))
    return np.clip(true + rng.normal(scale=0.2, size=true.shape), 0, 1), true


def test_mae_and_mse_agree_with_scikit_learn() -> None:
    predicted, true = vectors()
    for i in range(len(true)):
        assert gm.mae(predicted, true)[i] == pytest.approx(mean_absolute_error(true[i], predicted[i]))
        assert gm.mse(predicted, true)[i] == pytest.approx(mean_squared_error(true[i], predicted[i]))


def test_mse_cannot_exceed_mae_in_the_unit_interval() -> None:
    predicted, true = vectors(200, seed=1)
    assert (gm.mse(predicted, true) <= gm.mae(predicted, true)).all()
    # even at its worst, where every gene is as wrong as it can be, they are equal
    assert gm.mse(np.ones((1, 3)), np.zeros((1, 3))) == gm.mae(np.ones((1, 3)), np.zeros((1, 3))) == 1


def test_jensen_shannon_is_the_square_of_scipys_distance() -> None:
    predicted, true = vectors()
    expected = [jensenshannon(p, q) ** 2 for p, q in zip(predicted, true, strict=True)]  # it divides by the sums itself
    np.testing.assert_allclose(gm.jensen_shannon(predicted, true), expected, rtol=1e-9)


def test_apart_from_each_other_the_distances_are_at_their_ends() -> None:
    p, q = np.array([[1.0, 0.0]]), np.array([[0.0, 3.0]])
    assert gm.jensen_shannon(p, q) == pytest.approx(math.log(2))
    assert gm.hellinger(p, q) == pytest.approx(1)
    assert gm.bhattacharyya(p, q) == np.inf


@pytest.mark.parametrize(("a", "b"), [(0.2, 0.7), (0.5, 0.5), (0.01, 0.99)])
def test_hellinger_and_bhattacharyya_of_two_coins(a: float, b: float) -> None:
    coefficient = math.sqrt(a * b) + math.sqrt((1 - a) * (1 - b))
    p, q = np.array([[a, 1 - a]]) * 7, np.array([[b, 1 - b]])  # any scale: vectors are divided by their sums
    assert gm.hellinger(p, q)[0] == pytest.approx(math.sqrt(max(1 - coefficient, 0)), abs=1e-7)
    assert gm.bhattacharyya(p, q)[0] == pytest.approx(-math.log(coefficient), abs=1e-12)


def test_of_two_poissons_the_closed_form() -> None:
    # BC of Poisson(a) and Poisson(b) is exp(-(sqrt a - sqrt b)^2 / 2)
    k = np.arange(120)
    p, q = stats.poisson.pmf(k, 9.0)[None], stats.poisson.pmf(k, 16.0)[None]
    assert gm.bhattacharyya(p, q)[0] == pytest.approx(0.5)
    assert gm.hellinger(p, q)[0] == pytest.approx(math.sqrt(1 - math.exp(-0.5)))


def test_the_papers_three_distances_fit_each_other_and_its_two_errors_do_not() -> None:
    """Section 4 prints HD 0.121, BD 0.015, JS 0.015, MAE 4.112e-6, MSE 4.318e-6."""
    rng = np.random.default_rng(0)
    q = np.ones((1, 60607))
    p = q * (1 + rng.normal(scale=0.32, size=q.shape)).clip(0)  # as far apart as the printed Hellinger distance says
    assert gm.hellinger(p, q)[0] == pytest.approx(0.121, rel=0.03)
    assert gm.bhattacharyya(p, q)[0] == pytest.approx(0.015, rel=0.05)
    assert gm.jensen_shannon(p, q)[0] == pytest.approx(0.015, rel=0.1)
    a, b = gm.shares(p), gm.shares(q)
    assert 4e-6 < gm.mae(a, b)[0] < math.sqrt(gm.mse(a, b)[0]) < 6e-6
    assert gm.mse(a, b)[0] < 1e-10


def test_a_patient_of_zeros_has_no_distribution() -> None:
    assert np.isnan(gm.jensen_shannon(np.zeros((1, 3)), np.ones((1, 3)))).all()


# Gene by gene


def test_correlation_and_r2_agree_with_scipy_and_scikit_learn() -> None:
    predicted, true = vectors(20, 7)
    np.testing.assert_allclose(
        gm.pearson(predicted, true), [stats.pearsonr(predicted[:, g], true[:, g])[0] for g in range(7)]
    )
    np.testing.assert_allclose(gm.r_squared(predicted, true), r2_score(true, predicted, multioutput="raw_values"))


def test_a_constant_has_no_correlation_and_is_no_test() -> None:
    predicted, true = vectors(10, 3)
    predicted[:, 1] = 0.4
    r, p, q, p_max, _ = gm.correlation_tests(predicted, true, derangements(10, 20, [0]))
    for values in (r, p, q, p_max, gm.pearson(predicted, true)):
        assert np.isfinite(values).tolist() == [True, False, True]


def test_permutation_p_values_by_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gm, "AT_ONCE", 2)  # several parts
    predicted, true = vectors(9, 5)
    order = derangements(9, 40, [3])
    r, p, _, p_max, mean = gm.correlation_tests(predicted, true, order)
    null = np.array([gm.pearson(predicted[swap], true) for swap in order])  # (D, G)
    np.testing.assert_allclose(p, (1 + (null >= r).sum(0)) / 41)
    np.testing.assert_allclose(p_max, (1 + (null.max(1)[:, None] >= r).sum(0)) / 41)
    np.testing.assert_allclose(mean, null.mean(1))


def test_nothing_to_find_gives_uniform_p_values() -> None:
    rng = np.random.default_rng(5)
    order = np.stack([rng.permutation(30) for _ in range(99)])
    _, p, q, _, _ = gm.correlation_tests(rng.random((30, 400)), rng.random((30, 400)), order)
    assert 0.03 < (p <= 0.05).mean() < 0.07
    assert (q < 0.05).sum() == 0


def test_mean_correlation_of_resamples_is_that_of_the_resampled_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gm, "AT_ONCE", 3)
    predicted, true = vectors(12, 8)
    index = resamples(12, 15, [1])
    expected = [np.mean(gm.pearson(predicted[rows], true[rows])) for rows in index]
    np.testing.assert_allclose(gm.mean_correlation(predicted, true, index), expected, rtol=1e-6)
