"""Runs on another cohort than the one they were trained on: all its patients are held out.

What measures need of the training patients (the regression, the copies, the spaces) comes from the runs' own cohort,
everything that is measured from the other. A patient of the other cohort who has the name or the scan of one that the
runs were trained on, or chosen by, is left out.

Genes are matched by symbol. Two laboratories rarely measure on one scale: by default each gene of the other cohort is a
z-score over that cohort's own patients (no lesion is looked at), put onto the scale of the training patients. A gene
that the other cohort lacks stands at the training patients' median in everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from radiogenesis.cohort.expression import ExpressionScaler
from radiogenesis.cohort.joined import also_in, joined
from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort
from radiogenesis.cohort.tables.gene_names import columns_of, counted, some
from radiogenesis.cohort.zarr_tables import expression_values
from radiogenesis.errors import CohortError, ExpressionError, RunError
from radiogenesis.evaluation.results import EvaluatedRun
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.stats.resampling import Floats
from radiogenesis.training.run import Run

FEWEST_TO_SCALE = 8
"""Patients that a cohort must have for z-scores of its own."""


@dataclass(frozen=True, eq=False)
class Placed:
    """Runs, and the cohort that they are measured on.

    Attributes:
        subjects: with the split and the scaler that hold on this cohort.
        cohort: what is measured: with the training patients in it.
        described: whose patients are held out; the same as `cohort` for the runs' own.
        own: the runs' own cohort, where another is measured; else None.
        said: how genes and patients of both cohorts were put together, sentences.
    """

    subjects: tuple[EvaluatedRun, ...]
    cohort: Cohort
    described: Cohort
    own: Cohort | None = None
    said: tuple[str, ...] = ()


def placed(
    runs: Sequence[Run],
    settings: EvaluationSettings,
    cohort: str | Path | None = None,
    own: str | Path | None = None,
) -> Placed:
    """Open the cohort that runs are measured on: their own, or another.

    Args:
        cohort: where it lies; by default where the runs' own lay when they were trained.
        own: where the runs' own lies, if it has moved and `cohort` is another.

    Raises:
        RunError: runs of different cohorts; or on another one, runs of different training patients.
        CohortError: no readable cohort, images of another size, or too few patients who were not trained on.
        ExpressionError: no gene in common, or values that are not in the unit of the run's.
    """
    digests = {run.provenance["cohort_digest"] for run in runs}
    asked = None if cohort is None else Cohort.open(cohort)
    if len(digests) != 1:
        raise RunError(
            f"{len(runs)} runs of {len(digests)} different cohorts cannot stand in one table",
            path=runs[0].path if runs else None,
            remedy="evaluate the runs of each cohort by themselves",
        )
    if asked is None or asked.digest in digests:
        opened = runs[0].open_cohort(cohort)
        return Placed(tuple(map(EvaluatedRun.of, runs)), opened, opened)
    return _elsewhere(runs, asked, runs[0].open_cohort(own), settings)


def _elsewhere(runs: Sequence[Run], other: Cohort, own: Cohort, settings: EvaluationSettings) -> Placed:
    split, log = runs[0].split, runs[0].scaler.log
    if any(run.split.train != split.train or run.scaler.log != log for run in runs):
        raise RunError(
            "runs of different training patients, or with and without logarithm, cannot stand in one table of another "
            "cohort",
            path=runs[0].path,
            remedy="evaluate them by themselves",
        )
    known = {patient for run in runs for patient in (*run.split.train, *run.split.validation)}
    asked, left_out = _whom(other, own, known)
    reference = Reference.of(own, split.train, log)
    values, said = reference.put(other, asked, settings.other_scaler, log)
    expression = AnnData(
        np.concatenate([values, reference.values]).astype(np.float32),
        obs=pd.DataFrame(index=[*asked, *split.train]),
        var=pd.DataFrame(index=list(own.expression.var_names)),
        uns={"log": False},
    )
    cohort = joined(other, own, split.train, left_out, expression)
    subjects = tuple(
        replace(
            EvaluatedRun.of(run),
            split=Split(split.train, (), tuple(sorted(asked))),
            scaler=reference.filling(run.scaler, own),
        )
        for run in runs
    )
    genes = dict.fromkeys(gene for run in runs for gene in run.scaler.genes)
    at = columns_of(list(genes), list(map(str, other.expression.var_names)))
    lacking = [gene for gene, column in zip(genes, at, strict=True) if column < 0]
    if len(lacking) == len(genes):
        raise ExpressionError(
            f"none of the {len(genes):,} genes that the run reads is in its table (they look like {some(genes, 3)})",
            path=other.path,
            remedy="build it with the identifiers of the run's cohort",
        )
    return Placed(subjects, cohort, other, own, (_told(other, own, asked, left_out), _matched(genes, lacking), *said))


def _whom(other: Cohort, own: Cohort, known: set[str]) -> tuple[list[str], list[str]]:
    """The patients with slices and expression who are held out; and those who share a name or a scan with `known`."""
    table = other.patients
    twice = also_in(other, own, known)
    usable = table[~twice & (table["n_slices"] > 0) & table["has_expression"]]
    if not len(usable):
        raise CohortError(
            f"no patient with slices and expression is left: {counted(int(twice.sum()), 'patient')} have names or "
            "scans that were trained on",
            path=other.path,
            remedy="give a cohort of other patients",
        )
    return [str(name) for name in usable.index], [str(name) for name in table.index[twice]]


@dataclass(frozen=True, eq=False)
class Reference:
    """Genes of the training patients, after the logarithm: what another cohort's are put beside.

    Attributes:
        genes: (G,) all of the runs' own cohort.
        values: (t, G) of the training patients.
        mean, deviation, median: (G,) of them, missing values left out; nan for a gene without any.
        raw: whether the cohort says that its values want a logarithm.
    """

    genes: tuple[str, ...]
    values: Floats
    mean: Floats
    deviation: Floats
    median: Floats
    raw: bool

    @classmethod
    def of(cls, own: Cohort, training: Sequence[str], log: bool) -> Reference:
        """Of a run's own cohort."""
        values = _rows(own.expression, training, log)
        table = pd.DataFrame(values)
        mean, deviation, median = (part.to_numpy(float) for part in (table.mean(), table.std(ddof=0), table.median()))
        declared = bool(own.expression.uns.get("log", False))
        return cls(tuple(map(str, own.expression.var_names)), values, mean, deviation, median, declared)

    def put(self, other: Cohort, patients: Sequence[str], scaler: str, log: bool) -> tuple[Floats, list[str]]:
        """(n, G) of another cohort's patients on the scale of the training patients, nan for what is missing; and how
        that was done, in sentences.

        Raises:
            CohortError: too few patients for z-scores of their own.
            ExpressionError: the training patients' scale is asked for, and the units differ.
        """
        declared = bool(other.expression.uns.get("log", False))
        same_unit = declared == self.raw
        if scaler == "training" and not same_unit:
            raise ExpressionError(
                f"its values {'want' if declared else 'do not want'} a logarithm and those of the run's cohort "
                f"{'do not' if declared else 'do'}: they have no common unit",
                path=other.path,
                remedy="say --other_scaler own",
            )
        if scaler == "own" and len(patients) < FEWEST_TO_SCALE:
            raise CohortError(
                f"{len(patients)} patients are too few for z-scores of their own (at least {FEWEST_TO_SCALE})",
                path=other.path,
                remedy="say --other_scaler training, if both cohorts were measured alike",
            )
        theirs = _rows(other.expression, patients, log if same_unit else declared)
        at = columns_of(self.genes, list(map(str, other.expression.var_names)))
        values = np.where(at >= 0, theirs[:, np.maximum(at, 0)], np.nan)
        table = pd.DataFrame(values)
        mean, deviation = table.mean().to_numpy(float), table.std(ddof=0).to_numpy(float)
        said = [self._apart(mean)] if same_unit else []
        if scaler == "training":
            return values, ["Their genes are scaled by the training patients' mean and deviation.", *said]
        with np.errstate(invalid="ignore", divide="ignore"):
            z = np.where(deviation > 1e-9, (values - mean) / deviation, np.where(np.isnan(values), np.nan, 0.0))
        still = int(((deviation <= 1e-9) & (at >= 0)).sum())
        how = f"Each gene is a z-score over these {len(patients)} patients, on the scale of the training patients"
        return self.mean + z * self.deviation, [f"{how}{f'; {still} do not vary here' if still else ''}.", *said]

    def _apart(self, mean: Floats) -> str:
        """How far the cohorts' levels lie apart, as measured."""
        with np.errstate(invalid="ignore", divide="ignore"):
            shift = np.abs(mean - self.mean) / np.where(self.deviation > 1e-9, self.deviation, np.nan)
        known = shift[np.isfinite(shift)]
        if not len(known):
            return "No gene's level can be compared."
        return (
            f"As measured, genes lie {np.median(known):.2f} training deviations from the training patients' mean "
            f"(median; {(known > 1).mean():.0%} of them more than one)."
        )

    def filling(self, scaler: ExpressionScaler, own: Cohort) -> ExpressionScaler:
        """The run's scaler for values after the logarithm, with the training median in the place of any missing value,
        also where the run's own table had none to fill."""
        median = self.median[own.expression.var_names.get_indexer(pd.Index(scaler.genes))]
        return replace(scaler, median=np.where(np.isfinite(scaler.median), scaler.median, median), log=False)


