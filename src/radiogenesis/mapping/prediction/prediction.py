"""Prediction on patients left out: what one side says of the other where nothing was fitted to the patient asked.

An association says that two columns go together in these patients; a prediction says how much one would have known of
a new patient. Nested cross-validation: in every fold the training patients alone fill missing values (median), scale,
screen columns where that is asked for, and choose the penalty of a ridge regression by leave-one-out (Allen's PRESS in
closed form, as `sklearn.linear_model.RidgeCV`). A target of two values is regressed on as 0 and 1, a shrunken linear
discriminant, and judged by its ranking.

- R2 = 1 - sum (y - predicted)^2 / sum (y - mean of the training patients)^2: 0 is the training mean, below 0 is worse.
- AUC: pairs of patients left out in the same fold. Pairs across folds would compare the means of two training sets,
  each of which lacks its own left-out patients: under the null such an AUC lies below 0.5.
- p: everything is fitted again to targets permuted between patients; one-sided. Folds do not look at the target, so
  the test is exact.
- Intervals: bootstrap over the patients left out, predictions kept; what another training set would change is only in
  the spread over `prediction_repeats` divisions, which are averaged.
- Beside it, on the same patients and folds: the lesion's size alone, clinical data alone, batch variables alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import stats
from scipy.linalg import eigh, svd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from radiogenesis.cohort.zarr_tables import expression_values
from radiogenesis.errors import SettingError
from radiogenesis.mapping.conventional.features import CLINICAL, LESION, NOISE, RADIOMIC, SEMANTIC
from radiogenesis.mapping.conventional.three_step import MapInputs
from radiogenesis.mapping.prediction.settings import PredictionSettings
from radiogenesis.stats.association import permutation
from radiogenesis.stats.cluster import on_workers, workers
from radiogenesis.stats.multiple_testing import false_discovery_rate
from radiogenesis.stats.resampling import (
    Floats,
    counted,
    interval,
    mean_of_pairs,
    permutation_p,
    resamples,
    spearman,
)

PENALTIES = np.logspace(-2, 4, 13)
"""Of the ridge regression, in units of a patient's mean squared value times the number of columns."""
GENES, METAGENE, GENE = "genes", "metagene", "gene"
SIZE, CLINIC, BATCH = "size only", "clinical only", "batch only"
BASELINES = (SIZE, CLINIC, BATCH)
IMAGE = (LESION, SEMANTIC, RADIOMIC)
FEWEST_LEFT_OUT = 30
"""Patients from which a fifth can be left out and still be judged: with fewer nothing is predicted."""
_FEWEST_OF_A_KIND = 8
COLUMNS_AT_ONCE = 4096  # of a source that are prepared together


@dataclass(frozen=True, eq=False)
class Question:
    """What is predicted, and from what.

    Attributes:
        target, family: its name and where it comes from.
        values: (n,) of all patients; NaN where unknown.
        source: name of `given`.
        given: (n, p) NaN where missing; a patient of whom nothing is given takes no part.
        baselines: name -> (n, q).
    """

    target: str
    family: str
    values: Floats
    source: str
    given: Floats
    baselines: Mapping[str, Floats]

    @property
    def rows(self) -> NDArray[np.intp]:
        """Patients whose target is known and of whom something is given."""
        return np.flatnonzero(np.isfinite(self.values) & np.isfinite(self.given).any(axis=1))

    @property
    def binary(self) -> bool:
        """Whether the target has two values among its patients."""
        return len(np.unique(self.values[self.rows])) == 2

    @property
    def answerable(self) -> bool:
        """Whether enough patients are there, and enough of either kind where there are two."""
        y = self.values[self.rows]
        if len(y) < FEWEST_LEFT_OUT:
            return False
        _, counts = np.unique(y, return_counts=True)
        return len(counts) > 2 or (len(counts) == 2 and counts.min() >= _FEWEST_OF_A_KIND)


