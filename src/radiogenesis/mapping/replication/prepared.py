"""Other cohorts as they go into a replication, before anything is mapped: what they have, how they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import SettingError
from radiogenesis.mapping.conventional.three_step import MapInputs
from radiogenesis.mapping.replication.differences import differences, harmonised
from radiogenesis.mapping.replication.sample import distinct_names, other_inputs
from radiogenesis.mapping.replication.settings import ReplicationSettings
from radiogenesis.mapping.settings import MapSettings


@dataclass(frozen=True, eq=False)
class Other:
    """Another cohort, its name among those of a replication, and what it has."""

    cohort: Cohort
    name: str
    material: MapInputs


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a replication starts from.

    Attributes:
        first: what the mapped cohort has; harmonised where that was asked for.
        others: the other cohorts, likewise.
        differences: every feature of every other cohort against the mapped one, as measured.
        said: what was harmonised, in a sentence; empty for nothing.
    """

    first: MapInputs
    others: tuple[Other, ...]
    differences: pd.DataFrame
    said: tuple[str, ...]


def prepare(
    cohort: Cohort, material: MapInputs, others: Sequence[Cohort], settings: MapSettings, how: ReplicationSettings
) -> Prepared:
    """Read the other cohorts, test their features against the mapped one's, and harmonise where that is asked for.

    Raises:
        SettingError: harmonisation without another cohort.
        CohortError: a cohort twice, the mapped one among them, or one with too few patients of its own.
    """
    if how.harmonize != "none" and not others:
        raise SettingError("--harmonize is done over several cohorts", remedy="give --replicate OTHER too")
    names = distinct_names(cohort, others)
    read = [other_inputs(other, cohort, settings) for other in others]
    tables = [(name, one.features) for name, one in zip(names, read, strict=True)]
    differ = differences(material.features, tables, settings.alpha)
    first, said = material, tuple[str, ...]()
    if how.harmonize == "combat":
        named = [(cohort.path.name, material), *zip(names, read, strict=True)]
        (first, *read), sentence = harmonised(named, how.harmonize_by)
        said = (sentence,)
    together = tuple(Other(*one) for one in zip(others, names, read, strict=True))
    return Prepared(first, together, differ, said)
