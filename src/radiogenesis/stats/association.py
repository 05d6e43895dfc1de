"""Every gene or metagene against every feature: Spearman, Mann-Whitney, or a linear model with covariates.

All three are correlations of columns that were prepared once (ranked, residualized on covariates, centered, scaled), so
the whole table is one matrix product, and so is each permutation of patients. For a feature of two values, r times
sqrt(n - 1) of the ranks is the Mann-Whitney z with its correction for ties; for a linear model, the correlation of what
covariates leave of both sides has the t of the regression (Frisch, Waugh and Lovell).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from radiogenesis.stats.multiple_testing import false_discovery_rate

Floats = NDArray[np.float64]
_Single = NDArray[np.float32]
Model = Literal["rank", "linear"]


class Held(TypedDict):
    """What tests hold fixed, in the words of `associate`."""

    blocks: NDArray[Any] | None
    covariates: NDArray[Any] | None
    model: Model


FREE: Held = {"blocks": None, "covariates": None, "model": "rank"}
"""Nothing is adjusted for."""


_AT_ONCE = 2_000_000  # products held at a time by the permutations: what stays in a cache
_MANY = 1e10  # tests times permutations from which Dask divides the work
FEWEST = 8
"""Patients with a value that a feature must have to be tested."""
LEAST_FREEDOM = FEWEST - 2
"""Degrees of freedom that a test must have: those of 8 patients without covariates."""


@dataclass(frozen=True, eq=False)
class Associations:
    """Genes (or metagenes) x features.

    Attributes:
        genes, features: (G,), (F,) names.
        effect: (G, F) Spearman's rho; for a feature of two values the rank-biserial correlation, 2 AUC - 1; for a
            linear model the partial correlation.
        z: (G, F) the effect in standard deviations of its null: r * sqrt(n - 1); comparable among features.
        p: (G, F) two-sided, from the t (Spearman, linear) or the normal distribution (Mann-Whitney).
        q: (G, F) Benjamini-Hochberg over the whole table; tests that could not be made do not count.
        p_max: (G, F) family-wise: how often the largest |z| of the whole table reaches this one when patients are
            permuted; nan without permutations.
        p_permuted: (G, F) the same for this test alone; nan unless it was asked for.
        n: (F,) patients with a value.
        test: (F,) "Spearman", "Mann-Whitney" or "linear".
        null_max: (B,) largest |z| of each permutation.
    """

    genes: tuple[str, ...]
    features: tuple[str, ...]
    effect: Floats
    z: Floats
    p: Floats
    q: Floats
    p_max: Floats
    p_permuted: Floats
    n: NDArray[np.int64]
    test: tuple[str, ...]
    null_max: Floats

    def table(self, left: str = "gene") -> pd.DataFrame:
        """Tidy: gene or metagene, feature, effect, z, p, q, p_max, n, test; the strongest first."""
        g, f = (axis.ravel() for axis in np.indices(self.p.shape))
        columns = {left: np.array(self.genes, object)[g], "feature": np.array(self.features, object)[f]}
        columns |= {name: getattr(self, name).ravel() for name in ("effect", "z", "p", "q", "p_max")}
        if np.isfinite(self.p_permuted).any():
            columns["p_permuted"] = self.p_permuted.ravel()
        columns |= {"n": self.n[f], "test": np.array(self.test, object)[f]}
        table = pd.DataFrame(columns)
        return table.iloc[np.argsort(-table["z"].abs().to_numpy(), kind="stable")].reset_index(drop=True)

    @property
    def tests(self) -> int:
        """How many tests were made."""
        return int(np.isfinite(self.p).sum())


def associate(
    genes: NDArray[Any],
    features: NDArray[Any],
    names: Sequence[str],
    feature_names: Sequence[str],
    *,
    model: Model = "rank",
    covariates: NDArray[Any] | None = None,
    blocks: NDArray[Any] | None = None,
    permutations: int = 0,
    each: bool = False,
    seed: int = 0,
) -> Associations:
    """Test every gene against every feature.

    Missing values of features: effect and p are those of the patients who have one (pairwise). In the permutations a
    missing value counts as the feature's mean, which leaves every z with variance 1 under permutation; where those who
    have a value are alike in their genes, the family-wise p is then too large, never too small.

    With covariates both sides are residualized on them first; the features' residuals are permuted and residualized
    once more (Freedman and Lane 1983): without that, what covariates explain of permuted values by chance would make
    the null too narrow. With blocks, patients change places within a block only, and the blocks' means are taken out:
    what is left then is an association inside batches.

    Args:
        genes: (n, G) complete.
        features: (n, F), NaN where missing.
        names, feature_names: of the columns.
        model: "rank" (Spearman; Mann-Whitney where a feature has two values), or "linear" on the values.
        covariates: (n, C) complete; not the constant.
        blocks: (n,) batch of each patient.
        permutations: of patients, whole rows: the correlation inside genes and inside features stays.
        each: also count permutations test by test (`p_permuted`).
        seed: permutation b is drawn from (seed, b).

    Raises:
        ValueError: rows of different numbers, or missing values in genes or covariates.
    """
    x, y = np.asarray(genes, np.float64), np.asarray(features, np.float64)
    known = np.isfinite(y)
    design = design_of(len(x), covariates, blocks)
    if x.shape != (len(y), len(names)) or y.shape[1] != len(feature_names) or len(design) != len(x):
        raise ValueError(f"genes {x.shape}, features {y.shape}, covariates {design.shape} do not go together")
    if not (np.isfinite(x).all() and np.isfinite(design).all()):
        raise ValueError("genes and covariates must have no missing values")
    shape = (x.shape[1], y.shape[1])
    effect, z, p = (np.full(shape, np.nan) for _ in range(3))
    right = np.zeros(y.shape, np.float32)
    binary = np.array([len(np.unique(y[known[:, f], f])) == 2 for f in range(shape[1])], bool)
    mann_whitney = binary & (model == "rank") & (design.shape[1] == 1)
    for has, columns in _patterns(known):
        freedom = len(has) - 1 - np.linalg.matrix_rank(design[has])
        if len(has) < FEWEST or freedom < LEAST_FREEDOM:
            continue
        a, b = (prepared(side, design[has], model) for side in (x[has], y[np.ix_(has, columns)]))
        r = np.clip(a.T @ b, -1, 1)
        r[:, ~b.any(axis=0)] = np.nan  # a feature that does not vary, or is a covariate itself
        r[~a.any(axis=0)] = np.nan
        z[:, columns] = r * np.sqrt(freedom + 1)
        with np.errstate(divide="ignore"):
            t = r * np.sqrt(freedom / (1 - r**2))
        twice = mann_whitney[columns]
        p[:, columns] = np.where(twice, 2 * stats.norm.sf(np.abs(z[:, columns])), 2 * stats.t.sf(np.abs(t), freedom))
        effect[:, columns] = np.where(twice, _rank_biserial(x[has], y[np.ix_(has, columns)], twice), r)
        right[np.ix_(has, columns)] = b
    p_max, p_permuted, null = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(0)
    if permutations:
        left = prepared(x, design, model).astype(np.float32)
        scale = np.sqrt(len(x) - np.linalg.matrix_rank(design))
        observed = np.abs((right.T @ left) * scale)
        basis = None if covariates is None else orthonormal(design).astype(np.float32)
        counted = observed if each else None
        null, reached = _permuted(left, right, scale, blocks, permutations, seed, counted, basis)
        at_least = permutations - np.searchsorted(np.sort(null), observed.T * (1 - 1e-5), side="left")
        p_max = np.where(np.isfinite(p), (1 + at_least) / (1 + permutations), np.nan)
        if each:
            p_permuted = np.where(np.isfinite(p), (1 + reached.T) / (1 + permutations), np.nan)
    tests = tuple("linear" if model == "linear" else "Mann-Whitney" if twice else "Spearman" for twice in mann_whitney)
    return Associations(
        tuple(map(str, names)), tuple(map(str, feature_names)), effect, z, p, false_discovery_rate(p), p_max,
        p_permuted, known.sum(axis=0), tests, null,
    )  # fmt: skip


def also(held: Held, covariates: NDArray[Any], rows: NDArray[Any] | slice = slice(None)) -> Held:
    """Held fixed among the patients `rows`, and (n, C) covariates of theirs too."""
    blocks, before = held["blocks"], held["covariates"]
    more = np.asarray(covariates, np.float64).reshape(len(covariates), -1)
    return {
        "blocks": None if blocks is None else np.asarray(blocks)[rows],
        "covariates": more if before is None else np.hstack([np.asarray(before, np.float64)[rows], more]),
        "model": held["model"],
    }


def freedom_of(n: int, held: Held) -> int:
    """Degrees of freedom of a test of n patients, less what is adjusted for."""
    return n - 1 - int(np.linalg.matrix_rank(design_of(n, held["covariates"], held["blocks"])))


def least_effect(tests: int, freedom: int, alpha: float) -> float:
    """The smallest |r| that reaches a false discovery rate of alpha when it is the only one among `tests` tests; 1
    where no test can be made."""
    if not tests or freedom < 1:
        return 1.0
    t = float(stats.t.isf(alpha / tests / 2, freedom))
    return t / float(np.sqrt(freedom + t**2))


def permutation(n: int, blocks: NDArray[Any] | None, seed: int, number: int) -> NDArray[np.intp]:
    """The order of patients in permutation `number`: free, or within blocks."""
    rng = np.random.default_rng([seed, 0x9E2, number])
    if blocks is None:
        return rng.permutation(n)
    order = np.arange(n)
    for block in pd.unique(np.asarray(blocks)):
        mine = np.flatnonzero(np.asarray(blocks) == block)
        order[mine] = rng.permutation(mine)
    return order


def null_maxima(
    left: _Single,
    right: _Single,
    scale: float,
    blocks: NDArray[Any] | None,
    numbers: range,
    seed: int,
    observed: _Single | None = None,
    basis: _Single | None = None,
) -> tuple[Floats, NDArray[np.int32]]:
    """Largest |z| of each of the permutations `numbers`, and how often each test reached its own.

    Args:
        left, right: (n, G), (n, F) columns of length 1.
        scale: what makes a product a z.
        observed: (F, G) |z| to count against; None for no count.
        basis: (n, C) orthonormal, what permuted columns are residualized on once more, as `left` is. None where
            permutations leave it at that: the constant, and blocks.
    """
    features, genes = right.shape[1], left.shape[1]
    step = max(1, _AT_ONCE // max(1, features * genes))
    product = np.empty((step * features, genes), np.float32)  # reused: fresh memory costs more than the product
    maxima = np.empty(len(numbers))
    reached = np.zeros((features, genes), np.int32)
    for start in range(0, len(numbers), step):
        chunk = numbers[start : start + step]
        turned = np.concatenate([right[permutation(len(right), blocks, seed, b)].T for b in chunk])
        if basis is not None:  # the product with `left` would not change, the length does
            explained = ((turned @ basis) ** 2).sum(axis=1, keepdims=True)
            turned /= np.sqrt(np.maximum(1 - explained, 1e-6))
        out = np.matmul(turned, left, out=product[: len(turned)]).reshape(len(chunk), features, genes)
        maxima[start : start + len(chunk)] = np.maximum(out.max(axis=(1, 2)), -out.min(axis=(1, 2)))
        if observed is not None:
            limit = observed / np.float32(scale) * np.float32(1 - 1e-5)
            for statistic in out:
                reached += np.abs(statistic) >= limit
    return maxima * scale, reached


def _permuted(
    left: _Single,
    right: _Single,
    scale: float,
    blocks: NDArray[Any] | None,
    permutations: int,
    seed: int,
    observed: _Single | None,
    basis: _Single | None,
) -> tuple[Floats, NDArray[np.int32]]:
    """All permutations; through Dask where there are many products: a client that is connected takes them over."""
    if left.shape[1] * right.shape[1] * permutations < _MANY:
        return null_maxima(left, right, scale, blocks, range(permutations), seed, observed, basis)
    from dask.base import compute
    from dask.delayed import delayed
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    parts = [range(start, min(start + 50, permutations)) for start in range(0, permutations, 50)]
    large = [delayed(one, traverse=False) for one in (left, right, observed, basis)]  # sent once, not with every part
    tasks = [delayed(null_maxima)(*large[:2], scale, blocks, part, seed, *large[2:]) for part in parts]
    with threadpool_limits(1):  # the tasks run side by side; threads inside them would fight over the cores
        computed = compute(*tasks)
    return np.concatenate([maxima for maxima, _ in computed]), np.sum([reached for _, reached in computed], axis=0)


def design_of(n: int, covariates: NDArray[Any] | None, blocks: NDArray[Any] | None) -> Floats:
    """(n, 1 + C) the constant, covariates, and the blocks' indicators but the first."""
    columns = [np.ones((n, 1))]
    if covariates is not None:
        columns.append(np.asarray(covariates, np.float64).reshape(n, -1))
    if blocks is not None:
        columns.append(pd.get_dummies(pd.Series(np.asarray(blocks)).astype(str), drop_first=True).to_numpy(np.float64))
    return np.hstack(columns)


