"""Gene prediction: what a method reads off held-out patients' images about their genes, beside baselines and its null.

A patient is the unit: predictions of a patient's slices are averaged. The baselines know the same training patients and
the same slices: their mean; ridge regression from radiomic features; the same from the lesion's size alone (EVIDENCE.md
rule 2); the genes of the training patient whose radiomic features are nearest. The null permutes predictions among
held-out patients. Formulas: `distances`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import RidgeCV

from radiogenesis.cohort.expression import ExpressionScaler
from radiogenesis.cohort.lesion_slices import LARGER
from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.genes.distances import (
    MEASURES,
    correlation_tests,
    mean_correlation,
    r_squared,
)
from radiogenesis.evaluation.measures.control import ALPHAS
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.protocols import GenePredictor
from radiogenesis.phenotypes.lesion import FEATURES, lesion_features
from radiogenesis.phenotypes.radiomics import radiomic_features
from radiogenesis.stats.resampling import (
    Floats,
    interval,
    patient_means,
    permutation_p,
    permutations,
    resamples,
)

METHOD, MEAN, RIDGE, SIZE, NEAREST = (
    "the method", "mean of training patients", "ridge regression, radiomic features", "ridge regression, size alone",
    "nearest training patient, radiomic features",
)  # fmt: skip
ALPHA = 0.05
_CLIP = 5.0  # standard deviations beyond which a radiomic feature says no more


def predicts_genes(method: object) -> bool:
    """Whether there is gene prediction to measure."""
    return isinstance(method, GenePredictor)


@dataclass(frozen=True)
class GenePrediction:
    """What was found.

    Attributes:
        table: one row per predictor: every measure of `distances.MEASURES` with `_low` and `_high`; `less_mae` with
            ends, the baseline's MAE minus the method's, by patient; r with ends; `lead` with ends, the method's r
            minus the baseline's on the same resamples; r2 (median over genes), null_low and null_high of r, p, found
            (genes with q < 0.05), found_max (family-wise), tests, patients.
        genes: one row per gene: r, r2, p, q, p_max of the method, and r of every baseline.
        patients: one row per held-out patient and predictor: the measures.
        confidence: coverage of the intervals.
    """

    table: pd.DataFrame
    genes: pd.DataFrame
    patients: pd.DataFrame
    confidence: float = 0.95

    def row(self, predictor: str) -> dict[Hashable, Any]:
        """The table's row of one predictor."""
        return self.table[self.table["predictor"] == predictor].to_dict("records")[0]


def gene_prediction(
    method: GenePredictor, cohort: Cohort, split: Split, scaler: ExpressionScaler, settings: EvaluationSettings
) -> GenePrediction:
    """Predict held-out patients' genes, and compare."""
    train, test = (
        method.unit_genes(scaler.transform(cohort.expression, list(part))).astype(float)
        for part in (split.train, split.test)
    )
    predictions = {METHOD: predicted_genes(method, cohort, split.test)}
    predictions |= baselines(train, slice_features(cohort, split.train), slice_features(cohort, split.test))
    return compare(predictions, test, split.test, scaler.genes, settings)


def predicted_genes(method: GenePredictor, cohort: Cohort, patients: Sequence[str]) -> Floats:
    """(n, G) in [0, 1]: the mean over each patient's slices."""
    predicted = []
    for patient in patients:  # one patient at a time: 60,607 genes of all slices would be large
        theirs = cohort.slice_patient == patient
        image, mask = cohort.slice_image[theirs].astype(np.float32), cohort.slice_mask[theirs]
        predicted.append(method.predict_genes(image, mask).mean(0, dtype=float))
    return np.stack(predicted)


def slice_features(cohort: Cohort, patients: Sequence[str]) -> pd.DataFrame:
    """(n, F) the six lesion features and the radiomic ones, means over each patient's larger slices.

    Larger: at least half the area of the patient's largest (see `properties.own_features`).
    """
    own = cohort.lesions(patients, least_area=LARGER)
    image, mask = (torch.from_numpy(one.astype(np.float32))[:, None] for one in (own.image, own.mask))
    named = lesion_features(image, mask, cohort.pixel_mm, darker=cohort.imaging.may_be_darker)
    features = {**named, **radiomic_features(image, mask, cohort.pixel_mm)}
    means = {name: patient_means(v.double().numpy(), own.patient, patients) for name, v in features.items()}
    return pd.DataFrame(means, index=pd.Index(list(patients), name="patient"))


def baselines(train_genes: Floats, train: pd.DataFrame, test: pd.DataFrame) -> dict[str, Floats]:
    """What simple predictors make of it: (n, G) each. Everything is fitted on training patients."""
    x, new = standardized(train, test)
    at = list(train.columns).index(FEATURES[0])
    distance = ((new[:, None, :] - x[None, :, :]) ** 2).sum(2)  # (n, t)
    return {
        MEAN: np.tile(train_genes.mean(0), (len(test), 1)),
        RIDGE: ridge(x, train_genes, new),
        SIZE: ridge(x[:, [at]], train_genes, new[:, [at]]),
        NEAREST: train_genes[distance.argmin(1)],
    }


