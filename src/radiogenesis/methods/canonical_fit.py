"""How the canonical alignment is fitted: the lesions first, without a look at the genes; the genes; then the tests.

Lesions. Each named property of a patient's lesions becomes a normal score, and a sum over the lesion's statistics that
follows it. What these sums leave of the statistics is whitened kind by kind (a ridge keeps what hardly varies from
counting), so that directions of it can be found: among fifteen numbers that say where a lesion is dense a pattern
stands out that is lost among all of them.

Genes. One kernel ridge regression serves everything: `predicting` turns any (n, k) values of patients' lesions into
what the other patients' genes predict of them. It depends on the genes alone, so that a permutation of the patients is
a permutation of the lesions' rows, and every test finds again all that was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.special import ndtri
from scipy.stats import rankdata

Floats = NDArray[np.float64]
FOLDS, REPEATS = 10, 5  # of the cross-validation behind every prediction
LEVEL = 0.05  # of a test against permuted patients
NO_SPREAD = 1e-6  # of the largest spread: less is a rounding error
ORDERS_AT_ONCE = 50  # permutations of the properties in one product
SHOWN_ORDERS = 200  # permutations behind the 95th percentile of a further direction's r
PROPERTY_RIDGE = 0.05  # added to the variance of each statistic where a property is written as a sum over them


@dataclass(frozen=True, eq=False)
class LesionSide:
    """What the lesions of n patients look like, in S statistics and P named properties; no gene was looked at.

    Attributes:
        mean, deviation: (S,) of the statistics, every patient counting alike.
        means: (n, S) the patients' mean standardized statistics.
        whitening: (S, S): standardized statistics times this are uncorrelated but for the ridge, of variance below 1.
        scores: (n, P) normal scores of the patients' properties, mean 0 and variance 1; 0 where unknown.
        property_weights: (S, P): standardized statistics times these follow the properties, variance 1 over patients.
        rest: (n, R) what the properties leave of the statistics, whitened kind by kind, along principal axes.
        rest_weights: (S, R): standardized statistics times these are `rest`.
        kinds: the columns of `rest` that belong to each kind of statistics.
    """

    mean: Floats
    deviation: Floats
    means: Floats
    whitening: Floats
    scores: Floats
    property_weights: Floats
    rest: Floats
    rest_weights: Floats
    kinds: tuple[slice, ...]

    def given_to(self, order: NDArray[np.intp]) -> LesionSide:
        """The lesions of patient order[i] given to patient i."""
        moved = {name: getattr(self, name)[order] for name in ("means", "scores", "rest")}
        return replace(self, **moved)


def lesion_side(
    statistics: NDArray[Any], properties: NDArray[Any], patient: NDArray[np.int64], whitening_ridge: float,
    lesion_ridge: float, sizes: Sequence[int] = (),
) -> LesionSide:  # fmt: skip
    """Prepare the lesions.

    Args:
        statistics: (N, S) of the slices.
        properties: (N, P) of the same slices, nan where one could not be measured; P may be 0.
        patient: (N,) 0 to n - 1; every patient has slices.
        whitening_ridge: added to the variance of every standardized statistic before whitening.
        lesion_ridge: the same before directions of `rest` are looked for; 0 for `chance_variance`.
        sizes: how many statistics there are of each kind, in order; all of one kind where not given.
    """
    n = int(patient.max()) + 1
    weight = 1 / (n * np.bincount(patient, minlength=n)[patient])  # (N,)
    mean = weight @ statistics
    deviation = np.sqrt(weight @ (statistics - mean) ** 2) + 1e-6
    h = (statistics - mean) / deviation
    spread = (h * weight[:, None]).T @ h  # (S, S)
    means = patient_means(h, patient, n)
    of_patients = patient_means(properties, patient, n)
    scores = _columns([normal_scores(column) for column in of_patients.T], n)
    on_slices = map(_scores_of, properties.T, of_patients.T, scores.T)
    sums = _columns([_regression(h, spread, y, weight) for y in on_slices], h.shape[1])
    sums = sums / np.maximum((means @ sums).std(axis=0), 1e-12)
    explained = np.linalg.lstsq(means @ sums, means, rcond=None)[0]  # (P, S)
    left = np.eye(h.shape[1]) - sums @ explained
    parts, kinds, at, column = [], [], 0, 0
    for size in sizes or (h.shape[1],):
        mine, at = left[:, at : at + size], at + size
        ridge = lesion_ridge or chance_variance(n, size)
        away = mine @ _whitening(mine.T @ spread @ mine, ridge)  # (S, size)
        _, length, axes = np.linalg.svd(means @ away, full_matrices=False)
        parts.append(away @ axes[length > NO_SPREAD * np.linalg.norm(means)].T)
        kinds.append(slice(column, column := column + parts[-1].shape[1]))
    rest_weights = np.concatenate(parts, axis=1)
    return LesionSide(
        mean, deviation, means, _whitening(spread, whitening_ridge), scores, sums, means @ rest_weights, rest_weights,
        tuple(kinds),
    )  # fmt: skip


def chance_variance(patients: int, statistics: int) -> float:
    """The largest variance that a direction of so many independent statistics, each of variance 1, has by chance over
    so many patients: (1 + sqrt(S / n))^2 (Marchenko and Pastur 1967). What varies less is not trusted; chosen from the
    numbers alone, without a look at the answer."""
    return float((1 + np.sqrt(statistics / patients)) ** 2)


def patient_means(values: NDArray[Any], patient: NDArray[np.int64], n: int) -> Floats:
    """(N, k) of slices -> (n, k) means over each patient's known values; nan without any."""
    known = np.isfinite(values)
    sums, counts = np.zeros((n, values.shape[1])), np.zeros((n, values.shape[1]))
    np.add.at(sums, patient, np.where(known, values, 0.0))
    np.add.at(counts, patient, known)
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def normal_scores(values: Floats) -> Floats:
    """Ranks as quantiles of the normal distribution, mean 0 and variance 1: no patient is an outlier. Unknown values
    get the mean, and so does everybody where nothing differs."""
    known = np.isfinite(values)
    scores = np.zeros(len(values))
    if known.sum() < 2:
        return scores
    scores[known] = ndtri((rankdata(values[known]) - 0.5) / known.sum())
    scores[known] -= scores[known].mean()
    spread = scores.std()
    return scores / spread if spread > NO_SPREAD else np.zeros(len(values))


