"""Prediction on patients left out, where the answer is known: noise, a planted slope, two normal distributions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import stats
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import SettingError
from radiogenesis.mapping.conventional.three_step import ConventionalMap, conventional_map, inputs_of
from radiogenesis.mapping.prediction import prediction as pr
from radiogenesis.mapping.settings import MapSettings
from radiogenesis.pages.mapping.prediction import prediction_addition, prediction_sentence

QUICK = pr.PredictionSettings(prediction_repeats=1, prediction_permutations=19, prediction_bootstrap=100)


def ask(values: np.ndarray, given: np.ndarray, **baselines: np.ndarray) -> pr.Question:
    return pr.Question("target", "made", np.asarray(values, float), "given", given, baselines)


def test_noise_is_not_predicted_where_a_naive_fit_knows_everything() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 500)), rng.standard_normal(60)
    assert RidgeCV(pr.PENALTIES).fit(x, y).score(x, y) > 0.9
    found = pr.answer(ask(y, x), QUICK)
    assert found["score"] == "R2"
    assert -0.25 < found["value"] < 0.05
    assert found["p"] > 0.05


def test_screening_outside_the_folds_inflates_and_inside_does_not() -> None:
    outside, inside = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((60, 2000)), (np.arange(60) % 2).astype(float)
        best = np.argsort(-np.abs((y - 0.5) @ x))[:10]
        settings = pr.PredictionSettings(prediction_repeats=1, prediction_permutations=19, prediction_screen=10)
        outside.append(pr.answer(ask(y, x[:, best]), QUICK)["value"])
        folds = pr.folds_of(x, settings, seed)
        inside.append(float(pr.auc(pr.predict_left_out(folds, y[:, None], 2000, settings))[0]))
    assert np.mean(outside) > 0.8
    assert np.mean(inside) == pytest.approx(0.5, abs=0.1)  # 6 AUC of deviation 0.08 each


def test_two_normal_distributions_give_the_auc_of_the_closed_form() -> None:
    y, apart = np.repeat([0.0, 1.0], 300), 1.2
    even = np.tile(stats.norm.ppf((np.arange(300) + 0.5) / 300), 2)  # the distribution without a draw's luck
    found = pr.answer(ask(y, (apart * y + even)[:, None]), QUICK)
    assert found["value"] == pytest.approx(stats.norm.cdf(apart / np.sqrt(2)), abs=0.01)
    assert found["low"] < found["value"] < found["high"]
    assert found["p"] == pytest.approx(1 / 20)
    assert found["cases"] == 300


def test_a_planted_slope_gives_the_r2_and_the_rank_correlation_of_the_closed_form() -> None:
    rng = np.random.default_rng(2)
    r = 0.7
    x = rng.standard_normal(800)
    found = pr.answer(ask(r * x + np.sqrt(1 - r**2) * rng.standard_normal(800), x[:, None]), QUICK)
    assert found["value"] == pytest.approx(r**2, abs=0.05)
    assert found["rho"] == pytest.approx(6 / np.pi * np.arcsin(r / 2), abs=0.04)


def test_folds_are_filled_and_scaled_by_their_training_patients_alone() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((40, 5))
    x[rng.random(x.shape) < 0.1] = np.nan
    first = pr.folds_of(x, QUICK, 0)[0][0]
    changed = x.copy()
    changed[first.test] = 1e6
    again = pr.folds_of(changed, QUICK, 0)[0][0]
    np.testing.assert_array_equal(first.train, again.train)
    np.testing.assert_array_equal(first.given, again.given)
    expected = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()).fit(x[first.train])
    np.testing.assert_allclose(first.asked, expected.transform(x[first.test]))


def test_principal_components_leave_the_predictions_as_they_are() -> None:
    rng = np.random.default_rng(4)
    x = rng.standard_normal((40, 120))
    y = x[:, :3].sum(1) + rng.standard_normal(40)
    left = pr.predict_left_out(pr.folds_of(x, QUICK, 0), y[:, None], 120, QUICK)
    fold = pr.folds_of(x, QUICK, 0)[0][1]
    plain = make_pipeline(StandardScaler(), RidgeCV(pr.PENALTIES * 120)).fit(x[fold.train], y[fold.train])
    np.testing.assert_allclose(left.predicted[0, fold.test, 0], plain.predict(x[fold.test]), rtol=1e-6)


@pytest.mark.parametrize("columns", [3, 120])
def test_one_decomposition_serves_every_target_as_scikit_learn_does_one_by_one(columns: int) -> None:
    rng = np.random.default_rng(14)
    x = rng.standard_normal((60, columns)) + 3.0
    y = x[:, :2] @ rng.standard_normal((2, 30)) * rng.uniform(0, 2, 30) + rng.standard_normal((60, 30))
    fold = pr.Fold(np.arange(48), np.arange(48, 60), x[:48], x[48:])
    found = fold.ridge.predict(y[:48], pr.PENALTIES * columns)
    expected = RidgeCV(pr.PENALTIES * columns, alpha_per_target=True).fit(x[:48], y[:48])
    assert len(set(expected.alpha_)) > 2
    np.testing.assert_allclose(found, expected.predict(x[48:]), rtol=1e-8, atol=1e-8)


def test_a_column_that_does_not_vary_and_a_target_that_does_not_are_borne() -> None:
    x = np.random.default_rng(15).standard_normal((30, 2))
    x[:, 1] = 7.0
    y = np.stack([x[:, 0], np.full(30, 2.0)], axis=1)
    fold = pr.Fold(np.arange(20), np.arange(20, 30), x[:20], x[20:])
    found = fold.ridge.predict(y[:20], pr.PENALTIES)
    np.testing.assert_allclose(found, RidgeCV(pr.PENALTIES, alpha_per_target=True).fit(x[:20], y[:20]).predict(x[20:]))


def test_components_from_blocks_of_columns_are_those_of_all_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(16)
    x = rng.standard_normal((40, 100))
    x[rng.random(x.shape) < 0.1] = np.nan
    y = np.nan_to_num(x[:, :3]).sum(1)[:, None]
    whole = pr.predict_left_out(pr.folds_of(x, QUICK, 0), y, 100, QUICK)
    monkeypatch.setattr(pr, "COLUMNS_AT_ONCE", 7)
    in_parts = pr.predict_left_out(pr.folds_of(x, QUICK, 0), y, 100, QUICK)
    np.testing.assert_allclose(in_parts.predicted, whole.predicted, rtol=1e-9)
    fold = pr.folds_of(x, QUICK, 0)[0][2]
    plain = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), RidgeCV(pr.PENALTIES * 100))
    expected = plain.fit(x[fold.train], y[fold.train, 0]).predict(x[fold.test])
    np.testing.assert_allclose(whole.predicted[0, fold.test, 0], expected, rtol=1e-6)


def made_up(binary: bool) -> pr.LeftOut:
    rng = np.random.default_rng(5)
    y = (rng.random(50) < 0.4).astype(float) if binary else rng.standard_normal(50)
    predicted = (y + rng.standard_normal(50)).round(1)  # with ties
    fold = np.arange(50)[None] // 25
    return pr.LeftOut(y[:, None], predicted[None, :, None], np.full((1, 50, 1), y.mean()), fold)


def test_scores_are_those_of_scikit_learn() -> None:
    left = made_up(binary=False)
    assert pr.r_squared(left)[0] == pytest.approx(r2_score(left.truth[:, 0], left.predicted[0, :, 0]))
    left = made_up(binary=True)
    y, s = left.truth[:, 0], left.predicted[0, :, 0]
    each = [roc_auc_score(y[part], s[part]) for part in (slice(0, 25), slice(25, 50))]
    pairs = [y[part].sum() * (1 - y[part]).sum() for part in (slice(0, 25), slice(25, 50))]
    assert pr.auc(left)[0] == pytest.approx(np.average(each, weights=pairs))


def test_resamples_weigh_patients() -> None:
    counts = np.random.default_rng(6).integers(0, 4, (1, 50)).astype(float)
    left = made_up(binary=False)
    weights = counts[0]
    residual = weights @ (left.truth[:, 0] - left.predicted[0, :, 0]) ** 2
    expected = 1 - residual / (weights @ (left.truth[:, 0] - left.truth.mean()) ** 2)
    assert pr.score_draws(left, False, counts)[0] == pytest.approx(expected)
    left = made_up(binary=True)
    one = pr.LeftOut(left.truth, left.predicted, left.mean, np.zeros((1, 50), np.int64))
    expected = roc_auc_score(left.truth[:, 0], left.predicted[0, :, 0], sample_weight=weights)
    assert pr.score_draws(one, True, counts)[0] == pytest.approx(expected)


def test_p_values_are_uniform_where_nothing_is_planted() -> None:
    found = []
    for seed in range(60):
        rng = np.random.default_rng([7, seed])
        y = rng.random(40) < 0.5 if seed % 2 else rng.standard_normal(40)
        found.append(pr.answer(ask(y, rng.standard_normal((40, 3))), QUICK, seed=seed)["p"])
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_a_difference_between_batches_is_gone_when_permutations_stay_within() -> None:
    rng = np.random.default_rng(8)
    batch = np.arange(80) % 2
    y, x = 2.0 * batch + rng.standard_normal(80), (2.0 * batch + rng.standard_normal(80))[:, None]
    question = ask(y, x, **{pr.BATCH: batch[:, None].astype(float)})
    free = pr.answer(question, QUICK)
    assert free["p"] == pytest.approx(1 / 20)
    assert pr.answer(question, QUICK, blocks=batch)["p"] > 0.1
    assert free["best_baseline"] == pr.BATCH
    assert free["gain"] == pytest.approx(free["value"] - free[pr.BATCH])
    assert free["gain_low"] < 0  # the batch alone says as much


def test_what_cannot_be_judged_is_not_asked() -> None:
    x = np.random.default_rng(9).standard_normal((40, 3))
    rare = np.zeros(40)
    rare[:7] = 1
    assert not ask(rare, x).answerable
    rare[7] = 1
    assert ask(rare, x).answerable
    assert not ask(np.ones(40), x).answerable
    unknown = np.arange(40.0)
    unknown[:11] = np.nan
    assert not ask(unknown, x).answerable
    x[:11] = np.nan  # of whom nothing is given
    assert not ask(np.arange(40.0), x).answerable
    with pytest.raises(ValueError, match="prediction_folds 1"):
        pr.PredictionSettings(prediction_folds=1)


def test_genes_come_as_they_were_measured() -> None:
    values = np.array([[9.0, 0.0], [99.0, np.nan], [0.0, 1.0]], np.float32)
    genes = pd.DataFrame(index=pd.Index(["A", "B"]))
    expression = AnnData(values, obs=pd.DataFrame(index=pd.Index(["p", "q", "r"])), var=genes, uns={"log": True})
    np.testing.assert_allclose(pr.gene_values(expression, ["q", "p"], "drop"), [[2.0], [1.0]])
    found = pr.gene_values(expression, ["r", "q"], "median")
    np.testing.assert_allclose(found, [[0.0, np.log10(2)], [2.0, np.nan]])


@pytest.fixture(scope="module")
def made(cohort: Cohort) -> ConventionalMap:
    settings = MapSettings(clusters=6, permutations=100, shuffles=2)
    return conventional_map(inputs_of(cohort, settings), settings)


def metagene_table(made: ConventionalMap) -> pd.DataFrame:
    return pd.DataFrame(made.values, columns=list(made.metagenes.ids))


def test_a_map_is_asked_both_ways_and_never_for_what_it_is_given(made: ConventionalMap, cohort: Cohort) -> None:
    genes = pr.gene_values(cohort.expression, made.material.patients, "drop")
    questions = pr.questions_of(made.material, genes, metagene_table(made))
    pairs = {(question.target, question.source) for question in questions}
    assert ("size (mm)", pr.GENES) in pairs
    assert ("noise (HU)", pr.GENES) in pairs
    assert (made.metagenes.ids[0], "lesion") in pairs
    assert ("size (mm)", "lesion") not in pairs
    assert (made.metagenes.ids[0], pr.GENES) not in pairs
    of = {(question.target, question.source): question for question in questions}
    assert pr.SIZE not in of["size (mm)", pr.GENES].baselines
    grade = next(name for name in made.material.features.values if str(name).startswith("Grade"))
    assert pr.CLINIC not in of[str(grade), pr.GENES].baselines  # it is the only clinical column


def test_single_genes_are_asked_of_images(made: ConventionalMap, cohort: Cohort) -> None:
    patients = made.material.patients
    genes = pr.gene_values(cohort.expression, patients, "drop")
    single = pr.single_genes(
        cohort.expression, patients, pr.PredictionSettings(prediction_genes="G03, G39").asked_genes
    )
    np.testing.assert_array_equal(single["G39"], genes[:, 39])
    asked = [one for one in pr.questions_of(made.material, genes, None, single) if one.family == pr.GENE]
    assert {(one.target, one.source) for one in asked} == {("G03", "lesion"), ("G39", "lesion")}
    table = pr.prediction_table(asked, QUICK).set_index("target")
    assert table.loc["G03", "value"] > 0.4  # goes with the diameter
    assert table.loc["G39", "value"] < 0.1  # goes with nothing
    with pytest.raises(SettingError, match="prediction_genes has 'EGFR', which the cohort lacks"):
        pr.single_genes(cohort.expression, patients, ["EGFR"])


@pytest.mark.pictures
def test_size_is_predicted_from_genes_and_the_page_says_so(
    made: ConventionalMap, cohort: Cohort, tmp_path: Path
) -> None:
    genes = pr.gene_values(cohort.expression, made.material.patients, "drop")
    wanted = {"size (mm)", "noise (HU)", made.metagenes.ids[0]}
    asked = [
        question
        for question in pr.questions_of(made.material, genes, metagene_table(made))
        if question.target in wanted
    ]
    table = pr.prediction_table(asked, QUICK)
    size = table.set_index(["target", "source"]).loc[("size (mm)", pr.GENES)]
    assert size["value"] > 0.6
    assert size["gain_low"] > 0
    noise = table.set_index(["target", "source"]).loc[("noise (HU)", pr.GENES)]
    assert noise[pr.BATCH] > 0.9  # the kernel makes the noise
    assert noise["gain"] < 0
    assert list(table["q"]) == pytest.approx(list(stats.false_discovery_control(table["p"])))
    for folder in ("tables", "pictures"):
        (tmp_path / folder).mkdir()
    added = prediction_addition(table, QUICK, 0.2, tmp_path)
    for block in added.sections[0].blocks:
        folder = "pictures" if block.kind == "picture" else "tables"
        assert (tmp_path / folder / block.file).is_file()
    assert "size (mm) from genes (R²" in added.conclusions[0]
    assert "none is predicted better than permuted" in prediction_sentence(table.assign(q=1.0), 0.05)
    assert "no target has patients enough" in prediction_sentence(pr.prediction_table([], QUICK), 0.05)


def test_who_has_a_batch_recorded_is_no_batch() -> None:
    batches = pd.DataFrame({"site": ["a", "b", None, "a"], "mm": [1.0, np.nan, 2.0, 3.0]})
    nan = np.nan
    np.testing.assert_array_equal(pr._numeric(batches), [[1, 0, 1], [0, 1, nan], [nan, nan, 2], [1, 0, 3]])
    assert pr._numeric(batches[[]]).shape == (4, 0)


def test_answers_to_the_question_asked_are_no_baselines() -> None:
    assert pr._asked("Histology = Adenocarcinoma") == pr._asked("Histology = Squamous cell carcinoma")
    assert pr._asked("Tumor Location (choice=RUL) = Checked") == pr._asked("Tumor Location (choice=LUL) = Checked")
    assert pr._asked("Pack Years") != pr._asked("Age")
