"""Control: do the genes steer what is drawn? Held-out patients, beside a regression and the null.

The statistic is Spearman's rho over held-out patients between the mean of a feature over the images drawn from a
patient's genes and a reference: the planted factor where it is known, and the same feature on the patient's own slices.

- Regression: the same rho for a ridge regression from the same genes to the feature, fitted on the training patients.
  It is no upper limit: drawings can rank the patients better than this one regression does.
- Null: the same rho when the patients' genes are exchanged at random. All patients are drawn on
  the same backgrounds with the same noise, so that exchanging the drawings is exchanging the genes, exactly.
- Share: rho of the drawings over rho of the regression. Spread: bootstrap over patients, the same resample for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV

from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.stats.multiple_testing import false_discovery_rate
from radiogenesis.stats.resampling import (
    Floats,
    Indices,
    interval,
    nanmean,
    permutation_p,
    permutations,
    resamples,
    spearman,
)
from radiogenesis.training.data import untrained_backgrounds

ALPHAS = np.logspace(0, 7, 29)
TRUTH, OWN = "planted truth", "own slices"
MEAN = "mean"  # the row over all features


@dataclass(frozen=True)
class Measured:
    """One number per held-out patient and feature; all (n, F), nan where it could not be measured.

    Attributes:
        patients: (n,) held-out patients.
        features: (F,) names.
        drawn: mean over the images drawn from the patient's genes.
        own: mean over the patient's own slices.
        predicted: ridge regression from the patient's genes.
        truth: planted factors, or None where nothing was planted.
        images: how many images were drawn.
        unmeasured: share of the drawn images in which no lesion could be measured.
    """

    patients: tuple[str, ...]
    features: tuple[str, ...]
    drawn: Floats
    own: Floats
    predicted: Floats
    truth: Floats | None
    images: int
    unmeasured: float

    @property
    def ignores_genes(self) -> bool:
        """Whether the same was drawn for everybody: patients differ by their genes only, so the genes do nothing."""
        return bool(np.array_equal(self.drawn, np.broadcast_to(self.drawn[:1], self.drawn.shape), equal_nan=True))

    def references(self) -> Mapping[str, Floats]:
        """What the drawings are compared with."""
        return {OWN: self.own} if self.truth is None else {TRUTH: self.truth, OWN: self.own}

    def frame(self) -> pd.DataFrame:
        """Tidy: patient, feature, drawn, own, predicted, truth."""
        columns = {"drawn": self.drawn, "own": self.own, "predicted": self.predicted}
        columns["truth"] = np.full_like(self.drawn, np.nan) if self.truth is None else self.truth
        index = pd.MultiIndex.from_product([self.patients, self.features], names=["patient", "feature"])
        return pd.DataFrame({name: values.ravel() for name, values in columns.items()}, index=index).reset_index()


def ridge_prediction(genes: NDArray[Any], values: NDArray[Any], held_out: NDArray[Any]) -> Floats:
    """Ridge regression from genes to each feature.

    Alpha is chosen per feature by leave-one-out among the training patients.

    Args:
        genes: (t, G) scaled genes of the training patients.
        values: (t, F) features; patients with nan are left out of that feature.
        held_out: (n, G).

    Returns:
        (n, F); nan for a feature that fewer than 3 training patients have.
    """
    predicted = np.full((len(held_out), values.shape[1]), np.nan)
    for column in range(values.shape[1]):
        known = np.isfinite(values[:, column])
        if known.sum() >= 3:
            y = values[known, column]
            scale = y.std() or 1.0
            fitted = RidgeCV(alphas=ALPHAS).fit(genes[known], (y - y.mean()) / scale)
            predicted[:, column] = fitted.predict(held_out) * scale + y.mean()
    return predicted


def control_table(measured: Measured, settings: EvaluationSettings) -> pd.DataFrame:
    """Every feature against every reference, and the mean over features.

    Returns:
        columns reference, feature, rho, low, high, regression, regression_low, regression_high, null_mean, null_low,
        null_high, p (one-sided), q (Benjamini-Hochberg over the features and references), share, share_low, share_high,
        measure (rho of own slices with the truth: what the measure itself can see), patients, images, unmeasured.
    """
    n = len(measured.patients)
    draws = resamples(n, settings.bootstrap, [settings.seed, 2])
    swaps = permutations(n, settings.permutations, [settings.seed, 3])
    rows: list[dict[str, Any]] = []
    for reference, values in measured.references().items():
        # (1 + draws, F): the value itself first, then its resamples
        index = np.concatenate([np.arange(n)[None], draws])
        rho = _by_feature(measured.drawn, values, index, index)
        regression = _by_feature(measured.predicted, values, index, index)
        null = _by_feature(measured.drawn, values, swaps, np.arange(n)[None])
        seen = _by_feature(measured.own, values, np.arange(n)[None], np.arange(n)[None])[0]
        pairs = (np.isfinite(measured.drawn) & np.isfinite(values)).sum(0)
        for f, feature in enumerate(measured.features):
            row = _row(rho[:, f], regression[:, f], null[:, f], settings.confidence)
            measure = seen[f] if reference == TRUTH else np.nan
            rows.append({"reference": reference, "feature": feature, **row, "measure": measure, "patients": pairs[f]})
        over_all = _row(nanmean(rho, 1), nanmean(regression, 1), nanmean(null, 1), settings.confidence)
        measure = float(nanmean(seen, 0)) if reference == TRUTH else np.nan
        rows.append({"reference": reference, "feature": MEAN, **over_all, "measure": measure, "patients": n})
    table = pd.DataFrame(rows)
    single = table["feature"] != MEAN
    q = false_discovery_rate(table["p"].where(single).to_numpy())  # the mean is a summary, not one more test
    return table.assign(q=q, images=measured.images, unmeasured=measured.unmeasured)


def control_draws(measured: Measured, settings: EvaluationSettings) -> dict[str, Floats]:
    """Mean over the features against the first reference, "rho" and "share": (1 + D,), the value and its resamples."""
    values = next(iter(measured.references().values()))
    n = len(measured.patients)
    index = np.concatenate([np.arange(n)[None], resamples(n, settings.bootstrap, [settings.seed, 2])])
    rho = nanmean(_by_feature(measured.drawn, values, index, index), 1)
    return {"rho": rho, "share": _share(rho, nanmean(_by_feature(measured.predicted, values, index, index), 1))}


def _share(rho: Floats, regression: Floats) -> Floats:
    """A share of a regression that finds nothing says nothing: nan."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(regression > 0.05, rho / regression, np.nan))


