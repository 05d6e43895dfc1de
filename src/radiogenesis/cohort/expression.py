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

from radiogenesis.cohort.tables import reading
from radiogenesis.cohort.tables.gene_names import counted, some
from radiogenesis.cohort.tables.geo import is_series_matrix, read_series_matrix
from radiogenesis.cohort.tables.h5ad import refuse_unsound
from radiogenesis.cohort.tables.identity import Known, style_told
from radiogenesis.cohort.tables.profiles import Duplicates, assemble, refuse_infinite
from radiogenesis.cohort.zarr_tables import expression_values
from radiogenesis.errors import ExpressionError, may_pass

MOST_MISSING = 0.2  # share of a gene's values; with more, its median would stand for too many patients
_ID_COLUMNS = 20  # the patients' ids, where patients are in rows, stand in one of so many first columns
_NO_GENE = "if the column is no gene, leave it out: --not_genes {column!r}"
Orientation = Literal["auto", "genes-in-rows", "patients-in-rows"]


@dataclass(frozen=True, kw_only=True)
class TableSettings:
    """How an expression table is read."""

    orientation: Orientation = "auto"
    """Which way the table lies: "auto" lets the ids of known patients (scans, annotations, clinical table) decide. In a
    GEO series matrix genes are in rows always; there "genes-in-rows" takes the sample titles for the patients' ids,
    where "auto" wants known patients among titles, accessions or characteristics."""
    not_genes: tuple[str, ...] = ()
    """Columns of the table that are no genes, such as labels and descriptions, or rows where genes are in rows: left
    out. A series matrix has none."""
    duplicates: Duplicates = "maxmean"
    """Rows of the same gene symbol: keep the one with the highest mean over patients (MaxMean, the default of
    WGCNA's collapseRows, Miller et al. 2011), take their mean, or refuse the table."""
    log: bool = False
    """Whether log10(x + 1) is taken when the values are used: yes for FPKM, TPM and counts, no for values that are on
    a logarithmic or z-score scale already. The cohort keeps the raw values and this choice."""


def read_expression(
    path: str | Path,
    *,
    patients: Collection[str] | None = None,
    settings: TableSettings | None = None,
    id_map: Mapping[str, str] | None = None,
) -> AnnData:
    """Raw expression, patients x genes, float32, NaN where a value is missing.

    Reads CSV, TSV and semicolon tables (see `reading.read_table`), the text tables that GEO offers as supplementary
    files (first header cell empty or absent, `NA`), GEO series matrices with values, each also as gzip, and h5ad.

    An id that differs from a known patient's only in case, separators or leading zeros is that patient's. What is no
    patient, no gene or no measurement is left out; `uns["remarks"]`, where there is any, says what, in sentences.

    Args:
        path: the file.
        patients: ids of known patients, which decide which way the table lies, and which of its columns has the ids of
            a series matrix; where nobody is known, its sample titles are taken. `uns["patients_from"]` names it.
            They also decide which of several rows of a gene is kept.
        settings: how to read it.
        id_map: id in the table -> id of a known patient. Where it is given, even empty, the table is meant to hold
            known patients, and that is the remedy where it does not.

    Raises:
        ExpressionError: unreadable, undecided orientation, a cell that is no number or infinite (row and column are
            named), a patient twice, no values, `not_genes` that the file lacks.
    """
    path, settings, known = Path(path), settings or TableSettings(), Known.of(patients, id_map)
    if not path.is_file():
        raise ExpressionError("there is no such file", path=path)
    if path.suffix.lower() == ".h5ad":
        expression = _read_h5ad(path, known, settings)
    elif is_series_matrix(path):
        expression = _read_series(path, known, settings)
    else:
        expression = _read_table(path, known, settings)
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
    """Whether each gene is centered and divided by its standard deviation over training patients."""


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
            fill = f"{(~complete).sum()} of {len(kept)} lack a value: fill these in with --missing median"
            remedy = fill if settings.missing == "drop" else "give a table with values"
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
                f"{len(absent)} of the model's {len(self.genes)} genes are not in the table: {some(absent)}",
                remedy="give a table with the genes that the model was trained on",
            )
        chosen = expression[:, columns]
        rows = np.arange(expression.n_obs) if patients is None else _rows(expression, patients)
        values = _logarithm(expression_values(chosen), chosen, self.log)[rows].astype(np.float64)
        values = np.where(np.isnan(values), self.median, values)
        holes = np.isnan(values).any(axis=0)
        if holes.any():
            raise ExpressionError(
                f"{holes.sum()} of the model's genes have missing values: {some(np.array(self.genes)[holes])}",
                remedy='fill them in, or train with missing="median"',
            )
        return ((values - self.mean) / self.scale).astype(np.float32)

    def left_out(self, expression: AnnData) -> str:
        """Which genes of the table the scaler does not use for want of values, in a sentence; "" where it uses all."""
        missing = np.isnan(expression_values(expression)).any(axis=0)
        names = expression.var_names[missing & ~expression.var_names.isin(self.genes)]
        if not len(names):
            return ""
        filled = bool(np.isfinite(self.median).any())
        why = f"more than {MOST_MISSING:.0%} of their values are missing" if filled else "values of them are missing"
        remedy = "" if filled else "; --missing median keeps those that lack few"
        return f"{len(names)} of {expression.n_vars:,} genes are left out, since {why}: {some(names, 5)}{remedy}."

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


