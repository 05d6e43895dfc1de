"""Gene expression: tables as hospitals and archives give them -> AnnData patients x genes, and what a model is fed.

`read_expression` reads raw values and never guesses which way a table lies: the ids of known patients decide, or the
user does. `ExpressionScaler` is fitted on TRAINING patients only: missing values, logarithm, z-score.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from radiogenesis.cohort import tables
from radiogenesis.cohort.elements import expression_values
from radiogenesis.cohort.geo import is_series_matrix, read_series_matrix
from radiogenesis.errors import ExpressionError

MOST_MISSING = 0.2  # share of a gene's values; with more, its median would stand for too many patients
_ID_COLUMNS = 20  # the patients' ids, where patients are in rows, stand in one of so many first columns
Orientation = Literal["auto", "genes-in-rows", "patients-in-rows"]
Duplicates = Literal["maxmean", "mean", "refuse"]


@dataclass(frozen=True, kw_only=True)
class TableSettings:
    """How an expression table is read."""

    orientation: Orientation = "auto"
    """Which way the table lies: "auto" lets the ids of known patients (scans, annotations, clinical table) decide. In a
    GEO series matrix genes are in rows always; there "genes-in-rows" takes the sample titles for the patients' ids,
    where "auto" wants known patients among titles, accessions or characteristics."""
    not_genes: tuple[str, ...] = ()
    """Columns of the table that are no genes, such as labels and descriptions: left out. A series matrix has none."""
    duplicates: Duplicates = "maxmean"
    """Rows of the same gene symbol: keep the one with the highest mean over patients (MaxMean, the default of
    WGCNA's collapseRows, Miller et al. 2011), take their mean, or refuse the table."""
    log: bool = False
    """Whether log10(x + 1) is taken when the values are used: yes for FPKM, TPM and counts, no for values that are on
    a logarithmic or z-score scale already. The cohort keeps the raw values and this choice."""


def read_expression(
    path: str | Path, *, patients: Collection[str] | None = None, settings: TableSettings | None = None
) -> AnnData:
    """Raw expression, patients x genes, float32, NaN where a value is missing.

    Reads CSV, TSV and semicolon tables, the text tables that GEO offers as supplementary files (first header cell empty
    or absent, `NA`), GEO series matrices with values, each also as gzip, and h5ad.

    Args:
        path: the file.
        patients: ids of known patients, which decide which way the table lies, and which of its columns has the ids of
            a series matrix; where nobody is known, its sample titles are taken. `uns["patients_from"]` names it.
        settings: how to read it.

    Raises:
        ExpressionError: unreadable, undecided orientation, a cell that is no number (row and column are named),
            a patient twice, no values, `not_genes` that the file lacks.
    """
    path, settings = Path(path), settings or TableSettings()
    if not path.is_file():
        raise ExpressionError("there is no such file", path=path)
    if path.suffix == ".h5ad":
        expression = _read_h5ad(path, patients, settings)
    elif is_series_matrix(path):
        expression = _read_series(path, patients, settings)
    else:
        expression = _read_text(path, patients, settings)
    if 0 in expression.shape:
        raise ExpressionError(f"holds {expression.n_obs} patients x {expression.n_vars} genes", path=path)
    expression.uns["source"], expression.uns["log"] = path.name, settings.log
    if settings.log:
        _refuse_negative(expression_values(expression), expression.obs_names, expression.var_names, path)
    return expression


@dataclass(frozen=True, kw_only=True)
class ExpressionSettings:
    """What is done to expression before a model sees it; everything is fitted on training patients only."""

    missing: Literal["drop", "median"] = "median"
    """Missing values become the median of the training patients, and genes that lack more than a fifth of theirs are
    left out; or every gene with a missing value in any patient of the cohort is left out (drop; Xu et al. 2020)."""
    log: bool | None = None
    """Whether log10(x + 1) is taken; by default as the cohort says (`cohort build --log`)."""
    zscore: bool = True
    """Whether each gene is centred and divided by its standard deviation over training patients."""


@dataclass(frozen=True)
class ExpressionScaler:
    """Expression -> what a network reads: chosen genes in a fixed order, log10(x + 1), imputation, z-score.

    Attributes:
        genes: the genes that are left, in order.
        mean, scale: (genes,) subtracted and divided by, after the logarithm; 0 and 1 without z-score.
        median: (genes,) what a missing value becomes, after the logarithm; NaN where missing values are refused.
        log: whether log10(x + 1) is taken.
    """

    genes: tuple[str, ...]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    median: NDArray[np.float64]
    log: bool

    @classmethod
    def fit(
        cls, expression: AnnData, patients: Sequence[str], settings: ExpressionSettings | None = None
    ) -> ExpressionScaler:
        """Fit on the training patients.

        Genes whose values are all the same in the training patients tell nothing and are left out with z-score.

        Args:
            expression: the cohort's raw expression; with missing="drop" a gene must be complete in all of its patients,
                so that everybody held out can be transformed too.
            patients: the training patients.
            settings: what to do.

        Raises:
            ExpressionError: a training patient without expression, no gene left, negative values under a logarithm.
        """
        settings = settings or ExpressionSettings()
        log = bool(expression.uns.get("log", False)) if settings.log is None else settings.log
        everybody = expression_values(expression)
        values = _logarithm(everybody, expression, log)[_rows(expression, patients)].astype(np.float64)
        complete, present = ~np.isnan(everybody).any(axis=0), np.isnan(values).mean(axis=0) <= MOST_MISSING
        kept: NDArray[np.bool_] = np.asarray(complete if settings.missing == "drop" else present)
        median = np.full(len(kept), np.nan)
        if settings.missing == "median":
            median[kept] = np.nanmedian(values[:, kept], axis=0)
            values = np.where(np.isnan(values), median, values)
        mean, scale = np.zeros(len(kept)), np.ones(len(kept))
        if settings.zscore:
            mean[kept], scale[kept] = values[:, kept].mean(axis=0), values[:, kept].std(axis=0)
            kept = kept & (scale > 1e-6 * np.maximum(np.abs(mean), 1e-6))
        if not kept.any():
            remedy = 'use missing="median"' if settings.missing == "drop" else "give a table with values"
            raise ExpressionError("no gene is complete in all patients and varies in the training ones", remedy=remedy)
        genes = tuple(map(str, expression.var_names[kept]))
        return cls(genes, mean[kept], scale[kept], median[kept], log)

    def transform(self, expression: AnnData, patients: Sequence[str] | None = None) -> NDArray[np.float32]:
        """(patients, genes) float32 in the scaler's order of genes, patients in the given order (default: all).

        Raises:
            ExpressionError: genes that the table lacks, missing values where they are refused, unknown patients.
        """
        columns = expression.var_names.get_indexer(pd.Index(self.genes))
        absent = [gene for gene, column in zip(self.genes, columns, strict=True) if column < 0]
        if absent:
            raise ExpressionError(
                f"{len(absent)} of the model's {len(self.genes)} genes are not in the table: {_some(absent)}",
                remedy="give a table with the genes that the model was trained on",
            )
        chosen = expression[:, columns]
        rows = np.arange(expression.n_obs) if patients is None else _rows(expression, patients)
        values = _logarithm(expression_values(chosen), chosen, self.log)[rows].astype(np.float64)
        values = np.where(np.isnan(values), self.median, values)
        holes = np.isnan(values).any(axis=0)
        if holes.any():
            raise ExpressionError(
                f"{holes.sum()} of the model's genes have missing values: {_some(np.array(self.genes)[holes])}",
                remedy='fill them in, or train with missing="median"',
            )
        return ((values - self.mean) / self.scale).astype(np.float32)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays, as safetensors stores them; genes as UTF-8 bytes, one per line."""
        return {
            "genes": np.frombuffer("\n".join(self.genes).encode(), np.uint8).copy(),
            "mean": self.mean,
            "scale": self.scale,
            "median": self.median,
            "log": np.array([self.log], np.uint8),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ExpressionScaler:
        """What `to_arrays` made."""
        genes = tuple(np.asarray(arrays["genes"], np.uint8).tobytes().decode().split("\n"))
        mean, scale, median = (np.asarray(arrays[name], np.float64) for name in ("mean", "scale", "median"))
        return cls(genes, mean, scale, median, bool(arrays["log"][0]))


def _read_text(path: Path, patients: Collection[str] | None, settings: TableSettings) -> AnnData:
    table = tables.read_text(path, ExpressionError)
    orientation, ids = _orient(table, path, patients, settings)
    absent = [name for name in settings.not_genes if name not in table.columns or name == ids]
    if absent:
        raise ExpressionError(f"has no column {absent[0]!r} to leave out (not_genes)", path=path)
    left = table.drop(columns=list(settings.not_genes))
    names = left.pop(ids).astype(str).str.strip()
    values = tables.numbers(left, list(names), path, ExpressionError)
    columns = [name.strip() for name in left.columns]
    if orientation == "genes-in-rows":
        return _merged(values.T, columns, list(names), path, settings)
    return _merged(values, list(names), columns, path, settings)


def _orient(
    table: pd.DataFrame, path: Path, patients: Collection[str] | None, settings: TableSettings
) -> tuple[Orientation, str]:
    """Which way the table lies, and the column that holds the ids of its rows."""
    first = str(table.columns[0])
    known = set(map(str, () if patients is None else patients))
    across = sum(str(name).strip() in known for name in table.columns)
    down = {str(name): int(table[name].str.strip().isin(known).sum()) for name in table.columns[:_ID_COLUMNS]}
    best = max(down, key=lambda name: down[name])
    places = ("the header", f"column {best!r}")
    orientation = _decide(across, down[best], known, places, path, settings)
    return orientation, best if orientation == "patients-in-rows" and down[best] else first


def _decide(
    across: int, down: int, known: set[str], places: tuple[str, str], path: Path, settings: TableSettings
) -> Literal["genes-in-rows", "patients-in-rows"]:
    """Which way a table lies: as the user says, else by where known patients stand, else it is refused.

    Args:
        across, down: how many known patients stand over the columns, and beside the rows.
        known: all known patients.
        places: names for both places.
    """
    if settings.orientation != "auto":
        return settings.orientation
    if across and not down:
        return "genes-in-rows"
    if down and not across:
        return "patients-in-rows"
    if across:
        problem = f"known patients stand both in {places[0]} ({across}) and in {places[1]} ({down})"
    elif known:
        problem = f"none of the {len(known)} known patients (such as {min(known)!r}) stands in its header or columns"
    else:
        problem = "whether genes or patients are in its rows cannot be told without knowing a patient"
    raise ExpressionError(
        problem, path=path, remedy="say --orientation genes-in-rows or --orientation patients-in-rows"
    )


def _read_series(path: Path, patients: Collection[str] | None, settings: TableSettings) -> AnnData:
    matrix = read_series_matrix(path)
    if settings.not_genes:
        raise ExpressionError(
            f"is a series matrix, whose columns are samples: not_genes {settings.not_genes[0]!r} is none of them",
            path=path,
            remedy="leave --not_genes off",
        )
    if settings.orientation == "patients-in-rows":
        raise ExpressionError(
            "is a series matrix, which has genes in rows", path=path, remedy="leave --orientation off"
        )
    if not matrix.rows:
        kinds = ", ".join(matrix.samples.columns[1:]) or "no characteristics"
        files = " or ".join(matrix.supplementary) or "the series' supplementary file"
        raise ExpressionError(
            f"series matrix of {matrix.accession} without expression values: it only has the characteristics ({kinds})"
            f" of {len(matrix.samples)} samples, which --clinical reads",
            path=path,
            remedy=f"give {files} as the expression table",
        )
    header, *rows = matrix.rows
    table = pd.DataFrame(tables.rectangular(rows, len(header), path, ExpressionError), columns=header)
    genes = list(table.pop(header[0]))
    values = tables.numbers(table, genes, path, ExpressionError)
    samples = matrix.samples.reindex(table.columns)
    if samples["title"].isna().any():
        raise ExpressionError(f"sample {samples.index[samples['title'].isna()][0]} has values but no title", path=path)
    ids = _series_patients(samples, patients, path, settings)
    made = _merged(values.T, list(ids.astype(str)), genes, path, settings)
    made.uns["patients_from"] = str(ids.name)
    return made


def _series_patients(
    samples: pd.DataFrame, patients: Collection[str] | None, path: Path, settings: TableSettings
) -> pd.Series[str]:
    """Titles, accessions or the characteristic that has most of the known patients; its name says which.

    The titles, where nobody is known, or where the user says so by "genes-in-rows".
    """
    known = set(map(str, () if patients is None else patients))
    candidates = [
        samples["title"],
        samples.index.to_series(name="geo_accession"),
        *(samples[name] for name in samples.columns[1:]),
    ]
    best = max(candidates, key=lambda ids: int(ids.isin(known).sum()))  # the first of equals: the titles
    if known and settings.orientation == "auto" and not best.isin(known).any():
        raise ExpressionError(
            f"none of the {len(known)} known patients (such as {min(known)!r}) stands among its titles (such as"
            f" {samples['title'].iloc[0]!r}), accessions or characteristics",
            path=path,
            remedy="say --orientation genes-in-rows if the titles are the patients' ids",
        )
    return best


def _read_h5ad(path: Path, patients: Collection[str] | None, settings: TableSettings) -> AnnData:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about names that are not unique, which _merged handles
            found = anndata.read_h5ad(path)
    except (OSError, KeyError, ValueError) as error:
        raise ExpressionError(f"is not readable as h5ad ({error})", path=path) from error
    known = set(map(str, () if patients is None else patients))
    down, across = (sum(map(known.__contains__, map(str, names))) for names in (found.obs_names, found.var_names))
    if _decide(across, down, known, ("var_names", "obs_names"), path, settings) == "genes-in-rows":
        found = found.T
    absent = sorted(set(settings.not_genes) - set(found.var_names))
    if absent:
        raise ExpressionError(f"has no gene {absent[0]!r} to leave out (not_genes)", path=path)
    kept = found[:, ~found.var_names.isin(settings.not_genes)]
    values = expression_values(kept)
    return _merged(values, list(kept.obs_names), list(kept.var_names), path, settings)


def _merged(
    values: NDArray[np.float32], patients: list[str], genes: list[str], path: Path, settings: TableSettings
) -> AnnData:
    """AnnData with each gene once; genes keep the order in which they first appear."""
    names, ids = pd.Index(genes), pd.Index(patients)
    if ids.has_duplicates:
        twice = ids[ids.duplicated()][0]
        raise ExpressionError(f"patient {twice!r} appears twice", path=path, remedy="keep one sample per patient")
    if (names == "").any():
        raise ExpressionError(f"gene number {int(np.argmax(names == '')) + 1} has no name", path=path)
    repeated = names[names.duplicated()].unique()
    if len(repeated):
        if settings.duplicates == "refuse":
            raise ExpressionError(f"gene {repeated[0]!r} appears twice", path=path, remedy='use duplicates "maxmean"')
        values = values.copy()
        for gene in repeated:
            same = np.flatnonzero(names == gene)
            values[:, same[0]] = _merge(values[:, same], settings.duplicates)
        values, names = values[:, ~names.duplicated()], names[~names.duplicated()]
    made = AnnData(
        np.ascontiguousarray(values, np.float32),
        obs=pd.DataFrame(index=pd.Index(patients, dtype=object, name="patient")),
        var=pd.DataFrame(index=pd.Index(names, dtype=object, name="gene")),
    )
    made.uns["merged_genes"] = len(repeated)
    return made


def _merge(columns: NDArray[np.float32], how: Duplicates) -> NDArray[np.float32]:
    """One column (patients,) from several of the same gene (patients, k); a column without values never wins."""
    present = (~np.isnan(columns)).sum(axis=0)
    if how == "mean":
        counted = (~np.isnan(columns)).sum(axis=1)
        return np.where(counted > 0, np.nansum(columns, axis=1) / np.maximum(counted, 1), np.nan).astype(np.float32)
    mean = np.where(present > 0, np.nansum(columns, axis=0) / np.maximum(present, 1), -np.inf)
    return columns[:, int(np.argmax(mean))]


def _logarithm(values: NDArray[np.float32], expression: AnnData, log: bool) -> NDArray[np.float32]:
    if not log:
        return values
    _refuse_negative(values, expression.obs_names, expression.var_names, None)
    return np.log10(values + np.float32(1))


def _refuse_negative(values: NDArray[np.float32], patients: pd.Index[Any], genes: pd.Index[Any], path: Any) -> None:
    negative = np.argwhere(values < 0)
    if len(negative):
        row, column = negative[0]
        raise ExpressionError(
            f"gene {genes[column]} of patient {patients[row]} is {values[row, column]:.4g}, and log10(x + 1) takes no"
            " negative values",
            path=path,
            remedy="the table is already on a logarithmic or z-score scale: leave log off",
        )


def _rows(expression: AnnData, patients: Sequence[str]) -> NDArray[np.intp]:
    rows = expression.obs_names.get_indexer(pd.Index(patients))
    absent = [patient for patient, row in zip(patients, rows, strict=True) if row < 0]
    if absent:
        raise ExpressionError(f"no expression of {len(absent)} patients: {_some(absent)}")
    return np.asarray(rows)


def _some(names: Collection[str]) -> str:
    shown = [str(name) for name in names][:10]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")
