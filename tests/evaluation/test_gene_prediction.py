"""Gene prediction on a cohort whose genes we know how to read off the image, and on predictors we know the worth of."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import known_cohort
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.genes import prediction as gp
from radiogenesis.evaluation.genes.distances import mean_correlation
from radiogenesis.evaluation.results import RunResults
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.pages.evaluation.headlines import headline
from radiogenesis.pages.evaluation.li_sui import framework_conclusions, framework_sections
from radiogenesis.stats.resampling import resamples

QUICK = EvaluationSettings(bootstrap=100, permutations=199)
GENES = [f"g{i}" for i in range(30)]


class Reader:
    """Reads gene 0 off the diameter, and says one half of all others; genes lie in [0, 1] over -3 to 3."""

    def unit_genes(self, expression: np.ndarray) -> np.ndarray:
        return np.clip(expression / 6 + 0.5, 0, 1).astype(np.float32)

    def predict_genes(self, images: np.ndarray, masks: np.ndarray) -> np.ndarray:
        diameter = 2 * np.sqrt(masks.sum((1, 2)) / np.pi) * known_cohort.PIXEL_MM
        predicted = np.full((len(images), 30), 0.5, np.float32)
        predicted[:, 0] = np.clip((diameter / np.mean(known_cohort.SHARES) - 16) / 4 / 6 + 0.5, 0, 1)
        return predicted


@pytest.fixture(scope="module")
def found(cohort: Cohort) -> RunResults:
    subject = known_cohort.subject(cohort, "reader", Reader(), "gene-autoencoder")
    made = RunResults(subject)
    made.prediction = gp.gene_prediction(Reader(), cohort, subject.split, subject.scaler, QUICK)
    return made


def test_the_gene_that_shows_is_found_and_nothing_else(found: RunResults) -> None:
    assert found.prediction is not None
    genes = found.prediction.genes.set_index("gene")
    assert genes.loc["G0", "r"] > 0.95
    assert genes.loc["G0", "r2"] > 0.8
    assert genes.loc["G0", "p"] == pytest.approx(1 / 200)
    assert genes.drop("G0")["r"].isna().all()  # it says the same of everybody
    row = found.prediction.table.set_index("predictor").loc[gp.METHOD]
    assert (row["found"], row["tests"], row["genes"], row["patients"]) == (1, 1, 30, 14)


def test_baselines_read_what_radiomic_features_and_size_say(found: RunResults) -> None:
    assert found.prediction is not None
    genes = found.prediction.genes.set_index("gene")
    assert genes.loc["G0", f"r, {gp.SIZE}"] > 0.9  # the diameter
    assert genes.loc["G1", f"r, {gp.RIDGE}"] > 0.7  # the attenuation
    assert abs(genes.loc["G1", f"r, {gp.SIZE}"]) < 0.6
    table = found.prediction.table.set_index("predictor")
    assert np.isnan(table.loc[gp.MEAN, "r"])
    assert table.loc[gp.MEAN, "tests"] == 0


def test_errors_are_means_over_patients_and_differences_are_paired(found: RunResults) -> None:
    assert found.prediction is not None
    each = found.prediction.patients.pivot(index="patient", columns="predictor", values="mae")
    table = found.prediction.table.set_index("predictor")
    assert table.loc[gp.METHOD, "mae"] == pytest.approx(each[gp.METHOD].mean())
    assert table.loc[gp.MEAN, "less_mae"] == pytest.approx((each[gp.MEAN] - each[gp.METHOD]).mean())
    assert table.loc[gp.METHOD, ["less_mae", "less_mae_low", "less_mae_high"]].tolist() == [0, 0, 0]
    for name in ("mae", "mse", "jensen_shannon", "hellinger", "bhattacharyya"):
        assert (table[f"{name}_low"] <= table[name]).all()
        assert (table[name] <= table[f"{name}_high"]).all()


def test_a_patients_prediction_is_the_mean_over_the_patients_slices(cohort: Cohort) -> None:
    patient = str(cohort.slice_patient[0])
    theirs = cohort.slice_patient == patient
    expected = Reader().predict_genes(cohort.slice_image[theirs], cohort.slice_mask[theirs]).mean(0)
    np.testing.assert_allclose(gp.predicted_genes(Reader(), cohort, [patient])[0], expected, rtol=1e-6)


def test_the_nearest_patient_and_the_mean_by_hand() -> None:
    train = pd.DataFrame({"size": [10.0, 20.0, 30.0]})
    test = pd.DataFrame({"size": [19.0, 100.0]})
    genes = np.array([[0.0, 0.2], [0.5, 0.2], [1.0, 0.8]])
    made = gp.baselines(genes, train, test)
    np.testing.assert_allclose(made[gp.NEAREST], [[0.5, 0.2], [1.0, 0.8]])
    np.testing.assert_allclose(made[gp.MEAN], [[0.5, 0.4], [0.5, 0.4]])


def test_ridge_is_scikit_learns_with_a_free_intercept_and_stays_in_the_unit_interval() -> None:
    rng = np.random.default_rng(0)
    x, genes = rng.normal(size=(30, 4)), rng.random((30, 3))
    x -= x.mean(0)
    found = gp.ridge(x, genes, x)
    fits = [np.clip(Ridge(alpha=alpha).fit(x, genes).predict(x), 0, 1) for alpha in gp.ALPHAS]
    assert min(np.abs(found - fit).max() for fit in fits) < 1e-9
    far = gp.ridge(x, x[:, :1] * 0.1 + 0.5, 100 * x)
    assert far.min() == 0
    assert far.max() == 1


def test_missing_and_constant_features_say_nothing() -> None:
    train = pd.DataFrame({"size": [1.0, 3.0], "same": [2.0, 2.0]})
    x, new = gp.standardized(train, pd.DataFrame({"size": [np.nan, 1000.0], "same": [2.0, 9.0]}))
    assert x.tolist() == [[-1, 0], [1, 0]]
    assert new.tolist() == [[0, 0], [5, 0]]


def test_a_predictor_of_noise_is_not_called_found() -> None:
    rng = np.random.default_rng(1)
    true = rng.random((20, 30))
    predictions = {gp.METHOD: rng.random((20, 30)), gp.RIDGE: rng.random((20, 30)), gp.MEAN: np.full((20, 30), 0.5)}
    patients = [f"P{i}" for i in range(20)]
    made = gp.compare(predictions, true, patients, GENES, QUICK)
    row = made.table.iloc[0]
    assert row["found"] == row["found_max"] == 0
    assert row["p"] > 0.05
    assert row["null_low"] < row["r"] < row["null_high"]


# What is said of it


def test_conclusion_and_headline(found: RunResults) -> None:
    (sentence,) = framework_conclusions(found)
    assert sentence.startswith("reader: images of 14 held-out patients say something about their genes")
    assert "95 % interval" in sentence
    assert "ahead of ridge regression on radiomic features, which reaches" in sentence  # whose mean r is over all genes
    (number,) = headline(found)
    assert number["value"] > 0.9
    assert {"low", "high", "regression", "null_low", "null_high", "text"} <= set(number)


def test_the_difference_to_a_baseline_is_taken_on_the_same_resamples() -> None:
    rng = np.random.default_rng(2)
    true = rng.random((25, 30))
    good, poor = (np.clip(true + rng.normal(scale=scale, size=true.shape), 0, 1) for scale in (0.3, 0.9))
    patients = [f"P{i}" for i in range(25)]
    predictions = {gp.METHOD: poor, gp.RIDGE: good, gp.MEAN: np.full(true.shape, 0.5), "twin": poor.copy()}
    made = gp.compare(
        predictions, true, patients, GENES, EvaluationSettings(bootstrap=200, permutations=99, confidence=0.9)
    )
    table = made.table.set_index("predictor")
    assert table.loc[gp.RIDGE, "lead"] == pytest.approx(table.loc[gp.METHOD, "r"] - table.loc[gp.RIDGE, "r"])
    assert table.loc[gp.RIDGE, "lead_high"] < 0
    assert table.loc["twin", ["lead", "lead_low", "lead_high"]].tolist() == [0, 0, 0]
    assert np.isnan(table.loc[gp.MEAN, "lead"])
    draws = resamples(25, 200, [0, 21])
    by_hand = mean_correlation(poor, true, draws) - mean_correlation(good, true, draws)
    expected = np.quantile(by_hand, [0.05, 0.95])
    np.testing.assert_allclose(table.loc[gp.RIDGE, ["lead_low", "lead_high"]].astype(float), expected)
    subject = SimpleNamespace(name="reader")
    (sentence,) = framework_conclusions(RunResults(subject, prediction=made))  # type: ignore[arg-type]
    assert "it is behind ridge regression on radiomic features" in sentence
    assert "90 % interval" in sentence


def test_no_claim_without_a_test_passed(found: RunResults) -> None:
    assert found.prediction is not None
    table = found.prediction.table.assign(p=0.2, less_mae_low=-1.0)
    weak = RunResults(
        found.subject, prediction=gp.GenePrediction(table, found.prediction.genes, found.prediction.patients)
    )
    (sentence,) = framework_conclusions(weak)
    assert "it is not shown that images" in sentence
    assert "not shown to be nearer" in sentence
    assert not framework_conclusions(RunResults(found.subject))


def test_the_section_writes_its_tables(found: RunResults, tmp_path: Path) -> None:
    from radiogenesis.reporting.model import Picture

    found.pictures["gene correlations"] = Picture(file="x.png", caption="", alt="")
    (section,) = framework_sections([found], tmp_path)
    assert {"genes.csv", "gene_prediction.csv", "gene_prediction_patients.csv", "genes-reader.csv"} <= {
        path.name for path in tmp_path.iterdir()
    }
    assert len(pd.read_csv(tmp_path / "genes.csv")) == 30
    shown = pd.read_csv(tmp_path / "gene_prediction-reader.csv")
    for block in section.blocks:
        if block.kind == "table" and block.file == "gene_prediction-reader.csv":  # type: ignore[union-attr]
            assert {column.value for column in block.columns} <= set(shown.columns)  # type: ignore[union-attr]
    assert "an MSE above the MAE is impossible" in section.notes[0]
