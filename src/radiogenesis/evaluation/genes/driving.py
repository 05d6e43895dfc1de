"""The genes that drawings follow, by name: which genes rise and fall with what is drawn over the held-out patients.

Spearman's rho between each gene and each drawn property, beside what the largest of all genes reaches by chance and
beside the same gene's rho with the patients' own lesions. It says what the model follows, not what is true of tumors:
genes that are correlated share a rho, and only the last column is about real lesions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from radiogenesis.evaluation.measures.control import Measured
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.stats.resampling import Floats, permutations

NAMED = 5
"""Genes that are named for each property."""
FEWEST = 8
"""Held-out patients with a drawn value that a property must have."""
_COLUMNS = ["feature", "gene", "rho", "chance", "p", "own", "n"]


def driving_genes(
    genes: NDArray[Any], names: Sequence[str], measured: Measured, settings: EvaluationSettings
) -> pd.DataFrame:
    """The genes that go most with each drawn property.

    Args:
        genes: (n, G) of the held-out patients of `measured`.
        names: of the G genes.

    Returns:
        tidy: feature, gene, rho, chance (95th percentile of the largest |rho| of all genes with patients exchanged),
        p (how often that largest reaches this rho), own (rho with the patients' own lesions), n.
    """
    rows = []
    for f, feature in enumerate(measured.features):
        known = np.isfinite(measured.drawn[:, f]) & np.isfinite(measured.own[:, f])
        drawn, own = measured.drawn[known, f], measured.own[known, f]
        if known.sum() < FEWEST or np.ptp(drawn) == 0:
            continue
        left, right = _unit(genes[known]), _unit(drawn[:, None])[:, 0]
        rho, of_own = left.T @ right, left.T @ _unit(own[:, None])[:, 0]
        orders = permutations(len(right), settings.permutations, [settings.seed, 31])
        largest = np.array([np.abs(left.T @ right[order]).max() for order in orders])
        chance = float(np.quantile(largest, 0.95))
        for g in np.argsort(-np.abs(rho), kind="stable")[:NAMED]:
            p = (1 + int((largest >= abs(rho[g]) - 1e-9).sum())) / (1 + len(largest))
            rows.append((feature, str(names[g]), float(rho[g]), chance, p, float(of_own[g]), int(known.sum())))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _unit(values: NDArray[Any]) -> Floats:
    """(n, K) ranks of length 1 without their mean; 0 throughout where nothing varies."""
    ranks = stats.rankdata(values, axis=0)
    ranks -= ranks.mean(axis=0)
    length = np.linalg.norm(ranks, axis=0)
    return np.asarray(ranks / np.where(length > 0, length, 1.0))
