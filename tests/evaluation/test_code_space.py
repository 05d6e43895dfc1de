"""Silhouette and Mantel's test against other libraries, by hand, and on codes of which we know the answer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics import silhouette_samples

from radiogenesis.evaluation.descriptions.lesions import Axes, Lesions
from radiogenesis.evaluation.gene_codes import leading
from radiogenesis.evaluation.genes import code_space as c
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.pages.evaluation.conclusions import code_conclusion

SETTINGS = EvaluationSettings(bootstrap=200, permutations=199, gene_shuffles=24)

NO_LINK = pd.DataFrame({"space": ["x"], "part": ["held out"], "rho": [0.0], "q": [1.0]})


def distances(x: np.ndarray) -> np.ndarray:
    return squareform(pdist(x))


def test_silhouette_is_the_mean_of_scikit_learns_and_nan_for_one_cluster() -> None:
    x = np.random.default_rng(5).normal(size=(20, 3))
    labels = np.arange(20) % 3
    assert c.silhouette(x, labels) == pytest.approx(silhouette_samples(x, labels).mean())
    assert np.isnan(c.silhouette(x, np.zeros(20, int)))
    assert np.isnan(c.silhouette(x[:3], np.arange(3)))


def grouped(rng: np.random.Generator, n: int, apart: float) -> np.ndarray:
    """Genes in three groups of patients, which many genes tell apart."""
    return (
        rng.normal(size=(n, 40))
        + apart * np.repeat(rng.permutation(np.eye(3)[np.arange(n) % 3]), 13, axis=1).repeat(2, 1)[:, :40]
    )


def table_of(apart: float) -> pd.DataFrame:
    rng = np.random.default_rng(6)
    training, held_out = grouped(rng, 45, apart), grouped(rng, 21, apart)
    raw = c.Codes.of(c.RAW, lambda g: g, training, held_out, 3, 0)
    return c.cluster_table([raw], [lambda g: g], [training], held_out, raw, SETTINGS).set_index("part")


def test_clusters_that_are_there_are_found_and_others_are_not() -> None:
    there, none = table_of(3.0), table_of(0.0)
    assert (there["p"] == 1 / 25).all()
    assert (there["silhouette"] > there[["null_high", "gaussian_high"]].max(axis=1)).all()
    assert "Clusters are tighter" in code_conclusion(there.reset_index(), NO_LINK)
    assert (there["silhouette"] == there["of_reference"]).all()
    assert (none["p"] > 0.05).all()


def test_gradients_that_genes_share_are_no_clusters() -> None:
    """Genes shuffled one by one lose their gradients: against that null alone all of these were "clusters"."""
    for trial in range(4):
        rng = np.random.default_rng([11, trial])
        loadings = rng.normal(size=(3, 60))
        training, held_out = (rng.normal(size=(n, 3)) @ loadings + rng.normal(size=(n, 60)) for n in (90, 32))
        raw = c.Codes.of(c.RAW, lambda g: g, training, held_out, 3, 0)
        table = c.cluster_table([raw], [lambda g: g], [training], held_out, raw, SETTINGS)
        assert (table["silhouette"] > table["null_high"]).all()
        assert (table["q"] > 0.05).all()
        assert "No clusters of held-out patients are shown" in code_conclusion(table, NO_LINK)


def test_gaussian_codes_have_the_mean_and_covariance() -> None:
    codes = np.random.default_rng(3).normal(size=(9, 4)) @ np.diag([1.0, 2.0, 0.0, 5.0]) + 7
    rng = np.random.default_rng(4)
    drawn = np.concatenate([c.gaussian(codes, rng) for _ in range(3000)])
    assert drawn.mean(0) == pytest.approx(codes.mean(0), abs=0.15)
    assert np.cov(drawn.T) == pytest.approx(np.cov(codes.T), rel=0.1, abs=0.3)


def test_codes_of_nobody_have_neither_clusters_nor_a_map() -> None:
    """A method without genes encodes everybody alike: t-SNE, asked to map that, ended the process."""
    same = np.full((12, 4), 0.3)
    codes = c.Codes.of("no genes", lambda genes: same[: len(genes)], [np.zeros((12, 3))], np.zeros((5, 3)), 3, 0)
    table = c.cluster_table([codes], [lambda g: same[: len(g)]], [np.zeros((12, 3))], np.zeros((5, 3)), codes, SETTINGS)
    assert table[["silhouette", "p", "q"]].isna().all(axis=None)
    assert "No clusters" in code_conclusion(table, NO_LINK)
    assert (c.tsne(same, 0) == 0).all()
    assert c.tsne(np.eye(2)[[1, 0, 1]], 0).tolist() == [[0, 0], [1, 0], [0, 0]]


def test_near_codes_mean_alike_lesions_where_they_do() -> None:
    rng = np.random.default_rng(7)
    looks, others = rng.normal(size=(30, 4)), rng.normal(size=(16, 4))
    knows = c.Codes.of("knows", lambda g: g[:, :4], looks, others, 3, 0)
    not_at_all = c.Codes.of("not at all", lambda g: g, rng.normal(size=(30, 4)), rng.normal(size=(16, 4)), 3, 0)
    table = c.mantel_table([knows, not_at_all], looks, others, SETTINGS).set_index(["space", "part"])
    assert table.loc[("knows", c.HELD_OUT), "rho"] == pytest.approx(1)
    assert table.loc[("knows", c.HELD_OUT), "p"] == 1 / 200
    assert table.loc[("not at all", c.HELD_OUT), "p"] > 0.05
    sentence = code_conclusion(table_of(2.0).reset_index(), table.reset_index())
    assert "near to each other in knows (ρ = 1.00) have lesions that look alike" in sentence
    assert "for not at all this is not shown" in sentence


def test_appearance_is_the_mean_of_the_own_lesions() -> None:
    values = np.random.default_rng(8).normal(size=(12, 5))
    values[1] = np.nan
    lesions = Lesions(values, values, np.repeat(["a", "b", "c"], 4))
    axes = Axes(np.ones(5), np.full(5, 2.0), np.inf, np.eye(5))
    found = c.appearance(lesions, axes, ["c", "a", "nobody"])
    assert found[0] == pytest.approx((values[8:].mean(0) - 1) / 2)
    assert found[1] == pytest.approx((values[[0, 2, 3]].mean(0) - 1) / 2)
    assert np.isnan(found[2]).all()


def test_the_map_is_the_same_each_time_and_works_for_few() -> None:
    x = np.random.default_rng(9).normal(size=(9, 5))
    assert c.tsne(x, 0).shape == (9, 2)
    assert np.array_equal(c.tsne(x, 0), c.tsne(x, 0))
    assert np.isfinite(c.tsne(x[:, :1], 0)).all()  # codes of one direction


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["raw genes", "mc-gan", "alignment", "canonical-alignment", "fusion-gan"], "fusion-gan"),
        (["raw genes", "alignment", "canonical-alignment", "mc-gan"], "canonical-alignment"),
        (["raw genes", "alignment", "mc-gan"], "alignment"),
        (["raw genes", "mc-gan"], "mc-gan"),
    ],
)
def test_our_codes_color_the_figure(names: list[str], expected: str) -> None:
    x = np.random.default_rng(10).normal(size=(6, 2))
    codes = [c.Codes.of(name, lambda g: g, x, x, 2, 0) for name in names]
    assert leading(codes).name == expected


def test_codes_that_know_fewer_places_than_clusters_are_asked_for() -> None:
    """An alignment of one direction encodes every patient as 1 or -1."""
    signs = np.where(np.arange(12)[:, None] % 3 == 0, 1.0, -1.0)
    codes = c.Codes.of("signs", lambda genes: genes, signs, signs[:4], 3, 0)
    assert set(codes.labels(c.TRAINING)) == {0, 1}
    assert c.silhouette(codes.training, codes.labels(c.TRAINING)) == pytest.approx(1.0)
