"""GEO series matrices: the text files (often gzip) in which the Gene Expression Omnibus publishes a series.

Lines that begin with `!Series_` and `!Sample_` describe; between `!series_matrix_table_begin` and `..._end` stands a
table of values, genes or probes in rows, GSM accessions in columns, which for sequencing series is empty as a rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from radiogenesis.cohort.tables.text_files import is_zip, open_text, split_rows
from radiogenesis.errors import ExpressionError

_BEGIN, _END = "!series_matrix_table_begin", "!series_matrix_table_end"


@dataclass(frozen=True)
class SeriesMatrix:
    """What a series matrix holds.

    Attributes:
        path: the file.
        accession: of the series, "GSE103584".
        samples: index GSM accession; column title, then one column per characteristic ("histology", "gender").
        rows: the table of values as text, header first; empty where the series has none.
        supplementary: names of the supplementary files of the series, where sequencing data usually lies.
    """

    path: Path
    accession: str
    samples: pd.DataFrame
    rows: list[list[str]]
    supplementary: tuple[str, ...]


def is_series_matrix(path: Path) -> bool:
    """Whether the file begins like a series matrix."""
    first = "" if is_zip(path) else next((line for line in open_text(path) if line.strip()), "")
    return first.startswith("!Series_")


def read_series_matrix(path: Path) -> SeriesMatrix:
    """Read one. Raises ExpressionError where it lists no samples, or ends before its table does."""
    series: dict[str, list[str]] = {}
    samples: list[tuple[str, list[str]]] = []
    rows: list[list[str]] | None = None
    ended = False
    for cells in split_rows(enumerate(open_text(path), 1), "\t", path, ExpressionError, width=1):
        if not cells or ended:
            continue
        name, values = cells[0], cells[1:]
        if name == _BEGIN:
            rows = []
        elif name == _END:
            ended = True
        elif rows is not None:
            rows.append(cells)
        elif name.startswith("!Series_"):
            series.setdefault(name.removeprefix("!Series_"), []).extend(values)
        elif name.startswith("!Sample_"):
            samples.append((name.removeprefix("!Sample_"), values))
    if rows is None or not ended:
        raise ExpressionError("ends before its table does", path=path, remedy="download it again")
    files = (link.rsplit("/", 1)[-1] for link in series.get("supplementary_file", []))
    return SeriesMatrix(
        path=path,
        accession=next(iter(series.get("geo_accession", [])), ""),
        samples=_samples(samples, path),
        rows=rows if len(rows) > 1 else [],
        supplementary=tuple(file for file in files if file and file != "NONE"),
    )


def read_characteristics(path: str | Path) -> pd.DataFrame:
    """Samples x characteristics of a series matrix; index: the sample titles, where archives put patient ids."""
    samples = read_series_matrix(Path(path)).samples
    table = samples.assign(geo_accession=samples.index).set_index("title").rename_axis("patient")
    twice = table.index[table.index.duplicated()].unique()
    if len(twice):
        raise ExpressionError(f"sample title {twice[0]!r} appears twice", path=path, remedy="give a table of your own")
    return table


def _samples(lines: list[tuple[str, list[str]]], path: Path) -> pd.DataFrame:
    """One row per sample; a characteristic `key: value` becomes column `key`, whichever line it stands in."""
    plain = {name: values for name, values in lines if name in ("title", "geo_accession")}
    if set(plain) != {"title", "geo_accession"} or len({len(values) for values in plain.values()}) != 1:
        raise ExpressionError("does not list its samples", path=path, remedy="download the series matrix again")
    rows: list[dict[str, str]] = [{"title": title.strip()} for title in plain["title"]]
    for name, values in lines:
        if name.startswith("characteristics"):
            for row, value in zip(rows, values, strict=False):
                key, _, rest = value.partition(": ")
                if rest:
                    row[key.strip()] = rest.strip()
    return pd.DataFrame(rows, index=pd.Index(plain["geo_accession"], name="geo_accession"))
