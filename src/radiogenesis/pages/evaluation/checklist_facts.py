"""What a cohort and an evaluation recorded, as facts that answer the items of `reporting.checklists`.

Each function gives facts by their names in checklists.csv. What was not recorded is left out: the item that asks for it
is then the authors' to answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from radiogenesis.cohort.store import Cohort
from radiogenesis.cohort.zarr_tables import expression_values
from radiogenesis.evaluation.all_measures import NUMBERS
from radiogenesis.evaluation.comparison import Row
from radiogenesis.evaluation.measures.control import MEAN
from radiogenesis.evaluation.other_cohort import Placed
from radiogenesis.evaluation.results import EvaluatedRun, RunResults
from radiogenesis.pages.evaluation.conclusions import shared_scans
from radiogenesis.phenotypes.lesion import UNITS
from radiogenesis.phenotypes.radiomics import FAMILIES, FEATURES, RadiomicsSettings
from radiogenesis.reporting.checklists import NO, NOT_APPLICABLE, Facts, Recorded
from radiogenesis.reporting.wording import coverage, join
from radiogenesis.window import WINDOW_HU

REASONS = 5
"""Reasons for leaving patients out that are named, the commonest first; tables/audit.csv has all."""


def cohort_facts(cohort: Cohort) -> Facts:
    """Who is in a cohort, how the scans were made, and what was done to them."""
    patients = cohort.patients
    shown = int((patients["n_slices"] > 0).sum())
    genes = cohort.expression
    facts = {
        "cohort": Recorded(
            f"{shown} patients with {len(cohort.slice_image):,} slices of their lesions; expression of "
            f"{genes.n_vars:,} genes in {genes.n_obs} patients."
        ),
        "acquisition": _acquisition(patients),
        "modality": Recorded(f"CT alone, one scan for each of {len(patients)} patients."),
        "preprocessing": Recorded(
            f"Axial slices of {cohort.field_of_view_mm:g} × {cohort.field_of_view_mm:g} mm around the lesion, in HU."
        ),
        "resampling": Recorded(
            f"In plane to {cohort.pixels} × {cohort.pixels} pixels of {cohort.pixel_mm:.3g} mm; the scan's own planes "
            f"are kept, {_span(patients['spacing_z_mm'], 'mm')} apart."
        ),
        "source": Recorded(_source(cohort)),
        "digests": Recorded(f"Cohort sha256 {cohort.digest}."),
    }
    if len(cohort.audit):
        facts["left_out"] = Recorded(_left_out(cohort.audit))
    if cohort.clinical is not None:
        facts["clinical"] = Recorded(f"Clinical columns of the cohort: {', '.join(map(str, cohort.clinical.columns))}.")
    return facts


def _acquisition(patients: pd.DataFrame) -> Recorded:
    """Scanner, kernel, thickness and voltage as the headers name them."""
    named = []
    for column in ("manufacturer", "model", "kernel"):
        counts = patients.loc[patients[column] != "", column].value_counts()
        if len(counts):
            listed = ", ".join(f"{name} ({count})" for name, count in counts.head(REASONS).items())
            more = f" and {len(counts) - REASONS} more" if len(counts) > REASONS else ""
            named.append(f"{column}: {listed}{more}")
    for column, label, unit in (("slice_thickness_mm", "slice thickness", "mm"), ("kvp", "tube voltage", "kV")):
        if patients[column].notna().any():
            named.append(f"{label} {_span(patients[column], unit)}")
    if not named:
        return Recorded("The scans' headers name neither scanner nor kernel nor slice thickness.", NO)
    return Recorded(f"Of {len(patients)} scans: {'; '.join(named)}.")


def _span(column: pd.Series, unit: str) -> str:
    """1 to 2.5 mm."""
    low, high = column.min(), column.max()
    if pd.isna(low):
        return f"unknown {unit}"
    return f"{low:g} {unit}" if low == high else f"{low:g} to {high:g} {unit}"


def _source(cohort: Cohort) -> str:
    named = {k: v for k, v in cohort.provenance.items() if k in ("verb", "source", "raw", "ct_folder", "table")}
    origin = ", ".join(f"{name} {value}" for name, value in named.items()) or cohort.path.name
    return f"Cohort: {origin}." + ("" if cohort.truth is None else " Its gene-image map was planted, not observed.")


def _left_out(audit: pd.DataFrame) -> str:
    status = ", ".join(f"{count} {name}" for name, count in audit["status"].value_counts().items())
    without = audit.loc[(audit["status"] != "in") & (audit["reason"] != ""), "reason"].value_counts()
    reasons = "; ".join(f"{reason} ({count})" for reason, count in without.head(REASONS).items())
    return f"Of {len(audit)} patients found: {status}." + (f" Reasons: {reasons}." if reasons else "")


def run_facts(subjects: Sequence[EvaluatedRun], cohort: Cohort) -> Facts:
    """How runs divided the patients, scaled genes, and were trained."""
    low, high = WINDOW_HU
    facts = {
        "split": Recorded(_each(subjects, _split)),
        "disjoint": Recorded("Patients are divided, never slices; no patient is in two parts."),
        "fitted_on_training": Recorded("Scaling and missing values are fitted on the training patients alone."),
        "scaling": Recorded(_each(subjects, _scaling)),
        "missing": Recorded(_each(subjects, lambda one: _missing(one, cohort))),
        "dimensions": Recorded(
            _each(subjects, lambda one: f"{len(one.scaler.genes):,} of {cohort.expression.n_vars:,} genes are used")
        ),
        "preprocessing": Recorded(
            f"{cohort_facts(cohort)['preprocessing'].text} Methods read {low:g} to {high:g} HU, scaled linearly."
        ),
        "digests": Recorded(f"Cohort sha256 {cohort.digest}. {_each(subjects, _digest)}".strip()),
    }
    return {**facts, **_apart(subjects, cohort.patients["series_uid"]), **training_facts(subjects)}


def _apart(subjects: Sequence[EvaluatedRun], series: pd.Series) -> Facts:
    """Whether held-out patients share scans with training patients; nothing where the scans have no series UID."""
    held_out = sorted({patient for one in subjects for patient in one.split.test})
    if (series.reindex(held_out).fillna("") == "").any():
        return {}
    shared = {shared_scans(series, one.split.test, one.split.train) for one in subjects} - {""}
    if shared:
        return {"apart": Recorded(" ".join(sorted(shared)), NO)}
    return {"apart": Recorded("No held-out patient shares a series with a training patient.")}


def training_facts(subjects: Sequence[EvaluatedRun]) -> Facts:
    """The models and their training."""
    return {
        "model": Recorded(_each(subjects, _model)),
        "training": Recorded(_each(subjects, _training)),
        "initialization": Recorded(_each(subjects, _initialization)),
        "ensemble": Recorded("Each run is one model; nothing is combined.", NOT_APPLICABLE),
        "seed": Recorded(_each(subjects, lambda one: f"seed {one.seed}")),
    }


def _each(subjects: Sequence[EvaluatedRun], say: Callable[[EvaluatedRun], str]) -> str:
    """What is said of every run; runs of which the same is said are named together, a single run is not named."""
    names: dict[str, list[str]] = {}
    for subject in subjects:
        if text := say(subject):
            names.setdefault(text, []).append(subject.name)
    if len(names) == 1:
        only = next(iter(names))
        return f"{only[0].upper()}{only[1:]}."
    return " ".join(f"{join(those)}: {text}." for text, those in names.items())


def _split(subject: EvaluatedRun) -> str:
    parts, training = subject.split, subject.config.get("training") or {}
    text = f"{len(parts.train)} patients trained on, {len(parts.validation)} for validation, {len(parts.test)} held out"
    if training.get("folds"):
        text += f" (fold {training['fold'] + 1} of {training['folds']})"
    if training.get("split_by"):
        text += f", those who share {training['split_by']} together"
    return text + (f", at random with seed {training['split_seed']}" if "split_seed" in training else "")


def _scaling(subject: EvaluatedRun) -> str:
    logged = "log10(x + 1), then " if subject.scaler.log else ""
    if not np.any(subject.scaler.scale != 1):
        return f"{logged}genes as they are"
    patients = len(subject.split.train)
    return f"{logged}each gene minus its mean, over its standard deviation, in the {patients} training patients"


def _missing(subject: EvaluatedRun, cohort: Cohort) -> str:
    share = float(np.isnan(expression_values(cohort.expression)).mean())
    filled = np.isfinite(subject.scaler.median).all()
    rule = "the median of the training patients stands in" if filled else "genes that lack a value are left out"
    return f"{share:.2%} of the expression values are missing: {rule}"


def _model(subject: EvaluatedRun) -> str:
    size = sum(p.numel() for p in subject.method.parameters()) if isinstance(subject.method, nn.Module) else 0
    parameters = f", {size:,} parameters" if size else ""
    return f"{subject.method_name}{parameters}; its settings stand under Provenance"


def _training(subject: EvaluatedRun) -> str:
    settings = subject.config.get("training") or {}
    chosen = ", ".join(f"{name} {value}" for name, value in settings.items() if value != "")
    parts = [f"{subject.images_seen:,} images seen" if subject.images_seen else "fitted without steps", chosen]
    parts += [f"on {subject.provenance[name]}" for name in ("device",) if name in subject.provenance]
    return ", ".join(filter(None, parts))


def _initialization(subject: EvaluatedRun) -> str:
    begun = subject.provenance.get("alignment_weights")
    return f"seed {subject.seed}" + (f", with the alignment of sha256 {begun}" if begun else "")


def _digest(subject: EvaluatedRun) -> str:
    weights = (subject.provenance.get("files") or {}).get("weights.safetensors")
    return f"weights sha256 {weights}" if weights else ""


def evaluation_facts(runs: Sequence[RunResults], rows: Sequence[Row], where: Placed, summary: dict[str, Any]) -> Facts:
    """All of an evaluation on held-out patients.

    Args:
        summary: what evaluation.json holds.
    """
    subjects, settings, cohort = [one.subject for one in runs], summary["settings"], where.described
    facts = {
        "held_out": Recorded(_each(subjects, lambda one: f"measured on {len(one.split.test)} held-out patients")),
        "external": _external(where),
        "automatic_outline": Recorded("Outlines come with the cohort; none is made here.", NOT_APPLICABLE),
        "calibration": Recorded("Calibration is not measured by `radiogenesis evaluate`.", NO),
        "confounders": Recorded(
            "Scanners are listed, and nothing is adjusted for them here; `radiogenesis map` tests them.", NO
        ),
        "performance": Recorded(_performance(summary)),
        "software": Recorded(versions_text(summary["versions"])),
        "intervals": Recorded(
            f"{coverage(settings['confidence'])} intervals from {settings['bootstrap']:,} resamples of patients."
        ),
        "nulls": Recorded(f"Null: {settings['permutations']:,} exchanges of genes between patients."),
        "comparison": _comparison(rows),
    }
    seeds = {row.label: len(row.seeds) for row in rows if len(row.seeds) > 1}
    if seeds:
        facts["seeds"] = Recorded(
            f"Seeds of a method, averaged: {', '.join(f'{name} {n}' for name, n in seeds.items())}."
        )
    return {**cohort_facts(cohort), **run_facts(subjects, cohort), **facts, **_measured(runs)}


def _external(where: Placed) -> Recorded:
    """Whether another cohort was tested; whether it is another institution's, only its owners know."""
    if where.own is None:
        return Recorded("The held-out patients are of the cohort that was trained on; no other was tested.", NO)
    return Recorded(
        f"All held-out patients are of {where.described.path.name} (digest {where.described.digest[:12]}), trained was "
        f"on {where.own.path.name} (digest {where.own.digest[:12]})."
    )


