"""The six appearance factors of a lesion, and how genes drive them; and a seventh that none of the properties measures.

A factor is a score: standard normal over patients, a share `strength` of its variance explained by genes, the rest
left to chance. Each score becomes a physical quantity by a monotone map with finite ends, the same for every cohort,
so that a score has the same meaning in a phantom and in a real lung.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

FACTORS = ("size", "attenuation", "spiculation", "margin", "heterogeneity", "cavitation")
UNLISTED = "off-centre solid part"  # its name in cohorts on disk
"""How far a denser part lies from the middle of its lesion: whatever its place, the lesion's histogram, its texture and
its outline are nearly the same."""
SIZE_MM = (13.0, 36.0)
"""Diameters of the smallest and the largest lesion."""
ATTENUATION_HU = (-600.0, 40.0)
"""Tissue of the lightest and of the densest lesion: from ground glass to solid."""


@dataclass(frozen=True, kw_only=True)
class LesionFactors:
    """What one lesion looks like, in physical units."""

    size_mm: float
    """Diameter of the sphere that has the lesion's volume, mm."""
    attenuation_hu: float
    """Mean of the lesion's tissue, HU: ground glass near -600, solid near +40."""
    spiculation: float
    """0 smooth to 1: how far spicules reach out of the boundary, and how lobulated it is."""
    margin_mm: float
    """Distance over which the edge rises from 10 to 90 % of its height, mm; small is sharp."""
    heterogeneity_hu: float
    """Standard deviation of the texture inside, HU."""
    cavitation: float
    """Radius of the air cavity as a share of the lesion's radius; 0 is no cavity."""
    solid_offset: float | None = None
    """How far off the middle a denser part lies, 0 to 1, which is against the edge; None is no such part (UNLISTED)."""
    edema_mm: float = 0.0
    """Of tumors of the brain, whose intensities are a signal and no HU: width of the swelling around, mm."""


def factors_from_scores(
    scores: pd.DataFrame,
    *,
    size_mm: tuple[float, float] = SIZE_MM,
    attenuation_hu: tuple[float, float] = ATTENUATION_HU,
) -> dict[str, LesionFactors]:
    """Monotone maps from scores to physical quantities.

    The ranges keep the factors apart in an image: the smallest lesion is still wide enough to show its texture, the
    softest edge still leaves a plateau inside it, and ground glass is 200 HU above the lung so that its edge can be
    measured. The lower part of the scores has no cavity at all.

    Args:
        scores: patients x FACTORS, standard normal; UNLISTED too, where lesions have a solid part.
        size_mm: diameters between which the size lies.
        attenuation_hu: between which the tissue's mean lies.

    Returns:
        patient -> factors.
    """
    rank = pd.DataFrame(ndtr(scores.to_numpy(np.float64)), scores.index, list(scores.columns))
    values = {
        "size_mm": _between_log(rank["size"], *size_mm),
        "attenuation_hu": _between(rank["attenuation"], *attenuation_hu),
        "spiculation": rank["spiculation"],
        "margin_mm": _between_log(rank["margin"], 1.5, 7.0),
        "heterogeneity_hu": _between_log(rank["heterogeneity"], 15.0, 150.0),
        "cavitation": 0.6 * np.clip((rank["cavitation"] - 0.4) / 0.6, 0.0, None),
    }
    if UNLISTED in rank:
        values["solid_offset"] = rank[UNLISTED]
    table = pd.DataFrame(values, index=scores.index)
    return {
        str(patient): LesionFactors(**{str(name): float(value) for name, value in row.items()})
        for patient, row in table.iterrows()
    }


def factor_table(factors: dict[str, LesionFactors]) -> pd.DataFrame:
    """Patients x FACTORS in physical units, and UNLISTED where lesions have a solid part: `Truth.factors`."""
    rows = [
        (f.size_mm, f.attenuation_hu, f.spiculation, f.margin_mm, f.heterogeneity_hu, f.cavitation)
        for f in factors.values()
    ]
    index = pd.Index(list(factors), name="patient")
    table = pd.DataFrame(np.array(rows, np.float64).reshape(-1, len(FACTORS)), index, list(FACTORS))
    offsets = [f.solid_offset for f in factors.values()]
    if offsets and None not in offsets:
        table[UNLISTED] = offsets
    return table


def scores_from_expression(
    expression: NDArray[np.floating], weights: pd.DataFrame, strength: float, rng: np.random.Generator
) -> pd.DataFrame:
    """score = sqrt(strength) * genes + sqrt(1 - strength) * chance, each of mean 0 and variance 1 over the patients.

    Chance is made uncorrelated with the genetic part over these patients, so `strength` is the variance explained in
    this very cohort, not only on average (where there are more than three patients).

    Args:
        expression: (patients, genes), z-scored; NaN counts as the gene's mean.
        weights: genes x factors, 0 where a gene has no effect.
        strength: 0 to 1.
        rng: draws the part left to chance.

    Returns:
        patients x factors; the index counts the patients from 0.

    Raises:
        ValueError: strength outside [0, 1], or other genes in the weights than in the expression.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength {strength}: a share of variance, from 0 to 1")
    if len(weights) != expression.shape[1]:
        raise ValueError(f"weights of {len(weights)} genes for expression of {expression.shape[1]} genes")
    complete = np.nan_to_num(np.asarray(expression, np.float64), nan=0.0)
    genetic = _standardize(complete @ weights.to_numpy(np.float64))
    chance = _standardize(rng.standard_normal(genetic.shape))
    if len(genetic) > 3:
        chance = _standardize(chance - genetic * np.mean(chance * genetic, axis=0))
    scores = np.sqrt(strength) * genetic + np.sqrt(1 - strength) * chance
    return pd.DataFrame(scores, columns=list(weights.columns))


def _standardize(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns of mean 0 and variance 1; a column that does not vary becomes 0."""
    centered = values - values.mean(axis=0)
    spread = centered.std(axis=0)
    scaled: NDArray[np.float64] = centered / np.where(spread > 0, spread, 1.0)
    return scaled


def _between(rank: pd.Series, low: float, high: float) -> pd.Series:
    return low + (high - low) * rank


def _between_log(rank: pd.Series, low: float, high: float) -> pd.Series:
    return low * (high / low) ** rank
