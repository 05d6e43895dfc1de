"""Several readers, several cases: what the mean of the readers' results says of other readers and other cases.

Both are random. Obuchowski and Rockette (1995) take the readers' results, such as areas under the ROC curve (AUC), as
numbers with correlated errors; the error covariances come from a jackknife that leaves out one patient after the other,
with all of the patient's cases, so that several images of one patient do not count as several patients. Intervals and
degrees of freedom are those of Hillis (2007), section 5.3, for one test. Gallas (2006) gives the variance of the mean
AUC without bias in one shot, for cases that are independent: a second source.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from radiogenesis.stats.resampling import Floats

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ReaderMean:
    """The mean over readers of one result, for other readers and other cases.

    Attributes:
        value: the mean.
        error: its standard error; nan where it cannot be estimated.
        df: degrees of freedom of the t distribution behind the interval.
        low, high: the interval.
        readers, patients: how many.
        between: MS(R), the mean square between readers.
        own, shared: error variance of one reader, and error covariance of two readers (Cov2).
    """

    value: float
    error: float
    df: float
    low: float
    high: float
    readers: int
    patients: int
    between: float
    own: float
    shared: float

    def detectable(self, power: float = 0.8, alpha: float = 0.05) -> float:
        """The least distance from a fixed value that a two-sided test with this error sees with this power."""
        return detectable(self.error, self.df, power, alpha)


def detectable(error: float, df: float, power: float, alpha: float) -> float:
    """The least distance from a fixed value that a two-sided t test sees, for a standard error."""
    return float((stats.t.ppf(1 - alpha / 2, df) + stats.t.ppf(power, df)) * error)


def random_readers(
    values: Floats, deleted: Floats, confidence: float = 0.95, *, difference: bool = False
) -> ReaderMean:
    """Mean over readers with its interval, readers and cases both random (Obuchowski-Rockette, Hillis).

    Args:
        values: (J,) results of J readers, shares between 0 and 1.
        deleted: (n, J) the same without one of n patients.
        confidence: coverage of the interval.
        difference: the results are differences of shares, between -1 and 1.

    The degrees of freedom are those of Hillis, and never more than there are patients less one. One reader: the
    interval is for this reader and other cases. Where no reader and no patient makes a difference, as
    when everybody is always right, the interval is the exact binomial one of as many answers as there are patients; of
    differences it is unknown, nan.
    """
    readers, patients = len(values), len(deleted)
    value = float(values.mean())
    centered = deleted - deleted.mean(0)
    covariance = (patients - 1) / patients * centered.T @ centered
    own = float(np.diag(covariance).mean())
    shared = float((covariance.sum() - np.trace(covariance)) / (readers * (readers - 1))) if readers > 1 else 0.0
    between = float(values.var(ddof=1)) if readers > 1 else own
    variance = between + max(readers * shared, 0.0)
    if not variance > 1e-16:
        low, high = math.nan, math.nan
        if not difference:
            low, high = exact_interval(round(value * patients), patients, confidence)
        return ReaderMean(value, math.nan, math.nan, low, high, readers, patients, between, own, shared)
    df = variance**2 / (between**2 / (readers - 1)) if readers > 1 and between > 1e-16 else math.inf
    df = min(df, patients - 1.0)  # a jackknife over few patients knows its own error no better
    error = math.sqrt(variance / readers)
    reach = float(stats.t.ppf((1 + confidence) / 2, df)) * error
    low, high = max(-1.0 if difference else 0.0, value - reach), min(1.0, value + reach)
    return ReaderMean(value, error, df, low, high, readers, patients, between, own, shared)


def successes(ratings: NDArray[Any], positive: Mask) -> Floats:
    """(J, D, N): 1 where a reader rates positive case d above negative case n, 1/2 where alike, else 0.

    Args:
        ratings: (J, C) of C cases by J readers.
        positive: (C,).
    """
    above = ratings[:, positive, None].astype(float) - ratings[:, None, ~positive]
    return np.asarray((np.sign(above) + 1) / 2)


def auc(ratings: NDArray[Any], positive: Mask) -> Floats:
    """(J,) empirical areas under the ROC curve of J readers' ratings (J, C)."""
    return np.asarray(successes(ratings, positive).mean((1, 2)))


def without_each(owners: Mask, statistic: Callable[[Mask], Floats]) -> Floats:
    """(n, ...) a statistic of cases without each of n patients.

    Args:
        owners: (n, C) which cases are of which patient; a case may be of several.
        statistic: which of the cases (C,) to take -> (J,).
    """
    return np.stack([statistic(~mine) for mine in owners])