def _performance(summary: dict[str, Any]) -> str:
    return " ".join(
        f"{number['run']}, {number['text']}: {number['value']:.3g} ({number['low']:.3g} to {number['high']:.3g})."
        for number in summary["headline"]
        if math.isfinite(number["value"])
    )


def versions_text(versions: dict[str, Any]) -> str:
    """radiogenesis 0.1.0, python 3.11.4, ..."""
    return f"{', '.join(f'{name} {value}' for name, value in versions.items())}."


def _comparison(rows: Sequence[Row]) -> Recorded:
    if len(rows) < 2:
        return Recorded("One method alone was evaluated.", NO)
    return Recorded(
        f"{len(rows)} methods, compared in the same resamples of patients: {', '.join(r.label for r in rows)}."
    )


def _measured(runs: Sequence[RunResults]) -> Facts:
    """What depends on what the methods offer to be measured by."""
    facts: dict[str, Recorded] = {}
    names = [NUMBERS[name].label for name in dict.fromkeys(name for run in runs for name in run.scores)]
    names += ["rank of the right patient's genes"] if any(run.retrieval is not None for run in runs) else []
    names += ["gene prediction"] if any(run.prediction is not None for run in runs) else []
    if names:
        facts["measures"] = Recorded(f"{'; '.join(names)}.")
    if any("realism" in run.tables for run in runs):
        facts |= radiomic_facts([family for family in FAMILIES if family != "margin"])
    tables = [run.tables["control"] for run in runs if "control" in run.tables]
    return facts | (_control_facts(runs, pd.concat(tables)) if tables else {})


