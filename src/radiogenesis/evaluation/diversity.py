"""Diversity: do the drawings for one patient differ, or has the generator collapsed to one lesion?

The paper admits to mode collapse. Spread is the mean distance between two lesions (in the space of
`lesions.Space`) and the standard deviation of each lesion feature, of
- noise alone: one patient's genes on one background;
- noise and background: one patient's genes on different backgrounds;
- patients: drawings for different patients, from the same noise on the same background; and real lesions of different
  patients beside them. A generator that draws the same lesion for everybody fails here only.

The first two stand beside the spread of the patient's own real slices. A collapsed generator has spread 0. A share
above 100 % is no virtue: then drawings of one patient differ more than the patient's own slices do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist, pdist

from radiogenesis.evaluation.bootstrap import Floats, interval, nanmean, resamples
from radiogenesis.evaluation.lesions import Lesions, Space
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.phenotypes.lesion import FEATURES

NOISE, BACKGROUND, PATIENTS = "noise alone", "noise and background", "patients"
DISTANCE = "distance"


@dataclass(frozen=True)
class Spread:
    """Spread of drawings beside that of real lesions, patient by patient; both (n,), nan where there are no two."""

    drawn: Floats
    real: Floats

    def ratio(self, draws: int, seed: Sequence[int]) -> Floats:
        """(1 + D,) ratio of the means over patients, and its resamples."""
        both = np.isfinite(self.drawn) & np.isfinite(self.real)
        if not both.any():
            return np.full(1 + draws, np.nan)
        drawn, real = self.drawn[both], self.real[both]
        index = np.concatenate([np.arange(len(drawn))[None], resamples(len(drawn), draws, seed)])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(drawn[index].mean(1) / real[index].mean(1))


def spreads(
    by_noise: Lesions,
    drawn: Lesions,
    real: Lesions,
    space: Space,
    patients: Sequence[str],
    properties: Mapping[str, Floats],
    own: Floats,
) -> dict[tuple[str, str], Spread]:
    """Spread by what differs and by measure.

    Args:
        by_noise: each patient's genes on one background with different noise.
        drawn: each patient's genes on different backgrounds; the same backgrounds in the same order for everybody.
        real: the patients' own slices.
        properties: what differs -> (n, K, F) lesion features of the drawings.
        own: (N, F) lesion features of `real`.
    """
    found: dict[tuple[str, str], Spread] = {}
    slices = [real[real.patient == p] for p in patients]
    for what, lesions in ((NOISE, by_noise), (BACKGROUND, drawn)):
        each = [lesions[lesions.patient == p] for p in patients]
        found[what, DISTANCE] = Spread(
            *(_values(_mean_distance(space(one)) for one in part) for part in (each, slices))
        )
        for f, name in enumerate(FEATURES):
            found[what, name] = Spread(
                _values(_deviation(one) for one in properties[what][:, :, f]),
                _values(_deviation(own[real.patient == p, f]) for p in patients),
            )
    found[PATIENTS, DISTANCE] = Spread(
        _from_others(drawn, space, patients, same_place=True), _from_others(real, space, patients)
    )
    return found


def _values(numbers: Iterable[float]) -> Floats:
    return np.array(list(numbers), float)


def _mean_distance(x: Floats) -> float:
    x = x[np.isfinite(x).all(1)]
    return float(pdist(x).mean()) if len(x) > 1 else float("nan")


def _deviation(values: Floats) -> float:
    values = values[np.isfinite(values)]
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def _from_others(lesions: Lesions, space: Space, patients: Sequence[str], *, same_place: bool = False) -> Floats:
    """(n,) mean distance of each patient's lesions from the others'; `same_place`: only the k-th from the k-th."""
    x = space(lesions)
    each = [x[lesions.patient == p] for p in patients]
    found = np.full(len(patients), np.nan)
    for i, mine in enumerate(each):
        others = [other for j, other in enumerate(each) if j != i]
        if same_place:
            apart = [np.linalg.norm(mine - other, axis=1) for other in others if len(other) == len(mine)]
        else:
            apart = [cdist(mine, other).ravel() for other in others]
        found[i] = float(nanmean(np.concatenate(apart), 0)) if apart and len(mine) else np.nan
    return found


def diversity_table(found: dict[tuple[str, str], Spread], settings: EvaluationSettings) -> pd.DataFrame:
    """One row per what differs and measure.

    Returns:
        columns differs, measure, drawn, low, high, real, real_low, real_high, ratio, ratio_low, ratio_high, patients.
    """
    rows = []
    for (what, measure), spread in found.items():
        row: dict[str, object] = {"differs": what, "measure": measure}
        n = len(spread.drawn)
        draws = resamples(n, settings.bootstrap, [settings.seed, 8])
        for prefix, name, values in (("", "drawn", spread.drawn), ("real_", "real", spread.real)):
            low, high = interval(nanmean(values[draws], 1), settings.confidence)
            row |= {name: float(nanmean(values, 0)), f"{prefix}low": low, f"{prefix}high": high}
        ratio = spread.ratio(settings.bootstrap, [settings.seed, 8])
        low, high = interval(ratio[1:], settings.confidence)
        row |= {"ratio": float(ratio[0]), "ratio_low": low, "ratio_high": high}
        rows.append({**row, "patients": int((np.isfinite(spread.drawn) & np.isfinite(spread.real)).sum())})
    return pd.DataFrame(rows)