def _read_table(path: Path, known: Known, settings: TableSettings) -> AnnData:
    table = reading.read_table(path, ExpressionError)
    orientation, ids = _orient(table, path, known, settings)
    rows = table[ids].str.strip()
    absent = [name for name in settings.not_genes if name == ids or name not in {*table.columns, *rows}]
    if absent:
        raise ExpressionError(f"has no column or gene {absent[0]!r} to leave out (not_genes)", path=path)
    left_out = [ids, *_row_numbers(table, ids), *table.columns.intersection(list(settings.not_genes))]
    kept, rows = table.drop(columns=left_out)[~rows.isin(settings.not_genes)], rows[~rows.isin(settings.not_genes)]
    if orientation == "genes-in-rows":
        patients = known.renamed(list(kept.columns))[0]
        nobody = list(dict.fromkeys([*known.strangers(patients), *_unreadable(kept, patients, known)]))
        kept = kept.loc[:, ~np.isin(patients, nobody)]
        values = reading.numbers(kept, list(rows), path, ExpressionError).T
        return _assembled(values, list(kept.columns), list(rows), path, known, settings, nobody)
    patients = known.renamed(list(rows))[0]
    nobody = known.strangers(patients)
    kept, rows = kept[~np.isin(patients, nobody)], rows[~np.isin(patients, nobody)]
    values = reading.numbers(kept, list(rows), path, ExpressionError, _NO_GENE)
    return _assembled(values, list(rows), list(kept.columns), path, known, settings, nobody)


def _unreadable(table: pd.DataFrame, patients: Sequence[str], known: Known) -> list[str]:
    """Columns of nobody who is known with a cell that is no number, beside known patients: annotations of genes."""
    if not known.count(patients):
        return []
    unknown = [(at, patient) for at, patient in enumerate(patients) if patient not in known.patients]
    return [patient for at, patient in unknown if reading.as_numbers(table.iloc[:, at]) is None]


def _row_numbers(table: pd.DataFrame, ids: str) -> list[str]:
    """Columns before that of the ids which only number the rows, as the index of a data frame does."""
    return [name for name in table.columns[: list(table.columns).index(ids)] if _counts_up(table[name])]


def _counts_up(column: pd.Series[str]) -> bool:
    cells = list(column.str.strip())
    return any(cells == [str(start + row) for row in range(len(cells))] for start in (0, 1))


def _orient(table: pd.DataFrame, path: Path, known: Known, settings: TableSettings) -> tuple[Orientation, str]:
    """Which way the table lies, and the column that holds the names of its rows.

    Genes stand in the first column that does more than number the rows.
    """
    genes = next((name for name in table.columns if not _counts_up(table[name])), table.columns[0])
    columns = {name: list(table[name].str.strip()) for name in table.columns[:_ID_COLUMNS]}
    across, down = known.count(table.columns), {name: known.count(cells) for name, cells in columns.items()}
    if not across and not any(down.values()):
        across, down = (
            len(known.alike(list(table.columns))),
            {name: len(known.alike(columns[name])) for name in columns},
        )
    best = max(down, key=lambda name: down[name])
    places = ("the header", f"column {best!r}")
    orientation = _decide(across, down[best], known, places, table.columns[-1], path, settings)
    if orientation == "genes-in-rows":
        return orientation, str(genes)
    return orientation, str(best if down[best] else table.columns[0])


def _decide(
    across: int, down: int, known: Known, places: tuple[str, str], example: str, path: Path, settings: TableSettings
) -> Literal["genes-in-rows", "patients-in-rows"]:
    """Which way a table lies: as the user says, else by where known patients stand, else it is refused.

    Args:
        across, down: how many known patients stand over the columns, and beside the rows.
        known: the patients.
        places: names for both places.
        example: a name that stands there, for the error.
    """
    if settings.orientation != "auto":
        return settings.orientation
    if across and not down:
        return "genes-in-rows"
    if down and not across:
        return "patients-in-rows"
    remedy = "say --orientation genes-in-rows or --orientation patients-in-rows"
    if across:
        problem = f"known patients stand both in {places[0]} ({across}) and in {places[1]} ({down})"
    elif known.patients:
        problem = f"{_nobody(known)} stands in its header or columns (there is {example!r})"
        remedy = _other_ids(known, f"{remedy} if these are other patients")
    else:
        problem = "whether genes or patients are in its rows cannot be told without knowing a patient"
    raise ExpressionError(problem, path=path, remedy=remedy)


