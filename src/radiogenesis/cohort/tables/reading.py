"""Tables that a user gives, read strictly: delimiters, encodings and decimal signs as people have them, every cell
accounted for."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radiogenesis.cohort.tables.text_files import is_zip, open_text, split_rows
from radiogenesis.errors import InputError
from radiogenesis.given_files import refuse_zip_bomb

MISSING = frozenset({"", "na", "nan", "n/a", "#n/a", "#na", "<na>", "null", "none"})
"""What counts as a missing number, in small letters."""

_DECLARED = re.compile(r'"?sep=(.)"?[\t,;]*', re.IGNORECASE)  # how Excel is told the delimiter
_GCT = re.compile(r"#1\.\d\s*")  # the first line of the Broad Institute's GCT; its second has two counts
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+(e[+-]?\d+)?\s*", re.IGNORECASE)
_THOUSANDS = re.compile(r"\s*[+-]?[1-9]\d{0,2}(,\d{3})+\s*")


def read_table(path: Path, error: type[InputError]) -> pd.DataFrame:
    """The table as text, one column of str per column of the file.

    Text, or the one sheet of a workbook of Excel, where the package openpyxl is installed. The delimiter of a text is
    the one that a first line `sep=;` declares, else the one of tab, comma and semicolon that the header has most of.
    Lines of comments (#) above the header are passed over, and so are rows and columns without any content. A header
    that is one cell shorter than its rows (as R writes it) gets an empty first name.

    Raises:
        error: empty, without a delimiter, rows of different lengths, columns of the same name.
    """
    header, *rows = _sheet(path, error) if is_zip(path) else _text(path, error)
    header, rows = _without_margins([name.strip() for name in header], rows)
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise error(f"column {min(twice)!r} appears twice", path=path, remedy="rename or remove one")
    return pd.DataFrame(rectangular(rows, len(header), path, error), columns=header, dtype=object)


def rectangular(rows: list[list[str]], width: int, path: Path, error: type[InputError]) -> list[list[str]]:
    """The rows, each of which must have as many cells as the header."""
    for number, row in enumerate(rows, start=2):
        if len(row) != width:
            remedy = "the file may be cut off: copy or download it again"
            if len(row) > width:
                remedy = "where numbers have decimal commas, save it with semicolons or tabs between the cells"
            raise error(
                f"row {number} ({row[0] if row else ''!r}) has {len(row)} cells and the header {width}",
                path=path,
                remedy=remedy,
            )
    return rows


def numbers(
    table: pd.DataFrame, rows: Sequence[str], path: Path, error: type[InputError], remedy: str = ""
) -> NDArray[np.float32]:
    """(rows, columns) float32; NaN where a cell is empty, NA, NaN or null. Decimal commas are read as such.

    Args:
        table: cells as text.
        rows: names of the rows, for the error.
        path, error: what is raised about which file.
        remedy: what to do about a cell that is no number; `{column!r}` stands for its column.

    Raises:
        error: names the row and the column of the first cell that is neither that nor a finite number.
    """
    cells = with_points(table.to_numpy(dtype=object))
    values = np.empty(cells.shape, np.float32)
    for number, line in enumerate(cells):
        with np.errstate(over="ignore"):  # what overflows is infinite, and is named like what is no number
            values[number] = [number_or_inf(cell) for cell in line]
        bad = np.flatnonzero(np.isinf(values[number]))
        if len(bad):
            column, cell = str(table.columns[bad[0]]), str(line[bad[0]])
            wrong = "write all numbers with decimal points and without thousands separators"
            advice = wrong if "," in cell else remedy.format(column=column) or "mend the cell, or leave it empty"
            raise error(f"row {rows[number]!r}, column {column!r} is {cell!r}, not a number", path=path, remedy=advice)
    return values


def number_or_inf(cell: str) -> float:
    """The cell as a number, NaN where it is missing; inf marks what is none, since no value here is infinite."""
    try:
        return float(cell)
    except ValueError:
        return float("nan") if cell.strip().lower() in MISSING else float("inf")


def as_numbers(column: pd.Series[str]) -> pd.Series[float] | None:
    """The column as numbers, NaN where a cell is missing; None where a cell is neither that nor a finite number."""
    values = [number_or_inf(cell) for cell in with_points(column.to_numpy(dtype=object))]
    return None if np.isinf(values).any() else pd.Series(values, column.index, float, name=column.name)


def with_points(cells: NDArray[Any]) -> NDArray[Any]:
    """The cells with decimal points, where all of their numbers that have a decimal sign have a comma; else as given.

    One cell at least must be a decimal number and nothing else: 1,234 alone could be 1234.
    """
    commas = [cell for cell in cells.flat if "," in cell]
    if not all(map(_DECIMAL_COMMA.fullmatch, commas)) or all(map(_THOUSANDS.fullmatch, commas)):
        return cells
    if any("." in cell and np.isfinite(number_or_inf(cell)) for cell in cells.flat):
        return cells
    return np.array([cell.replace(",", ".") for cell in cells.flat], dtype=object).reshape(cells.shape)


def _text(path: Path, error: type[InputError]) -> list[list[str]]:
    """The rows of a text file, header first."""
    numbered = [(number, line) for number, line in enumerate(open_text(path), 1) if line.strip()]
    lines = [line for _, line in numbered]
    declared = _DECLARED.fullmatch(lines[0].strip(" ")) if lines else None
    lines = _from_header(lines[1:] if declared else lines)
    if len(lines) < 2:
        raise error(f"has {len(lines)} lines: not a table", path=path)
    delimiter = declared[1] if declared else max("\t,;", key=lines[0].count)
    if delimiter not in lines[0]:
        raise error("its first line has no tab, comma or semicolon: not a table", path=path)
    below, whole = numbered[-len(lines) :], lines[0].count(delimiter) + 1
    return list(split_rows(below, delimiter, path, error, width=whole))


def _from_header(lines: list[str]) -> list[str]:
    """The lines without what stands above the header; a single line `#gene,P1` that is as wide as the next is one."""
    if lines and _GCT.fullmatch(lines[0]):
        return lines[2:]
    comments = next((number for number, line in enumerate(lines) if not line.startswith("#")), 0)
    delimiter = max("\t,;", key=lines[comments].count) if lines else ""
    if comments == 1 and 0 < lines[0].count(delimiter) == lines[1].count(delimiter):
        return lines
    return lines[comments:]


def _sheet(path: Path, error: type[InputError]) -> list[list[str]]:
    """The rows of the one sheet with content of a workbook, header first."""
    if importlib.util.find_spec("openpyxl") is None:
        raise error(
            "is a workbook of Excel or a zip archive, which cannot be read here",
            path=path,
            remedy="save the sheet as CSV, or `pip install openpyxl`",
        )
    refuse_zip_bomb(path, error)
    try:
        book = pd.read_excel(path, sheet_name=None, header=None, dtype=object, keep_default_na=False, engine="openpyxl")
    except Exception as problem:  # openpyxl raises what its parsers raise
        raise error("is not readable as a workbook", path=path, remedy="save the sheet as CSV") from problem
    sheets = {name: sheet for name, sheet in book.items() if sheet.size}
    if len(sheets) != 1:
        raise error(
            f"has {len(sheets)} sheets with content ({', '.join(map(str, sheets))})",
            path=path,
            remedy="save the one that counts as CSV",
        )
    rows = [list(map(str, row)) for row in next(iter(sheets.values())).to_numpy()]
    return [row for row in rows if any(map(str.strip, row))]


def _without_margins(header: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Header and rows without what has no content: rows of commas, and the columns that Excel leaves at the end."""
    rows = [row for row in rows if any(map(str.strip, row))]
    while header and not header[-1] and not any("".join(row[len(header) - 1 :]).strip() for row in rows):
        header = header[:-1]
    beyond = sum(bool("".join(row[len(header) :]).strip()) for row in rows)
    if 2 * beyond > len(rows) and len(rows[0]) == len(header) + 1:
        header = ["", *header]
    width = len(header)
    return header, [row if "".join(row[width:]).strip() else row[:width] for row in rows]