def _control_facts(runs: Sequence[RunResults], control: pd.DataFrame) -> Facts:
    """Of methods that draw: what is ranked, against what, beside which regression."""
    single = control[control["feature"] != MEAN]
    mean = control[control["feature"] == MEAN]
    properties = [f"{name} ({UNITS[name]})" if UNITS.get(name) else name for name in single["feature"].unique()]
    facts = {
        "outcome": Recorded(
            f"{', '.join(properties)} of the lesion, against: {', '.join(mean['reference'].unique())}."
        ),
        "features": Recorded(f"{len(properties)} properties of the lesion: {', '.join(properties)}."),
        "multiple_testing": Recorded(
            f"q by Benjamini–Hochberg over the tests of each run; {int(single['p'].notna().sum())} tests in all."
        ),
    }
    if mean["regression"].notna().any():
        low, high = mean["regression"].min(), mean["regression"].max()
        facts["baseline"] = Recorded(
            "Ridge regression from the same genes, fitted on the training patients: mean Spearman "
            + (f"{low:.2f}." if low == high else f"{low:.2f} to {high:.2f}.")
        )
    if any(len(run.tables.get("driving_genes", ())) for run in runs):
        facts["explanation"] = Recorded("The genes that the drawings follow are named (tables/driving_genes.csv).")
    share = {
        run.subject.name: float(run.tables["control"]["unmeasured"].iloc[0]) for run in runs if "control" in run.tables
    }
    facts["failures"] = Recorded(
        f"Drawings without a lesion to measure: {', '.join(f'{name} {value:.1%}' for name, value in share.items())}."
    )
    return facts


