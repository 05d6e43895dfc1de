"""How surely a correlation is found, said before anything is tested.

Fisher's z with the critical value of the t distribution, as `pwr.r.test` of R has it (Cohen 1988). Of ranks z has 1.06
times the variance (Fieller, Hartley and Pearson 1957).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from radiogenesis.stats.association import LEAST_FREEDOM

Floats = NDArray[np.float64]
OF_RANKS = 1.06
TARGET = 0.8
"""The power that studies are planned for."""
MOST_PATIENTS = 1_000_000


def spread(freedom: Any, *, ranks: bool = True) -> Floats:
    """Standard error of Fisher's z of a correlation.

    Args:
        freedom: degrees of freedom of its test: patients less 2, less what is adjusted for.
        ranks: of Spearman's correlation, else of Pearson's.
    """
    return np.sqrt((OF_RANKS if ranks else 1.0) / (np.asarray(freedom, float) - 1))


def critical(level: Any, freedom: Any, *, sided: int = 2) -> Floats:
    """The smallest |r| with a p below `level`."""
    t = stats.t.isf(np.asarray(level, float) / sided, freedom)
    return np.asarray(t / np.sqrt(freedom + t**2))


def power(rho: Any, freedom: Any, level: Any, *, sided: int = 2, ranks: bool = True) -> Floats:
    """How often a true correlation of `rho` has a p below `level`.

    Args:
        rho: true correlation; of a one-sided test positive where it lies in the direction that is tested.
        freedom: degrees of freedom, as of `spread`.
        level: of p, after whatever correction.
        sided: 1 or 2.
    """
    rho, freedom = np.asarray(rho, float), np.asarray(freedom, float)
    limit, error = np.arctanh(critical(level, freedom, sided=sided)), spread(freedom, ranks=ranks)
    z = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12)) + rho / (2 * (freedom + 1))
    found = stats.norm.cdf((z - limit) / error)
    return np.asarray(found + stats.norm.cdf((-z - limit) / error) if sided == 2 else found)


def findable(freedom: float, level: float, *, target: float = TARGET, sided: int = 2, ranks: bool = True) -> float:
    """The smallest |rho| that is found with the power `target`; 1 where none is."""
    if freedom < LEAST_FREEDOM or power(1 - 1e-9, freedom, level, sided=sided, ranks=ranks) < target:
        return 1.0
    return float(
        optimize.brentq(
            lambda rho: float(power(rho, freedom, level, sided=sided, ranks=ranks)) - target, 1e-9, 1 - 1e-9
        )
    )


def patients_needed(
    rho: float, level: float, *, target: float = TARGET, sided: int = 2, adjusted: int = 0, ranks: bool = True
) -> int:
    """How many patients find a true correlation of |rho| with the power `target`.

    Args:
        adjusted: degrees of freedom that covariates and batches take.

    Raises:
        ValueError: none, since rho is 0 or more than a million patients would be needed.
    """

    def short(freedom: float) -> float:
        return float(power(abs(rho), freedom, level, sided=sided, ranks=ranks)) - target

    least = float(LEAST_FREEDOM)
    if short(least) >= 0:
        return LEAST_FREEDOM + 2 + adjusted
    if not 0 < abs(rho) < 1 or short(MOST_PATIENTS) < 0:
        raise ValueError(f"no number of patients finds a correlation of {rho} at {level}")
    return int(np.ceil(optimize.brentq(short, least, MOST_PATIENTS))) + 2 + adjusted


def expected_level(rho: Any, freedom: Any, alpha: float, *, ranks: bool = True) -> float:
    """Where the threshold of Benjamini and Hochberg is expected to lie if all these effects are true.

    The largest t with t = alpha * (mean power at t), at least alpha / tests: what the strongest test alone must reach
    (Genovese and Wasserman 2002, without their share of true nulls). One-sided tests.

    Args:
        rho, freedom: (L,) of each test.
        alpha: false discovery rate.
    """
    rho, freedom = np.asarray(rho, float), np.asarray(freedom, float)
    level = alpha
    for _ in range(200):
        reached = alpha * float(power(rho, freedom, level, sided=1, ranks=ranks).mean()) if len(rho) else alpha
        if abs(reached - level) < 1e-9:
            break
        level = max(reached, alpha / len(rho))
    return level


def without_selection(z: Any, threshold: Any) -> Floats:
    """What remains of an effect that was reported because |z| reached a threshold (winner's curse).

    The mean of the two estimators of Ghosh, Zou and Wright (2008): the mode and the mean of the likelihood of the true
    value given that |z| passed. Other reasons to report a link than its |z| are not accounted for.

    Args:
        z: (L,) effects in standard errors.
        threshold: that |z| had to reach, one for all or (L,); what lies below counts as lying there.

    Returns:
        (L,) in standard errors, never farther from 0 than z.
    """
    given = np.asarray(z, float)
    limit = np.broadcast_to(np.asarray(threshold, float), given.shape)[:, None]
    size = np.maximum(np.abs(given), limit[:, 0])
    true = np.linspace(-5, size.max(initial=0) + 5, 4001)[None]
    passed = stats.norm.sf(limit - true) + stats.norm.cdf(-limit - true)
    likelihood = np.exp(-0.5 * (size[:, None] - true) ** 2) / np.maximum(passed, 1e-300)
    mode = true[0, likelihood.argmax(axis=1)]
    mean = (likelihood * true).sum(axis=1) / likelihood.sum(axis=1)
    kept = np.clip((mode + mean) / 2, 0, np.abs(given))
    return np.asarray(np.sign(given) * kept)
