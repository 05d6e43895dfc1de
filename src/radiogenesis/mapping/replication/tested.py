"""One link in one cohort: the correlation that the map tests, its interval, and its one-sided p by permutation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from radiogenesis.mapping.replication.sample import LEAST_MEASURED, Sample
from radiogenesis.stats.association import FEWEST, LEAST_FREEDOM, Held, design_of, orthonormal, prepared
from radiogenesis.stats.power import spread
from radiogenesis.stats.resampling import Floats


@dataclass(frozen=True, eq=False)
class Pair:
    """The patients of a cohort in whom both sides of a link are known.

    Attributes:
        x, y: (n,) metagene and feature, as measured.
        held: what the test holds fixed, of these patients.
        freedom: degrees of freedom of the test.
    """

    x: Floats
    y: Floats
    held: Held
    freedom: int

    @property
    def ranks(self) -> bool:
        """Whether ranks are correlated, as without covariates."""
        return self.held["model"] == "rank"


def pair_of(sample: Sample, metagene: int, feature: str) -> tuple[Pair | None, str]:
    """Both sides of a link; or None and why it cannot be tested."""
    if sample.measured[metagene] < LEAST_MEASURED:
        return None, f"{sample.measured[metagene]:.0%} of the metagene's genes are measured"
    table = sample.material.features.values
    if feature not in table:
        return None, "the feature is not measured, or too few patients differ in it"
    y = table[feature].to_numpy(np.float64)
    known = np.isfinite(y)
    held: Held = {
        "blocks": None if sample.held["blocks"] is None else np.asarray(sample.held["blocks"])[known],
        "covariates": None if sample.held["covariates"] is None else np.asarray(sample.held["covariates"])[known],
        "model": sample.held["model"],
    }
    n = int(known.sum())
    freedom = n - 1 - int(np.linalg.matrix_rank(_design(n, held))) if n else 0
    if n < FEWEST or freedom < LEAST_FREEDOM:
        return None, f"{n} patients have a value"
    x = sample.values[known, metagene]
    if not np.ptp(x) or not np.ptp(y[known]):
        return None, "one side does not vary"
    return Pair(x, y[known], held, freedom), ""


def correlation(pair: Pair) -> float:
    """Spearman's rho of both sides, what is held fixed taken out; Pearson's with covariates."""
    a, b = _sides(pair)
    return float(np.clip(a @ b, -1, 1))


def interval_of(r: float, freedom: int, *, ranks: bool, confidence: float = 0.95) -> tuple[float, float]:
    """By Fisher's z."""
    half = stats.norm.ppf((1 + confidence) / 2) * float(spread(freedom, ranks=ranks))
    z = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
    return float(np.tanh(z - half)), float(np.tanh(z + half))


def one_sided_p(pair: Pair, sign: float, permutations: int, seed: int) -> float:
    """How often patients in another order reach the correlation, in the direction of `sign`.

    Patients change places within the batches held fixed. With covariates the feature's residuals are permuted and
    residualised once more (Freedman and Lane 1983), as in the map.
    """
    a, b = _sides(pair)
    turned = b[orders(len(b), pair.held["blocks"], permutations, seed)]  # (B, n)
    if pair.held["covariates"] is not None:
        explained = ((turned @ orthonormal(_design(len(b), pair.held))) ** 2).sum(axis=1, keepdims=True)
        turned = turned / np.sqrt(np.maximum(1 - explained, 1e-9))
    null = sign * (turned @ a)
    return float((1 + (null >= sign * (a @ b) - 1e-9).sum()) / (1 + permutations))


def orders(n: int, blocks: NDArray[Any] | None, times: int, seed: int) -> NDArray[np.intp]:
    """(B, n) random orders of patients, within blocks where there are any."""
    rng = np.random.default_rng([seed, 0x4E9])
    made = np.tile(np.arange(n), (times, 1))
    code = np.zeros(n, int) if blocks is None else pd.factorize(np.asarray(blocks, object))[0]
    for block in np.unique(code):
        mine = np.flatnonzero(code == block)
        made[:, mine] = rng.permuted(made[:, mine], axis=1)
    return made


def _design(n: int, held: Held) -> Floats:
    return design_of(n, held["covariates"], held["blocks"])


def _sides(pair: Pair) -> tuple[Floats, Floats]:
    design = _design(len(pair.x), pair.held)
    a, b = (prepared(side[:, None], design, pair.held["model"])[:, 0] for side in (pair.x, pair.y))
    return a, b