def radiomic_facts(families: Sequence[str]) -> Facts:
    """Of the radiomic features of these families, measured with the settings that an evaluation and a map take."""
    taken, settings = [one for one in FEATURES.values() if one.family in families], RadiomicsSettings()
    coded = sum(one.ibsi is not None for one in taken)
    return {
        "standard_features": Recorded(
            f"Radiomic features in 2-D ({', '.join(families)}): {len(taken)} are known to this software, {coded} of "
            "them by a definition of the IBSI, with its code."
        ),
        "gray_levels": Recorded(
            f"Gray levels are {settings.bin_width_hu:g} HU wide; the first begins at the lesion's lowest HU."
        ),
    }


def outline_fact(summary: dict[str, Any]) -> Recorded:
    """How tumors that were found automatically agree with the cohort's outlines."""
    return Recorded(f"Against the outlines of the cohort. {_performance(summary)}")


def detection_facts(cohort: Cohort, summary: dict[str, Any], *, another: bool) -> Facts:
    """All of an evaluation of runs that find tumors.

    Args:
        cohort: whose patients were looked at.
        summary: what evaluation.json holds.
        another: whether this is another cohort than the one that was trained on.
    """
    runs, settings = summary["runs"], summary["settings"]
    baseline = ", ".join(f"{one['run']} {one['baseline']:.2f}" for one in summary["headline"])
    facts = {
        "split": Recorded(
            " ".join(f"{r['name']}: {r['trained_on']} trained on, {r['held_out']} held out." for r in runs)
        ),
        "disjoint": Recorded("Patients are divided, never slices; no patient is in two parts."),
        "measures": Recorded("Dice, tumors touched, and false pieces per scan."),
        "performance": Recorded(_performance(summary)),
        "automatic_outline": outline_fact(summary),
        "outcome": Recorded("The outlines of the tumors that the cohort holds."),
        "baseline": Recorded(f"The largest dense piece inside the lungs, Dice: {baseline}."),
        "intervals": Recorded(
            f"{coverage(settings['confidence'])} intervals from {settings['bootstrap']:,} resamples of patients."
        ),
        "ensemble": Recorded("Each run is one model; nothing is combined.", NOT_APPLICABLE),
        "seed": Recorded(" ".join(f"{r['name']}: seed {r['provenance'].get('seed')}." for r in runs)),
        "software": Recorded(versions_text(summary["versions"])),
        "calibration": Recorded("Calibration is not measured by `radiogenesis evaluate`.", NO),
    }
    if not another:  # whether another cohort is another institution's, only its owners know
        facts["held_out"] = Recorded(" ".join(f"{r['name']}: {r['held_out']} held-out patients." for r in runs))
        facts["external"] = Recorded("The held-out patients are of the cohort that was trained on.", NO)
    return {**cohort_facts(cohort), **facts}