def _by_feature(x: Floats, y: Floats, rows_x: Indices, rows_y: Indices) -> Floats:
    """(D, F) Spearman between x[rows_x] and y[rows_y], feature by feature."""
    return np.stack([spearman(x[:, f][rows_x], y[:, f][rows_y]) for f in range(x.shape[1])], axis=1)


def _row(rho: Floats, regression: Floats, null: Floats, confidence: float) -> dict[str, float]:
    """The numbers of one row from (1 + D,) values and resamples."""
    share = _share(rho, regression)
    row: dict[str, float] = {}
    for name, values in {"rho": rho, "regression": regression, "share": share}.items():
        low, high = interval(values[1:], confidence)
        prefix = "" if name == "rho" else f"{name}_"
        row |= {name: float(values[0]), f"{prefix}low": low, f"{prefix}high": high}
    low, high = interval(null, confidence)
    row |= {"null_mean": float(nanmean(null, 0)), "null_low": low, "null_high": high}
    return row | {"p": permutation_p(row["rho"], null[np.isfinite(null)])}


def shared_backgrounds(cohort: Cohort, split: Split, count: int, seed: int) -> tuple[NDArray[np.int64], str]:
    """Which backgrounds everybody is drawn on: from as many held-out patients as possible, patient by patient.

    Returns:
        (count,) indices, and in words whose they are; see `untrained_backgrounds`. Fewer where there are not as many.
    """
    pool, whose = untrained_backgrounds(cohort, split)
    order = np.random.default_rng([seed, 4]).permutation(pool)
    owner = pd.Series(cohort.background_patient[order].astype(str))
    turn = owner.groupby(owner).cumcount().to_numpy()  # the first of everybody, the second, ...
    return order[np.argsort(turn, kind="stable")][:count], whose