def _patterns(known: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Patients and features of each pattern of missing values."""
    patterns, which = np.unique(known, axis=1, return_inverse=True)
    for i in range(patterns.shape[1]):
        yield np.flatnonzero(patterns[:, i]), np.flatnonzero(which.ravel() == i)


def prepared(values: Floats, design: Floats, model: Model) -> Floats:
    """(n, K) columns, ranked if the model says so, without what the design explains, of length 1, or 0 throughout."""
    ranked = stats.rankdata(values, axis=0) if model == "rank" else values - values.mean(axis=0)
    basis = orthonormal(design)
    left = ranked - basis @ (basis.T @ ranked)
    length = np.linalg.norm(left, axis=0)
    before = np.linalg.norm(ranked, axis=0)
    scaled: Floats = np.where(length > 1e-9 * np.maximum(before, 1e-300), left / np.maximum(length, 1e-300), 0.0)
    return scaled


def orthonormal(design: Floats) -> Floats:
    """(n, C) an orthonormal basis of a design, whose columns may depend on each other."""
    if np.linalg.matrix_rank(design) == design.shape[1]:
        return np.asarray(np.linalg.qr(design)[0])
    u, s, _ = np.linalg.svd(design, full_matrices=False)
    return np.asarray(u[:, s > 1e-9 * s[0]])


def _rank_biserial(x: Floats, y: Floats, twice: NDArray[np.bool_]) -> Floats:
    """(G, F) 2 AUC - 1 of each gene between the larger and the smaller value of each feature of two values."""
    correlations = np.zeros((x.shape[1], y.shape[1]))
    ranks = stats.rankdata(x, axis=0)
    for f in np.flatnonzero(twice):
        high = y[:, f] == y[:, f].max()
        correlations[:, f] = 2 * (ranks[high].mean(axis=0) - ranks[~high].mean(axis=0)) / len(y)
    return correlations
