"""Diversity on lesions of which we know how far apart they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist

from radiogenesis.evaluation.descriptions.lesions import Lesions, Space
from radiogenesis.evaluation.measures.diversity import BACKGROUND, DISTANCE, NOISE, PATIENTS, diversity_table, spreads
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.phenotypes.lesion import FEATURES

SETTINGS = EvaluationSettings(bootstrap=200)
TEST = [f"h{k:02d}" for k in range(15)]


class Plain(Space):
    """The embedding itself."""

    def __init__(self) -> None:
        pass

    def __call__(self, lesions: Lesions) -> np.ndarray:
        return lesions.embedding


def of(values: np.ndarray, patients: list[str]) -> Lesions:
    """(n, K, d) values of K lesions of each patient."""
    flat = values.reshape(-1, values.shape[-1])
    return Lesions(flat, flat, np.repeat(patients, values.shape[1]))


def spread_of(by_noise: np.ndarray, drawn: np.ndarray, own: np.ndarray) -> pd.DataFrame:
    properties = {NOISE: by_noise, BACKGROUND: drawn}
    found = spreads(of(by_noise, TEST), of(drawn, TEST), of(own, TEST), Plain(), TEST, properties, own.reshape(-1, 6))
    return diversity_table(found, SETTINGS).set_index(["differs", "measure"])


def test_spread_by_hand() -> None:
    rng = np.random.default_rng(5)
    by_noise, drawn, own = (rng.normal(size=(len(TEST), count, 6)) for count in (3, 5, 4))
    table = spread_of(by_noise, drawn, own)
    line = table.loc[(BACKGROUND, DISTANCE)]
    expected = np.mean([pdist(one).mean() for one in drawn]), np.mean([pdist(one).mean() for one in own])
    assert (line["drawn"], line["real"]) == pytest.approx(expected)
    assert line["ratio"] == pytest.approx(expected[0] / expected[1])
    assert line["ratio_low"] < line["ratio"] < line["ratio_high"]
    assert table.loc[(NOISE, FEATURES[2]), "drawn"] == pytest.approx(by_noise[:, :, 2].std(axis=1, ddof=1).mean())
    pairs = [(i, j) for i in range(len(TEST)) for j in range(len(TEST)) if i != j]
    everybody = np.mean([[np.linalg.norm(drawn[i, k] - drawn[j, k]) for k in range(5)] for i, j in pairs])
    assert table.loc[(PATIENTS, DISTANCE), "drawn"] == pytest.approx(everybody)


def test_a_collapsed_generator_has_no_spread() -> None:
    rng = np.random.default_rng(6)
    own = rng.normal(size=(len(TEST), 4, 6))
    one = np.broadcast_to(rng.normal(size=6), (len(TEST), 4, 6))
    table = spread_of(one, one, own)
    assert (table["drawn"] < 1e-12).all()
    assert table.loc[(PATIENTS, DISTANCE), "ratio"] == pytest.approx(0)


def test_what_cannot_be_measured_is_left_out() -> None:
    rng = np.random.default_rng(7)
    drawn, own = rng.normal(size=(len(TEST), 4, 6)), rng.normal(size=(len(TEST), 4, 6))
    drawn[0] = np.nan
    table = spread_of(drawn, drawn, own)
    assert table.loc[(BACKGROUND, DISTANCE), "patients"] == len(TEST) - 1
    assert np.isfinite(table.loc[(BACKGROUND, DISTANCE), "ratio"])
