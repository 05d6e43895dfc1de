"""How the canonical alignment is fitted: against explicit regressions, and on patients whose directions are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest, norm
from sklearn.linear_model import Ridge

from radiogenesis.methods import canonical_fit as cf
from radiogenesis.methods.canonical_alignment import CanonicalAlignmentSettings

QUICK = CanonicalAlignmentSettings(directions=3, permutations=60)
PATIENTS, GENES, STATISTICS = 60, 40, 20


def planted(
    factors: int, *, named: int = 0, strength: float = 2.0, seed: int = 0, patients: int = PATIENTS
) -> tuple[cf.LesionSide, NDArray[Any], NDArray[Any]]:
    """Lesions of 4 slices each, genes and factors: the first columns of statistics and five genes follow each factor,
    and the first `named` factors are the lesion's properties too."""
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(patients, factors))
    genes = rng.normal(size=(patients, GENES))
    for f in range(factors):
        genes[:, 5 * f : 5 * f + 5] += strength * factor[:, f, None]
    owner = np.repeat(np.arange(patients), 4)
    statistics = rng.normal(size=(len(owner), STATISTICS))
    for f in range(factors):
        statistics[:, 3 * f : 3 * f + 3] += 2.0 * factor[owner, f, None]
    properties = factor[owner, :named] + 0.1 * rng.normal(size=(len(owner), named))
    return cf.lesion_side(statistics, np.exp(properties), owner, 0.3, 0.0), genes, factor


def fit(lesions: cf.LesionSide, genes: NDArray[Any], seed: int = 0) -> cf.Axes:
    return cf.fit_axes(lesions, cf.GeneSide.of(genes, 3.2, seed), QUICK, seed)


def test_what_other_patients_predict_is_ridge_regression_without_the_patient_part() -> None:
    rng = np.random.default_rng(0)
    genes, values = rng.normal(size=(23, 30)), rng.normal(size=(23, 3))
    found = cf.cross_predicting(genes @ genes.T / 10, 0.7, 1, 4) @ values
    parts = cf.divided(23, np.random.default_rng([4, 0xCF]))
    assert sorted(np.concatenate([part for part, _ in parts])) == list(range(23))
    for part, others in parts:
        model = Ridge(alpha=7.0).fit(genes[others], values[others])
        expected = model.predict(genes[part]) - values[others].mean(0)
        np.testing.assert_allclose(found[part], expected, atol=1e-9)


def test_noise_is_predicted_with_a_correlation_of_nothing() -> None:
    """Whether a patient is in the mean that values are taken about would show: 0.18 with, -0.36 without."""
    rng, found = np.random.default_rng(3), []
    for seed in range(100):
        side = cf.GeneSide.of(rng.normal(size=(50, 3000)), 3.2, seed)
        scores = cf.normal_scores(rng.normal(size=50))[:, None]
        found.append(cf.correlations(scores, side.predicting @ scores)[0])
    assert abs(np.mean(found)) < 0.05


def test_normal_scores_are_quantiles_whatever_the_outlier() -> None:
    values = np.array([3.0, 1.0, np.nan, 1e9, 2.0])
    expected = norm.ppf([0.625, 0.125, np.nan, 0.875, 0.375])
    expected[2] = 0
    np.testing.assert_allclose(cf.normal_scores(values), expected / expected.std(), atol=1e-12)
    assert not cf.normal_scores(np.ones(5)).any()
    assert not cf.normal_scores(np.full(5, np.nan)).any()


def test_a_property_that_cannot_be_measured_on_some_slices_is_taken_from_the_others() -> None:
    owner = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    statistics = np.random.default_rng(0).normal(size=(8, 5))
    properties = np.array([[1.0], [np.nan], [2.0], [4.0], [np.nan], [np.nan], [9.0], [9.0]])
    side = cf.lesion_side(statistics, properties, owner, 0.3, 0.0)
    assert side.scores[2, 0] == 0
    assert (np.argsort(side.scores[[0, 1, 3], 0]) == [0, 1, 2]).all()
    assert np.isfinite(side.property_weights).all()
    none = cf.lesion_side(statistics, np.full((8, 1), np.nan), owner, 0.3, 0.0)
    assert not none.scores.any()
    assert not none.property_weights.any()


