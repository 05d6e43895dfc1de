"""Scores and their maps to physical units."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radiogenesis.phantom.factors import FACTORS, factor_table, factors_from_scores, scores_from_expression


def weights(genes: int) -> pd.DataFrame:
    table = np.zeros((genes, len(FACTORS)))
    for factor in range(len(FACTORS)):
        table[4 * factor : 4 * factor + 3, factor] = [1.0, -0.5, 0.7]
    return pd.DataFrame(table, columns=list(FACTORS))


def test_the_maps_are_monotone_and_stay_in_their_ranges() -> None:
    ladder = np.linspace(-6, 6, 41)
    scores = pd.DataFrame(dict.fromkeys(FACTORS, ladder), index=[f"p{i:02d}" for i in range(41)])
    table = factor_table(factors_from_scores(scores))
    assert list(table.columns) == list(FACTORS)
    assert (table.diff().iloc[1:] >= 0).all(axis=None)
    assert (table.drop(columns="cavitation").diff().iloc[1:] > 0).all(axis=None)
    assert table.iloc[0].to_numpy() == pytest.approx([13, -600, 0, 1.5, 15, 0], abs=1e-3)
    assert table.iloc[-1].to_numpy() == pytest.approx([36, 40, 1, 7, 150, 0.6], rel=1e-3)


def test_solid_tumors_alone_can_be_asked_for() -> None:
    scores = pd.DataFrame({factor: [-9.0, 0.0, 9.0] for factor in FACTORS}, index=["a", "b", "c"])
    table = factor_table(factors_from_scores(scores, attenuation_hu=(-100.0, 60.0)))
    assert table["attenuation"].tolist() == pytest.approx([-100, -20, 60])
    assert table["size"].iloc[-1] == pytest.approx(36)


def test_only_the_upper_scores_have_a_cavity() -> None:
    scores = pd.DataFrame(0.0, index=["low", "high"], columns=list(FACTORS))
    scores["cavitation"] = [-0.3, 1.5]
    factors = factors_from_scores(scores)
    assert factors["low"].cavitation == 0
    assert factors["high"].cavitation > 0.4


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.9, 1.0])
def test_genes_explain_exactly_the_wanted_variance(strength: float) -> None:
    rng = np.random.default_rng(3)
    expression = rng.standard_normal((400, 30))
    scores = scores_from_expression(expression, weights(30), strength, rng)
    genetic = expression @ weights(30).to_numpy()
    for factor, name in enumerate(FACTORS):
        r = np.corrcoef(genetic[:, factor], scores[name])[0, 1]
        assert r**2 == pytest.approx(strength, abs=1e-9)
    assert scores.mean().abs().max() < 1e-9
    assert scores.std(ddof=0).to_numpy() == pytest.approx(np.ones(6))


def test_a_missing_value_counts_as_the_genes_mean() -> None:
    rng = np.random.default_rng(4)
    expression = rng.standard_normal((50, 30))
    holes = expression.copy()
    holes[5, :] = np.nan
    filled = expression.copy()
    filled[5, :] = 0
    drawn = [scores_from_expression(x, weights(30), 0.8, np.random.default_rng(5)) for x in (holes, filled)]
    pd.testing.assert_frame_equal(*drawn)


def test_wrong_arguments_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"strength 1\.2"):
        scores_from_expression(np.zeros((5, 30)), weights(30), 1.2, rng)
    with pytest.raises(ValueError, match="30 genes for expression of 29"):
        scores_from_expression(np.zeros((5, 29)), weights(30), 0.5, rng)
