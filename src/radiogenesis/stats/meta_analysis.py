"""Several cohorts' estimates of one effect, as one: random effects, and how far the cohorts differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Pooled:
    """A meta-analysis.

    Attributes:
        value, low, high: the mean effect with its interval.
        p: two-sided, of no effect.
        tau2: variance of the true effects between cohorts.
        i2: share of the estimates' variance that is between cohorts, 0 to 1; nan for a single cohort.
        q, q_p: Cochran's Q and its p; nan for a single cohort.
        cohorts: how many.
    """

    value: float
    low: float
    high: float
    p: float
    tau2: float
    i2: float
    q: float
    q_p: float
    cohorts: int


def random_effects(effects: Any, variances: Any, *, confidence: float = 0.95) -> Pooled:
    """DerSimonian and Laird (1986) with the interval of Hartung and Knapp (2001), which counts cohorts, not patients.

    That interval is never taken to be narrower than the one of known variances (the modification of Rover, Knapp and
    Friede 2015): with few cohorts that happen to agree it would be too short. A single cohort has its own interval.

    Args:
        effects: (K,) such as Fisher's z of correlations.
        variances: (K,) of their errors, above 0.

    Raises:
        ValueError: no cohort, or effects and variances of different numbers.
    """
    y, v = np.asarray(effects, float), np.asarray(variances, float)
    if not len(y) or y.shape != v.shape or y.ndim != 1:
        raise ValueError(f"effects {y.shape} and variances {v.shape} must be one of each for at least one cohort")
    w = 1 / v
    q = float((w * (y - (w * y).sum() / w.sum()) ** 2).sum())
    more = len(y) - 1
    tau2 = max(0.0, (q - more) / float(w.sum() - (w**2).sum() / w.sum())) if more else 0.0
    w = 1 / (v + tau2)
    value = float((w * y).sum() / w.sum())
    inflated = max(1.0, float((w * (y - value) ** 2).sum()) / more) if more else 1.0
    error = float(np.sqrt(inflated / w.sum()))
    reach, tail = (stats.t.ppf, stats.t.sf) if more else (stats.norm.ppf, stats.norm.sf)
    df = (more,) if more else ()
    half = float(reach((1 + confidence) / 2, *df)) * error
    nan = float("nan")
    return Pooled(
        value, value - half, value + half, float(2 * tail(abs(value) / error, *df)), tau2,
        max(0.0, (q - more) / q) if more and q > 0 else (0.0 if more else nan), q if more else nan,
        float(stats.chi2.sf(q, more)) if more else nan, len(y),
    )  # fmt: skip