def _rows(expression: AnnData, patients: Sequence[str], log: bool) -> Floats:
    """(n, G) of some patients, after the logarithm."""
    rows = expression.obs_names.get_indexer(pd.Index(list(patients)))
    values: NDArray[np.float64] = expression_values(expression)[rows].astype(np.float64)
    if not log:
        return values
    if (values < 0).any():
        raise ExpressionError("log10(x + 1) takes no negative values", remedy="build the cohort without --log true")
    return np.asarray(np.log10(values + 1))


def _told(other: Cohort, own: Cohort, asked: Sequence[str], left_out: Sequence[str]) -> str:
    text = (
        f"Another cohort: trained on {own.path.name} (digest {own.digest[:12]}), measured on all "
        f"{counted(len(asked), 'patient')} of {other.path.name} (digest {other.digest[:12]}) with slices and expression"
    )
    if left_out:
        text += (
            f"; {counted(len(left_out), 'patient')} left out, whose names or scans were trained on: {some(left_out, 5)}"
        )
    return f"{text}."


def _matched(genes: Sequence[str] | dict[str, None], lacking: Sequence[str]) -> str:
    if not lacking:
        return f"All {len(genes):,} genes that the runs read are measured there."
    return (
        f"{len(lacking):,} of the {len(genes):,} genes that the runs read ({len(lacking) / len(genes):.0%}) are not "
        f"measured there and stand at the training patients' median in everybody: {some(lacking, 5)}."
    )
