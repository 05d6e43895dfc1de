"""Where GEO keeps the files of a series, and what is made of a matrix of probes.

A series' folder is `series/GSE103nnn/GSE103584/` with `matrix/` and `suppl/` in it, over FTP and HTTPS alike (NCBI GEO,
"Download GEO data"). The table of a platform is what `acc.cgi?acc=GPL...&targ=self&view=data&form=text` answers: lines
that begin with `^`, `!` and `#`, then a table with a header (NCBI GEO, "Programmatic access", "Construct a URL").
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

import pandas as pd

from radiogenesis.cohort.tables.geo import read_series_matrix
from radiogenesis.cohort.tables.text_files import open_text
from radiogenesis.errors import ExpressionError, FetchError
from radiogenesis.output import whole_file

_SYMBOLS = ("genesymbol", "gene symbol", "gene_symbol", "symbol")
_SEVERAL = re.compile(r"///|[;,|\s]")
"""Between the genes of a probe that measures several."""


def series_folder(geo: str, series: str) -> str:
    """The folder of a series: GSE103584 lies in GSE103nnn, GSE1 to GSE999 in GSEnnn."""
    return f"{geo}/series/{series[:-3] if len(series) > 6 else 'GSE'}nnn/{series}"


def matrix_url(geo: str, series: str) -> str:
    """The series matrix of a series on one platform."""
    return f"{series_folder(geo, series)}/matrix/{series}_series_matrix.txt.gz"


def supplement_url(geo: str, series: str, file: str) -> str:
    """A supplementary file of a series."""
    return f"{series_folder(geo, series)}/suppl/{file}"


def platform_url(query: str, platform: str) -> str:
    """The table of a platform."""
    return f"{query}?{urlencode({'acc': platform, 'targ': 'self', 'view': 'data', 'form': 'text'})}"


def count_genes(path: Path) -> int:
    """Rows of an expression table with genes in rows."""
    return sum(1 for line in open_text(path) if line.strip()) - 1


def read_matrix(path: Path, pattern: str, platform: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The values (probes x patients) and the characteristics (patients in rows) of a series matrix.

    Args:
        path: the matrix.
        pattern: of a patient's id, which stands in one of the lines that describe the samples.
        platform: that it must be of.

    Raises:
        FetchError: no values, another platform, or a sample that is nobody's or a patient with two.
    """
    try:
        matrix = read_series_matrix(path)
    except ExpressionError as error:
        raise FetchError(error.problem, path=path, remedy="delete it, and fetch again") from error
    patients = _patients(path, pattern, list(matrix.samples.index))
    platforms = _line(path, "!Series_platform_id")
    if platform not in platforms:
        raise FetchError(f"is of platform {', '.join(platforms)}, and {platform} was expected", path=path)
    if not matrix.rows:
        raise FetchError("has no values", path=path, remedy="delete it, and fetch again")
    header, *rows = matrix.rows
    values = pd.DataFrame(rows, columns=header).set_index(header[0]).apply(pd.to_numeric)
    clinical = matrix.samples.assign(patient=patients).set_index("patient")
    return values.rename(columns=dict(zip(matrix.samples.index, patients, strict=True))), clinical


def to_genes(values: pd.DataFrame, platform: Path) -> tuple[pd.DataFrame, str]:
    """Probes -> genes: of a gene's probes the one with the highest mean over patients (MaxMean, Miller et al. 2011).

    Args:
        values: probes x patients.
        platform: the file with the platform's table.

    Returns:
        genes x patients, and what is to be said of the probes that are left out.

    Raises:
        FetchError: no table, or none of its probes.
    """
    symbols = _symbols(platform).reindex(values.index)
    if symbols.isna().all():
        raise FetchError("has none of the probes of the series matrix", path=platform)
    symbols = symbols.fillna("").str.strip()
    nobodys = symbols.isin(["", "---"])
    shared = ~nobodys & symbols.str.contains(_SEVERAL)
    kept = values[~nobodys & ~shared]
    genes = symbols[kept.index]
    best = kept.mean(axis=1).groupby(genes).idxmax().sort_index()
    said = (
        f"{len(values):,} probes: {len(best):,} genes; left out {nobodys.sum():,} probes without a gene,"
        f" {shared.sum():,} of several genes, {len(kept) - len(best):,} with a lower mean than another of their gene"
    )
    return kept.loc[best].set_axis(pd.Index(best.index, name="gene")), said


def write_table(table: pd.DataFrame, out: Path) -> None:
    """A table as CSV in gzip, whole or not at all."""
    with whole_file(out, suffix=".gz") as partial:
        table.to_csv(partial, compression={"method": "gzip", "mtime": 0})


def _symbols(platform: Path) -> pd.Series[str]:
    """Probe -> gene symbol, as the platform's table has it."""
    lines = [line for line in open_text(platform) if line and line[0] not in "^!#"]
    header, *rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if lines else [[]]
    at = next((k for name in _SYMBOLS for k, column in enumerate(header) if column.strip().lower() == name), None)
    if at is None or header[0] != "ID":
        raise FetchError(
            f"is no table of a platform with gene symbols (its columns: {', '.join(header)[:200] or 'none'})",
            path=platform,
            remedy="delete it and fetch again, or keep the probes: --probes true",
        )
    pairs = {row[0]: row[at] for row in rows if len(row) > at}
    return pd.Series(pairs, dtype=object)


def _patients(path: Path, pattern: str, samples: Sequence[str]) -> list[str]:
    """The id that stands in the lines of each sample."""
    named: list[set[str]] = [set() for _ in samples]
    for cells in csv.reader((line for line in open_text(path) if line.startswith("!Sample_")), delimiter="\t"):
        for ids, cell in zip(named, cells[1:], strict=False):
            ids.update(re.findall(pattern, cell))
    for sample, ids in zip(samples, named, strict=True):
        if len(ids) != 1:
            raise FetchError(f"sample {sample} names {len(ids)} patients like {pattern}", path=path)
    patients = [ids.pop() for ids in named]
    if twice := {patient for patient in patients if patients.count(patient) > 1}:
        raise FetchError(f"has several samples of {min(twice)}", path=path)
    return patients


def _line(path: Path, name: str) -> list[str]:
    """The values of one line that describes the series."""
    lines = [line for line in open_text(path) if line.startswith(f"{name}\t")]
    return [value for row in csv.reader(lines, delimiter="\t") for value in row[1:]]
