"""Whose lesion is this? The canonical alignment under cross-validation: every patient is left out once.

A single division of 130 patients leaves a rank among some thirty with a wide interval. Here scaler and alignment are
fitted anew to the training patients of every fold, and each patient's genes are ranked among those left out together by
their likeness to the patient's lesion. Beside it stand chance, genes exchanged between the patients left out, the
whole procedure with genes of other patients in training, and two baselines on the same folds:

- size only: the lesion is known by its diameter alone, which a ridge regression predicts from the genes;
- clinical only: the clinical table takes the place of the genes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from radiogenesis.cohort.expression import ExpressionScaler, ExpressionSettings
from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.descriptions.properties import own_features
from radiogenesis.evaluation.measures.retrieval import ranks, retrieval_scores
from radiogenesis.mapping.prediction.prediction import CLINIC, PENALTIES, SIZE
from radiogenesis.mapping.prediction.settings import PredictionSettings
from radiogenesis.methods.canonical_alignment import CanonicalAlignment, CanonicalAlignmentSettings, Described
from radiogenesis.phenotypes.lesion import FEATURES
from radiogenesis.stats.association import permutation
from radiogenesis.stats.cluster import on_workers
from radiogenesis.stats.resampling import Floats, interval, permutation_p, resamples
from radiogenesis.training.settings import TrainSettings

MEASURES = ("mean rank", "top-1", "top-5")


@dataclass(frozen=True, eq=False)
class LeftOutRetrieval:
    """Ranks of patients who were left out.

    Attributes:
        patients: (n,) in the order of `ranks`.
        ranks: (n,) of each patient's own genes among those left out together, 1 the best.
        among: (n,) how many these are.
        table: measure, value, low, high, chance, null_mean, null_low, null_high, p, retrained, patients; the value of
            each baseline, best_baseline, gain (over the better one, positive is better), gain_low, gain_high. Null:
            genes exchanged among those left out together; retrained: the value when the alignment learned from
            genes that were shuffled between training patients.
        directions: (folds,) how many further directions the alignment kept.
    """

    patients: tuple[str, ...]
    ranks: Floats
    among: NDArray[np.int64]
    table: pd.DataFrame
    directions: tuple[int, ...]


def left_out_retrieval(
    cohort: Cohort,
    patients: Sequence[str],
    settings: PredictionSettings,
    *,
    expression: ExpressionSettings | None = None,
    alignment: CanonicalAlignmentSettings | None = None,
    clinical: pd.DataFrame | None = None,
    blocks: NDArray[Any] | None = None,
    seed: int = 0,
) -> LeftOutRetrieval:
    """Fit to all folds but one, ask about the one, in turn.

    Args:
        patients: who have slices and expression.
        expression: how expression is scaled.
        alignment: settings of the alignment, those of `train canonical-alignment` if not given.
        clinical: (n, C) numbers of the patients, NaN where unknown; None where nothing is known of them.
        blocks: (n,) batch of each patient: genes are exchanged and shuffled within batches only.
    """
    names = np.array(list(map(str, patients)), object)
    parts = list(KFold(settings.prediction_folds, shuffle=True, random_state=seed).split(names))
    lesions = _Lesions.of(cohort, names, alignment or CanonicalAlignmentSettings())
    size = own_features(cohort, list(names))[:, FEATURES.index("size")]
    known = None if clinical is None or not clinical.shape[1] else clinical.to_numpy(np.float64)
    shared = _Asked(cohort.expression, lesions, names, expression, blocks, size, known, seed)
    folds = on_workers(_scored, shared, parts)
    order = np.concatenate([test for _, test in parts])
    among = np.concatenate([np.full(len(test), len(test)) for _, test in parts])
    own, retrained = _own([one.own for one in folds]), _own([one.shuffled for one in folds])
    baselines = {SIZE: _own([one.by_size for one in folds])}
    if known is not None:
        baselines[CLINIC] = _own([one.by_clinic for one in folds])
    draws = resamples(len(names), settings.prediction_bootstrap, [seed, 31])
    chance = {"mean rank": (among + 1) / 2, "top-1": 1 / among, "top-5": np.minimum(5, among) / among}
    rows = []
    for name in MEASURES:
        null = _exchanged([one.own[name] for one in folds], [one.blocks for one in folds], settings, seed)
        low, high = interval(own[name][draws].mean(axis=1))
        null_low, null_high = interval(null)
        rows.append(
            {
                "measure": name, "value": float(own[name].mean()), "low": low, "high": high,
                "chance": float(chance[name].mean()), "null_mean": float(null.mean()), "null_low": null_low,
                "null_high": null_high, "p": permutation_p(float(own[name].mean()), null, greater=name != "mean rank"),
                "retrained": float(retrained[name].mean()), "patients": len(names),
                **_gain(own[name], {one: ranks[name] for one, ranks in baselines.items()}, draws, name != "mean rank"),
            }
        )  # fmt: skip
    return LeftOutRetrieval(
        tuple(names[order]), own["mean rank"], among, pd.DataFrame(rows), tuple(one.directions for one in folds)
    )


@dataclass(frozen=True, eq=False)
class _Lesions:
    """The slices of all patients in numbers: described once, since no fold and no gene changes that.

    Attributes:
        settings: of the alignment.
        learned, described: the slices that `train` would fit it to: whose each is, and its numbers.
        asked, statistics: all slices, alike.
    """

    settings: CanonicalAlignmentSettings
    learned: NDArray[np.str_]
    described: Described
    asked: NDArray[np.str_]
    statistics: NDArray[np.float32]

    @classmethod
    def of(cls, cohort: Cohort, names: NDArray[np.object_], settings: CanonicalAlignmentSettings) -> _Lesions:
        describing = CanonicalAlignment(settings, genes=1)
        learned = cohort.lesions(list(names), least_area=TrainSettings.least_area)
        image, mask = (torch.from_numpy(of).unsqueeze(1) for of in (learned.image, learned.mask))
        darker = cohort.imaging.may_be_darker
        described = describing.described(image, mask, pixel_mm=cohort.pixel_mm, darker=darker)
        asked = cohort.lesions(list(names))
        statistics = describing.statistics_of(asked.image, asked.mask)
        return cls(settings, learned.patient, described, asked.patient, statistics)


@dataclass(frozen=True, eq=False)
class _Fold:
    """One part left out: its patients and those learned from, and their genes.

    Attributes:
        lesions: of all patients.
        learned, asked: patients.
        train, test: their places.
        genes: (t, G) and (m, G), scaled as the training patients say.
        within, blocks: batch of each training patient, and of each left out; None without.
    """

    lesions: _Lesions
    learned: list[str]
    asked: list[str]
    train: NDArray[np.intp]
    test: NDArray[np.intp]
    genes: tuple[NDArray[Any], NDArray[Any]]
    within: NDArray[Any] | None
    blocks: NDArray[Any] | None

    @classmethod
    def of(
        cls, expressed: AnnData, lesions: _Lesions, names: NDArray[np.object_], train: NDArray[np.intp],
        test: NDArray[np.intp], expression: ExpressionSettings | None, blocks: NDArray[Any] | None,
    ) -> _Fold:  # fmt: skip
        learned, asked = list(names[train]), list(names[test])
        scaler = ExpressionScaler.fit(expressed, learned, expression)
        genes = tuple(scaler.transform(expressed, some) for some in (learned, asked))
        within, left = (None if blocks is None else np.asarray(blocks)[rows] for rows in (train, test))
        return cls(lesions, learned, asked, train, test, (genes[0], genes[1]), within, left)

    def shuffled(self, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """The genes, those of the training patients given to others."""
        learned, asked = self.genes
        return learned[permutation(len(learned), self.within, seed, 32)], asked

    def prepared(self, values: Floats) -> tuple[NDArray[Any], NDArray[Any]]:
        """(n, C) of all patients filled and scaled as the training patients say."""
        steps = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
        steps.fit(values[self.train])
        return steps.transform(values[self.train]), steps.transform(values[self.test])

    def aligned(self, given: tuple[NDArray[Any], NDArray[Any]], seed: int) -> tuple[dict[str, Floats], int]:
        """Scores (m, m) of those left out by an alignment of lesions with what is given, the diagonal each patient's
        own; and how many further directions it kept."""
        learned, asked = given
        model = CanonicalAlignment(self.lesions.settings, genes=learned.shape[1])
        own, slices = _rows(self.lesions.learned, self.learned)
        model.fit_described(self.lesions.described.of(slices), own, learned, seed)
        others, slices = _rows(self.lesions.asked, self.asked)
        lesions = model.encode_statistics(self.lesions.statistics[slices])
        return retrieval_scores(model.encode(asked), lesions, others)["patient"], model.further

    def by_size(self, size: Floats) -> dict[str, Floats]:
        """Scores (m, m) when a lesion is its diameter alone; what genes predict of it is given the same spread."""
        learned, asked = (values[:, 0] for values in self.prepared(size[:, None]))
        fitted = RidgeCV(PENALTIES * self.genes[0].shape[1]).fit(self.genes[0], learned)
        before, predicted = fitted.predict(self.genes[0]), fitted.predict(self.genes[1])
        code = (predicted - before.mean()) / (before.std() or 1.0)
        rank = ranks(-np.abs(asked[:, None] - code))
        return {"mean rank": rank, "top-1": (rank <= 1).astype(float), "top-5": (rank <= 5).astype(float)}


@dataclass(frozen=True, eq=False)
class _Asked:
    """What every fold needs: expression and lesions of all patients, and what else was given."""

    expressed: AnnData
    lesions: _Lesions
    names: NDArray[np.object_]
    expression: ExpressionSettings | None
    blocks: NDArray[Any] | None
    size: Floats
    clinical: Floats | None
    seed: int


@dataclass(frozen=True, eq=False)
class _Scored:
    """What was found of one part left out: scores by the genes, by shuffled genes and by the baselines."""

    own: dict[str, Floats]
    directions: int
    shuffled: dict[str, Floats]
    by_size: dict[str, Floats]
    by_clinic: dict[str, Floats]
    blocks: NDArray[Any] | None


def _scored(asked: _Asked, part: tuple[NDArray[np.intp], NDArray[np.intp]]) -> _Scored:
    """One fold; its genes are prepared here, so that no two folds' are held at once."""
    fold = _Fold.of(asked.expressed, asked.lesions, asked.names, *part, asked.expression, asked.blocks)
    own, directions = fold.aligned(fold.genes, asked.seed)
    shuffled, _ = fold.aligned(fold.shuffled(asked.seed), asked.seed)
    clinic = {} if asked.clinical is None else fold.aligned(fold.prepared(asked.clinical), asked.seed)[0]
    return _Scored(own, directions, shuffled, fold.by_size(asked.size), clinic, fold.blocks)


