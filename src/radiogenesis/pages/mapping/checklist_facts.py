"""What a map recorded, as facts for `reporting.checklists`; evaluations have theirs in `pages/evaluation`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from radiogenesis.cohort.store import Cohort
from radiogenesis.cohort.writer import versions
from radiogenesis.csv_files import read_csv
from radiogenesis.imaging import LUNG_CT, Imaging
from radiogenesis.mapping.conventional.features import IBSI, LESION, RADIOMIC
from radiogenesis.mapping.conventional.three_step import ConventionalMap
from radiogenesis.mapping.prediction.prediction import BASELINES, SIZE
from radiogenesis.mapping.replication.replication import REPLICATED
from radiogenesis.pages.evaluation.checklist_facts import cohort_facts, radiomic_facts, versions_text
from radiogenesis.pages.mapping.conclusions import counts
from radiogenesis.phenotypes.radiomics import FAMILIES
from radiogenesis.reporting.checklists import NO, NOT_APPLICABLE, YES, Facts, Recorded

REPLICATION = "replication.csv"
"""Table of links in other cohorts: see `pages/mapping/replication.py`."""
PREDICTIONS = "predictions.csv"
"""Table of predictions on patients left out: see `pages/mapping/prediction.py`."""


def map_facts(conventional: ConventionalMap, tables: Path, cohort: Cohort | None = None) -> Facts:
    """All of a map.

    Args:
        tables: the map's tables/, complete: whether anything was predicted on patients left out is read there.
        cohort: that it was made from, where it was made from one.
    """
    path = tables / PREDICTIONS
    predicted = read_csv(path) if path.is_file() else pd.DataFrame()
    facts = {} if cohort is None else dict(cohort_facts(cohort))
    return {
        **facts,
        **_of_features(conventional, LUNG_CT if cohort is None else cohort.imaging),
        **_of_tests(conventional),
        **_of_batches(conventional),
        **_of_predictions(predicted, conventional),
        **_of_others(tables / REPLICATION),
    }


def _of_others(path: Path) -> Facts:
    """Of other cohorts, where links were looked for in any."""
    if not path.is_file():
        return {}
    table = read_csv(path)
    held = ", ".join(
        f"{name}: {int((mine['verdict'] == REPLICATED).sum())} of {len(mine)}"
        for name, mine in table.groupby("cohort", sort=False)
    )
    return {
        "external": Recorded(f"Links looked for in other cohorts and replicated there: {held or 'none was asked'}.")
    }


def _of_features(conventional: ConventionalMap, imaging: Imaging) -> Facts:
    """What was put against what."""
    n, settings = counts(conventional), conventional.settings
    family = pd.Series(conventional.material.features.family).value_counts()
    listed = ", ".join(f"{count} {name}" for name, count in family.items())
    facts = {
        "features": Recorded(f"{n['features']} features: {listed} (tables/links.csv names them)."),
        "outcome": Recorded(
            f"The expression of {n['genes']:,} genes, measured, put against each feature of the lesion."
        ),
        "dimensions": Recorded(
            f"{n['genes']:,} genes clustered ({settings.method}) to {n['metagenes']} metagenes; "
            f"{n['patients']} patients."
        ),
        "scaling": Recorded(f"Each gene as a z-score over the {n['patients']} patients of the map."),
        "missing": Recorded(f"Expression that is missing: {settings.missing} (setting `missing`)."),
        "automatic_outline": Recorded("Outlines come with the cohort; none is made here.", NOT_APPLICABLE),
        "explanation": Recorded("Every link names its genes (tables/links.csv, tables/metagene_genes.csv)."),
    }
    if settings.radiomics == IBSI:
        return facts | radiomic_facts(FAMILIES, imaging)
    if RADIOMIC not in family:
        facts["standard_features"] = Recorded(
            f"The {family.get(LESION, 0)} features of the lesion are this software's own; those of the IBSI were not "
            "asked for (setting `radiomics`).",
            NO,
        )
    return facts


def _of_tests(conventional: ConventionalMap) -> Facts:
    """Tests, their correction and their nulls."""
    n, settings = counts(conventional), conventional.settings
    kinds = ", ".join(sorted(conventional.links["test"].dropna().unique()))
    return {
        "model": Recorded(f"Metagenes and genes against features: {kinds}."),
        "measures": Recorded(f"Effects with p and q: {kinds}."),
        "performance": Recorded(
            f"{n['found']} of {n['tests']:,} tests found at q < {settings.alpha:g}; with patients shuffled "
            f"{n['shuffled_mean']:.1f} on average."
        ),
        "multiple_testing": Recorded(
            f"False discovery rate {settings.alpha:g} over {n['tests']:,} tests; family-wise p by "
            f"{settings.permutations:,} permutations of patients."
        ),
        "nulls": Recorded(
            f"{settings.permutations:,} permutations; the whole map with patients shuffled {settings.shuffles} times."
        ),
        "seed": Recorded(f"Seed {settings.seed}."),
        "software": Recorded(versions_text({name: v for name, v in versions().items() if name != "created"})),
        "external": Recorded("One cohort alone; no other was tested.", NO),
        "calibration": Recorded("Calibration of predictions is not measured by `radiogenesis map`.", NO),
    }


def _of_batches(conventional: ConventionalMap) -> Facts:
    """Confounders that could be tested."""
    n, settings = counts(conventional), conventional.settings
    adjusted = [name for name in (settings.covariates, settings.within) if name]
    text = f" Every test is adjusted for {' and '.join(adjusted)}." if adjusted else ""
    names = ", ".join(map(str, conventional.material.batches.columns))
    if not names:
        return {"confounders": Recorded(f"No batch variable is known here and varies.{text}", YES if adjusted else NO)}
    shared = f"{n['confounded']} associations share one and are not reported."
    return {"confounders": Recorded(f"Every metagene and feature is tested against {names}; {shared}{text}")}


def _of_predictions(table: pd.DataFrame, conventional: ConventionalMap) -> Facts:
    """Of predictions on patients left out; where there are none, that there are none."""
    if not len(table):
        none = (
            f"Nothing is predicted on patients left out: all {len(conventional.material.patients)} are in every test."
        )
        return {
            name: Recorded(none, NO) for name in ("split", "held_out", "fitted_on_training", "baseline", "intervals")
        }
    facts = {
        "split": Recorded(f"Cross-validation over patients, seed {conventional.settings.seed}."),
        "disjoint": Recorded("Patients are divided, never slices."),
        "held_out": Recorded(f"{len(table)} predictions, each of patients left out (tables/{PREDICTIONS})."),
        "fitted_on_training": Recorded(
            "In every fold, on its training patients alone: missing values, scaling, penalty."
        ),
        "intervals": Recorded(f"Intervals from resamples of patients, of the predictions (tables/{PREDICTIONS})."),
        "model": Recorded("Rank correlation for the associations; ridge regression for the predictions."),
    }
    beside = [name for name in BASELINES if name in table and table[name].notna().any()]
    if beside:
        facts["baseline"] = Recorded(f"Predictions stand beside those from: {', '.join(beside)}.")
        facts["comparison"] = Recorded(
            "Each prediction less the best baseline, with an interval, on the same patients."
        )
    if SIZE in beside:
        gain = float(np.nanmedian(table["gain"]))
        facts["size_alone"] = Recorded(
            f"Predictions from the lesion's size alone stand beside; median gain over the best baseline {gain:.2f}."
        )
    return facts
