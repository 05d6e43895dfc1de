"""Profiles of expression: patients x genes from any source, checked once and in one place.

What is no gene, and whoever has no measurement, is left out and said; an infinite value is refused.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from radiogenesis.cohort.tables.gene_names import counted, some, sort_out
from radiogenesis.errors import ExpressionError

Duplicates = Literal["maxmean", "mean", "refuse"]

_FEWEST_GENES = 3  # a patient with fewer may well have one value throughout
_MOST_WHOLE = 0.1  # share of genes with whole numbers only; above, whole numbers are the table's scale


def assemble(
    values: NDArray[np.float32],
    patients: Sequence[str],
    genes: Sequence[str],
    path: Path,
    *,
    known: Collection[str] = (),
    duplicates: Duplicates = "maxmean",
    remarks: Sequence[str] = (),
) -> AnnData:
    """AnnData with each gene once, in the order in which they first appear; `uns["remarks"]` says what is left out.

    Args:
        values: (patients, genes), NaN where missing.
        patients, genes: names of rows and columns.
        path: the file, for errors.
        known: patients who decide which of several rows of a gene counts; everybody where none of them is here.
        duplicates: what becomes of several rows of the same gene.
        remarks: what was said before.

    Raises:
        ExpressionError: a patient twice, an infinite value, a gene twice where that is refused, nothing left.
    """
    ids, names = pd.Index(list(patients)), pd.Index(list(genes))
    if ids.has_duplicates:
        twice = ids[ids.duplicated()][0]
        raise ExpressionError(f"patient {twice!r} appears twice", path=path, remedy="keep one sample per patient")
    refuse_infinite(values, ids, names, path)
    named, unnamed = sort_out(list(names))
    values, names, said = values[:, named], names[named], [*remarks, *unnamed]
    if values.size == 0:
        raise ExpressionError(
            f"holds {len(ids)} patients x {len(names)} genes", path=path,
            remedy="; ".join(said) or "give a table with patients and genes",
        )  # fmt: skip
    nothing = {row: why for row, why in enumerate(map(_no_measurement, values)) if why}
    if len(nothing) == len(ids):
        raise ExpressionError(f"nobody has values: {ids[0]}: {nothing[0]}", path=path, remedy="give measured values")
    if nothing:
        whose = some([f"{ids[row]}: {why}" for row, why in nothing.items()])
        said.append(f"left out, {counted(len(nothing), 'patient')} without a measurement: {whose}")
    measured = np.array([row not in nothing for row in range(len(ids))], bool)
    values, ids = values[measured], ids[measured]
    votes = np.asarray(ids.isin(list(known)), bool)
    merged, once = _merged(values, names, votes if votes.any() else ~votes, duplicates, path)
    data = AnnData(
        np.ascontiguousarray(merged, np.float32),
        obs=pd.DataFrame(index=pd.Index(ids, dtype=object, name="patient")),
        var=pd.DataFrame(index=pd.Index(once, dtype=object, name="gene")),
    )
    data.uns["merged_genes"] = int(names[names.duplicated()].nunique())
    said += _labels(merged, once)
    if said:
        data.uns["remarks"] = said
    return data


def refuse_infinite(values: NDArray[np.float32], ids: pd.Index[str], names: pd.Index[str], path: Path | None) -> None:
    """Raises ExpressionError where a value is infinite, with its gene and patient."""
    infinite = np.argwhere(np.isinf(values))
    if len(infinite):
        row, column = infinite[0]
        raise ExpressionError(
            f"gene {names[column]} of patient {ids[row]} is {values[row, column]}, one of {len(infinite)} infinite"
            " values",
            path=path,
            remedy="add 1 before the logarithm is taken, or leave these cells empty",
        )


def _no_measurement(profile: NDArray[np.float32]) -> str:
    """Why a patient's values cannot have been measured; "" where they can."""
    there = profile[~np.isnan(profile)]
    if not len(there):
        return f"none of its {len(profile)} genes has a value"
    if len(there) >= _FEWEST_GENES and np.ptp(there) == 0:
        return f"all of its {len(there)} genes with values are {there[0]:g}"
    return ""


def _merged(
    values: NDArray[np.float32], names: pd.Index[str], votes: NDArray[np.bool_], how: Duplicates, path: Path
) -> tuple[NDArray[np.float32], pd.Index[str]]:
    """The values with each gene once, and the genes."""
    repeated = names[names.duplicated()].unique()
    if len(repeated) and how == "refuse":
        raise ExpressionError(f"gene {repeated[0]!r} appears twice", path=path, remedy='use duplicates "maxmean"')
    values = values.copy()
    places: dict[str, list[int]] = {gene: [] for gene in repeated}
    for at, name in enumerate(names):
        if name in places:
            places[name].append(at)
    for same in places.values():
        values[:, same[0]] = _one_of(values[:, same], votes, how)
    first = ~names.duplicated()
    return values[:, first], names[first]


def _one_of(columns: NDArray[np.float32], votes: NDArray[np.bool_], how: Duplicates) -> NDArray[np.float32]:
    """One column (patients,) from several of the same gene (patients, k); a column without values never wins."""
    if how == "mean":
        counted = (~np.isnan(columns)).sum(axis=1)
        return np.where(counted > 0, np.nansum(columns, axis=1) / np.maximum(counted, 1), np.nan).astype(np.float32)
    voting = columns[votes] if np.isfinite(columns[votes]).any() else columns
    present = (~np.isnan(voting)).sum(axis=0)
    mean = np.where(present > 0, np.nansum(voting, axis=0) / np.maximum(present, 1), -np.inf)
    return columns[:, int(np.argmax(mean))]


def _labels(values: NDArray[np.float32], names: pd.Index[str]) -> list[str]:
    """What is said of columns that vary in whole numbers where genes have fractions: a stage, an age, an outcome."""
    there = np.nan_to_num(values)
    fractional = (there != np.round(there)).any(axis=0)
    varies = np.fmax.reduce(values, axis=0) > np.fmin.reduce(values, axis=0)
    whole = ~fractional & varies & ((there != 0).sum(axis=0) > 1)
    if not whole.any() or whole.mean() > _MOST_WHOLE or fractional.mean() < 1 - _MOST_WHOLE:
        return []
    labels = list(names[whole])
    remedy = f"if these are labels and no genes, leave them out: --not_genes {shlex.join(labels[:10])}"
    return [f"{counted(len(labels), 'gene')} of whole numbers only, unlike the others: {some(labels)}; {remedy}"]
