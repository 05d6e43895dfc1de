"""Mantel's test against SciPy, against all permutations, and by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import kstest, spearmanr

from radiogenesis.stats.mantel import _correlation, _ranks, mantel


def distances(x: np.ndarray) -> np.ndarray:
    return squareform(pdist(x))


def test_mantel_is_spearman_over_the_pairs() -> None:
    rng = np.random.default_rng(0)
    a, b = distances(rng.normal(size=(12, 3))), distances(rng.normal(size=(12, 2)))
    found = mantel(a, b, draws=5, permutations=9, seed=[0])
    upper = np.triu_indices(12, 1)
    assert found.rho == pytest.approx(spearmanr(a[upper], b[upper]).statistic)


def test_mantels_null_is_that_of_all_permutations() -> None:
    """Four patients have 24 permutations: all that is drawn is among their correlations, and about as often."""
    rng = np.random.default_rng(1)
    a, b = distances(rng.normal(size=(4, 2))), distances(rng.normal(size=(4, 2)))
    upper = np.triu_indices(4, 1)
    every = np.array([spearmanr(a[upper], b[np.ix_(p, p)][upper]).statistic for p in map(list, permutations(range(4)))])
    found = mantel(a, b, draws=2, permutations=2000, seed=[0])
    assert np.abs(found.null[:, None] - every).min(1).max() < 1e-9
    assert found.null.mean() == pytest.approx(every.mean(), abs=4 * every.std() / np.sqrt(2000))
    assert found.p == pytest.approx((every >= found.rho - 1e-9).mean(), abs=0.05)


def test_mantels_resamples_by_hand() -> None:
    a, b = (distances(np.random.default_rng(s).normal(size=(6, 2))) for s in (2, 3))
    index = np.array([[0, 0, 1, 3, 4, 4]])
    ranks = [_ranks(m) for m in (a, b)]
    pairs = [(i, j) for n, i in enumerate(index[0]) for j in index[0][n + 1 :] if i != j]
    expected = np.corrcoef(*[[m[i, j] for i, j in pairs] for m in ranks])[0, 1]
    assert _correlation(*ranks, index)[0] == pytest.approx(expected)


def test_p_values_of_unrelated_spaces_are_uniform() -> None:
    p = []
    for trial in range(150):
        rng = np.random.default_rng([4, trial])
        p.append(
            mantel(*(distances(rng.normal(size=(15, 3))) for _ in range(2)), draws=1, permutations=99, seed=[trial]).p
        )
    assert kstest(p, "uniform").pvalue > 0.01


def test_too_few_patients_or_no_differences() -> None:
    assert np.isnan(mantel(np.zeros((3, 3)), np.zeros((3, 3)), draws=2, permutations=2, seed=[0]).rho)
    same = mantel(np.zeros((5, 5)), distances(np.arange(5.0)[:, None]), draws=2, permutations=9, seed=[0])
    assert (same.rho, same.p) == (0, 1)
