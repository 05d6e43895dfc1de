"""Metagenes: planted modules are found, values and homogeneity agree with numpy, and everything is reproducible."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from radiogenesis.errors import SettingError
from radiogenesis.stats import metagenes
from radiogenesis.stats.metagenes import MOST_FOR_HIERARCHY, Metagenes, Method, choose_clusters

PATIENTS, MODULES, EACH = 60, 8, 12
NAMES = tuple(f"G{i}" for i in range(MODULES * EACH))
TRUE = np.repeat(np.arange(MODULES), EACH)


def expression(seed: int = 0, patients: int = PATIENTS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """z-scores (patients, genes) of eight modules, loading 0.85, and the planted sign of each gene (two of 12 fall)."""
    rng = np.random.default_rng(seed)
    sign = np.tile(np.r_[-1.0, -1.0, np.ones(EACH - 2)], MODULES)
    activity = rng.standard_normal((patients, MODULES))[:, TRUE]
    x = sign * 0.85 * activity + np.sqrt(1 - 0.85**2) * rng.standard_normal((patients, len(TRUE)))
    return (x - x.mean(0)) / x.std(0), sign


@pytest.mark.parametrize("method", ["kmeans", "hierarchical"])
def test_planted_modules_and_signs_are_found(method: str) -> None:
    x, sign = expression()
    found = Metagenes.fit(x, NAMES, clusters=MODULES, method=method)  # type: ignore[arg-type]
    assert adjusted_rand_score(TRUE, found.label) == 1.0
    assert np.array_equal(found.sign, sign)
    assert found.size.tolist() == [EACH] * MODULES


def test_values_are_means_of_members_turned_round() -> None:
    x, _ = expression()
    new, _ = expression(seed=5, patients=7)
    found = Metagenes.fit(x, NAMES, clusters=MODULES)
    values = found.transform(new)
    for k in range(MODULES):
        mine = [NAMES.index(gene) for gene in found.members(k)]
        expected = np.mean([found.sign[i] * new[:, i] for i in mine], axis=0)
        assert values[:, k] == pytest.approx(expected, abs=1e-6)
    assert values == pytest.approx(new @ found.weights, abs=1e-5)


def test_homogeneity_is_the_mean_correlation_of_pairs() -> None:
    x, _ = expression()
    found = Metagenes.fit(x, NAMES, clusters=MODULES)
    r = np.corrcoef(x.T)
    for k in range(MODULES):
        pairs = combinations(np.flatnonzero(found.label == k), 2)
        assert found.homogeneity[k] == pytest.approx(
            np.mean([r[i, j] * found.sign[i] * found.sign[j] for i, j in pairs]), abs=1e-5
        )
    profile = found.transform(x).astype(float)
    for i in (0, 17, 95):  # strength: the correlation with the metagene, which for z-scores is the mean of the members
        assert found.strength[i] == pytest.approx(
            found.sign[i] * np.corrcoef(x[:, i], profile[:, found.label[i]])[0, 1], abs=1e-5
        )


def test_members_are_ordered_by_strength_and_every_gene_is_in_one_metagene() -> None:
    x, _ = expression()
    found = Metagenes.fit(x, NAMES, clusters=30)
    listed = [gene for k in range(len(found)) for gene in found.members(k)]
    assert sorted(listed) == sorted(NAMES)
    strength = dict(zip(NAMES, found.strength, strict=True))
    first = [strength[gene] for gene in found.members(0)]
    assert first == sorted(first, reverse=True)
    assert (np.diff(found.size) <= 0).all()
    assert found.size.min() >= 1
    assert found.ids[0] == "MG001"


def test_as_many_metagenes_as_genes_is_each_gene_alone() -> None:
    x, _ = expression()
    found = Metagenes.fit(x[:, :10], NAMES[:10], clusters=10)
    assert sorted(found.label) == list(range(10))
    assert np.isnan(found.homogeneity).all()
    assert found.transform(x[:, :10])[:, found.label] == pytest.approx(x[:, :10], abs=1e-6)


def test_stability_is_high_for_modules_and_low_for_noise() -> None:
    x, _ = expression()
    modules = Metagenes.fit(x, NAMES, clusters=MODULES).stability(x, resamples=4)
    noise = np.random.default_rng(1).standard_normal(x.shape)
    chance = Metagenes.fit(noise, NAMES, clusters=MODULES).stability(noise, resamples=4)
    assert modules.rand.min() == 1.0
    assert modules.jaccard.min() == 1.0
    assert chance.rand.mean() < 0.6


def test_hierarchical_metagenes_are_judged_by_their_own_method() -> None:
    x, _ = expression()
    noise = np.random.default_rng(1).standard_normal(x.shape)
    found = Metagenes.fit(noise, NAMES, clusters=12, method="hierarchical")
    assert found.method == "hierarchical"
    everybody = found.stability(noise, resamples=2, fraction=1.0)  # the same patients in another order
    assert everybody.rand.min() == everybody.jaccard.min() == 1.0
    calls: list[str] = []
    real = metagenes._cluster

    def look(unit: NDArray[np.float32], clusters: int, method: Method, seed: int, starts: int = 1) -> NDArray[np.int64]:
        calls.append(method)
        return real(unit, clusters, method, seed, starts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metagenes, "_cluster", look)
        found.coherent(noise)
    assert calls == ["hierarchical"]
    back = Metagenes.from_arrays(found.to_arrays())
    assert back.method == "hierarchical"
    older = {name: array for name, array in found.to_arrays().items() if name != "method"}
    assert Metagenes.from_arrays(older).method == "kmeans"


def test_clustered_noise_is_incoherent_and_modules_are_not() -> None:
    x, _ = expression()
    noise = np.random.default_rng(7).standard_normal((PATIENTS, 200))
    both = np.hstack([x, noise])
    names = [*NAMES, *(f"N{i}" for i in range(200))]
    found = Metagenes.fit(both, names, clusters=20)
    share = np.bincount(found.label[: len(NAMES)], minlength=20) / found.size
    coherent = found.coherent(both)
    assert (share > 0.5).sum() == MODULES
    assert coherent[share > 0.5].all()
    assert not coherent[share == 0].any()


def test_the_number_of_modules_is_chosen() -> None:
    x, _ = expression()
    chosen, table = choose_clusters(x, candidates=(2, 4, 8, 16, 24), resamples=4)
    assert chosen == MODULES
    assert table["clusters"].tolist() == [2, 4, 8, 16, 24]


def test_the_same_seed_gives_the_same_and_arrays_give_it_back() -> None:
    x, _ = expression()
    found, again = (Metagenes.fit(x, NAMES, clusters=20, seed=3) for _ in range(2))
    assert np.array_equal(found.label, again.label)
    back = Metagenes.from_arrays(found.to_arrays())
    assert back.names == found.names
    assert np.array_equal(back.transform(x), found.transform(x))
    assert np.array_equal(back.homogeneity, found.homogeneity, equal_nan=True)
    assert found.table()["gene"].tolist() == list(NAMES)


def test_what_cannot_be_clustered_is_refused() -> None:
    x, _ = expression()
    with pytest.raises(SettingError, match="clusters 97: from 1 to the number of genes, 96"):
        Metagenes.fit(x, NAMES, clusters=97)
    with pytest.raises(SettingError, match="method 'dbscan'"):
        Metagenes.fit(x, NAMES, method="dbscan", clusters=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="gene G3 does not vary"):
        Metagenes.fit(np.where(np.arange(96) == 3, 1.0, x), NAMES, clusters=3)
    with pytest.raises(ValueError, match="missing values"):
        Metagenes.fit(np.where(np.arange(96) == 3, np.nan, x), NAMES, clusters=3)
    with pytest.raises(ValueError, match=r"must be \(patients, 96\)"):
        Metagenes.fit(x, NAMES, clusters=3).transform(x[:, :5])
    many = np.random.default_rng(0).standard_normal((3, MOST_FOR_HIERARCHY + 1))
    with pytest.raises(SettingError, match="kmeans"):
        Metagenes.fit(many, [str(i) for i in range(many.shape[1])], method="hierarchical", clusters=5)
    with pytest.raises(SettingError, match="too few"):
        choose_clusters(x[:4])
