"""Errors of predicted genes against scipy, closed forms and brute force; the paper's own figures checked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from radiogenesis.evaluation.genes import distances as gm
from radiogenesis.stats.resampling import permutation_p, permutations, resamples


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
    r, p, q, p_max, _ = gm.correlation_tests(predicted, true, permutations(10, 20, [0]))
    for values in (r, p, q, p_max, gm.pearson(predicted, true)):
        assert np.isfinite(values).tolist() == [True, False, True]


def test_permutation_p_values_by_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gm, "AT_ONCE", 2)  # several parts
    predicted, true = vectors(9, 5)
    order = permutations(9, 40, [3])
    r, p, _, p_max, mean = gm.correlation_tests(predicted, true, order)
    null = np.array([gm.pearson(predicted[swap], true) for swap in order])  # (D, G)
    np.testing.assert_allclose(p, [(1 + (null >= one - 1e-12).sum()) / (1 + 40 * 5) for one in r])
    np.testing.assert_allclose(p_max, (1 + (null.max(1)[:, None] >= r).sum(0)) / 41)
    np.testing.assert_allclose(mean, null.mean(1))


def test_under_permutation_every_gene_has_the_same_variance() -> None:
    predicted, true = vectors(5, 3)
    everything = np.vstack([np.arange(5), permutations(5, 200, [0])])
    null = np.array([gm.pearson(predicted[swap], true) for swap in everything])
    np.testing.assert_allclose(null.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose((null**2).mean(0), 1 / 4)


@pytest.mark.parametrize(
    ("n", "genes", "cohorts", "power"),
    [(4, 1, 1500, 1), (8, 1, 1500, 1), (8, 40, 300, 4), (30, 40, 300, 1), (30, 40, 300, 4)],
)
def test_nothing_to_find_gives_uniform_p_values(n: int, genes: int, cohorts: int, power: int) -> None:
    """Over many cohorts; genes in [0, 1] raised to a power, so that some are skewed. With orders in which nobody keeps
    the own place, 8.2 % of one gene's p values would be below 0.05 for 8 patients."""
    rng = np.random.default_rng([5, n, genes, power])
    single, mean = [], []
    for cohort in range(cohorts):
        predicted, true = (rng.random((n, genes)) ** power for _ in range(2))
        found, p, _, _, null = gm.correlation_tests(predicted, true, permutations(n, 99, [cohort]))
        single.append(p)
        mean.append(permutation_p(float(found.mean()), null))
    for end in (1 / 24 if n == 4 else 0.05, 0.25, 0.5):  # four patients have 24 orders
        for values in (single, mean):
            spread = math.sqrt(end * (1 - end) / np.size(values))
            assert (np.array(values) <= end + 1e-9).mean() == pytest.approx(end, abs=3.5 * spread)


def test_fifteen_genes_that_show_are_found_among_two_thousand() -> None:
    rng = np.random.default_rng(0)
    true, predicted = rng.random((30, 2000)), rng.random((30, 2000))
    predicted[:, :15] = true[:, :15] + 0.15 * rng.normal(size=(30, 15))
    _, p, q, _, _ = gm.correlation_tests(predicted, true, permutations(30, 500, [0]))
    assert (q[:15] < 0.05).all()
    assert (q[15:] < 0.05).sum() <= 2
    assert p[:15].max() < 1 / 501  # what a gene's own 500 draws could show at best


def test_mean_correlation_of_resamples_is_that_of_the_resampled_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gm, "AT_ONCE", 3)
    predicted, true = vectors(12, 8)
    index = resamples(12, 15, [1])
    expected = [np.mean(gm.pearson(predicted[rows], true[rows])) for rows in index]
    np.testing.assert_allclose(gm.mean_correlation(predicted, true, index), expected, rtol=1e-6)
