"""Associations against scipy and statsmodels, one test at a time; permutations against their definition."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import stats

from radiogenesis.stats.association import associate, null_maxima, permutation
from radiogenesis.stats.multiple_testing import false_discovery_rate

N, G, F = 40, 5, 4
NAMES, FEATURES = [f"g{i}" for i in range(G)], [f"f{i}" for i in range(F)]


def table(seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Genes with ties, features: continuous, with ties, of two values, with missing values."""
    rng = np.random.default_rng(seed)
    genes = np.round(rng.standard_normal((N, G)), 1)
    features = rng.standard_normal((N, F)) + 0.4 * genes[:, :1]
    features[:, 1] = np.round(features[:, 1])
    features[:, 2] = features[:, 2] > 0.3
    features[rng.permutation(N)[:9], 3] = np.nan
    return genes, features


def test_spearman_is_scipys_ties_and_missing_values_included() -> None:
    genes, features = table()
    found = associate(genes, features, NAMES, FEATURES)
    for f in (0, 1, 3):
        known = np.isfinite(features[:, f])
        assert found.n[f] == known.sum()
        assert found.test[f] == "Spearman"
        for g in range(G):
            rho, p = stats.spearmanr(genes[known, g], features[known, f])
            assert found.effect[g, f] == pytest.approx(rho, abs=1e-12)
            assert found.p[g, f] == pytest.approx(p, rel=1e-9)


def test_a_feature_of_two_values_is_mann_whitney() -> None:
    genes, features = table()
    found = associate(genes, features, NAMES, FEATURES)
    assert found.test[2] == "Mann-Whitney"
    for g in range(G):
        high, low = genes[features[:, 2] == 1, g], genes[features[:, 2] == 0, g]
        u, p = stats.mannwhitneyu(high, low, method="asymptotic", use_continuity=False)
        assert found.p[g, 2] == pytest.approx(p, rel=1e-9)
        assert found.effect[g, 2] == pytest.approx(2 * u / (len(high) * len(low)) - 1, abs=1e-12)


def test_the_linear_model_is_that_of_statsmodels() -> None:
    genes, features = table()
    covariates = np.random.default_rng(3).standard_normal((N, 2))
    found = associate(genes, features, NAMES, FEATURES, model="linear", covariates=covariates)
    for f in range(F):
        known = np.isfinite(features[:, f])
        for g in range(G):
            fit = sm.OLS(features[known, f], sm.add_constant(np.column_stack([genes[:, g], covariates])[known])).fit()
            assert found.p[g, f] == pytest.approx(fit.pvalues[1], rel=1e-8)
            partial = fit.tvalues[1] / np.sqrt(fit.tvalues[1] ** 2 + fit.df_resid)
            assert found.effect[g, f] == pytest.approx(partial, abs=1e-10)


def test_blocks_are_the_same_as_their_indicators() -> None:
    genes, features = table()
    blocks = np.repeat(["a", "b", "c", "d"], N // 4)
    inside = associate(genes, features[:, :1], NAMES, FEATURES[:1], model="linear", blocks=blocks)
    fit = sm.OLS(features[:, 0], np.column_stack([genes[:, 1], *(blocks == b for b in "abcd")])).fit()
    assert inside.p[1, 0] == pytest.approx(fit.pvalues[0], rel=1e-8)


def test_q_is_false_discovery_rates_over_what_could_be_tested() -> None:
    p = np.array([0.01, 0.04, 0.03, np.nan, 0.5])
    assert false_discovery_rate(p) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, np.nan, 0.5], nan_ok=True)


def test_the_family_wise_p_counts_the_largest_of_each_permutation() -> None:
    genes, features = table()
    found = associate(genes, features[:, :3], NAMES, FEATURES[:3], permutations=99, each=True, seed=4)
    z = []
    for b in range(99):
        order = permutation(N, None, 4, b)
        z.append([[stats.spearmanr(genes[:, g], features[order, f])[0] for f in range(3)] for g in range(G)])
    null = np.abs(z)  # (99, G, 3)
    own = np.array([[abs(stats.spearmanr(genes[:, g], features[:, f])[0]) for f in range(3)] for g in range(G)])
    assert found.null_max == pytest.approx(null.max(axis=(1, 2)) * np.sqrt(N - 1), rel=1e-4)
    family = (1 + (null.max(axis=(1, 2))[:, None, None] >= own - 1e-6).sum(axis=0)) / 100
    alone = (1 + (null >= own - 1e-6).sum(axis=0)) / 100
    assert found.p_max == pytest.approx(family)
    assert found.p_permuted == pytest.approx(alone)