def auc_of_readers(ratings: NDArray[Any], positive: Mask, owners: Mask, confidence: float = 0.95) -> ReaderMean:
    """The readers' mean AUC. Arguments as for `successes` and `without_each`.

    Raises:
        ValueError: not both kinds of cases from at least two patients each.
    """
    if min(np.count_nonzero(owners[:, kind].any(1)) for kind in (positive, ~positive)) < 2:
        raise ValueError("both kinds of cases must come from at least two patients")
    pairs = successes(ratings, positive)

    def area(kept: Mask) -> Floats:
        return np.asarray(pairs[:, kept[positive]][:, :, kept[~positive]].mean((1, 2)))

    owners = owners[owners.any(1)]
    return random_readers(pairs.mean((1, 2)), without_each(owners, area), confidence)


def share_of_readers(right: NDArray[Any], owners: Mask, confidence: float = 0.95) -> ReaderMean:
    """The readers' mean share of right answers, or of any number per case.

    Args:
        right: (J, C) one number for each reader and case, such as 1 for a right answer and 0 for a wrong one.
        owners: (n, C) which cases are of which patient.
    """
    owners = owners[owners.any(1)]
    return random_readers(
        right.mean(1), without_each(owners, lambda kept: np.asarray(right[:, kept].mean(1))), confidence
    )


def difference_of_shares(right: NDArray[Any], second: Mask, owners: Mask, confidence: float = 0.95) -> ReaderMean:
    """The readers' mean share of right answers among the first cases less that among the second, on the same patients.

    Args:
        right, owners: as for `share_of_readers`.
        second: (C,) which cases are subtracted.

    Patients without whom one of the two has no case left are kept.
    """

    def apart(kept: Mask) -> Floats:
        return np.asarray(right[:, kept & ~second].mean(1) - right[:, kept & second].mean(1))

    both = (owners.any(1)) & ((~owners & second).any(1)) & ((~owners & ~second).any(1))
    everything = np.ones(len(second), bool)
    if np.count_nonzero(both) < 2:  # no interval over patients
        known, nan = float(apart(everything).mean()), math.nan
        return ReaderMean(known, nan, nan, nan, nan, len(right), int(owners.any(1).sum()), nan, nan, nan)
    return random_readers(apart(everything), without_each(owners[both], apart), confidence, difference=True)


def one_shot_variance(pairs: Floats) -> float:
    """Variance of the mean AUC, readers and cases random and independent, without bias (Gallas 2006).

    It is the squared mean less the mean product of successes (J, D, N) that share no reader and no case.
    """
    apart = 0.0
    for equal in itertools.chain.from_iterable(itertools.combinations(range(3), k) for k in range(4)):
        summed = pairs.sum(axis=tuple(axis for axis in range(3) if axis not in equal))
        apart += (-1) ** len(equal) * float((np.asarray(summed) ** 2).sum())
    return float(pairs.mean() ** 2 - apart / np.prod([n * (n - 1) for n in pairs.shape]))


def exact_interval(right: int, answers: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a share of right answers (Clopper and Pearson 1934)."""
    tail, wrong = (1 - confidence) / 2, answers - right
    low = float(stats.beta.ppf(tail, right, wrong + 1)) if right else 0.0
    return low, float(stats.beta.ppf(1 - tail, right + 1, wrong)) if wrong else 1.0


def fleiss_kappa(counts: NDArray[Any]) -> float:
    """Agreement beyond chance (Fleiss 1971): 1 for readers who always agree, 0 for chance; nan where all answers of
    all cases are the same.

    Args:
        counts: (C, K) how many readers gave each of K answers to each of C cases; as many readers for every case.
    """
    counts = np.asarray(counts, float)
    readers = counts.sum(1)[0]
    agreed = ((counts**2).sum(1) - readers) / (readers * (readers - 1))
    chance = float(((counts.sum(0) / counts.sum()) ** 2).sum())
    return float((agreed.mean() - chance) / (1 - chance)) if chance < 1 else math.nan


def roc(ratings: NDArray[Any], positive: Mask) -> tuple[Floats, Floats]:
    """Shares of false and of true positives of one reader at every threshold, from (0, 0) to (1, 1)."""
    thresholds = np.unique(ratings)[::-1]
    called = ratings[None] >= np.concatenate([[np.inf], thresholds])[:, None]
    return np.asarray(called[:, ~positive].mean(1)), np.asarray(called[:, positive].mean(1))