def _columns(columns: list[Floats], n: int) -> Floats:
    """(n, k); k may be 0."""
    return np.stack(columns, axis=1) if columns else np.zeros((n, 0))


def _scores_of(slices: Floats, patients: Floats, scores: Floats) -> Floats:
    """What a slice's property would score among the patients' means, nan where it is unknown."""
    known = np.isfinite(patients)
    if not known.any():
        return np.full(len(slices), np.nan)
    value, first = np.unique(patients[known], return_index=True)
    return np.where(np.isfinite(slices), np.interp(slices, value, scores[known][first]), np.nan)


def _regression(h: Floats, spread: Floats, y: Floats, weight: Floats) -> Floats:
    """(S,) ridge regression of a slice's score on its statistics, of the slices where it is known."""
    known = np.isfinite(y)
    if not known.any():
        return np.zeros(h.shape[1])
    share = np.where(known, weight, 0.0) / weight[known].sum()
    target = np.where(known, y, 0.0) - share[known] @ y[known]
    return np.linalg.solve(spread + PROPERTY_RIDGE * np.eye(len(spread)), h.T @ (share * target))


def _whitening(covariance: Floats, ridge: float) -> Floats:
    """W with W^T (covariance + ridge I) W = I."""
    return np.linalg.inv(np.linalg.cholesky(covariance + ridge * np.eye(len(covariance)))).T


@dataclass(frozen=True, eq=False)
class GeneSide:
    """The genes of n patients, and the regression from them.

    Attributes:
        centered: (n, G).
        kernel: (n, n) in units of a patient's mean squared expression.
        scale: that unit.
        ridge: of the regression, in these units.
        predicting: (n, n): times the values (n, k) of the patients' lesions, what the other patients predict of each.
    """

    centered: Floats
    kernel: Floats
    scale: float
    ridge: float
    predicting: Floats

    @classmethod
    def of(cls, genes: NDArray[Any], ridge: float, seed: int) -> GeneSide:
        """Genes (n, G) scaled; the seed divides the patients into folds."""
        centered = np.array(genes, np.float64)
        centered -= centered.mean(axis=0)
        kernel = centered @ centered.T
        scale = float(np.trace(kernel) / len(centered)) or 1.0
        kernel /= scale
        return cls(centered, kernel, scale, ridge, cross_predicting(kernel, ridge, REPEATS, seed))

    def weights(self, targets: Floats) -> Floats:
        """(G, k) of the ridge regression from genes to targets (n, k), made on all patients."""
        dual = np.linalg.solve(self.kernel + self.ridge * np.eye(len(self.kernel)), targets)
        return np.asarray(self.centered.T @ dual / self.scale)


