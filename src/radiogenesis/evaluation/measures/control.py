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

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV

from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort
from radiogenesis.csv_files import write_csv
from radiogenesis.evaluation.measures.base import (
    REST,
    RUN,
    Measure,
    Number,
    Result,
    Score,
    Work,
    joined,
    together,
)
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.imaging import LUNG_CT, Imaging
from radiogenesis.reporting.model import Column, Fact, Picture, Section, Table
from radiogenesis.reporting.wording import coverage, join, p_text, percent
from radiogenesis.stats.multiple_testing import false_discovery_rate
from radiogenesis.stats.resampling import (
    ALPHA,
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

if TYPE_CHECKING:
    from radiogenesis.evaluation.results import RunResults

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
        imaging: what is shown, for the features' units.
    """

    patients: tuple[str, ...]
    features: tuple[str, ...]
    drawn: Floats
    own: Floats
    predicted: Floats
    truth: Floats | None
    images: int
    unmeasured: float
    imaging: Imaging = LUNG_CT

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


CHECK_ALPHA = 0.01  # of a check that is made again and again, and should not fail one time in twenty


class Control(Measure):
    """Whether the genes steer what is drawn."""

    table = name = "control"
    numbers: ClassVar = {
        "control": Number("Control, ρ", "higher", ".2f", "mean of the properties; reference: ridge regression from the "
                          "same genes; null: other genes", REST, "control", ".2f",
                          "Ridge regression from the same genes {reference}, other patients' genes {null}.",
                          of_reference=True),
        "share": Number("Of regression", "higher", "%", "control over that of the ridge regression from the same genes",
                        REST),
    }  # fmt: skip

    def measure(self, work: Work) -> Result:
        patients, settings = work.patients, work.settings
        table = control_table(patients, settings)
        tables = {self.table: table, "control_patients": patients.frame()}
        if patients.ignores_genes:
            check = work.check()
            tables |= {} if check is None else {"control_check": check}
        first = next(iter(patients.references()))
        row = table[(table["reference"] == first) & (table["feature"] == MEAN)].iloc[0]
        draws, n = control_draws(patients, settings), len(patients.patients)
        rho, share = draws["rho"], draws["share"]
        regression, null = float(row["regression"]), float(row["null_mean"])
        scores = {
            "control": Score(float(rho[0]), rho[1:], regression, null, patients.images, n),
            "share": Score(float(share[0]), share[1:], 1.0, 0.0, patients.images, n),
        }
        return Result(tables, scores)

    def sections(self, runs: Sequence[RunResults], tables: Path, settings: EvaluationSettings) -> list[Section]:
        return [_control_section(runs, tables, settings)]

    def sentence(self, run: RunResults, confidence: float) -> str:
        table, check = run.tables[self.table], run.tables.get("control_check")
        return control_conclusion(run.subject.name, table, confidence, ignores_genes=run.ignores_genes, check=check)

    def must_be_said(self, run: RunResults) -> bool:
        """It is what the evaluation asks."""
        return True

    def headline(self, run: RunResults) -> dict[str, Any]:
        table = run.tables[self.table]
        reference = str(table["reference"].iloc[0])
        row = table[(table["reference"] == reference) & (table["feature"] == MEAN)].iloc[0]
        return {
            "run": run.subject.name, "name": self.name, "value": row["rho"], "low": row["low"], "high": row["high"],
            "regression": row["regression"], "null": row["null_mean"], "null_low": row["null_low"],
            "null_high": row["null_high"], "share": row["share"], "share_low": row["share_low"],
            "share_high": row["share_high"], "p": row["p"],
            "reference": reference if reference == OWN else "the planted truth",
            "text": "mean Spearman over six lesion properties, held-out patients",
        }  # fmt: skip

    def beside(self, number: Mapping[str, Any]) -> str:
        text = f"regression {number['regression']:.2f}, null {number['null_low']:.2f} to {number['null_high']:.2f}"
        return f"{text}, {number['share']:.0%} of the regression" if not math.isnan(number["share"]) else text

    def fact(self, label: str, number: Mapping[str, Any], interval: str) -> Fact:
        beside = (
            f"{interval} {number['low']:.2f} to {number['high']:.2f}, against {number['reference']}. Ridge regression "
            f"from the same genes {number['regression']:.2f}, other patients' genes {number['null_low']:.2f} to "
            f"{number['null_high']:.2f}."
        )
        value, beside = (text.replace("-", "−") for text in (f"{number['value']:.2f}", beside))
        return Fact(label=label, value=value, beside=beside, share=number["share"])


def _control_table(file: str, reference: str, rows: pd.DataFrame, several: bool, confidence: float) -> Table:
    of = coverage(confidence)
    columns = [RUN] if several else []
    columns += [
        Column(label="Property", value="feature"),
        Column(label="Drawn, ρ", value="rho", low="low", high="high", format=".2f", help=f"Spearman, {of} interval"),
        Column(label="Regression, ρ", value="regression", low="regression_low", high="regression_high", format=".2f",
               help="ridge regression from the genes to the measured property, fitted on training patients"),
        Column(label="Null, ρ", value="null_mean", low="null_low", high="null_high", format=".2f",
               help=f"genes exchanged between patients: mean and {of} range"),
        Column(label="Of regression", value="share", low="share_low", high="share_high", format="%",
               help="drawn over regression"),
        Column(label="p", value="p", format="p", help="one-sided, genes exchanged between patients"),
        Column(label="q", value="q", format="p", help="false discovery rate"),
    ]  # fmt: skip
    if reference == TRUTH:
        columns.append(
            Column(label="Measure", value="measure", format=".2f",
                   help="the same measure on the patients' own slices against the truth: what it can see at all")
        )  # fmt: skip
    columns.append(Column(label="Patients", value="patients", format="d"))
    columns.append(Column(label="Images", value="images", format="d"))
    what = "what was planted" if reference == TRUTH else "the same property on the patient's own slices"
    tests = int(rows.loc[rows["feature"] != MEAN, "p"].notna().sum())
    return Table(
        file=file,
        caption=(
            f"Drawn lesions against {what}. Brackets: {of} intervals over patients. Regression: ridge regression "
            "from the same genes. Of regression: drawn over it; above 100 % where the drawings rank the patients "
            "better. "
            f"{tests} tests in this table"
            + (
                ". Measure: how well the measure itself recovers the planted values from real slices."
                if reference == TRUTH
                else "."
            )
        ),
        columns=tuple(columns),
        strong=("feature", MEAN),
    )


def control_conclusion(
    label: str,
    table: pd.DataFrame,
    confidence: float,
    *,
    ignores_genes: bool = False,
    check: pd.DataFrame | None = None,
) -> str:
    """A sentence or two on one run's control, from its rows of `control_table`; the truth before the own slices.

    A run that draws the same for everybody is a check of the measure, from its rows of `check_of_control`. Here and
    below, `confidence` is that of the table's intervals.
    """
    reference = TRUTH if (table["reference"] == TRUTH).any() else OWN
    rows = table[table["reference"] == reference]
    single, mean = rows[rows["feature"] != MEAN], rows[rows["feature"] == MEAN].to_dict("records")[0]
    if rows["rho"].isna().all():
        return (
            f"{label}: in what was drawn for {int(mean['patients'])} held-out patients no lesion could be measured, so "
            "nothing can be said about control."
        )
    followed = list(single.loc[(single["q"] < ALPHA) & (single["rho"] > 0), "feature"])
    rest = [feature for feature in single["feature"] if feature not in followed]
    against = "what was planted" if reference == TRUTH else "the patients' own slices"
    patients = int(mean["patients"])
    if followed:
        tests = int(table.loc[table["feature"] != MEAN, "p"].notna().sum())
        text = (
            f"{label}: on {patients} held-out patients the {join(followed)} of drawn lesions "
            f"{'follows' if len(followed) == 1 else 'follow'} the patient's genes, judged against {against} "
            f"(genes exchanged between patients; q < {ALPHA} among {tests} tests)"
        )
        text += f"; for {join(rest)} this is not shown." if rest else "."
    else:
        text = (
            f"{label}: on {patients} held-out patients no property of drawn lesions is shown to follow the patient's "
            f"genes (no q < {ALPHA})."
        )
        if pd.notna(mean.get("null_high")) and not ignores_genes:
            text += f" A mean rank correlation above {mean['null_high']:.2f} would have stood out."
    return text + (_check_text(check) if ignores_genes else _share_text(mean, confidence))


def _check_text(check: pd.DataFrame | None) -> str:
    """Whether control is found where there is none."""
    text = " It draws the same whatever the genes"
    mean = None if check is None else check[check["feature"] == MEAN].iloc[0]
    if mean is None or pd.isna(mean["p"]):
        return text + ", and on every background, so the measure cannot be checked with it."
    opposite = max(1 - mean["p"], 0.001)  # a measure that finds the opposite fails too; permutations say no more
    p = min(1.0, 2 * min(mean["p"], opposite))
    figures = f"ρ = {mean['rho']:.2f} (null {mean['null_low']:.2f} to {mean['null_high']:.2f}; both sides, {p_text(p)})"
    text += f"; on other backgrounds for each patient, as a check of the measure, {figures}: ".replace("-", "−")
    if p <= CHECK_ALPHA:
        return text + "the measure FAILS: it finds control where there is none."
    return text + "no control is found where there is none."


def _share_text(mean: dict[Hashable, Any], confidence: float) -> str:
    """The mean over that of the regression, where this finds anything."""
    if pd.isna(mean["share"]):
        return ""
    text = (
        f" Over all properties the drawings rank the patients {percent(mean['share'])} as well as a ridge regression "
        "from the same genes"
    )
    if pd.notna(mean["share_low"]):
        text += f" ({coverage(confidence)} interval {percent(mean['share_low'])} to {percent(mean['share_high'])})"
    return text + "."


def _control_section(runs: Sequence[RunResults], tables: Path, settings: EvaluationSettings) -> Section:
    blocks: list[Table | Picture] = []
    joined(runs, "control_patients", tables)
    checked = [run for run in runs if "control_check" in run.tables]
    if checked:
        joined(checked, "control_check", tables)
    table = together(runs, "control")
    write_csv(table, tables / "control.csv")
    several = len(runs) > 1
    for reference, rows in table.groupby("reference", sort=False):
        for run in runs:
            blocks.append(run.pictures[f"control {reference}"])
        slug = "truth" if reference == TRUTH else "own"
        file = f"control_{slug}.csv"
        write_csv(rows, tables / file)
        blocks.append(_control_table(file, str(reference), rows, several, settings.confidence))
        if reference == TRUTH or len(table["reference"].unique()) == 1:
            blocks += [run.pictures["scatter"] for run in runs]
    whose = "; ".join(sorted({run.backgrounds_of for run in runs}))
    return Section(
        title="Do the genes control it?",
        text=(
            "Held-out patients are ranked by what was drawn from their genes, and by the reference; Spearman's ρ "
            "says how well the two rankings agree: 1 is the same order, 0 none. It is read beside two others: the "
            "ranking of one ridge regression from the same genes, which is no upper limit and can be passed, and what "
            "remains when genes are exchanged between patients by lot (the null)."
        ),
        blocks=tuple(blocks),
        notes=(
            f"{settings.backgrounds_per_patient} images per patient, all patients on the same backgrounds (of "
            f"{whose}) with the same noise, so that only genes differ. Intervals: {settings.bootstrap:,} "
            f"resamples of patients. Null: {settings.permutations:,} exchanges of genes between patients; "
            "one-sided p, q by Benjamini–Hochberg over the properties and references of a run. Own slices: "
            "those with at least half the area of the patient's largest.",
            *(
                f"{run.subject.name} draws the same for everybody; drawn on other backgrounds for each patient, as a "
                "check of the measure: tables/control_check.csv."
                for run in checked
            ),
            *(
                f"{run.subject.name}: in {float(run.tables['control']['unmeasured'].iloc[0]):.1%} of the drawn images "
                "there was no lesion large enough to measure; they are left out."
                for run in runs
                if float(run.tables["control"]["unmeasured"].iloc[0]) > 0
            ),
        ),
    )
