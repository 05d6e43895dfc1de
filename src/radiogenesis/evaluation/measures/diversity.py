"""Diversity: do the drawings for one patient differ, or has the generator collapsed to one lesion?

The paper admits to mode collapse. Spread is the mean distance between two lesions (in the space of
`lesions.Space`) and the standard deviation of each lesion feature, of
- noise alone: one patient's genes on one background;
- noise and background: one patient's genes on different backgrounds;
- patients: drawings for different patients, from the same noise on the same background; and real lesions of different
  patients beside them. A generator that draws the same lesion for everybody fails here only.

The first two stand beside the spread of the patient's own real slices. A collapsed generator has spread 0. A share
above 100 % is no virtue: then drawings of one patient differ more than the patient's own slices do. Real lesions of
different patients differ by their slices, too, which drawings from the same noise do not: between patients even a
perfect generator stays somewhat below 100 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist

from radiogenesis.evaluation.descriptions.lesions import Lesions, Space
from radiogenesis.evaluation.descriptions.properties import measure as properties_of
from radiogenesis.evaluation.measures.base import (
    PATIENTS as PATIENTS_COLUMN,
)
from radiogenesis.evaluation.measures.base import (
    REST,
    RUN,
    Measure,
    Number,
    Result,
    Score,
    Work,
    joined,
)
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.phenotypes.lesion import FEATURES
from radiogenesis.phenotypes.lesion import names as names_of
from radiogenesis.reporting.model import Column, Section, Table
from radiogenesis.reporting.wording import coverage, percent
from radiogenesis.stats.resampling import Floats, Indices, counted, interval, mean_of_pairs, nanmean, resamples

if TYPE_CHECKING:
    from radiogenesis.evaluation.results import RunResults

NOISE, BACKGROUND, PATIENTS = "noise alone", "noise and background", "patients"
DISTANCE = "distance"


@dataclass(frozen=True)
class Spread:
    """Spread of drawings beside that of real lesions; nan where there are no two.

    Attributes:
        drawn, real: (n,), patient by patient; or (n, n), between two patients, with a diagonal of nan.
    """

    drawn: Floats
    real: Floats

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where both could be measured."""
        return np.isfinite(self.drawn) & np.isfinite(self.real)

    def ratio(self, draws: int, seed: Sequence[int]) -> Floats:
        """(1 + D,) ratio of the means over patients, and its resamples."""
        n = len(self.drawn)
        index = np.concatenate([np.arange(n)[None], resamples(n, draws, seed)])
        drawn, real = (_means(np.where(self.known, values, np.nan), index) for values in (self.drawn, self.real))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(drawn / real)


def _means(values: Floats, index: Indices) -> Floats:
    """(D,) means over the patients (n,), or over the pairs of patients (n, n), of each resample (D, n)."""
    if values.ndim == 1:
        return nanmean(values[index], 1)
    counts = counted(index, len(values))
    return mean_of_pairs(values, counts, counts)


def spreads(
    by_noise: Lesions,
    drawn: Lesions,
    real: Lesions,
    space: Space,
    patients: Sequence[str],
    properties: Mapping[str, Floats],
    own: Floats,
    names: Sequence[str] = FEATURES,
) -> dict[tuple[str, str], Spread]:
    """Spread by what differs and by measure.

    Args:
        by_noise: each patient's genes on one background with different noise.
        drawn: each patient's genes on different backgrounds; the same backgrounds in the same order for everybody.
        real: the patients' own slices.
        properties: what differs -> (n, K, F) lesion features of the drawings.
        own: (N, F) lesion features of `real`.
        names: (F,) what the features are called.
    """
    spread_of: dict[tuple[str, str], Spread] = {}
    slices = [real[real.patient == p] for p in patients]
    for what, lesions in ((NOISE, by_noise), (BACKGROUND, drawn)):
        each = [lesions[lesions.patient == p] for p in patients]
        spread_of[what, DISTANCE] = Spread(
            *(_values(_mean_distance(space(one)) for one in part) for part in (each, slices))
        )
        for f, name in enumerate(names):
            spread_of[what, name] = Spread(
                _values(_deviation(one) for one in properties[what][:, :, f]),
                _values(_deviation(own[real.patient == p, f]) for p in patients),
            )
    spread_of[PATIENTS, DISTANCE] = Spread(_between_drawings(drawn, space, patients), _between(real, space, patients))
    return spread_of


def _values(numbers: Iterable[float]) -> Floats:
    return np.array(list(numbers), float)


def _mean_distance(x: Floats) -> float:
    x = x[np.isfinite(x).all(1)]
    return float(pdist(x).mean()) if len(x) > 1 else float("nan")


def _deviation(values: Floats) -> float:
    values = values[np.isfinite(values)]
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def _between_drawings(drawn: Lesions, space: Space, patients: Sequence[str]) -> Floats:
    """(n, n) mean distance of the k-th drawing for one patient from the k-th for another: on the same background."""
    each = np.stack([space(drawn[drawn.patient == p]) for p in patients])  # (n, K, d)
    distances = np.stack([nanmean(np.linalg.norm(each - mine, axis=2), 1) for mine in each])
    np.fill_diagonal(distances, np.nan)
    return distances


