"""Mantel's (1967) test: do patients who are near each other by one distance lie near by another?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from radiogenesis.stats.resampling import Floats, Indices, permutation_p, resamples


@dataclass(frozen=True)
class Mantel:
    """A Mantel test: the correlation, its resamples over patients (D,), its null (permutations,), and p (one-sided)."""

    rho: float
    draws: Floats
    null: Floats
    p: float


def mantel(distances: Floats, other_distances: Floats, *, draws: int, permutations: int, seed: Sequence[int]) -> Mantel:
    """Spearman's correlation between the pairs of two (n, n) distance matrices; fewer than 4 patients: nan.

    Resampling patients leaves out pairs of a patient with itself.
    """
    n = len(distances)
    if n < 4:
        return Mantel(np.nan, np.full(draws, np.nan), np.full(permutations, np.nan), np.nan)
    a, b = (_ranks(matrix) for matrix in (distances, other_distances))
    rng = np.random.default_rng(list(seed))
    rho = float(_correlation(a, b, np.arange(n)[None])[0])
    null = np.empty(permutations)
    upper = np.triu_indices(n, 1)
    x, y = a[upper] - a[upper].mean(), b[upper].mean()
    scale = np.sqrt((x**2).sum() * ((b[upper] - y) ** 2).sum())
    for number in range(permutations):
        order = rng.permutation(n)
        null[number] = (x @ b[order[upper[0]], order[upper[1]]]) / scale if scale > 0 else 0.0
    return Mantel(rho, _correlation(a, b, resamples(n, draws, [*seed, 1])), null, permutation_p(rho, null))


def _ranks(distance: Floats) -> Floats:
    """(n, n) ranks of the pairs, 0 on the diagonal."""
    return np.asarray(squareform(rankdata(squareform(distance, checks=False))))


def _correlation(a: Floats, b: Floats, index: Indices) -> Floats:
    """(D,) Pearson over the pairs of different patients among each resample."""
    rho = np.empty(len(index))
    n = len(a)
    others = ~np.eye(n, dtype=bool)
    for number, chosen in enumerate(index):
        count = np.bincount(chosen, minlength=n).astype(float)
        w = np.outer(count, count) * others
        total = w.sum()
        if total == 0:
            rho[number] = np.nan
            continue
        da, db = a - (w * a).sum() / total, b - (w * b).sum() / total
        scale = np.sqrt((w * da**2).sum() * (w * db**2).sum())
        rho[number] = (w * da * db).sum() / scale if scale > 0 else 0.0
    return rho
