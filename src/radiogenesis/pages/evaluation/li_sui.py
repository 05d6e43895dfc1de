"""What the methods of Li, Sui et al. add to an evaluation: gene prediction, figures 7 and 8, their place on the page.

A method that predicts genes is measured by `gene_prediction`. A method that draws regions without a background is
measured like every other that draws, except for fidelity: nothing of a background is kept, so there is nothing to
compare.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radiogenesis.cohort.store import Cohort
from radiogenesis.csv_files import write_csv
from radiogenesis.evaluation.genes.distances import LABELS
from radiogenesis.evaluation.genes.metagenes import metagene_table
from radiogenesis.evaluation.genes.prediction import MEAN, METHOD, NEAREST, RIDGE, SIZE, gene_prediction
from radiogenesis.evaluation.results import RunResults
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.gene_autoencoder import GeneAutoencoder
from radiogenesis.methods.metagene_gan import MetageneGAN
from radiogenesis.methods.protocols import GenePredictor
from radiogenesis.pages.evaluation import li_sui_pictures
from radiogenesis.pages.evaluation.pictures import spread_patients
from radiogenesis.reporting.model import Column, Picture, Section, Table
from radiogenesis.reporting.wording import coverage, p_text
from radiogenesis.training.preparation import metagenes_of

SHOWN = 30
"""Genes that the page shows; the file has all."""


def appraise_framework(
    run: RunResults, cohort: Cohort, genes: NDArray[Any], folder: Path, settings: EvaluationSettings
) -> None:
    """Measure and draw what the run's method offers beyond the rest.

    Args:
        genes: (n, G) scaled genes of the held-out patients, in the split's order.
        folder: of the pictures; tables/ lies beside it.
    """
    subject = run.subject
    method, split, name = subject.method, subject.split, subject.name
    show = spread_patients(cohort, split.test)
    theirs = genes[[split.test.index(patient) for patient in show]]
    if isinstance(method, GenePredictor):
        run.prediction = gene_prediction(method, cohort, split, subject.scaler, settings)
        baselines = (RIDGE, SIZE, NEAREST)
        picture = li_sui_pictures.correlations(run.prediction.genes, baselines, folder, name)
        run.pictures["gene correlations"] = picture
    if isinstance(method, GeneAutoencoder):
        run.pictures["figure 7"] = li_sui_pictures.figure_7(method, cohort, show, theirs, folder, name)
    if isinstance(method, MetageneGAN):
        metagenes = metagenes_of(method, subject.scaler.genes)
        trained_on = subject.scaler.transform(cohort.expression, list(split.train))
        tables = folder.parent / "tables"
        run.metagenes = metagene_table(metagenes, trained_on, tables, f"metagenes-{name}", seed=settings.seed)
        figure, everything = li_sui_pictures.figure_8(method, cohort, show, theirs, folder, name)
        run.pictures |= {"figure 8": figure, "figure 8, all": everything}


def framework_sections(runs: Sequence[RunResults], tables: Path) -> list[Section]:
    """The sections of the page, with their tables written."""
    predicting = [run for run in runs if run.prediction is not None]
    drawing = [run for run in runs if "figure 8" in run.pictures]
    sections = [_prediction_section(predicting, tables)] if predicting else []
    if drawing:
        blocks: list[Table | Picture] = []
        for run in drawing:
            blocks += [run.pictures["figure 8"], run.pictures["figure 8, all"]]
            blocks += [run.metagenes.table] if run.metagenes else []
        text = (
            "Stage 3 of Li, Sui et al.: tumor regions drawn from noise and metagenes. The method draws the "
            "surroundings, too, so fidelity to a background is not a measure of it and is left out; control, realism, "
            "diversity and memorization are measured as for every other method."
        )
        notes = tuple(f"{run.subject.name}: {run.metagenes.note}" for run in drawing if run.metagenes)
        sections.append(Section(title="Regions from metagenes", text=text, blocks=tuple(blocks), notes=notes))
    return sections


def _prediction_section(runs: Sequence[RunResults], tables: Path) -> Section:
    blocks: list[Table | Picture] = []
    frames: dict[str, list[pd.DataFrame]] = {"gene_prediction": [], "gene_prediction_patients": [], "genes": []}
    for run in runs:
        assert run.prediction is not None
        name, prediction = run.subject.name, run.prediction
        shown = prediction.table.assign(run=name, predictor=prediction.table["predictor"].replace({METHOD: name}))
        frames["gene_prediction"].append(shown)
        frames["gene_prediction_patients"].append(prediction.patients.assign(run=name))
        frames["genes"].append(prediction.genes.assign(run=name))
        first = prediction.genes.head(SHOWN)
        file = f"genes-{name}.csv"
        write_csv(first, tables / file)
        write_csv(shown, tables / f"gene_prediction-{name}.csv")
        blocks += [
            _errors_table(f"gene_prediction-{name}.csv", name, prediction.confidence),
            _correlation_table(f"gene_prediction-{name}.csv", prediction.confidence),
        ]
        blocks.append(run.pictures["gene correlations"])
        blocks.append(_genes_table(file, len(first), len(prediction.genes)))
        if "figure 7" in run.pictures:
            blocks.append(run.pictures["figure 7"])
    for file, parts in frames.items():
        write_csv(pd.concat(parts), tables / f"{file}.csv")
    return Section(
        title="Can genes be read off the image?",
        text=(
            "The genes of held-out patients as predicted from their slices, averaged over a patient's slices, beside "
            "four predictors that are simple: the training patients' mean, ridge regression from radiomic features, "
            "the same from the lesion's size alone, and the genes of the training patient with the most similar "
            "lesion. Errors say little by themselves, since the mean of the training patients is never far off; what "
            "counts is the correlation over patients, gene by gene."
        ),
        blocks=tuple(blocks),
        notes=(
            "Genes in [0, 1] by the training patients' least and greatest value, beyond them 0 or 1; padding removed. "
            "For Jensen–Shannon (nats), Hellinger and Bhattacharyya each vector is divided by its sum. Li, Sui et al. "
            "print MAE 4.112e-6, MSE 4.318e-6, JS 0.015, HD 0.121, BD 0.015. For values in [0, 1] an MSE above the MAE "
            "is impossible; both figures have the size of errors of vectors divided by their sums, the second without "
            "its square. They are no target.",
            "Null: predictions permuted among held-out patients; one-sided p. Under permutation every gene's r has the "
            "same mean and variance, so a gene's p is against the null of all genes; q by Benjamini–Hochberg over all "
            "genes; family-wise against the largest correlation of all genes.",
        ),
    )


def _errors_table(file: str, name: str, confidence: float) -> Table:
    columns = [Column(label="Predictor", value="predictor")]
    columns += [
        Column(label=label, value=measure, low=f"{measure}_low", high=f"{measure}_high", format="small")
        for measure, label in LABELS.items()
    ]
    columns.append(
        Column(label="MAE above the method's", value="less_mae", low="less_mae_low", high="less_mae_high",
               format="small", help="of the same patients; above 0 the method is nearer to the truth")
    )  # fmt: skip
    columns.append(Column(label="Patients", value="patients", format="d"))
    return Table(
        file=file,
        caption=f"Errors, means over held-out patients with {coverage(confidence)} intervals over patients; smaller is "
        "better.",
        columns=tuple(columns),
        strong=("predictor", name),
    )


def _correlation_table(file: str, confidence: float) -> Table:
    return Table(
        file=file,
        caption=f"Correlation over held-out patients, {coverage(confidence)} intervals over patients. R²: of the "
        "median gene; below 0 where the held-out patients' own mean would have been nearer.",
        columns=(
            Column(label="Predictor", value="predictor"),
            Column(label="Mean r over genes", value="r", low="r_low", high="r_high", format=".3f"),
            Column(label="Null from", value="null_low", format=".3f"),
            Column(label="to", value="null_high", format=".3f"),
            Column(label="p", value="p", format="p"),
            Column(label="The method's r minus it", value="lead", low="lead_low", high="lead_high", format=".3f",
                   help="on the same resamples of patients"),
            Column(label="R²", value="r2", format=".3f"),
            Column(label="Genes with q < 0.05", value="found", format="d"),
            Column(label="Family-wise p < 0.05", value="found_max", format="d"),
            Column(label="Tests", value="tests", format="d"),
            Column(label="Patients", value="patients", format="d"),
        ),
    )  # fmt: skip


def _genes_table(file: str, shown: int, genes: int) -> Table:
    return Table(
        file=file,
        caption=f"The {shown} best predicted of {genes:,} genes; all are in tables/genes.csv. The best of many look "
        "better than they are: read the family-wise p.",
        columns=(
            Column(label="Gene", value="gene"),
            Column(label="r", value="r", format=".2f"),
            Column(label="R²", value="r2", format=".2f"),
            Column(label="p", value="p", format="p"),
            Column(label="q", value="q", format="p"),
            Column(label="p, family-wise", value="p_max", format="p"),
            Column(label="r, ridge", value=f"r, {RIDGE}", format=".2f"),
            Column(label="r, size alone", value=f"r, {SIZE}", format=".2f"),
            Column(label="r, nearest", value=f"r, {NEAREST}", format=".2f"),
        ),
    )


def framework_conclusions(run: RunResults) -> list[str]:
    """Sentences on gene prediction. No test passed, no claim."""
    if run.prediction is None:
        return []
    row, baseline, mean = map(run.prediction.row, (METHOD, RIDGE, MEAN))
    name, n = run.subject.name, int(row["patients"])
    of = coverage(run.prediction.confidence)
    figures = (
        f"mean r {row['r']:.3f} over {int(row['genes']):,} genes, {of} interval {row['r_low']:.3f} to "
        f"{row['r_high']:.3f}, {p_text(row['p'])}; {int(row['found'])} genes with q < 0.05"
    )
    beside = (
        f"it is {_standing(baseline)} ridge regression on radiomic features, which reaches {baseline['r']:.3f} and "
        f"{int(baseline['found'])} genes (difference {baseline['lead']:.3f}, {baseline['lead_low']:.3f} to "
        f"{baseline['lead_high']:.3f})"
    )
    if np.isfinite(row["p"]) and row["p"] < 0.05:
        text = f"{name}: images of {n} held-out patients say something about their genes ({figures}); {beside}."
    else:
        text = (
            f"{name}: it is not shown that images of {n} held-out patients say anything about their genes ({figures}); "
        )
        text += f"{beside}."
    nearer = mean["less_mae_low"] > 0
    text += (
        " Its predictions are nearer to the truth than the training patients' mean."
        if nearer
        else " Its predictions are not shown to be nearer to the truth than the training patients' mean."
    )
    return [text]


def _standing(baseline: dict[Hashable, Any]) -> str:
    """What the interval of the method's mean r minus the baseline's allows to say."""
    if baseline["lead_high"] < 0:
        return "behind"
    return "ahead of" if baseline["lead_low"] > 0 else "not shown to differ from"