def cross_predicting(kernel: Floats, ridge: float, repeats: int, seed: int) -> Floats:
    """(n, n): times values (n, k), what kernel ridge regression on the other nine parts of the patients predicts of
    each, about the mean of these nine parts; the mean over `repeats` divisions into ten.

    About their mean, not added to it: a mean without the patient goes against the patient's own value, and a mean
    with the patient goes with it, so that either would give noise a correlation (-0.4 and 0.4 with 50 patients).
    """
    n = len(kernel)
    rng = np.random.default_rng([seed, 0xCF])
    found = np.zeros((n, n))
    for _ in range(repeats):
        for part, others in divided(n, rng):
            found[np.ix_(part, others)] += predicting_from(kernel, ridge, part, others)
    return found / repeats


def predicting_from(kernel: Floats, ridge: float, part: NDArray[np.intp], others: NDArray[np.intp]) -> Floats:
    """(p, t): times values (t, k) of `others`, what kernel ridge regression on them predicts of `part`, about their
    mean. Genes and values are centered on the others alone."""
    t = len(others)
    among, to = kernel[np.ix_(others, others)], kernel[np.ix_(part, others)]
    rows, columns = among.mean(axis=0), to.mean(axis=1, keepdims=True)
    to = to - columns - rows + rows.mean()
    among = among - rows - rows[:, None] + rows.mean()
    found = np.linalg.solve(among + ridge * np.eye(t), to.T).T
    return np.asarray(found - found.mean(axis=1, keepdims=True))


def divided(n: int, rng: np.random.Generator) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """The patients in ten random parts: each part, and all others."""
    parts = np.array_split(rng.permutation(n), min(FOLDS, n))
    return [(np.sort(part), np.setdiff1d(np.arange(n), part)) for part in parts]


def correlations(values: Floats, predicted: Floats) -> Floats:
    """(k,) Pearson's r of columns; 0 where one side does not vary."""
    a, b = values - values.mean(axis=0), predicted - predicted.mean(axis=0)
    size = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.divide((a * b).sum(axis=0), size, out=np.zeros(size.shape), where=size > 1e-12)


def covariance(rest: Floats, predicting: Floats) -> Floats:
    """(R, R) the symmetric part of Q^T P Q / n: the covariance of each coordinate of `rest` (Q, (n, R)) with what the
    other patients' genes predict (P) of it. All that is asked of an order of the patients: directions are found in it,
    one after the other, without another product of the size of the patients."""
    product = rest.T @ (predicting @ rest) / len(rest)
    return (product + product.T) / 2


def strongest(covariances: Floats) -> tuple[float, Floats]:
    """The direction w (R,) of `rest` with most `covariance` w^T C w, and that: canonical correlation with a ridge on
    either side (Hotelling 1936; Vinod 1976)."""
    size = len(covariances)
    if not size:
        return 0.0, np.zeros(0)
    value, vector = eigh(covariances, subset_by_index=[size - 1, size - 1])
    return float(value[0]), vector[:, 0]


@dataclass(frozen=True, eq=False)
class Search:
    """Looks for directions among several kinds of statistics.

    Attributes:
        kinds: the columns of each.
        noise: (kinds, 2) mean and deviation of each kind's strongest covariance over permuted patients: kinds of many
            statistics have more by chance.
    """

    kinds: tuple[slice, ...]
    noise: Floats

    @classmethod
    def among(cls, kinds: tuple[slice, ...], permuted: Sequence[Floats]) -> tuple[Search, Floats]:
        """The search, and (permutations,) the score of the strongest direction of every permutation, of which the
        covariances (R, R) are given."""
        null = np.array([[strongest(one[kind, kind])[0] for kind in kinds] for one in permuted])
        search = cls(kinds, np.stack([null.mean(axis=0), np.maximum(null.std(axis=0), 1e-12)], axis=1))
        return search, ((null - search.noise[:, 0]) / search.noise[:, 1]).max(axis=1)

    def best(self, covariances: Floats) -> tuple[float, Floats]:
        """How many deviations the best kind's direction is above chance, and the direction (R,), 0 elsewhere."""
        found = [strongest(covariances[kind, kind]) for kind in self.kinds]
        scores = [(value - mean) / spread for (value, _), (mean, spread) in zip(found, self.noise, strict=True)]
        k, w = int(np.argmax(scores)), np.zeros(len(covariances))
        w[self.kinds[k]] = found[k][1]
        return scores[k], w


def without(rest: Floats, direction: Floats) -> Floats:
    """The (R, R) map that residualizes `rest` on its coordinate along a direction: rest @ map."""
    z = rest @ direction
    loading = z @ rest / max(float(z @ z), 1e-300)
    return np.eye(len(direction)) - np.outer(direction, loading)


