"""A cohort as links are tested in it: the metagenes of the first cohort, its own features, its own batches.

Nothing of the metagenes is fitted here: members and their signs are those of the cohort in which the links were found.
Each gene is a z-score over the cohort's own patients, since two laboratories rarely measure on one scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from radiogenesis.cohort.joined import also_in
from radiogenesis.cohort.store import Cohort
from radiogenesis.cohort.tables.gene_names import columns_of, counted, some
from radiogenesis.errors import CohortError, RadiogenesisError
from radiogenesis.mapping.conventional.features import CLINICAL, IBSI, SEMANTIC, known_text, named
from radiogenesis.mapping.conventional.three_step import ConventionalMap, MapInputs, held_fixed, inputs_of
from radiogenesis.mapping.settings import MapSettings
from radiogenesis.stats.association import Held
from radiogenesis.stats.metagenes import Metagenes
from radiogenesis.stats.resampling import Floats

LEAST_MEASURED = 0.5
"""Share of a metagene's genes that a cohort must measure; with fewer it would be another metagene."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A cohort in which links are tested.

    Attributes:
        name: of the cohort; no two samples share one.
        digest: of the cohort.
        material: genes, features, batches of its patients.
        values: (n, K) metagenes of the first cohort.
        measured: (K,) share of each metagene's genes that the cohort has.
        held: what its tests hold fixed.
        scanners: manufacturer, kernel and slice thickness, in words.
        said: who and what was left out, sentences.
    """

    name: str
    digest: str
    material: MapInputs
    values: Floats
    measured: Floats
    held: Held
    scanners: str
    said: tuple[str, ...] = ()


def first_sample(made: ConventionalMap, cohort: Cohort) -> Sample:
    """The cohort in which the links were found."""
    everything = np.ones(len(made.metagenes))
    held = held_fixed(made.material, made.settings)
    values, patients = made.values.astype(np.float64), made.material.patients
    return Sample(cohort.path.name, cohort.digest, made.material, values, everything, held, scanners(cohort, patients))


def other_inputs(cohort: Cohort, first: Cohort, settings: MapSettings) -> MapInputs:
    """What another cohort has, without the patients and the scans of the first.

    Raises:
        CohortError: it is the first cohort, of another organ or scale, or fewer than 8 other patients have slices and
            expression.
        RadiogenesisError: what `inputs_of` raises, with the cohort's name.
    """
    if cohort.digest == first.digest:
        raise CohortError("is the cohort that is mapped", path=cohort.path, remedy="replicate in a cohort of others")
    if (cohort.imaging.organ, cohort.imaging.unit) != (first.imaging.organ, first.imaging.unit):
        raise CohortError(
            f"shows {cohort.imaging.organ} in {cohort.imaging.unit}, and the mapped cohort {first.imaging.organ} in "
            f"{first.imaging.unit}", path=cohort.path, remedy="replicate in a cohort of the same organ and scale",
        )  # fmt: skip
    twice = same_patients(cohort, first)
    table_of_first = settings.radiomics not in ("", IBSI)
    how = replace(settings, radiomics="") if table_of_first else settings
    how = replace(how, within="")  # whether it varies here is asked later
    try:
        material = inputs_of(cohort, how, without=twice)
    except RadiogenesisError as error:
        if error.path:
            raise
        raise type(error)(error.problem, path=cohort.path, remedy=error.remedy) from error
    said = list(material.said)
    if twice:
        said.insert(0, f"{counted(len(twice), 'patient')} left out, since the mapped cohort has them: {some(twice)}.")
    if table_of_first:
        said.append("Radiomic features were read from a table of the mapped cohort's patients: they are not had here.")
    if cohort.imaging.window != first.imaging.window:
        said.append(f"Its {cohort.imaging.window_text} is not the mapped cohort's, {first.imaging.window_text}.")
    if cohort.pixel_mm != first.pixel_mm:
        said.append(
            f"Pixels are {cohort.pixel_mm:.3g} mm wide here and {first.pixel_mm:.3g} mm in the mapped cohort: features "
            "of texture and edge are not measured alike."
        )
    return replace(material, said=tuple(said))


def same_patients(cohort: Cohort, first: Cohort) -> list[str]:
    """Patients whose id, or whose scan, the first cohort has."""
    return [str(name) for name in cohort.patients.index[also_in(cohort, first)]]


def other_sample(
    cohort: Cohort, name: str, material: MapInputs, made: ConventionalMap, features: Sequence[str]
) -> Sample:
    """Another cohort with the first one's metagenes.

    Args:
        material: from `other_inputs`.
        features: of the links; a level of a category that the two cohorts' features name differently is looked up.
    """
    settings, said = made.settings, list(material.said)
    material = with_levels(material, cohort, features, settings.smallest_group)
    varies = settings.within in material.batches
    if settings.within and not varies:
        said.append(f"{settings.within} does not vary here, or is unknown: nothing is held fixed for it.")
    held = held_fixed(material, settings if varies else replace(settings, within=""))
    values, measured = metagene_values(made.metagenes, material)
    lacking = [
        gene for gene, at in zip(made.metagenes.names, columns_of(made.metagenes.names, material.names), strict=True)
        if at < 0
    ]  # fmt: skip
    if lacking:
        said.append(
            f"{len(lacking):,} of {len(made.metagenes.names):,} genes are not measured here, and metagenes are the "
            f"means of their other genes: {some(lacking, 5)}."
        )
    where = scanners(cohort, material.patients)
    return Sample(name, cohort.digest, material, values, measured, held, where, tuple(said))


def metagene_values(metagenes: Metagenes, material: MapInputs) -> tuple[Floats, Floats]:
    """(n, K) means of the members that are measured, signs applied; (K,) the share of members that are."""
    at = columns_of(metagenes.names, material.names)
    weights = metagenes.weights * (at >= 0)[:, None]
    share = np.abs(weights).sum(axis=0)
    values = material.genes[:, np.maximum(at, 0)].astype(np.float64) @ weights
    return values / np.where(share > 0, share, 1.0), share


def with_levels(material: MapInputs, cohort: Cohort, asked: Sequence[str], smallest: int) -> MapInputs:
    """The material with "question = answer" features that it lacks under this name: of two answers each cohort names
    the rarer one, which need not be the same."""
    made = {}
    tables = ((cohort.annotations, SEMANTIC), (cohort.clinical, CLINICAL))
    for feature in dict.fromkeys(asked):
        for table, family in tables:
            values = None if table is None or feature in material.features.values else _level(table, feature)
            if values is None:
                continue
            mine = values.reindex(material.features.values.index)
            if min(int((mine == 1).sum()), int((mine == 0).sum())) >= smallest:
                made[feature] = (mine, family)
                break
    features = material.features
    for feature, (mine, family) in made.items():
        features = features.joined(named(mine.to_frame(feature), family))
    return replace(material, features=features)


def _level(table: pd.DataFrame, feature: str) -> pd.Series | None:
    """Who gave an answer, of those who gave any; None where nobody was asked."""
    question, is_answer, answer = feature.rpartition(" = ")
    column = next((name for name in table if " ".join(str(name).split()) == question), None)
    if not is_answer or column is None:
        return None
    known = known_text(table[column]).dropna()
    return known.map(lambda cell: float(answer in {one.strip() for one in cell.split(";")}))


def scanners(cohort: Cohort, patients: Sequence[str]) -> str:
    """Manufacturers, kernels and slice thickness, as the headers have them."""
    rows = cohort.patients.reindex(list(patients))
    parts = []
    for column in ("manufacturer", "kernel"):
        counts = rows.loc[rows[column] != "", column].value_counts()
        parts += [", ".join(f"{name} ({count})" for name, count in counts.head(4).items())] if len(counts) else []
    thickness = rows["slice_thickness_mm"]
    if thickness.notna().any():
        parts.append(f"slices of {thickness.min():g} to {thickness.max():g} mm")
    return "; ".join(parts) or "not stated"


def distinct_names(first: Cohort, others: Sequence[Cohort]) -> list[str]:
    """Names of the other cohorts, told apart. Raises CohortError where one is given twice."""
    digests = [cohort.digest for cohort in others]
    twice = next((cohort for k, cohort in enumerate(others) if cohort.digest in digests[:k]), None)
    if twice is not None:
        raise CohortError("is given twice", path=twice.path, remedy="name every cohort once")
    taken, names = {first.path.name}, []
    for cohort in others:
        name, number = cohort.path.name, 2
        while name in taken:
            name, number = f"{cohort.path.name} ({number})", number + 1
        taken.add(name)
        names.append(name)
    return names
