"""Whose lesion is this? The canonical alignment under cross-validation: every patient is left out once.

A single division of 130 patients leaves a rank among some thirty with a wide interval. Here scaler and alignment are
fitted anew to the training patients of every fold, and each patient's genes are ranked among those left out together by
their likeness to the patient's lesion. Beside it stand chance, genes exchanged between the patients left out, and the
whole procedure with genes of other patients in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from radiogenesis.cohort.expression import ExpressionScaler, ExpressionSettings
from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.bootstrap import Floats, derangements, interval, permutation_p, resamples
from radiogenesis.evaluation.retrieval import retrieval_scores
from radiogenesis.mapping.prediction_settings import PredictionSettings
from radiogenesis.methods.canonical_alignment import CanonicalAlignment, CanonicalAlignmentSettings
from radiogenesis.methods.images import images_from_hu, soften

MEASURES = ("mean rank", "top-1", "top-5")


@dataclass(frozen=True, eq=False)
class LeftOutRetrieval:
    """Ranks of patients who were left out.

    Attributes:
        patients: (n,) in the order of `ranks`.
        ranks: (n,) of each patient's own genes among those left out together, 1 the best.
        among: (n,) how many these are.
        table: measure, value, low, high, chance, null_mean, null_low, null_high, p, retrained, patients. Null: genes
            exchanged among those left out together; retrained: the value when the alignment learned from genes that
            were shuffled between training patients.
        directions: (folds,) how many the alignment kept.
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
    seed: int = 0,
) -> LeftOutRetrieval:
    """Fit to all folds but one, ask about the one, in turn.

    Args:
        patients: who have slices and expression.
        expression: how expression is scaled.
        alignment: settings of the alignment, those of `train canonical-alignment` if not given.
    """
    names = np.array(list(map(str, patients)), object)
    parts = list(KFold(settings.prediction_folds, shuffle=True, random_state=seed).split(names))
    found = [_fold(cohort, names, train, test, expression, alignment, seed, False) for train, test in parts]
    shuffled = [_fold(cohort, names, train, test, expression, alignment, seed, True) for train, test in parts]
    order = np.concatenate([test for _, test in parts])
    among = np.concatenate([np.full(len(test), len(test)) for _, test in parts])
    own, control = (
        {name: np.concatenate([np.diag(one[name]) for one, _ in folds]) for name in MEASURES}
        for folds in (found, shuffled)
    )
    draws = resamples(len(names), settings.prediction_bootstrap, [seed, 31])
    chance = {"mean rank": (among + 1) / 2, "top-1": 1 / among, "top-5": np.minimum(5, among) / among}
    rows = []
    for name in MEASURES:
        null = _exchanged([one[name] for one, _ in found], settings.prediction_bootstrap, seed)
        low, high = interval(own[name][draws].mean(axis=1))
        null_low, null_high = interval(null)
        rows.append(
            {
                "measure": name, "value": float(own[name].mean()), "low": low, "high": high,
                "chance": float(chance[name].mean()), "null_mean": float(null.mean()), "null_low": null_low,
                "null_high": null_high, "p": permutation_p(float(own[name].mean()), null, greater=name != "mean rank"),
                "retrained": float(control[name].mean()), "patients": len(names),
            }
        )  # fmt: skip
    return LeftOutRetrieval(
        tuple(names[order]), own["mean rank"], among, pd.DataFrame(rows), tuple(kept for _, kept in found)
    )


def _fold(
    cohort: Cohort,
    names: NDArray[np.object_],
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    expression: ExpressionSettings | None,
    settings: CanonicalAlignmentSettings | None,
    seed: int,
    shuffle: bool,
) -> tuple[dict[str, Floats], int]:
    """Scores (m, m) of the m patients left out, the diagonal is each patient's own; and how many directions."""
    learned, asked = list(names[train]), list(names[test])
    scaler = ExpressionScaler.fit(cohort.expression, learned, expression)
    genes = scaler.transform(cohort.expression, learned)
    if shuffle:
        genes = genes[np.random.default_rng([seed, 32]).permutation(len(genes))]
    model = CanonicalAlignment(settings or CanonicalAlignmentSettings(), genes=len(scaler.genes))
    image, mask, owner = _slices(cohort, learned)
    soft = soften(torch.from_numpy(mask.astype(np.float32)).unsqueeze(1))
    model.fit(images_from_hu(image), soft, owner, genes, seed)
    image, mask, owner = _slices(cohort, asked)
    codes = model.encode(scaler.transform(cohort.expression, asked))
    scores = retrieval_scores(codes, model.encode_lesions(image.astype(np.float32), mask), owner)["patient"]
    return scores, int((model.readability > 0).sum())


def _slices(cohort: Cohort, patients: Sequence[str]) -> tuple[NDArray[np.int16], NDArray[np.bool_], NDArray[np.int64]]:
    """Slices (N, P, P), masks, and the place (N,) of each one's patient among `patients`."""
    place = {patient: k for k, patient in enumerate(patients)}
    rows = np.flatnonzero(np.isin(cohort.slice_patient, list(patients)))
    owner = np.array([place[str(patient)] for patient in cohort.slice_patient[rows]], np.int64)
    return cohort.slice_image[rows], cohort.slice_mask[rows], owner


def _exchanged(scores: Sequence[Floats], draws: int, seed: int) -> Floats:
    """(draws,) means over all patients when each gets the genes of another who was left out in the same fold."""
    total, count = np.zeros(draws), 0
    for number, matrix in enumerate(scores):
        n = len(matrix)
        total += matrix[np.arange(n), derangements(n, draws, [seed, 33, number])].sum(axis=1)
        count += n
    return total / count
