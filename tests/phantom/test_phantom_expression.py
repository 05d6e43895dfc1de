"""Co-expression modules, the genes that drive factors, missing values and the scanner's genes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV

from radiogenesis.phantom.expression import batch_genes, draw_activity, gene_model, missing_values, to_anndata
from radiogenesis.phantom.factors import FACTORS, scores_from_expression


def test_genes_correlate_as_their_loadings_say() -> None:
    rng = np.random.default_rng(0)
    model = gene_model(300, 10, rng)
    drawn = draw_activity(model, 20_000, rng)
    same = model.module[:, None] == model.module
    expected = np.where(same & (model.module >= 0), np.outer(model.loading, model.loading), 0)
    np.fill_diagonal(expected, 1)
    assert np.abs(np.corrcoef(drawn.T) - expected).max() < 0.05


def test_each_factor_is_driven_by_one_module_and_not_by_all_its_genes() -> None:
    model = gene_model(2000, 20, np.random.default_rng(1))
    for factor, name in enumerate(FACTORS):
        effect = model.weights[name].to_numpy() != 0
        inside = model.module == factor
        assert (model.module[effect] == factor).all()
        assert 0.5 < effect.sum() / inside.sum() < 0.9
    assert len(model.gene_effects) == np.count_nonzero(model.weights.to_numpy())
    assert set(model.modules["module"]) == set(range(-1, 20))


def test_ridge_regression_reaches_the_ceiling_that_the_strength_allows() -> None:
    """5,172 genes, 90 training patients: a held-out Spearman near sqrt(0.9) = 0.95."""
    rng = np.random.default_rng(2)
    model = gene_model(5172, 40, rng)
    x = draw_activity(model, 150, rng)
    scores = scores_from_expression(x, model.weights, 0.9, rng)
    found = []
    for name in FACTORS:
        y = scores[name].to_numpy()
        ridge = RidgeCV(np.logspace(2, 6, 9)).fit(x[:90], y[:90])
        found.append(spearmanr(ridge.predict(x[90:]), y[90:])[0])
    assert 0.85 < np.mean(found) < 0.97


def test_missing_values_are_as_many_as_asked_and_leave_most_genes_complete() -> None:
    model = gene_model(1000, 12, np.random.default_rng(3))
    missing = missing_values(model, 40, 0.03, np.random.default_rng(4))
    assert missing.sum() == 1200
    affected = missing.any(axis=0)
    assert affected.mean() < 0.15
    assert model.mean[affected].mean() < model.mean[~affected].mean() - 1
    assert not missing_values(model, 40, 0.0, np.random.default_rng(4)).any()


def test_the_scanners_genes_drive_nothing() -> None:
    model = gene_model(1000, 12, np.random.default_rng(3))
    followers = batch_genes(model, 0.1, np.random.default_rng(5))
    assert len(set(followers)) == 100
    assert (model.weights.to_numpy()[followers] == 0).all()
    assert not np.isin(model.module[followers], range(len(FACTORS))).any()
    assert len(batch_genes(model, 0.0, np.random.default_rng(5))) == 0


def test_stored_values_are_log2_expression() -> None:
    rng = np.random.default_rng(6)
    model = gene_model(200, 8, rng)
    expression = to_anndata(draw_activity(model, 3000, rng), model, [f"p{i}" for i in range(3000)])
    assert expression.X.dtype == np.float32
    np.testing.assert_allclose(expression.X.mean(axis=0), model.mean, atol=0.12)
    np.testing.assert_allclose(expression.X.std(axis=0), model.scale, rtol=0.08)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="modules 5"):
        gene_model(500, 5, np.random.default_rng(0))
    with pytest.raises(ValueError, match="genes 30: too few"):
        gene_model(30, 20, np.random.default_rng(0))
