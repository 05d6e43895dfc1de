"""Scanner and site first: which features another cohort measures at another level, and ComBat against it.

A difference in level cannot make or break a link within a cohort, but it says that a feature is measured otherwise, or
of other patients; where a link with it does not hold elsewhere, this may be why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from radiogenesis.mapping.conventional.features import LESION, RADIOMIC, FeatureTable
from radiogenesis.mapping.conventional.three_step import MapInputs
from radiogenesis.stats.association import FEWEST
from radiogenesis.stats.combat import combat
from radiogenesis.stats.multiple_testing import false_discovery_rate

HARMONISED = (LESION, RADIOMIC)
"""Families that ComBat is applied to: what is measured on images. Noise outside the lesion stays the scanner's."""


def differences(first: FeatureTable, others: Sequence[tuple[str, FeatureTable]], alpha: float) -> pd.DataFrame:
    """Every feature of every other cohort against the first: Mann and Whitney's test.

    Returns:
        cohort, feature, family, n, n_first, median, median_first, effect (2 AUC - 1: above 0 where it is higher there),
        p, q over all rows, verdict ("higher there", "lower there", "no sign of a difference", "not measured there").
    """
    rows = []
    for name, other in others:
        for feature in map(str, first.values):
            mine = first.values[feature].dropna().to_numpy(np.float64)
            theirs = np.zeros(0)
            if feature in other.values:
                theirs = other.values[feature].dropna().to_numpy(np.float64)
            effect = p = np.nan
            if min(len(mine), len(theirs)) >= FEWEST and np.ptp(np.concatenate([mine, theirs])) > 0:
                found = stats.mannwhitneyu(theirs, mine)
                effect, p = 2 * found.statistic / (len(mine) * len(theirs)) - 1, found.pvalue
            rows.append((name, feature, first.family[feature], len(theirs), len(mine), _median(theirs), _median(mine),
                         effect, p))  # fmt: skip
    columns = ["cohort", "feature", "family", "n", "n_first", "median", "median_first", "effect", "p"]
    table = pd.DataFrame(rows, columns=columns)
    table["q"] = false_discovery_rate(table["p"].to_numpy(np.float64))
    differ = table["q"] < alpha
    table["verdict"] = np.select(
        [table["p"].isna(), differ & (table["effect"] > 0), differ],
        ["not measured there", "higher there", "lower there"],
        "no sign of a difference",
    )
    return table.sort_values("p", kind="stable", ignore_index=True)


def _median(values: NDArray[np.float64]) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def harmonised(materials: Sequence[tuple[str, MapInputs]], by: str) -> tuple[list[MapInputs], str]:
    """All cohorts with the features that all of them measure harmonised over scanners, and a sentence on it.

    Args:
        materials: cohorts by name.
        by: the batch variable that tells scanners within a cohort apart.
    """
    tables = [material.features for _, material in materials]
    shared = [
        feature
        for feature in map(str, tables[0].values)
        if tables[0].family[feature] in HARMONISED and all(feature in table.values for table in tables)
    ]
    labels = [scanner_labels(name, material, by) for name, material in materials]
    values = np.concatenate([table.values[shared].to_numpy(np.float64) for table in tables])
    made, done = combat(values, np.concatenate(labels))
    ends = np.cumsum([len(table.values) for table in tables])[:-1]
    found = []
    for (_, material), part in zip(materials, np.split(made, ends), strict=True):
        replaced = material.features.values.copy()
        replaced[shared] = part
        found.append(replace(material, features=replace(material.features, values=replaced)))
    counts = pd.Series(np.concatenate(labels)).value_counts(sort=False)
    scanners = ", ".join(f"{name} ({count})" for name, count in counts.items())
    left = [feature for feature, yes in zip(shared, done, strict=True) if not yes]
    said = f"ComBat brought {int(done.sum())} features of {len(counts)} scanners ({scanners}) to one level and spread"
    said += f"; not {', '.join(left)}, of which some scanner has too few values" if left else ""
    return found, f"{said}."


def scanner_labels(name: str, material: MapInputs, by: str) -> NDArray[np.object_]:
    """(n,) the cohort, and the level of the batch variable where it varies in the cohort."""
    n = len(material.patients)
    if by not in material.batches or material.batches[by].dtype.kind == "f":
        return np.full(n, name, object)
    return np.array([f"{name}, {level}" for level in material.batches[by].fillna("unknown")], object)