def test_patients_count_alike_however_many_slices_they_have() -> None:
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(20), 3)
    statistics, properties = rng.normal(size=(60, 6)), rng.normal(size=(60, 2))
    again = np.r_[np.arange(60), np.tile(np.flatnonzero(owner == 7), 5)]
    once = cf.lesion_side(statistics, properties, owner, 0.3, 0.0)
    repeated = cf.lesion_side(statistics[again], properties[again], owner[again], 0.3, 0.0)
    for name in ("mean", "deviation", "means", "whitening", "scores", "property_weights"):
        np.testing.assert_allclose(getattr(repeated, name), getattr(once, name), atol=1e-8, err_msg=name)
    np.testing.assert_allclose(np.abs(repeated.rest), np.abs(once.rest), atol=1e-6)


def test_the_further_statistics_hold_nothing_of_the_properties() -> None:
    lesions, _, factor = planted(3, named=2)
    coordinates = lesions.means @ lesions.property_weights
    np.testing.assert_allclose(coordinates.std(0), 1)
    for f in range(2):
        assert abs(np.corrcoef(coordinates[:, f], factor[:, f])[0, 1]) > 0.9
    np.testing.assert_allclose(lesions.rest.T @ coordinates, 0, atol=1e-8)
    np.testing.assert_allclose(lesions.means @ lesions.rest_weights, lesions.rest, atol=1e-10)


def test_what_varies_no_more_than_chance_is_the_edge_of_marchenko_and_pastur() -> None:
    values = np.random.default_rng(0).normal(size=(400, 200))
    assert np.linalg.eigvalsh(np.cov(values.T))[-1] == pytest.approx(cf.chance_variance(400, 200), rel=0.05)


def test_whitened_statistics_have_the_variances_of_a_ridge() -> None:
    """In closed form: v / (v + lambda) for the eigenvalues v of the statistics' correlation."""
    statistics = np.random.default_rng(0).normal(size=(240, 8)) @ np.random.default_rng(1).normal(size=(8, 8))
    owner = np.arange(240)
    side = cf.lesion_side(statistics, np.zeros((240, 0)), owner, 0.3, 0.0)
    v = np.linalg.eigvalsh(np.corrcoef(statistics.T))
    whitened = np.linalg.eigvalsh(np.cov((side.means @ side.whitening).T, ddof=0))
    np.testing.assert_allclose(whitened, np.sort(v / (v + 0.3)), atol=1e-5)


def test_few_patients_differ_in_few_directions_only() -> None:
    """Three patients differ in two; others would have had a spread of rounding errors, and weights of 1e15."""
    lesions, genes, _ = planted(1, patients=3)
    axes = fit(lesions, genes)
    assert lesions.rest.shape[1] == 2
    assert np.abs(axes.lesion_weights).max() < 100
    assert np.isfinite(axes.targets).all()


@pytest.mark.parametrize("factors", [1, 3])
def test_it_finds_as_many_directions_as_were_planted(factors: int) -> None:
    lesions, genes, factor = planted(factors)
    axes = fit(lesions, genes)
    assert axes.targets.shape[1] == factors
    np.testing.assert_allclose(axes.targets.std(0), 1)
    assert axes.r.min() > 0.6 > axes.chance.max() > 0
    assert axes.p.max() <= cf.LEVEL
    explained = np.linalg.lstsq(axes.targets, factor, rcond=None)[0]
    assert ((factor - axes.targets @ explained).var(0) < 0.3).all()


def test_properties_come_first_and_what_they_leave_is_found_beside_them() -> None:
    lesions, genes, factor = planted(3, named=2)
    axes = fit(lesions, genes)
    assert axes.targets.shape[1] == 3
    for f in range(3):
        assert abs(np.corrcoef(axes.targets[:, f], factor[:, f])[0, 1]) > 0.85
    everything_named, genes, _ = planted(2, named=2)
    assert fit(everything_named, genes).targets.shape[1] == 2


def test_the_cross_validated_r_of_pure_noise_is_not_that_of_the_patients_it_was_found_on() -> None:
    """Of white noise the directions of all patients read 0.9 and more on these very patients; left out, nothing."""
    rng = np.random.default_rng(3)
    found, seen = [], []
    for seed in range(12):
        lesions = cf.lesion_side(rng.normal(size=(50, 150)), np.zeros((50, 0)), np.arange(50), 0.3, 0.3)
        genes = cf.GeneSide.of(rng.normal(size=(50, 300)), 0.1, seed)
        search = cf.search_for(lesions, genes, 0, 20)
        w = cf.directions(lesions.rest, cf.covariance(lesions.rest, genes.predicting), search, 1)
        seen.append(cf.correlations(lesions.rest @ w, genes.predicting @ lesions.rest @ w)[0])
        found.append(cf.cross_validated_directions(lesions.rest, cf.parts_of(genes, seed), search, 1)[0])
    assert np.mean(seen) > 0.5
    assert abs(np.mean(found)) < 0.1