def _rows(whose: NDArray[np.str_], patients: list[str]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Place of each slice's patient among `patients`, and which slices these are."""
    rows = np.flatnonzero(np.isin(whose, patients))
    place = {patient: k for k, patient in enumerate(patients)}
    return np.array([place[str(patient)] for patient in whose[rows]], np.int64), rows


def _own(scores: Sequence[dict[str, Floats]]) -> dict[str, Floats]:
    """(n,) each patient's own score, fold after fold."""
    return {name: np.concatenate([np.diag(one[name]) for one in scores]) for name in MEASURES}


def _gain(own: Floats, baselines: dict[str, Floats], draws: NDArray[np.int64], greater: bool) -> dict[str, Any]:
    """The baselines' values, and how much better the genes do than the better of them, resampling patients."""
    sign = 1.0 if greater else -1.0
    best = max(baselines, key=lambda name: sign * float(baselines[name].mean()))
    better = sign * (own - baselines[best])
    low, high = interval(better[draws].mean(axis=1))
    values = {name: float(baselines[name].mean()) if name in baselines else float("nan") for name in (SIZE, CLINIC)}
    return {**values, "best_baseline": best, "gain": float(better.mean()), "gain_low": low, "gain_high": high}


def _exchanged(
    scores: Sequence[Floats], blocks: Sequence[NDArray[Any] | None], settings: PredictionSettings, seed: int
) -> Floats:
    """(draws,) means over all patients when the genes of those left out together are permuted, within batches where
    there are any. A patient may keep the own: of derangements alone the null would lack its best values."""
    draws = settings.prediction_bootstrap
    total, count = np.zeros(draws), 0
    for number, (matrix, batch) in enumerate(zip(scores, blocks, strict=True)):
        n, rng = len(matrix), np.random.default_rng([seed, 33, number])
        order = np.tile(np.arange(n), (draws, 1))
        for block in [np.arange(n)] if batch is None else [np.flatnonzero(batch == one) for one in np.unique(batch)]:
            order[:, block] = rng.permuted(order[:, block], axis=1)
        total += matrix[np.arange(n), order].sum(axis=1)
        count += n
    return total / count