@dataclass(frozen=True, eq=False)
class Further:
    """Directions of what the properties leave, each found after those before it were taken out.

    Attributes:
        weights: (R, k) in `rest`; coordinates of variance 1 over the patients.
        search: how the next would be looked for.
        p: of each that was tested against permuted patients; see `further_directions`.
        first: what the first one's test compares: its score, and that of every permutation; empty without a test.
    """

    weights: Floats
    search: Search
    p: tuple[float, ...] = ()
    first: Floats = field(default_factory=lambda: np.zeros(0))


def directions(rest: Floats, covariances: Floats, search: Search, count: int) -> Floats:
    """(R, k) weights of the first `count` directions, or of as many as the patients differ in; no test.

    Args:
        rest: (n, R).
        covariances: (R, R) of it, see `covariance`.
    """
    size = rest.shape[1]
    chain, found = np.eye(size), []
    for _ in range(min(count, size)):
        _, w = search.best(covariances)
        left = rest @ chain
        spread = (left @ w).std()
        if spread < NO_SPREAD:
            break
        found.append(chain @ w / spread)
        away = without(left, w)
        covariances = away.T @ covariances @ away
        chain = chain @ away
    return _columns(found, size)


def further_directions(
    rest: Floats, kinds: tuple[slice, ...], predicting: Floats, most: int, orders: Sequence[NDArray[np.intp]]
) -> Further:
    """Directions one after the other while permuted patients seldom have one as strong (p at most LEVEL).

    After k directions are taken out of the lesions, the next is compared with the FIRST that is found for every
    permutation of what is left: the rank among noise directions is the same (after Winkler et al. 2020).
    """
    own = covariance(rest, predicting)
    permuted = [covariance(rest[order], predicting) for order in orders]
    search, null = Search.among(kinds, permuted)
    p: list[float] = []
    opening, first, left, mine = search, np.zeros(0), rest, own
    while len(p) < most:
        if p:
            search, null = Search.among(kinds, permuted)
        score, w = search.best(mine)
        if (left @ w).std() < NO_SPREAD:
            break
        p.append(exceeded(score, null))
        first = first if len(first) else np.array([score, *null])
        if p[-1] > LEVEL:
            break
        away = without(left, w)
        left, mine = left @ away, away.T @ mine @ away
        if len(p) < most:
            permuted = [away.T @ one @ away for one in permuted]
    kept = sum(one <= LEVEL for one in p)
    return Further(directions(rest, own, opening, kept), opening, tuple(p), first)


def exceeded(observed: float, null: Sequence[float] | Floats) -> float:
    """p of a permutation test (Phipson and Smyth 2010): never 0."""
    return float((1 + np.sum(np.asarray(null) >= observed * (1 - 1e-9))) / (1 + len(null)))


@dataclass(frozen=True, eq=False)
class Part:
    """A part of the patients left out, and what depends on genes alone: `inner` (t, t) is what the others predict of
    each other (`cross_predicting`), `outer` (p, t) what they predict of the part (`predicting_from`)."""

    part: NDArray[np.intp]
    others: NDArray[np.intp]
    inner: Floats
    outer: Floats


def parts_of(genes: GeneSide, seed: int) -> list[Part]:
    """The ten parts of `cross_validated_directions`: a hundred systems of equations, solved once for all orders."""
    found = []
    for part, others in divided(len(genes.kernel), np.random.default_rng([seed, 0xD1])):
        inner = cross_predicting(genes.kernel[np.ix_(others, others)], genes.ridge, 1, seed)
        found.append(Part(part, others, inner, predicting_from(genes.kernel, genes.ridge, part, others)))
    return found


def cross_validated_directions(rest: Floats, parts: Sequence[Part], search: Search, count: int) -> Floats:
    """(count,) correlation of patients' coordinates with what their genes predict, where the directions, too, were
    found without them: on the other nine parts (`parts_of`), with an inner cross-validation."""
    n = len(rest)
    values, predicted = np.zeros((n, count)), np.zeros((n, count))
    for one in parts:
        learned = rest[one.others] - rest[one.others].mean(axis=0)
        found = directions(learned, covariance(learned, one.inner), search, count)
        k = found.shape[1]
        values[one.part, :k] = rest[one.part] @ found
        predicted[one.part, :k] = one.outer @ (learned @ found)
    return correlations(values, predicted)


class FitSettings(Protocol):
    """What `fit_axes` reads of the alignment's settings."""

    @property
    def directions(self) -> int: ...
    @property
    def permutations(self) -> int: ...