def test_genes_of_other_patients_pass_no_more_often_than_the_level_says() -> None:
    lesions, genes, _ = planted(2, named=2, seed=4)
    unnamed, _, _ = planted(2, seed=4)
    settings = CanonicalAlignmentSettings(directions=1, permutations=39)
    passed, kept = 0, 0
    for seed in range(60):
        side = cf.GeneSide.of(genes[np.random.default_rng([7, seed]).permutation(PATIENTS)], 3.2, seed)
        passed += cf.fit_axes(lesions, side, settings, seed).p_any <= cf.LEVEL
        orders = [np.random.default_rng([seed, i]).permutation(PATIENTS) for i in range(39)]
        kept += cf.further_directions(unnamed.rest, unnamed.kinds, side.predicting, 1, orders).p[0] <= cf.LEVEL
    for count in (passed, kept):
        assert binomtest(int(count), 60, cf.LEVEL, alternative="greater").pvalue > 0.01


def test_after_true_directions_the_next_is_compared_with_the_first_of_noise() -> None:
    """Rank 4 of noise is weaker than its rank 1: compared with rank 4, a third of all cohorts had one too many."""
    extra = 0
    for seed in range(40):
        lesions, genes, _ = planted(3, seed=seed)
        orders = [np.random.default_rng([seed, i]).permutation(PATIENTS) for i in range(39)]
        side = cf.GeneSide.of(genes, 3.2, seed)
        extra += cf.further_directions(lesions.rest, lesions.kinds, side.predicting, 4, orders).weights.shape[1] > 3
    assert binomtest(extra, 40, cf.LEVEL, alternative="greater").pvalue > 0.01


def test_the_p_of_a_direction_counts_permutations_by_hand() -> None:
    rng = np.random.default_rng(2)
    rest, genes = rng.normal(size=(12, 4)), rng.normal(size=(12, 6))
    rest[:, 0] += 3 * genes[:, 0]
    rest -= rest.mean(0)
    predicting = cf.GeneSide.of(genes, 0.3, 0).predicting
    orders = [np.random.default_rng([9, i]).permutation(12) for i in range(99)]
    found = cf.further_directions(rest, (slice(0, 4),), predicting, 1, orders)

    def largest(values: NDArray[Any]) -> float:
        c = values.T @ predicting @ values / 12
        return float(np.linalg.eigvalsh((c + c.T) / 2)[-1])

    assert found.p[0] == (1 + sum(largest(rest[o]) >= largest(rest) for o in orders)) / 100


def test_a_pattern_in_a_small_kind_of_statistics_is_not_lost_among_the_many() -> None:
    rng = np.random.default_rng(1)
    factor, genes = rng.normal(size=PATIENTS), rng.normal(size=(PATIENTS, GENES))
    genes[:, :10] += 0.6 * factor[:, None]
    statistics = rng.normal(size=(PATIENTS, 150))
    statistics[:, -1] += 1.5 * factor
    p = []
    for sizes in ((150,), (100, 45, 5)):
        lesions = cf.lesion_side(statistics, np.zeros((PATIENTS, 0)), np.arange(PATIENTS), 0.3, 0.0, sizes)
        assert [kind.stop - kind.start for kind in lesions.kinds] == [min(size, PATIENTS - 1) for size in sizes]
        p.append(fit(lesions, genes).p[0])
    assert p[1] == pytest.approx(1 / 61)
    assert p[0] > 3 * p[1]


def test_the_best_of_several_tests_is_judged_against_the_best_of_each_permutation() -> None:
    tests = np.array([[3.0, 0.0], [1.0, 9.0], [2.0, 1.0], [4.0, 2.0]])
    # p of rows by columns: 2/4 4/4, 4/4 1/4, 3/4 3/4, 1/4 2/4: the smallest are 2/4, 1/4, 3/4, 1/4.
    assert cf.any_of(tests) == 0.75
    assert cf.any_of(np.zeros((5, 0))) == 1.0


def test_lesions_given_to_others_are_found_again_as_if_they_were_theirs() -> None:
    lesions, genes, _ = planted(3, named=2)
    side = cf.GeneSide.of(genes, 3.2, 0)
    order = np.random.default_rng(0).permutation(PATIENTS)
    search = cf.search_for(lesions, side, 0, 20)
    moved = cf.refitted_targets(lesions.given_to(order), side, search, 1)
    np.testing.assert_array_equal(moved[:, :2], lesions.scores[order])
    own = cf.directions(lesions.rest[order], cf.covariance(lesions.rest[order], side.predicting), search, 1)
    np.testing.assert_allclose(moved[:, 2:], lesions.rest[order] @ own)
    more = cf.refitted_targets(lesions, side, search, 60)
    assert more.shape == (PATIENTS, 62)
    assert not more[:, -1].any()  # patients do not differ in so many