def ridge(x: Floats, genes: Floats, new: Floats) -> Floats:
    """Ridge regression to all genes at once, one alpha by leave-one-out; kept in [0, 1], where genes are."""
    mean = genes.mean(0)
    fitted = RidgeCV(alphas=ALPHAS).fit(x, genes - mean)
    return np.asarray(np.clip(fitted.predict(new).reshape(len(new), -1) + mean, 0, 1))


def standardized(train: pd.DataFrame, test: pd.DataFrame) -> tuple[Floats, Floats]:
    """Mean 0 and variance 1 over training patients, at most 5 to either side; missing values are 0, the mean."""
    mean, scale = train.mean(), train.std(ddof=0)
    usable = scale > 1e-9
    x, new = ((part - mean)[scale.index[usable]] / scale[usable] for part in (train, test))
    kept = list(scale.index[usable])
    full = [pd.DataFrame(0.0, index=part.index, columns=train.columns) for part in (train, test)]
    for whole, part in zip(full, (x, new), strict=True):
        whole[kept] = part.clip(-_CLIP, _CLIP).fillna(0.0)
    return full[0].to_numpy(float), full[1].to_numpy(float)


def compare(
    predictions: Mapping[str, Floats],
    true: Floats,
    patients: Sequence[str],
    genes: Sequence[str],
    settings: EvaluationSettings,
) -> GenePrediction:
    """Measure every predictor on the same held-out patients, resampled alike.

    Args:
        predictions: predictor -> (n, G) in [0, 1]; METHOD among them.
        true: (n, G) in [0, 1].
    """
    n = len(patients)
    draws = resamples(n, settings.bootstrap, [settings.seed, 21])
    swaps = permutations(n, settings.permutations, [settings.seed, 22])
    resampled = {who: mean_correlation(predicted, true, draws) for who, predicted in predictions.items()}
    errors = {who: {name: measure(p, true) for name, measure in MEASURES.items()} for who, p in predictions.items()}
    rows, by_gene = [], pd.DataFrame({"gene": list(genes)})
    for who, predicted in predictions.items():
        row: dict[str, Any] = {"predictor": who}
        for name, values in errors[who].items():
            low, high = interval(values[draws].mean(1), settings.confidence)
            row |= {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}
        less = errors[who]["mae"] - errors[METHOD]["mae"]
        low, high = interval(less[draws].mean(1), settings.confidence)
        row |= {"less_mae": float(less.mean()), "less_mae_low": low, "less_mae_high": high}
        r, p, q, p_max, null = correlation_tests(predicted, true, swaps)
        r2 = r_squared(predicted, true)
        row |= _mean_row(predicted, true, null, resampled[who], settings)
        row |= _lead(predictions[METHOD], predicted, true, resampled[METHOD] - resampled[who], settings) | {
            "r2": float(np.nanmedian(r2)), "found": int((q < ALPHA).sum()), "found_max": int((p_max < ALPHA).sum()),
            "tests": int(np.isfinite(p).sum()), "genes": true.shape[1], "patients": n,
        }  # fmt: skip
        rows.append(row)
        if who == METHOD:
            by_gene = by_gene.assign(r=r, r2=r2, p=p, q=q, p_max=p_max)
        else:
            by_gene[f"r, {who}"] = r
    each = [pd.DataFrame({"predictor": who, "patient": list(patients), **values}) for who, values in errors.items()]
    by_gene = by_gene.sort_values("r", ascending=False, kind="stable", ignore_index=True)
    return GenePrediction(pd.DataFrame(rows), by_gene, pd.concat(each, ignore_index=True), settings.confidence)


def _mean_row(
    predicted: Floats, true: Floats, null: Floats, resampled: Floats, settings: EvaluationSettings
) -> dict[str, float]:
    """Mean r over genes with its interval, its null and its p; nan for a predictor that says the same of everybody."""
    value = _mean_r(predicted, true)
    if not np.isfinite(value):
        return dict.fromkeys(("r", "r_low", "r_high", "null_low", "null_high", "p"), float("nan"))
    low, high = interval(resampled, settings.confidence)
    null_low, null_high = interval(null, settings.confidence)
    p = permutation_p(value, null)
    return {"r": value, "r_low": low, "r_high": high, "null_low": null_low, "null_high": null_high, "p": p}


def _lead(
    method: Floats, baseline: Floats, true: Floats, resampled: Floats, settings: EvaluationSettings
) -> dict[str, float]:
    """How far the method's mean r lies above the baseline's, on the same patients and the same resamples of them."""
    low, high = interval(resampled, settings.confidence)
    return {"lead": _mean_r(method, true) - _mean_r(baseline, true), "lead_low": low, "lead_high": high}


def _mean_r(predicted: Floats, true: Floats) -> float:
    return float(mean_correlation(predicted, true, np.arange(len(true))[None])[0])
