"""What a map could find, before anything is tested: from the patients, the number of tests and each feature's spread.

A single link among all tests is found where its p is below alpha divided by their number (so Benjamini and Hochberg
treat the strongest; several true links help each other and need less). Of a feature of two values the effect is the
rank-biserial correlation: the rarer one value is, the smaller the correlation of the ranks that the same effect makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from radiogenesis.mapping.conventional.features import FeatureTable
from radiogenesis.stats.association import FEWEST, LEAST_FREEDOM, Held, freedom_of
from radiogenesis.stats.power import TARGET, findable, patients_needed

EFFECTS = (0.3, 0.4, 0.5, 0.6, 0.7)
"""Correlations whose numbers of patients are told."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What could be found.

    Attributes:
        patients: in the map.
        tests: metagenes times features that can be tested.
        level: that the p of a single link must reach.
        features: one row per feature: feature, family, n (patients with a value), rarer (share of the rarer of two
            values, else nan), findable (the smallest effect found at 80 % power; nan where not even a perfect one is).
        needed: effect (|rho| of a feature that everybody has), patients.
    """

    patients: int
    tests: int
    level: float
    features: pd.DataFrame
    needed: pd.DataFrame

    @property
    def findable(self) -> float:
        """The smallest |rho| that is found at 80 % power with the feature most patients have; nan where none is."""
        plain = self.features[self.features["rarer"].isna()]
        known = (plain if plain["findable"].notna().any() else self.features)["findable"]
        return float(known.min()) if known.notna().any() else float("nan")


def plan_of(features: FeatureTable, metagenes: int, held: Held, alpha: float) -> Plan:
    """Plan a map of these features.

    Args:
        metagenes: how many there are.
        held: what every test holds fixed.
        alpha: false discovery rate.
    """
    values, n = features.values, len(features.values)
    taken, ranks = n - 2 - freedom_of(n, held), held["model"] == "rank"
    spreads = [_spread(values[name]) for name in values]
    testable = [known >= FEWEST and known - 2 - taken >= LEAST_FREEDOM and varies for known, _, varies in spreads]
    tests = metagenes * sum(testable)
    level = alpha / max(1, tests)
    rows = []
    for name, (known, rarer, _), can in zip(values, spreads, testable, strict=True):
        least = findable(known - 2 - taken, level, ranks=ranks) if can else 1.0
        effect = least / np.sqrt(3 * rarer * (1 - rarer)) if ranks and rarer == rarer else least
        rows.append((name, features.family[str(name)], known, rarer, effect if effect < 1 else np.nan))
    table = pd.DataFrame(rows, columns=["feature", "family", "n", "rarer", "findable"])
    return Plan(n, tests, level, table, _needed(EFFECTS, level, taken, ranks))


def _spread(column: pd.Series) -> tuple[int, float, bool]:
    """How many patients have a value; the share of the rarer where there are two values, else nan; whether it varies.

    The correlation of ranks is sqrt(3 p (1 - p)) times the rank-biserial one, p the share of one of the values.
    """
    known = column.dropna()
    counts = known.value_counts()
    rarer = float(counts.min() / len(known)) if len(counts) == 2 else float("nan")
    return len(known), rarer, len(counts) > 1


def _needed(effects: Sequence[float], level: float, taken: int, ranks: bool) -> pd.DataFrame:
    patients = [patients_needed(rho, level, adjusted=taken, ranks=ranks) for rho in effects]
    return pd.DataFrame({"effect": effects, "patients": patients})


def sentence(plan: Plan) -> str:
    """What could be found, in words, as it is said before any test."""
    of = f"Before any test: among {plan.tests:,} tests of {plan.patients} patients a single link"
    needs = ", ".join(f"{row['patients']:.0f} for {row['effect']:g}" for row in plan.needed.head(3).to_dict("records"))
    more = f"Patients needed for a correlation at {TARGET:.0%} power: {needs}."
    if plan.findable != plan.findable:
        return f"{of} is not found at {TARGET:.0%} power, however strong. {more}"
    return f"{of} is found at {TARGET:.0%} power from |ρ| {plan.findable:.2f} on. {more}"