def test_the_same_seed_finds_the_same() -> None:
    lesions, genes, _ = planted(2, named=1)
    few = replace(QUICK, permutations=20)
    first, second, other = (
        cf.fit_axes(lesions, cf.GeneSide.of(genes, 3.2, seed), few, seed).chance for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).all()


def plain_directions(
    rest: NDArray[Any], predicting: NDArray[Any], search: cf.Search, count: int
) -> tuple[NDArray[Any], list[float]]:
    """Directions and their scores by products with all patients, every direction taken out of the lesions itself."""
    chain, found, scores = np.eye(rest.shape[1]), [], []
    for _ in range(count):
        best, w = -np.inf, np.zeros(rest.shape[1])
        for kind, (mean, spread) in zip(search.kinds, search.noise, strict=True):
            product = rest[:, kind].T @ predicting @ rest[:, kind] / len(rest)
            value, vector = np.linalg.eigh((product + product.T) / 2)
            if (value[-1] - mean) / spread > best:
                best, w = (value[-1] - mean) / spread, np.zeros(rest.shape[1])
                w[kind] = vector[:, -1]
        z = rest @ w
        scores.append(best)
        found.append(chain @ w / z.std())
        chain = chain @ (np.eye(len(w)) - np.outer(w, z @ rest / (z @ z)))
        rest = rest - np.outer(z, z @ rest / (z @ z))
    return np.stack(found, axis=1), scores


def test_directions_in_the_covariance_are_those_in_the_lesions() -> None:
    lesions, genes, _ = planted(3)
    kinds = (slice(0, 9), slice(9, lesions.rest.shape[1]))
    side = cf.GeneSide.of(genes, 3.2, 0)
    orders = [np.random.default_rng(k).permutation(PATIENTS) for k in range(30)]
    found = cf.further_directions(lesions.rest, kinds, side.predicting, 3, orders)
    kept = found.weights.shape[1]
    assert kept == 3
    expected, _ = plain_directions(lesions.rest, side.predicting, found.search, kept)
    np.testing.assert_allclose(np.abs(found.weights), np.abs(expected), atol=1e-8)
    left = lesions.rest
    for k, p in enumerate(found.p):  # each against the first of every permutation of what the ones before left
        covariances = [cf.covariance(left[order], side.predicting) for order in orders]
        search, null = cf.Search.among(kinds, covariances)
        first = [plain_directions(left[order], side.predicting, search, 1)[1][0] for order in orders]
        np.testing.assert_allclose(null, first, atol=1e-8)
        assert p == cf.exceeded(plain_directions(left, side.predicting, search, 1)[1][0], null)
        z = lesions.rest @ expected[:, k]
        left = left - np.outer(z, z @ left / (z @ z))


def test_many_permutations_in_one_product_are_those_one_by_one() -> None:
    lesions, genes, _ = planted(2, named=2)
    side = cf.GeneSide.of(genes, 3.2, 0)
    orders = [np.random.default_rng(k).permutation(PATIENTS) for k in range(cf.ORDERS_AT_ONCE + 7)]
    found = cf.null_correlations(lesions.scores, side.predicting, orders)
    one_by_one = [cf.correlations(lesions.scores[o], side.predicting @ lesions.scores[o]) for o in orders]
    np.testing.assert_allclose(found, one_by_one, atol=1e-12)


def test_what_depends_on_the_genes_alone_serves_every_permutation() -> None:
    lesions, genes, _ = planted(2)
    side = cf.GeneSide.of(genes, 3.2, 0)
    search = cf.search_for(lesions, side, 0, 20)
    values, predicted = np.zeros((2, PATIENTS))
    for part, others in cf.divided(PATIENTS, np.random.default_rng([5, 0xD1])):
        learned = lesions.rest[others] - lesions.rest[others].mean(axis=0)
        inner = cf.cross_predicting(side.kernel[np.ix_(others, others)], side.ridge, 1, 5)
        w = cf.directions(learned, cf.covariance(learned, inner), search, 1)[:, 0]
        values[part] = lesions.rest[part] @ w
        predicted[part] = cf.predicting_from(side.kernel, side.ridge, part, others) @ learned @ w
    found = cf.cross_validated_directions(lesions.rest, cf.parts_of(side, 5), search, 1)
    assert found[0] == pytest.approx(np.corrcoef(values, predicted)[0, 1])
