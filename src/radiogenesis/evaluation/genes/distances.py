"""How far predicted genes are from true ones: the error figures of Li, Sui et al. (section IV), and what they lack.

Genes are in [0, 1], the padding removed; every figure is of one patient's vector, and a table has their mean over
held-out patients.

Why the paper's error figures are not a target. It prints MAE 4.112e-6 and MSE 4.318e-6. For values in [0, 1] every
error e has e^2 <= |e|, so the mean of e^2 cannot exceed the mean of |e|; and an MSE near 4e-6 means errors near 2e-3,
five hundred times the MAE. Its other three figures fit each other and say how large the errors are: with p and q the
vectors divided by their sums, Hellinger 0.121 means BC = 1 - 0.121^2 = 0.9854, hence Bhattacharyya -ln BC = 0.0148 (it
prints 0.015), and for small differences Jensen-Shannon is as large as 1 - BC = 0.0146 (it prints 0.015). From
1 - BC = sum((p - q)^2 / p) / 8 over 60,607 entries near 1 / 60,607 follows a root mean square error of p of about
sqrt(8 x 0.0146) / 60,607 = 5.6e-6. That is the size of both printed figures: they read as errors of vectors that were
divided by their sums, the second without its square. This is our inference; the paper does not say so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiogenesis.stats.multiple_testing import false_discovery_rate
from radiogenesis.stats.resampling import Floats, Indices

AT_ONCE = 2_000  # genes at a time, so that 60,607 of them fit into memory


def mae(predicted: NDArray[Any], true: NDArray[Any]) -> Floats:
    """Mean absolute error, sum_g |y~_g - y_g| / G: (n, G), (n, G) -> (n,)."""
    return np.asarray(np.abs(np.asarray(predicted, float) - true).mean(1))


def mse(predicted: NDArray[Any], true: NDArray[Any]) -> Floats:
    """Mean squared error, sum_g (y~_g - y_g)^2 / G: (n, G), (n, G) -> (n,)."""
    return np.asarray(((np.asarray(predicted, float) - true) ** 2).mean(1))


def jensen_shannon(predicted: NDArray[Any], true: NDArray[Any]) -> Floats:
    """Jensen-Shannon divergence in nats: (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2.

    p and q are the two vectors divided by their sums, KL(p || m) = sum_g p_g ln(p_g / m_g), 0 ln 0 = 0.
    (n, G), (n, G) -> (n,); between 0 and ln 2.
    """
    p, q = shares(predicted), shares(true)
    m = (p + q) / 2
    return (_kullback_leibler(p, m) + _kullback_leibler(q, m)) / 2


def hellinger(predicted: NDArray[Any], true: NDArray[Any]) -> Floats:
    """Hellinger distance, sqrt(1 - BC), BC = sum_g sqrt(p_g q_g): (n, G), (n, G) -> (n,); between 0 and 1."""
    p, q = shares(predicted), shares(true)
    return np.asarray(np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum(1) / 2))  # the same, without the loss of digits


def bhattacharyya(predicted: NDArray[Any], true: NDArray[Any]) -> Floats:
    """Bhattacharyya distance, -ln BC, BC = sum_g sqrt(p_g q_g): (n, G), (n, G) -> (n,); infinite without overlap."""
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log1p(-(hellinger(predicted, true) ** 2)))


def shares(values: NDArray[Any]) -> Floats:
    """Each row divided by its sum; nan where a row has no positive entry."""
    values = np.asarray(values, float)
    total = values.sum(1, keepdims=True)
    return np.asarray(values / np.where(total > 0, total, np.nan))


def _kullback_leibler(p: Floats, m: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(p / m), np.where(np.isnan(p), np.nan, 0.0))
    return np.asarray(terms.sum(1))


MEASURES = {
    "mae": mae, "mse": mse, "jensen_shannon": jensen_shannon, "hellinger": hellinger, "bhattacharyya": bhattacharyya,
}  # fmt: skip
LABELS = {
    "mae": "MAE", "mse": "MSE", "jensen_shannon": "Jensen–Shannon", "hellinger": "Hellinger",
    "bhattacharyya": "Bhattacharyya",
}  # fmt: skip


# Gene by gene


def pearson(predicted: NDArray[Any], true: NDArray[Any]) -> Floats:
    """Pearson's r of every gene over patients: (n, G), (n, G) -> (G,); nan where either side does not vary."""
    x, y = _standard(predicted), _standard(true)
    return np.asarray((x * y).sum(0))


def r_squared(predicted: NDArray[Any], true: NDArray[Any]) -> Floats:
    """R2 = 1 - sum (y~ - y)^2 / sum (y - mean of these patients)^2 of every gene: (n, G), (n, G) -> (G,).

    Below 0 where the held-out patients' own mean, which no predictor can know, would have been nearer; nan where the
    truth does not vary.
    """
    true = np.asarray(true, float)
    spread = ((true - true.mean(0)) ** 2).sum(0)
    left = ((np.asarray(predicted, float) - true) ** 2).sum(0)
    return np.asarray(1 - left / np.where(spread > 0, spread, np.nan))


def correlation_tests(
    predicted: NDArray[Any], true: NDArray[Any], order: Indices
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Every gene's r against patients who changed places: whole rows, so that the correlation among genes stays.

    Under permutation every gene's r has mean 0 and variance 1 / (n - 1), so that the nulls of all genes are one: with
    the D draws of a gene alone no p would be small enough for a false discovery rate over thousands of genes.

    Args:
        predicted, true: (n, G).
        order: (D, n) permutations of the patients; see `bootstrap.permutations`.

    Returns:
        r (G,), one-sided p (G,) against the null of all genes, Benjamini-Hochberg q (G,), p (G,) against the largest r
        of all genes (family-wise), and the null of the mean r over genes (D,). nan for genes that cannot be tested.
    """
    x, y = _standard(predicted), _standard(true)
    known = np.isfinite(x).all(0) & np.isfinite(y).all(0)
    r = np.where(known, np.nansum(x * y, axis=0), np.nan)
    usable = np.flatnonzero(known)
    levels = np.sort(r[usable]) - 1e-12
    between = np.zeros(len(levels) + 1, np.int64)  # values of the null between one level and the next
    largest, total = np.full(len(order), -np.inf), np.zeros(len(order))
    for start in range(0, len(usable), AT_ONCE):
        genes = usable[start : start + AT_ONCE]
        a, b = x[:, genes], y[:, genes]
        for d, swap in enumerate(order):
            null = np.einsum("ng,ng->g", a[swap], b)
            between += np.bincount(np.searchsorted(levels, null, side="right"), minlength=len(between))
            largest[d], total[d] = max(largest[d], null.max()), total[d] + null.sum()
    reached = between[::-1].cumsum()[::-1][1:]  # (usable genes, from the smallest r on)
    p, p_max = np.full(len(r), np.nan), np.full(len(r), np.nan)
    p[usable[np.argsort(r[usable], kind="stable")]] = (1 + reached) / (1 + between.sum())
    above = len(order) - np.searchsorted(np.sort(largest), r[usable] - 1e-12, side="left")
    p_max[usable] = (1 + above) / (1 + len(order))
    return r, p, false_discovery_rate(p), p_max, total / max(len(usable), 1)


def mean_correlation(predicted: NDArray[Any], true: NDArray[Any], index: Indices) -> Floats:
    """Mean r over genes on resampled patients: (n, G), (n, G), (D, n) indices -> (D,); nan without a varying gene."""
    predicted, true = np.asarray(predicted, float), np.asarray(true, float)
    count = np.stack([np.bincount(row, minlength=len(true)) for row in index]) / index.shape[1]  # (D, n)
    total, genes = np.zeros(len(index)), np.zeros(len(index))
    for start in range(0, true.shape[1], AT_ONCE):
        x, y = (v[:, start : start + AT_ONCE] for v in (predicted, true))
        x, y = x - x.mean(0), y - y.mean(0)  # of all: keeps the digits
        mx, my = count @ x, count @ y
        vx, vy = count @ x**2 - mx**2, count @ y**2 - my**2
        usable = (vx > 1e-12) & (vy > 1e-12)
        r = (count @ (x * y) - mx * my) / np.sqrt(np.where(usable, vx * vy, 1.0))
        total, genes = total + (r * usable).sum(1), genes + usable.sum(1)
    return np.asarray(total / np.where(genes > 0, genes, np.nan))


def _standard(values: NDArray[Any]) -> Floats:
    """Columns centered and of length 1; nan where a column does not vary."""
    centered = np.asarray(values, float) - np.mean(values, axis=0, dtype=float)
    length = np.sqrt((centered**2).sum(0))
    return np.asarray(centered / np.where(length > 1e-9, length, np.nan))
