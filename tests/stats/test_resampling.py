"""Resampling and rank correlation against scipy, closed forms and their own definitions."""

import itertools

import numpy as np
import pytest
from scipy import stats

from radiogenesis.evaluation.genes import prediction
from radiogenesis.evaluation.measures import control, retrieval
from radiogenesis.stats import resampling as b
from radiogenesis.stats.multiple_testing import false_discovery_rate


def test_spearman_is_scipys_with_ties_and_nan() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 8, (20, 30)).astype(float), rng.normal(size=(20, 30))
    x[3, :5], y[7, 2] = np.nan, np.nan
    for found, one, other in zip(b.spearman(x, y), x, y, strict=True):
        kept = np.isfinite(one) & np.isfinite(other)
        assert found == pytest.approx(stats.spearmanr(one[kept], other[kept]).statistic)


def test_spearman_of_a_constant_is_zero_and_of_two_pairs_unknown() -> None:
    assert b.spearman(np.ones(9), np.arange(9)) == 0
    assert np.isnan(b.spearman(np.array([1, 2, np.nan]), np.arange(3)))


def test_derangements_move_everybody_and_are_uniform() -> None:
    found = b.derangements(4, 9000, [1])
    assert (found != np.arange(4)).all()
    assert (np.sort(found, axis=1) == np.arange(4)).all()
    _, counts = np.unique(found, axis=0, return_counts=True)
    assert len(counts) == 9  # !4 = 9
    assert stats.chisquare(counts).pvalue > 1e-3
    with pytest.raises(ValueError, match="cannot swap"):
        b.derangements(1, 3, [0])


def test_permutations_are_all_there_are_or_uniform_draws() -> None:
    others = set(itertools.permutations(range(3))) - {(0, 1, 2)}
    assert {tuple(p) for p in b.permutations(3, 2000, [1]).tolist()} == others
    assert len(b.permutations(6, 720, [1])) == 719
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert b.permutation_p(1.0, b.spearman(x[b.permutations(4, 99, [1])], x)) == pytest.approx(1 / 24)  # exact
    drawn = b.permutations(4, 23, [1])
    assert drawn.shape == (23, 4)
    assert (np.sort(drawn, axis=1) == np.arange(4)).all()
    _, counts = np.unique(np.concatenate([b.permutations(4, 23, [s]) for s in range(400)]), axis=0, return_counts=True)
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 1e-3
    np.testing.assert_array_equal(b.permutations(8, 50, [1]), b.permutations(8, 50, [1]))  # a function of the seed


def test_there_is_one_way_to_permute_patients() -> None:
    for module in (control, prediction, retrieval):
        assert module.permutations is b.permutations


@pytest.mark.parametrize("n", [6, 12])
def test_p_values_of_few_patients_are_calibrated(n: int) -> None:
    """Whose genes are whose is chance. Among derangements alone 8 % of the p values of 8 patients lay below 0.05."""
    rng = np.random.default_rng([4, n])
    p = []
    for trial in range(2000):
        x, y = rng.normal(size=(2, n))
        null = b.spearman(x[b.permutations(n, 199, [trial])], y)
        p.append(b.permutation_p(float(b.spearman(x, y)), null))
    assert 0.035 <= np.mean(np.array(p) <= 0.05) <= 0.062
    assert 0.17 <= np.mean(np.array(p) <= 0.2) <= 0.23


def test_patient_means_leave_nan_out_and_keep_the_order_asked_for() -> None:
    values = np.array([1.0, 3.0, np.nan, 10.0, 7.0])
    patient = np.array(["b", "b", "b", "a", "elsewhere"])
    assert b.patient_means(values, patient, ["a", "b"]).tolist() == [10.0, 2.0]
    assert np.isnan(b.patient_means(values, patient, ["nobody"])).all()


def test_the_interval_of_a_mean_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for trial in range(200):
        sample = rng.normal(size=60)

        def mean(index: np.ndarray, sample: np.ndarray = sample) -> np.ndarray:
            return sample[index].mean(1)

        found = b.bootstrap(mean, 60, draws=400, seed=[trial])
        hits += found.low <= 0 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_false_discovery_rate_is_scipys() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.5, np.nan, 0.002])
    kept = np.isfinite(p)
    assert np.allclose(false_discovery_rate(p)[kept], stats.false_discovery_control(p[kept]))
    assert np.isnan(false_discovery_rate(p)[4])


def test_permutation_p_counts_itself() -> None:
    null = np.arange(99.0)
    assert b.permutation_p(1000.0, null) == pytest.approx(1 / 100)
    assert b.permutation_p(-1.0, null) == 1.0
    assert b.permutation_p(-1.0, null, greater=False) == pytest.approx(1 / 100)


def test_the_interval_of_a_mean_over_pairs_is_that_of_ginis_mean_difference() -> None:
    """Its variance for normal values in closed form (Nair 1936); resampling patients' means would give half of it."""
    n, spread = 30, []
    for trial in range(20):
        x = np.random.default_rng([5, trial]).normal(size=n)
        apart = np.abs(x[:, None] - x[None])
        np.fill_diagonal(apart, np.nan)
        counts = b.counted(b.resamples(n, 300, [trial]), n)
        spread.append(b.mean_of_pairs(apart, counts, counts).std())
    terms = (n + 1) / 3 + 2 * np.sqrt(3) * (n - 2) / np.pi - 2 * (2 * n - 3) / np.pi
    assert np.mean(spread) == pytest.approx(np.sqrt(4 / (n * (n - 1)) * terms), rel=0.15)


def test_means_of_pairs_by_hand() -> None:
    values = np.array([[np.nan, 1.0, 2.0], [3.0, np.nan, np.nan], [4.0, 5.0, np.nan]])
    assert b.counted(np.array([[0, 0, 2]]), 3).tolist() == [[2, 0, 1]]
    rows = np.array([[1.0, 1.0, 1.0], [2.0, 0.0, 1.0], [0.0, 3.0, 0.0]])
    found = b.mean_of_pairs(values, rows, rows)
    assert found[:2] == pytest.approx([15 / 5, (2 * 2 + 2 * 4) / 4])
    assert np.isnan(found[2])
