"""Text tables, read strictly: delimiters and encodings as people have them, every cell accounted for."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radiogenesis.cohort.geo import open_text
from radiogenesis.errors import InputError

MISSING = frozenset({"", "na", "nan", "n/a", "null", "none"})
"""What counts as a missing number, in small letters."""


def read_text(path: Path, error: type[InputError]) -> pd.DataFrame:
    """The table as text, one column of str per column of the file.

    The delimiter is the one of tab, comma and semicolon that the header has most of. A header that is one cell shorter
    than its rows (as R writes it) gets an empty first name.

    Raises:
        error: empty, without a delimiter, rows of different lengths, columns of the same name.
    """
    lines = [line for line in open_text(path) if line.strip()]
    if len(lines) < 2:
        raise error(f"has {len(lines)} lines: not a table", path=path)
    delimiter = max("\t,;", key=lines[0].count)
    if delimiter not in lines[0]:
        raise error("its first line has no tab, comma or semicolon: not a table", path=path)
    header, *rows = csv.reader(lines, delimiter=delimiter)
    header = [name.strip() for name in header]
    if rows and len(rows[0]) == len(header) + 1:
        header = ["", *header]
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise error(f"column {min(twice)!r} appears twice", path=path, remedy="rename or remove one")
    return pd.DataFrame(rectangular(rows, len(header), path, error), columns=header, dtype=object)


def rectangular(rows: list[list[str]], width: int, path: Path, error: type[InputError]) -> list[list[str]]:
    """The rows, each of which must have as many cells as the header."""
    for number, row in enumerate(rows, start=2):
        if len(row) != width:
            raise error(
                f"row {number} ({row[0] if row else ''!r}) has {len(row)} cells and the header {width}",
                path=path,
                remedy="the file may be cut off: copy or download it again",
            )
    return rows


def numbers(table: pd.DataFrame, rows: Sequence[str], path: Path, error: type[InputError]) -> NDArray[np.float32]:
    """(rows, columns) float32; NaN where a cell is empty, NA, NaN or null.

    Raises:
        error: names the row and the column of the first cell that is neither that nor a finite number.
    """
    made = np.empty(table.shape, np.float32)
    cells = table.to_numpy(dtype=object)
    for number, line in enumerate(cells):
        made[number] = [_number(cell) for cell in line]
        bad = np.flatnonzero(np.isinf(made[number]))
        if len(bad):
            raise error(
                f"row {rows[number]!r}, column {table.columns[bad[0]]!r} is {line[bad[0]]!r}, not a number",
                path=path,
                remedy=f"if the column is no gene, leave it out: --not_genes {table.columns[bad[0]]!r}",
            )
    return made


def _number(cell: str) -> float:
    """The cell as a number; inf marks what is none, since no expression is infinite."""
    try:
        return float(cell)
    except ValueError:
        return float("nan") if cell.strip().lower() in MISSING else float("inf")