@dataclass(frozen=True, eq=False)
class Axes:
    """The axes that genes and lesions share: the properties, then the further directions that were kept.

    Attributes:
        targets: (n, K) the patients' values, of mean 0 and variance 1: what the regression from genes is made for.
        lesion_weights: (S, K): standardized statistics times these are a lesion's coordinates.
        r: (K,) cross-validated correlation with what genes predict.
        chance: (K,) 95th percentile of the same for permuted patients.
        p: (K,) of each against permuted patients, everything found again.
        p_any: whether there is anything at all: the best of the properties and the first direction; see `any_of`.
    """

    targets: Floats
    lesion_weights: Floats
    r: Floats
    chance: Floats
    p: Floats
    p_any: float


def fit_axes(lesions: LesionSide, genes: GeneSide, settings: FitSettings, seed: int) -> Axes:
    """Find the axes and test them; the seed is of the permutations."""
    rng = np.random.default_rng([seed, 0xA1])
    orders = [rng.permutation(len(lesions.scores)) for _ in range(settings.permutations)]
    scores = lesions.scores
    r = correlations(scores, genes.predicting @ scores)
    null = null_correlations(scores, genes.predicting, orders)  # (R, P)
    p = np.array([exceeded(one, null[:, j]) for j, one in enumerate(r)])
    found = further_directions(lesions.rest, lesions.kinds, genes.predicting, settings.directions, orders)
    kept = found.weights.shape[1]
    if not kept and not scores.shape[1]:  # one in any case, so that a model of shuffled genes has something to follow
        own = covariance(lesions.rest, genes.predicting)
        found = replace(found, weights=directions(lesions.rest, own, found.search, 1))
    tested = np.column_stack([np.vstack([r, null]), *([found.first] if len(found.first) else [])])
    count = found.weights.shape[1]
    parts = parts_of(genes, seed) if count else []
    more = cross_validated_directions(lesions.rest, parts, found.search, count) if count else np.zeros(0)
    by_chance = [
        cross_validated_directions(lesions.rest[order], parts, found.search, count)
        for order in orders[: SHOWN_ORDERS if count else 0]
    ]
    return Axes(
        np.concatenate([scores, lesions.rest @ found.weights], axis=1),
        np.concatenate([lesions.property_weights, lesions.rest_weights @ found.weights], axis=1),
        np.concatenate([r, more]),
        np.concatenate([np.quantile(null, 0.95, axis=0), np.quantile(by_chance, 0.95, axis=0) if count else more]),
        np.concatenate([p, found.p[:count]]),
        any_of(tested),
    )


def null_correlations(scores: Floats, predicting: Floats, orders: Sequence[NDArray[np.intp]]) -> Floats:
    """(R, P) correlation of permuted scores (n, P) with what genes predict of them, of many permutations in one
    product."""
    properties, found = scores.shape[1], [np.zeros((0, scores.shape[1]))]
    for start in range(0, len(orders) if properties else 0, ORDERS_AT_ONCE):
        permuted = np.concatenate([scores[order] for order in orders[start : start + ORDERS_AT_ONCE]], axis=1)
        found.append(correlations(permuted, predicting @ permuted).reshape(-1, properties))
    return np.concatenate(found) if properties else np.zeros((len(orders), 0))


def any_of(tests: Floats) -> float:
    """p of the best of several tests (1 + R, T), the observed values first: how often the smallest p among a
    permutation's tests is as small, each among its own permutations (Westfall and Young 1993). 1 without a test."""
    if not tests.shape[1]:
        return 1.0
    at_least = rankdata(-tests, method="max", axis=0)  # how many of all rows are as large: a p value of each row
    best = at_least.min(axis=1)
    return float((best <= best[0]).mean())


def refitted_targets(lesions: LesionSide, genes: GeneSide, search: Search | None, further: int) -> Floats:
    """(n, P + further) what the regression from genes is made for when the lesions are given as they are here: the
    properties, and directions found anew."""
    found = np.zeros((lesions.rest.shape[1], 0))
    if search is not None:
        found = directions(lesions.rest, covariance(lesions.rest, genes.predicting), search, further)
    missing = np.zeros((len(lesions.rest), further - found.shape[1]))
    return np.concatenate([lesions.scores, lesions.rest @ found, missing], axis=1)


def search_for(lesions: LesionSide, genes: GeneSide, seed: int, permutations: int = SHOWN_ORDERS) -> Search:
    """How directions are looked for among these lesions."""
    rng = np.random.default_rng([seed, 0xA1])
    orders = [rng.permutation(len(lesions.rest)) for _ in range(permutations)]
    return Search.among(lesions.kinds, [covariance(lesions.rest[order], genes.predicting) for order in orders])[0]