def _between(real: Lesions, space: Space, patients: Sequence[str]) -> Floats:
    """(n, n) mean distance of one patient's lesions from another's."""
    real = real.usable()
    distance = cdist(space(real), space(real))
    theirs = np.asarray(np.asarray(patients)[:, None] == real.patient[None], float)
    count = np.outer(theirs.sum(1), theirs.sum(1))
    np.fill_diagonal(count, 0)
    return np.asarray(np.where(count > 0, theirs @ distance @ theirs.T / np.maximum(count, 1), np.nan))


def diversity_table(spread_of: dict[tuple[str, str], Spread], settings: EvaluationSettings) -> pd.DataFrame:
    """One row per what differs and measure.

    Returns:
        columns differs, measure, drawn, low, high, real, real_low, real_high, ratio, ratio_low, ratio_high, patients.
    """
    rows = []
    for (what, measure), spread in spread_of.items():
        row: dict[str, object] = {"differs": what, "measure": measure}
        n = len(spread.drawn)
        everybody, draws = np.arange(n)[None], resamples(n, settings.bootstrap, [settings.seed, 8])
        for prefix, name, values in (("", "drawn", spread.drawn), ("real_", "real", spread.real)):
            low, high = interval(_means(values, draws), settings.confidence)
            row |= {name: float(_means(values, everybody)[0]), f"{prefix}low": low, f"{prefix}high": high}
        ratio = spread.ratio(settings.bootstrap, [settings.seed, 8])
        low, high = interval(ratio[1:], settings.confidence)
        row |= {"ratio": float(ratio[0]), "ratio_low": low, "ratio_high": high}
        measured = spread.known if spread.known.ndim == 1 else spread.known.any(1)
        rows.append({**row, "patients": int(measured.sum())})
    return pd.DataFrame(rows)


COLLAPSED = 0.5  # share of the real spread; a choice of ours


class Diversity(Measure):
    """How far apart drawings for one patient are, and those of different patients."""

    table = "diversity"
    numbers: ClassVar = {
        "diversity": Number(
            "Diversity", "1", ".2f", "spread for one patient over that of the patient's own slices", REST
        )
    }

    def measure(self, work: Work) -> Result:
        real, drawn, cohort, settings = work.real, work.drawn, work.cohort, work.settings
        split = work.subject.split
        space = Space.fit(real.slices.of(split.train))
        index = real.index[np.isin(real.slices.patient, split.test)]
        own = properties_of(cohort.slice_image[index], cohort.slice_mask[index], cohort.pixel_mm, cohort.imaging)
        properties = {NOISE: drawn.noise_features, BACKGROUND: drawn.features}
        held_out = real.slices.of(split.test)
        called = names_of(cohort.imaging)
        spread_of = spreads(drawn.by_noise, drawn.lesions, held_out, space, split.test, properties, own, called)
        ratio = spread_of[BACKGROUND, DISTANCE].ratio(settings.bootstrap, [settings.seed, 8])
        score = Score(
            float(ratio[0]), ratio[1:], reference=1.0, null=0.0, images=len(drawn.lesions), patients=len(split.test)
        )
        return Result({self.table: diversity_table(spread_of, settings)}, {"diversity": score})

    def sections(self, runs: Sequence[RunResults], tables: Path, settings: EvaluationSettings) -> list[Section]:
        return [_diversity_section(joined(runs, self.table, tables), settings)]

    def sentence(self, run: RunResults, confidence: float) -> str:
        return diversity_conclusion(run.subject.name, run.tables[self.table], confidence)


def diversity_conclusion(label: str, table: pd.DataFrame, confidence: float) -> str:
    """One sentence on mode collapse, from `diversity_table`."""
    noise, both, patients = table[table["measure"] == "distance"].to_dict("records")
    text = (
        f"{label}: lesions drawn for one patient differ by {percent(both['ratio'])} of what the patient's own slices "
        f"differ by ({coverage(confidence)} interval {percent(both['ratio_low'])} to {percent(both['ratio_high'])}), "
        f"by {percent(noise['ratio'])} through noise alone"
    )
    text += f"; between patients drawings differ by {percent(patients['ratio'])} of what real lesions do."
    if patients["ratio_high"] < COLLAPSED:
        text += " It draws the same for everybody."
    if both["ratio_high"] < COLLAPSED:
        text += " For one patient it draws one lesion only: mode collapse."
    return text


def _diversity_section(file: str, settings: EvaluationSettings) -> Section:
    columns = (
        RUN,
        Column(label="What differs", value="differs"),
        Column(label="Spread of", value="measure"),
        Column(label="Drawn", value="drawn", low="low", high="high", format=".2f"),
        Column(label="Real", value="real", low="real_low", high="real_high", format=".2f"),
        Column(label="Drawn / real", value="ratio", low="ratio_low", high="ratio_high", format="%"),
        PATIENTS_COLUMN,
    )
    return Section(
        title="Do the drawings differ?",
        text=(
            "How far apart lesions drawn for one patient are, beside the patient's own slices; and how far apart "
            "patients "
            "are. Near 0 % the generator has collapsed to one lesion."
        ),
        blocks=(
            Table(
                file=file,
                caption=(
                    "distance: mean between two lesions in the space that KID is taken in; the others: standard "
                    "deviation. "
                    f"Noise alone: {settings.noise_draws} drawings on one background. Between patients: of drawings "
                    "on one background with one noise, beside all real slices, which differ by more than the patient: "
                    "somewhat below 100 % is as it should be. "
                    f"{coverage(settings.confidence)} intervals over patients."
                ),
                columns=columns,
                strong=("measure", "distance"),
            ),
        ),
    )
