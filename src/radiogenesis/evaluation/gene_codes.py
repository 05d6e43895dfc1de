"""The code spaces of runs that are evaluated together: raw genes, and one run of every method that encodes genes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radiogenesis.cohort.expression import ExpressionScaler
from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.descriptions.lesions import AXES, SQUASH, Axes, RealLesions
from radiogenesis.evaluation.genes.code_space import (
    HELD_OUT,
    RAW,
    TRAINING,
    Codes,
    Encode,
    appearance,
    cluster_table,
    mantel_table,
    tsne,
)
from radiogenesis.evaluation.results import RunResults
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.protocols import GeneEncoder

OURS = ("fusion-gan", "canonical-alignment", "alignment")
"""Whose clusters color figure 4: the first of these that is there."""


@dataclass(frozen=True)
class CodeSpace:
    """Figure 4 in numbers.

    Attributes:
        clusters, mantel: see `cluster_table` and `mantel_table`.
        places: tidy: space, patient, part, x, y (t-SNE of all patients), cluster (of the reference).
        reference: the space whose clusters color all of them.
        typical: cluster -> patients, the nearest to its center first.
    """

    clusters: pd.DataFrame
    mantel: pd.DataFrame
    places: pd.DataFrame
    reference: str
    typical: dict[int, list[str]]


def code_space(
    runs: Sequence[RunResults], cohort: Cohort, real: RealLesions, settings: EvaluationSettings
) -> CodeSpace | None:
    """The code spaces of the first run of each method that encodes genes, all of the first such run's split.

    None where no method encodes genes, or there are fewer training patients than would fill the clusters twice.
    """
    encoding = [run for run in runs if isinstance(run.subject.method, GeneEncoder)]
    if not encoding:
        return None
    split, scaler = encoding[0].subject.split, encoding[0].subject.scaler
    if len(split.train) < 2 * settings.clusters:
        return None
    training, held_out = (
        np.asarray(scaler.transform(cohort.expression, part), np.float32) for part in (split.train, split.test)
    )
    encoders: dict[str, Encode] = {RAW: _itself}
    given = {RAW: training}
    for run in encoding:
        method = run.subject.method
        # Another split would let one space have seen the patients that another has not.
        alike = run.subject.split == split and _same(run.subject.scaler, scaler)
        if alike and run.subject.method_name not in encoders and isinstance(method, GeneEncoder):
            encoders[run.subject.method_name] = method.encode
            given[run.subject.method_name] = run.subject.genes(cohort.expression, split.train)
    codes = [
        Codes.of(name, encode, given[name], held_out, settings.clusters, settings.seed)
        for name, encode in encoders.items()
    ]
    reference = leading(codes)
    known = real.slices.of(split.train)
    axes = Axes.fit(known.features, known.patient, AXES, squash=SQUASH)
    looks = [appearance(real.slices.of(part), axes, part) for part in (split.train, split.test)]
    return CodeSpace(
        cluster_table(codes, list(encoders.values()), list(given.values()), held_out, reference, settings),
        mantel_table(codes, looks[0], looks[1], settings),
        _places(codes, reference, [*split.train, *split.test], settings.seed),
        reference.name,
        _typical(reference, split.train),
    )


def leading(codes: Sequence[Codes]) -> Codes:
    """The codes whose clusters color figure 4: ours, or failing that the last."""
    return next((one for ours in OURS for one in codes if one.name == ours), codes[-1])


def _same(scaler: ExpressionScaler, other: ExpressionScaler) -> bool:
    """Whether both give the same numbers."""
    arrays, others = scaler.to_arrays(), other.to_arrays()
    return all(np.array_equal(arrays[name], others[name], equal_nan=arrays[name].dtype.kind == "f") for name in arrays)


def _itself(genes: NDArray[Any]) -> NDArray[Any]:
    return genes


def _places(codes: Sequence[Codes], reference: Codes, patients: Sequence[str], seed: int) -> pd.DataFrame:
    part = [TRAINING] * len(reference.training) + [HELD_OUT] * len(reference.held_out)
    cluster = np.concatenate([reference.labels(TRAINING), reference.labels(HELD_OUT)])
    tables = []
    for space in codes:
        xy = tsne(np.concatenate([space.training, space.held_out]), seed)
        columns = {"space": space.name, "patient": patients, "part": part, "x": xy[:, 0], "y": xy[:, 1]}
        tables.append(pd.DataFrame({**columns, "cluster": cluster}))
    return pd.concat(tables, ignore_index=True)


def _typical(reference: Codes, patients: Sequence[str]) -> dict[int, list[str]]:
    distance = reference.clusters.transform(reference.training)
    labels = reference.labels(TRAINING)
    typical = {}
    for cluster in range(distance.shape[1]):
        members = np.flatnonzero(labels == cluster)
        typical[cluster] = [patients[k] for k in members[np.argsort(distance[members, cluster], kind="stable")]]
    return typical
