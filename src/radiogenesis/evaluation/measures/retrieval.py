"""Retrieval: which patient's genes belong to this lesion? The alignments' own measure (METHODS.md section 1b).

For each held-out patient the genes of all held-out patients are ranked by their similarity to the patient's lesion; the
rank of the patient's own genes is 1 at best and (n + 1) / 2 by chance. Per slice (ranks averaged over a patient's
slices), and per patient (embeddings averaged over the slices first). Null: genes exchanged between patients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.stats.multiple_testing import false_discovery_rate
from radiogenesis.stats.resampling import (
    Floats,
    Indices,
    bootstrap,
    interval,
    permutation_p,
    permutations,
)


def ranks(similarity: NDArray[Any]) -> Floats:
    """(L, n) similarities of lesions to the genes of n patients -> (L, n) ranks, 1 the most similar, ties averaged."""
    return np.asarray(rankdata(-np.asarray(similarity, float), axis=1))


def retrieval_scores(
    genes: NDArray[Any], lesions: NDArray[Any], owner: NDArray[np.int64]
) -> dict[str, dict[str, Floats]]:
    """For each pair of a patient's lesions and a patient's genes: mean rank, and how often among the first 1 and 5.

    Args:
        genes: (n, D) codes of the held-out patients' genes, unit length.
        lesions: (N, D) embeddings of their slices, unit length.
        owner: (N,) index of each slice's patient; every patient has at least one.

    Returns:
        "slice" and "patient" -> "mean rank", "top-1", "top-5" -> (n, n); the diagonal is what is asked for.
    """
    n = len(genes)
    by_slice = ranks(lesions @ genes.T)
    pooled = np.stack([lesions[owner == p].mean(0) for p in range(n)])
    by_patient = ranks(pooled @ genes.T)
    by_level: dict[str, dict[str, Floats]] = {}
    for level, rank, who in (("slice", by_slice, owner), ("patient", by_patient, np.arange(n))):
        measures = {"mean rank": rank, "top-1": (rank <= 1).astype(float), "top-5": (rank <= 5).astype(float)}
        by_level[level] = {name: np.stack([m[who == p].mean(0) for p in range(n)]) for name, m in measures.items()}
    return by_level


def retrieval_table(
    genes: NDArray[Any], lesions: NDArray[Any], owner: NDArray[np.int64], settings: EvaluationSettings
) -> pd.DataFrame:
    """Mean rank, top-1 and top-5 with intervals over patients, beside chance and beside exchanged genes.

    Returns:
        columns level, measure, value, low, high, chance, null_mean, null_low, null_high, p (one-sided), q,
        patients, slices.
    """
    n = len(genes)
    chance = {"mean rank": (n + 1) / 2, "top-1": 1 / n, "top-5": min(5, n) / n}
    swaps = permutations(n, settings.permutations, [settings.seed, 6])
    rows = []
    for level, measures in retrieval_scores(genes, lesions, owner).items():
        for name, matrix in measures.items():
            own = np.diag(matrix)

            def mean(index: Indices, own: Floats = own) -> Floats:
                return np.asarray(own[index].mean(1))

            estimate = bootstrap(
                mean, n, draws=settings.bootstrap, seed=[settings.seed, 5], confidence=settings.confidence
            )
            null = matrix[np.arange(n), swaps].mean(1)
            low, high = interval(null, settings.confidence)
            rows.append(
                {
                    "level": level, "measure": name, "value": estimate.value, "low": estimate.low,
                    "high": estimate.high, "chance": chance[name],
                    "null_mean": float(null.mean()), "null_low": low, "null_high": high,
                    "p": permutation_p(estimate.value, null, greater=name != "mean rank"),
                    "patients": n, "slices": len(lesions),
                }
            )  # fmt: skip
    table = pd.DataFrame(rows)
    return table.assign(q=false_discovery_rate(table["p"].to_numpy()))
