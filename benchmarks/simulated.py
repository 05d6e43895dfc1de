"""Cohorts without images: phantom genes and factors, and features as a measurement would give them.

A power curve takes hundreds of cohorts; drawing and measuring CT slices for each would take days and change only how
exactly a factor is measured, which is a number here. `benchmarks/map_power.py` measures that number on a full phantom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import zscore

from radiogenesis.cohort.store import Truth
from radiogenesis.phantom.expression import draw_activity, gene_model
from radiogenesis.phantom.factors import FACTORS, factor_table, factors_from_scores, scores_from_expression

Floats = NDArray[np.float64]

MEASURED = {
    "size": 0.99, "attenuation": 0.98, "spiculation": 0.93, "margin": 0.90, "heterogeneity": 0.90, "cavitation": 0.94,
}  # fmt: skip
"""Spearman correlation of a measured feature with the planted factor, on a full phantom of 120 patients."""


@dataclass(frozen=True, eq=False)
class SimulatedCohort:
    """genes (n, G) z-scores, features (n, 6) in the order of FACTORS, and what was planted."""

    genes: Floats
    names: tuple[str, ...]
    features: Floats
    truth: Truth


def planted_cohort(patients: int, genes: int, strength: float, *, modules: int = 40, seed: int = 0) -> SimulatedCohort:
    """A phantom cohort's genes and factors, and the factors as they would be measured.

    Args:
        strength: share of each factor's variance that genes explain, 0 to 1.
    """
    rng = np.random.default_rng([seed, 0x51])
    model = gene_model(genes, modules, rng)
    x = zscore(draw_activity(model, patients, rng))
    scores = scores_from_expression(x, model.weights, strength, rng)
    factors = factor_table(factors_from_scores(scores.set_axis([f"S{i:04d}" for i in range(patients)])))
    r = np.array([MEASURED[name] for name in FACTORS])
    measured = r * scores[list(FACTORS)].to_numpy() + np.sqrt(1 - r**2) * rng.standard_normal(scores.shape)
    truth = Truth(factors, model.gene_effects, model.modules, {"strength": strength})
    return SimulatedCohort(x, model.genes, measured, truth)


def null_cohort(patients: int, genes: int, features: int, *, modules: int = 8, seed: int = 0) -> tuple[Floats, Floats]:
    """Genes with modules, and features that go with each other and with no gene.

    Of every four features one is skewed, one has two values, and one misses a tenth of its values.

    Returns:
        (n, G) z-scores, (n, F).
    """
    rng = np.random.default_rng([seed, 0x0])
    x = zscore(draw_activity(gene_model(genes, modules, rng), patients, rng))
    common = rng.standard_normal((patients, 3)) @ rng.standard_normal((3, features))
    y = common + rng.standard_normal((patients, features))
    y[:, 1::4] = np.exp(y[:, 1::4])
    y[:, 2::4] = y[:, 2::4] > np.quantile(y[:, 2::4], 0.7, axis=0)
    for f in range(3, features, 4):
        y[rng.permutation(patients)[: patients // 10], f] = np.nan
    return x, y