def test_permutations_do_not_depend_on_how_they_are_divided() -> None:
    genes, features = (side.astype(np.float32) for side in table())
    whole, _ = null_maxima(genes, np.nan_to_num(features), 1.0, None, range(12), 0)
    parts = [null_maxima(genes, np.nan_to_num(features), 1.0, None, part, 0)[0] for part in (range(5), range(5, 12))]
    assert whole == pytest.approx(np.concatenate(parts), rel=1e-6)


def test_many_tests_go_through_dask_and_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    genes, features = table()
    here = associate(genes, features, NAMES, FEATURES, permutations=120, each=True)
    monkeypatch.setattr("radiogenesis.stats.association._MANY", 1)
    there = associate(genes, features, NAMES, FEATURES, permutations=120, each=True)
    assert there.null_max == pytest.approx(here.null_max, rel=1e-6)
    assert there.p_permuted == pytest.approx(here.p_permuted)


def test_permuted_residuals_are_freed_of_covariates_again() -> None:
    rng = np.random.default_rng(5)
    x, y, covariates = rng.standard_normal((20, 3)), rng.standard_normal((20, 2)), rng.standard_normal((20, 6))
    found = associate(x, y, list("abc"), list("de"), model="linear", covariates=covariates, permutations=50, each=True)
    design = np.column_stack([np.ones(20), covariates])

    def free(values: NDArray[np.float64]) -> NDArray[np.float64]:
        left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
        return left / np.linalg.norm(left, axis=0)

    left = free(y) * 1.0
    null = np.abs([free(x).T @ free(left[permutation(20, None, 0, b)]) for b in range(50)])  # (50, 3, 2)
    assert found.null_max == pytest.approx(null.max(axis=(1, 2)) * np.sqrt(13), rel=1e-4)
    assert found.p_permuted == pytest.approx((1 + (null >= np.abs(free(x).T @ left) - 1e-6).sum(axis=0)) / 51)


def test_with_covariates_small_samples_keep_their_level() -> None:
    below = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x, y, covariates = rng.standard_normal((30, 30)), rng.standard_normal((30, 10)), rng.standard_normal((30, 5))
        names, others = [str(i) for i in range(30)], [str(i) for i in range(10)]
        found = associate(x, y, names, others, covariates=covariates, permutations=200, each=True, seed=seed)
        below.append((found.p_permuted < 0.05).mean())
    assert np.mean(below) == pytest.approx(0.05, abs=0.01)


def test_patients_stay_in_their_block() -> None:
    blocks = np.array(list("aabbbbccc"))
    for number in range(5):
        order = permutation(9, blocks, 0, number)
        assert sorted(order) == list(range(9))
        assert (blocks[order] == blocks).all()


def test_a_batch_makes_a_link_that_blocks_take_away() -> None:
    rng = np.random.default_rng(1)
    batch = np.repeat([0.0, 3.0], 60)
    gene, feature = (batch + rng.standard_normal(120) for _ in range(2))
    free = associate(gene[:, None], feature[:, None], ["g"], ["f"], permutations=199)
    inside = associate(gene[:, None], feature[:, None], ["g"], ["f"], permutations=199, blocks=batch, each=True)
    assert free.p_max[0, 0] == pytest.approx(1 / 200)
    assert inside.p[0, 0] > 0.1
    assert inside.p_permuted[0, 0] > 0.1


def test_what_cannot_be_tested_is_nan_and_counts_for_nothing() -> None:
    genes, features = table()
    features[:, 1] = 7.0
    features[7:, 3] = np.nan
    found = associate(genes, features, NAMES, FEATURES, permutations=100)
    for name in ("effect", "z", "p", "q", "p_max"):
        assert np.isnan(getattr(found, name)[:, [1, 3]]).all()
        assert np.isfinite(getattr(found, name)[:, [0, 2]]).all()
    assert found.tests == 2 * G


def test_the_table_is_tidy_and_ordered() -> None:
    genes, features = table()
    rows = associate(genes, features, NAMES, FEATURES, permutations=100).table("metagene")
    assert list(rows) == ["metagene", "feature", "effect", "z", "p", "q", "p_max", "n", "test"]
    assert len(rows) == G * F
    assert rows["z"].abs().is_monotonic_decreasing


def test_sides_that_do_not_go_together_are_refused() -> None:
    genes, features = table()
    with pytest.raises(ValueError, match="do not go together"):
        associate(genes[1:], features, NAMES, FEATURES)
    with pytest.raises(ValueError, match="no missing values"):
        associate(np.where(genes == genes[0, 0], np.nan, genes), features, NAMES, FEATURES)