@dataclass(frozen=True, eq=False)
class Fold:
    """One part left out: rows, and what the training patients' filling and scaling make of both."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]
    given: Floats
    asked: Floats
    components: bool = False
    """Whether columns are principal components: of mean 0, and at right angles."""

    @cached_property
    def ridge(self) -> Ridges:
        """Ridge regressions from what the training patients have, to any target, with any penalty."""
        if self.components:
            length = np.linalg.norm(self.given, axis=0)
            return Ridges(self.given / length, length, self.asked)
        return Ridges.of(self.given, self.asked)


@dataclass(frozen=True, eq=False)
class Ridges:
    """Ridge regressions on the same columns: one decomposition U S V^T of the training patients' columns, centered,
    serves every target and every penalty.

    Attributes:
        left: U (t, r).
        length: S (r,).
        asked: (m, r) columns of the patients left out, centered alike, times V.
    """

    left: Floats
    length: Floats
    asked: Floats

    @classmethod
    def of(cls, given: Floats, asked: Floats) -> Ridges:
        mean = given.mean(axis=0)
        left, length, right = svd(given - mean, full_matrices=False)
        varies = length > length.max(initial=0.0) * len(given) * np.finfo(np.float64).eps
        return cls(left[:, varies], length[varies], (asked - mean) @ right[varies].T)

    def predict(self, y: Floats, penalties: Floats) -> Floats:
        """(t, M) targets -> (m, M) of the patients left out, each with the penalty whose leave-one-out error is least
        (Allen's PRESS): e_i = (y_i - fitted_i) / (1 - 1 / t - sum_j U_ij^2 s_j^2 / (s_j^2 + penalty))."""
        mean = y.mean(axis=0)
        along = self.left.T @ (y - mean)  # (r, M)
        errors = np.empty((len(penalties), y.shape[1]))
        for number, penalty in enumerate(penalties):
            kept = self.length**2 / (self.length**2 + penalty)
            wrong = y - mean - self.left @ (kept[:, None] * along)
            wrong /= (1 - 1 / len(y) - self.left**2 @ kept)[:, None]
            errors[number] = np.einsum("ij,ij->j", wrong, wrong)
        chosen = np.asarray(penalties)[errors.argmin(axis=0)]  # (M,)
        slopes = (self.length[:, None] / (self.length[:, None] ** 2 + chosen)) * along
        return np.asarray(self.asked @ slopes + mean)


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Predictions for patients who were left out when they were made.

    Attributes:
        truth: (n, M) targets: the true one, then permuted ones.
        predicted, mean: (R, n, M) predictions, and the mean of the training patients.
        fold: (R, n) in which part each patient was left out.
    """

    truth: Floats
    predicted: Floats
    mean: Floats
    fold: NDArray[np.int64]


def folds_of(given: Floats, settings: PredictionSettings, seed: int) -> list[list[Fold]]:
    """Repeats x folds. Without screening columns become principal components: all of them, so that the regression is
    the same and as small as the number of patients."""
    small = not settings.prediction_screen and given.shape[1] > len(given)
    repeats = []
    for repeat in range(settings.prediction_repeats):
        parts = KFold(settings.prediction_folds, shuffle=True, random_state=_state(seed, repeat)).split(given)
        folds = []
        for train, test in parts:
            learned, asked = (_components if small else _prepared)(given, train, test)
            folds.append(Fold(train, test, learned, asked, small))
        repeats.append(folds)
    return repeats


def _prepared(given: Floats, train: NDArray[np.intp], test: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Columns filled and scaled as the training patients say: theirs, and those of the patients left out."""
    steps = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    learned = steps.fit_transform(given[train])
    return learned, steps.transform(given[test])


def _components(given: Floats, train: NDArray[np.intp], test: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """The same along the principal components of the training patients, from the products between patients: columns
    are prepared some at a time, so that 60,000 genes take no more memory than these products."""
    among, to = np.zeros((len(train), len(train))), np.zeros((len(test), len(train)))
    for start in range(0, given.shape[1], COLUMNS_AT_ONCE):
        learned, asked = _prepared(given[:, start : start + COLUMNS_AT_ONCE], train, test)
        among += learned @ learned.T
        to += asked @ learned.T
    variance, vectors = eigh(among)
    varies = variance > variance[-1] * len(train) * np.finfo(np.float64).eps
    length, vectors = np.sqrt(variance[varies]), vectors[:, varies]
    return vectors * length, to @ (vectors / length)


def predict_left_out(
    folds: Sequence[Sequence[Fold]], targets: Floats, columns: int, settings: PredictionSettings
) -> LeftOut:
    """Predict every target for every patient from the patients of the other folds.

    Args:
        folds: of `folds_of`.
        targets: (n, M) complete.
        columns: p of the source, which the penalties are in units of.
    """
    shape = (len(folds), *targets.shape)
    predicted, mean, which = np.empty(shape), np.empty(shape), np.empty(shape[:2], np.int64)
    for repeat, parts in enumerate(folds):
        for number, fold in enumerate(parts):
            y = targets[fold.train]
            predicted[repeat, fold.test] = _regress(fold, y, columns, settings.prediction_screen)
            mean[repeat, fold.test] = y.mean(axis=0)
            which[repeat, fold.test] = number
    return LeftOut(targets, predicted, mean, which)


def _regress(fold: Fold, y: Floats, columns: int, screen: int) -> Floats:
    """(t, M) -> (m, M) of those left out; every target has a penalty, and a choice of columns, of its own."""
    if not 0 < screen < fold.given.shape[1]:
        return fold.ridge.predict(y, PENALTIES * columns)
    strength = np.abs((y - y.mean(axis=0)).T @ fold.given)  # columns have variance 1: ranks as the correlation
    predicted = np.empty((len(fold.asked), y.shape[1]))
    for m, row in enumerate(strength):
        kept = np.argpartition(-row, screen)[:screen]
        predicted[:, m] = RidgeCV(PENALTIES * screen).fit(fold.given[:, kept], y[:, m]).predict(fold.asked[:, kept])
    return predicted


def r_squared(left: LeftOut) -> Floats:
    """(M,) R2 against the training mean, averaged over the divisions."""
    wrong, plain = ((left.truth - one) ** 2 for one in (left.predicted, left.mean))
    return np.asarray((1 - wrong.sum(axis=1) / plain.sum(axis=1)).mean(axis=0))


def auc(left: LeftOut) -> Floats:
    """(M,) area under the ROC curve over pairs left out together, averaged over the divisions; targets are 0 and 1."""
    areas = []
    for predicted, fold in zip(left.predicted, left.fold, strict=True):
        won, pairs = np.zeros(left.truth.shape[1]), np.zeros(left.truth.shape[1])
        for part in np.unique(fold):
            mine = fold == part
            ranks, ill = stats.rankdata(predicted[mine], axis=0), left.truth[mine] == 1
            n = ill.sum(axis=0)
            won += (ranks * ill).sum(axis=0) - n * (n + 1) / 2
            pairs += n * (mine.sum() - n)
        areas.append(won / pairs)
    return np.mean(areas, axis=0)


def score_draws(left: LeftOut, binary: bool, counts: Floats) -> Floats:
    """(D,) R2 or AUC of the true target on resamples that hold each patient (D, n) times."""
    y = left.truth[:, 0]
    draws = []
    for predicted, mean, fold in zip(left.predicted[..., 0], left.mean[..., 0], left.fold, strict=True):
        if binary:
            ill, well = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
            won = (np.sign(predicted[ill, None] - predicted[well]) + 1) / 2
            won[fold[ill, None] != fold[well]] = np.nan
            draws.append(mean_of_pairs(won, counts[:, ill], counts[:, well]))
        else:
            draws.append(1 - counts @ (y - predicted) ** 2 / (counts @ (y - mean) ** 2))
    return np.mean(draws, axis=0)


def answer(
    question: Question,
    settings: PredictionSettings,
    *,
    seed: int = 0,
    blocks: NDArray[Any] | None = None,
    folds: Sequence[Sequence[Fold]] | None = None,
) -> dict[str, Any]:
    """One row of the table: the score with its interval, its null, and the baselines on the same patients and folds.

    Args:
        blocks: (n,) batch of each patient; permutations then stay within.
        folds: of the source and the question's patients, where they are prepared.
    """
    rows, binary = question.rows, question.binary
    y = question.values[rows]
    if binary:
        y = (y == y.max()).astype(float)
    n, orders = len(y), [np.arange(len(y))]
    inside = None if blocks is None else np.asarray(blocks)[rows]
    orders += [permutation(n, inside, seed + 2, number) for number in range(settings.prediction_permutations)]
    parts = folds or folds_of(question.given[rows], settings, seed)
    left = predict_left_out(parts, np.stack([y[order] for order in orders], axis=1), question.given.shape[1], settings)
    score = auc(left) if binary else r_squared(left)
    counts = counted(resamples(n, settings.prediction_bootstrap, [seed, 21]), n)
    draws = score_draws(left, binary, counts)
    low, high = interval(draws)
    row: dict[str, Any] = {
        "target": question.target, "family": question.family, "source": question.source,
        "score": "AUC" if binary else "R2", "n": n, "cases": int(y.sum()) if binary else np.nan,
        "value": float(score[0]), "low": low, "high": high, "null_mean": float(score[1:].mean()),
        "null_high": float(np.quantile(score[1:], 0.95)), "p": permutation_p(float(score[0]), score[1:]),
        **_rank_correlation(left, settings, seed),
    }  # fmt: skip
    baselines: dict[str, tuple[float, Floats]] = {}
    for name, given in question.baselines.items():
        baseline = predict_left_out(folds_of(given[rows], settings, seed), y[:, None], given.shape[1], settings)
        baselines[name] = (
            float((auc(baseline) if binary else r_squared(baseline))[0]),
            score_draws(baseline, binary, counts),
        )
    for name in BASELINES:
        row[name] = baselines[name][0] if name in baselines else np.nan
    row |= {"best_baseline": "", "gain": np.nan, "gain_low": np.nan, "gain_high": np.nan}
    if baselines:
        best = max(baselines, key=lambda name: baselines[name][0])
        row["best_baseline"], row["gain"] = best, row["value"] - baselines[best][0]
        row["gain_low"], row["gain_high"] = interval(draws - baselines[best][1])
    return row


def _rank_correlation(left: LeftOut, settings: PredictionSettings, seed: int) -> dict[str, float]:
    """Spearman's rho with its interval; the training mean is taken off each prediction, since it differs between folds
    in the direction that the left-out patients do not."""
    said = (left.predicted[..., 0] - left.mean[..., 0]).mean(axis=0)
    index = resamples(len(said), settings.prediction_bootstrap, [seed, 21])
    low, high = interval(spearman(said[index], left.truth[:, 0][index]))
    return {"rho": float(spearman(said, left.truth[:, 0])), "rho_low": low, "rho_high": high}


def prediction_table(
    questions: Sequence[Question],
    settings: PredictionSettings,
    *,
    seed: int = 0,
    blocks: NDArray[Any] | None = None,
) -> pd.DataFrame:
    """Answer what can be answered; the lowest p first.

    Returns:
        target, family, source, score ("R2", "AUC"), n, cases, value, low, high, null_mean, null_high, p, rho, rho_low,
        rho_high, a column for each baseline, best_baseline, gain, gain_low, gain_high, q (Benjamini-Hochberg over all).
    """
    asked = [question for question in questions if question.answerable]
    sources: dict[str, list[int]] = {}
    for number, question in enumerate(asked):
        sources.setdefault(question.source, []).append(number)
    jobs = [list(part) for mine in sources.values() for part in np.array_split(mine, min(workers(), len(mine)))]
    answered = on_workers(_answers, (asked, settings, seed, blocks), jobs)
    row_of = {
        number: row for job, found in zip(jobs, answered, strict=True) for number, row in zip(job, found, strict=True)
    }
    rows = [row_of[number] for number in range(len(asked))]
    table = pd.DataFrame(rows, columns=None if rows else ["target", "family", "source", "score", "value", "p"])
    table["q"] = false_discovery_rate(table["p"].to_numpy(np.float64))
    return table.sort_values(["p", "value"], ascending=[True, False], kind="stable").reset_index(drop=True)


def _answers(
    given: tuple[Sequence[Question], PredictionSettings, int, NDArray[Any] | None], numbers: Sequence[int]
) -> list[dict[str, Any]]:
    """Rows of questions of one source, whose folds are prepared once for the same patients."""
    questions, settings, seed, blocks = given
    kept: dict[bytes, Sequence[Sequence[Fold]]] = {}
    rows = []
    for question in (questions[number] for number in numbers):
        key = question.rows.tobytes()
        if key not in kept:
            kept[key] = folds_of(question.given[question.rows], settings, seed)
        rows.append(answer(question, settings, seed=seed, blocks=blocks, folds=kept[key]))
    return rows


def gene_values(expression: AnnData, patients: Sequence[str], missing: Literal["drop", "median"]) -> Floats:
    """(n, G) expression, its logarithm where the cohort says so, not yet filled or scaled: that is done in the folds.

    Genes that the cohort misses in some patient are left out, or left missing, as the settings say.
    """
    values = expression_values(expression)[expression.obs_names.get_indexer(pd.Index(list(patients)))]
    values = np.asarray(values, np.float64)
    if missing == "drop":
        values = values[:, ~np.isnan(expression_values(expression)).any(axis=0)]
    return np.asarray(np.log10(1 + values) if bool(expression.uns.get("log", False)) else values, np.float64)


def single_genes(expression: AnnData, patients: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
    """(n, names) genes as `gene_values` gives them, missing values left missing.

    Raises:
        SettingError: a gene that the cohort lacks.
    """
    column = {str(name): number for number, name in enumerate(expression.var_names)}
    unknown = [name for name in names if name not in column]
    if unknown:
        raise SettingError(f"prediction_genes has {unknown[0]!r}, which the cohort lacks", remedy="name others")
    values = gene_values(expression, patients, "median")[:, [column[name] for name in names]]
    return pd.DataFrame(values, columns=list(names))


def questions_of(
    material: MapInputs,
    genes: Floats,
    metagenes: pd.DataFrame | None = None,
    single: pd.DataFrame | None = None,
    *,
    clinical: Sequence[str] | None = None,
    skip: Sequence[str] = (),
) -> list[Question]:
    """Everything that one side of a map's material may say of the other.

    Image features from genes; metagenes and single genes from image features; clinical columns from either. A metagene
    is a weighted mean of genes that was fixed without a look at any image, so that it is a target like any other.

    Args:
        genes: (n, G) of `gene_values`.
        metagenes, single: n rows, a column for each metagene, or each gene, that is to be predicted.
        clinical: the features that "clinical only" knows; all clinical ones if not given, but never another answer to
            the question that is asked.
        skip: features that are no targets.
    """
    table, family = material.features.values, material.features.family
    sources = {GENES: genes}
    for name in IMAGE:
        columns = [column for column in table if family[str(column)] == name]
        if columns:
            sources[name] = table[columns].to_numpy(np.float64)
    known = [name for name in (clinical if clinical is not None else table.columns) if family[str(name)] == CLINICAL]
    questions = []
    for target in map(str, table.columns):
        if target in skip:
            continue
        of_image = family[target] in (*IMAGE, NOISE)
        mine = {name: x for name, x in sources.items() if name == GENES or not of_image}
        batches = _numeric(material.batches.drop(columns=target, errors="ignore"))  # noise is no baseline of itself
        baselines = dict(_baselines(table, material.size, known, batches, target))
        values = table[target].to_numpy(np.float64)
        questions += [Question(target, family[target], values, name, x, baselines) for name, x in mine.items()]
    images = {name: x for name, x in sources.items() if name != GENES}
    batches = _numeric(material.batches)
    for kind, asked in ((METAGENE, metagenes), (GENE, single)):
        for target_name, column in (asked if asked is not None else pd.DataFrame()).items():
            baselines = dict(_baselines(table, material.size, known, batches, str(target_name)))
            values = column.to_numpy(np.float64)
            questions += [Question(str(target_name), kind, values, name, x, baselines) for name, x in images.items()]
    return questions


def _baselines(
    table: pd.DataFrame, size: str, clinical: Sequence[str], batches: Floats, target: str
) -> Iterator[tuple[str, Floats]]:
    if size and size != target:
        yield SIZE, table[[size]].to_numpy(np.float64)
    other = [name for name in clinical if _asked(name) != _asked(target)]
    if other:
        yield CLINIC, table[other].to_numpy(np.float64)
    if batches.shape[1]:
        yield BATCH, batches


def _asked(name: str) -> str:
    """The question of a column "question = answer" or "question (choice=answer) = Checked"."""
    return re.sub(r" \(choice=.*", "", name.split(" = ")[0])


def _numeric(batches: pd.DataFrame) -> Floats:
    """Batch variables in numbers: numbers as they are, of a text one indicator for each level. What is unknown stays
    so, and is filled in the folds: who has a value recorded is often who was chosen for something."""
    columns = []
    for name in batches:
        column = batches[name]
        if column.dtype.kind == "f":
            columns.append(column.to_frame())
        else:
            levels = pd.get_dummies(column.astype(object)).astype(float)
            columns.append(levels.where(column.notna(), axis=0))
    return pd.concat(columns, axis=1).to_numpy(np.float64) if columns else np.zeros((len(batches), 0))


def _state(seed: int, repeat: int) -> int:
    """A random state for scikit-learn from (seed, repeat)."""
    return int(np.random.default_rng([seed, 0xF01D, repeat]).integers(2**31))