def _nobody(known: Known) -> str:
    return f"none of the {len(known.patients)} known patients (such as {min(known.patients)!r})"


def _other_ids(known: Known, otherwise: str) -> str:
    """The remedy where nobody is found: pairs of ids, where the table is meant to hold known patients."""
    if not known.expected:
        return otherwise
    return "give --id_map FILE, a table of two columns: an id as it stands here, and the same patient's id there"


def _read_series(path: Path, known: Known, settings: TableSettings) -> AnnData:
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
    table = pd.DataFrame(reading.rectangular(rows, len(header), path, ExpressionError), columns=header)
    genes = list(table.pop(header[0]))
    values = reading.numbers(table, genes, path, ExpressionError)
    samples = matrix.samples.reindex(table.columns)
    if samples["title"].isna().any():
        raise ExpressionError(f"sample {samples.index[samples['title'].isna()][0]} has values but no title", path=path)
    column = _series_patients(samples, known, path, settings)
    assembled = _assembled(values.T, list(column.astype(str)), genes, path, known, settings)
    assembled.uns["patients_from"] = str(column.name)
    return assembled


def _series_patients(samples: pd.DataFrame, known: Known, path: Path, settings: TableSettings) -> pd.Series[str]:
    """Titles, accessions or the characteristic that has most of the known patients; its name says which.

    The titles, where nobody is known, or where the user says so by "genes-in-rows".
    """
    candidates = [
        samples["title"],
        samples.index.to_series(name="geo_accession"),
        *(samples[name].fillna("") for name in samples.columns[1:]),
    ]
    matches = [(known.count(ids), len(known.alike(list(ids)))) for ids in candidates]
    best = max(range(len(matches)), key=lambda at: matches[at])  # the first of equals: the titles
    if known.patients and settings.orientation == "auto" and not any(matches[best]):
        raise ExpressionError(
            f"{_nobody(known)} stands among its titles (such as {samples['title'].iloc[0]!r}), accessions or"
            " characteristics",
            path=path,
            remedy=_other_ids(known, "say --orientation genes-in-rows if the titles are the patients' ids"),
        )
    return candidates[best]


def _read_h5ad(path: Path, known: Known, settings: TableSettings) -> AnnData:
    refuse_unsound(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about names that are not unique, which `assemble` handles
            data = anndata.read_h5ad(path)
    except Exception as error:  # h5py and anndata raise what their own checks of a damaged file raise
        if may_pass(error):
            raise
        problem = " ".join(f"{error or type(error).__name__}".split())[:200]
        raise ExpressionError(
            f"is not readable as h5ad ({problem})", path=path, remedy="write it again, or copy it again"
        ) from error
    if data.X is None:
        others = [f"layer {name!r}" for name in data.layers] + ["raw"] * (data.raw is not None)
        raise ExpressionError(
            f"has no X, where expression stands; it has {', '.join(others) or 'no layers either'}",
            path=path,
            remedy="copy what is to be used into X (adata.X = adata.layers[...])",
        )
    names = [list(map(str, axis)) for axis in (data.var_names, data.obs_names)]
    across, down = map(known.count, names)
    if not across and not down:
        across, down = (len(known.alike(axis)) for axis in names)
    places = ("var_names", "obs_names")
    if _decide(across, down, known, places, names[1][0] if names[1] else "", path, settings) == "genes-in-rows":
        data = data.T
    absent = sorted(set(settings.not_genes) - set(data.var_names))
    if absent:
        raise ExpressionError(f"has no gene {absent[0]!r} to leave out (not_genes)", path=path)
    kept = data[:, ~data.var_names.isin(settings.not_genes)]
    try:
        values = expression_values(kept)
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise ExpressionError(f"has an X that holds no numbers ({error})", path=path) from error
    return _assembled(values, list(map(str, kept.obs_names)), list(map(str, kept.var_names)), path, known, settings)


def _assembled(
    values: NDArray[np.float32],
    names: list[str],
    genes: list[str],
    path: Path,
    known: Known,
    settings: TableSettings,
    left_out: Sequence[str] = (),
) -> AnnData:
    """The profiles of those among `names` who are patients."""
    patients, alike = known.renamed(names)
    nobody = known.strangers(patients)
    kept, left = ~np.isin(patients, nobody), set(nobody)
    said = style_told("expression", alike)
    if left_out or nobody:
        strange = [*left_out, *nobody]
        said.insert(0, f"left out, {counted(len(strange), 'name')} not taken for patients: {some(strange)}")
    return assemble(
        values[kept], [one for one in patients if one not in left], genes, path,
        known=known.patients, duplicates=settings.duplicates, remarks=said,
    )  # fmt: skip


def _logarithm(values: NDArray[np.float32], expression: AnnData, log: bool) -> NDArray[np.float32]:
    refuse_infinite(values, expression.obs_names, expression.var_names, None)  # of a cohort of an earlier version
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
        raise ExpressionError(f"no expression of {len(absent)} patients: {some(absent)}")
    return np.asarray(rows)
