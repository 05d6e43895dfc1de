"""CSV tables that a spreadsheet program shows and does not execute.

Excel and LibreOffice take a cell that begins with `=`, `+`, `-` or `@` for a formula, wherever the text came from: a
patient id in a DICOM header, a gene's name in a table. Such a text gets an apostrophe before it, as OWASP advises (CSV
Injection); a number, also one that stands in a column of texts, stays as it is. `read_csv` takes the apostrophe off.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogenesis.errors import InputError, may_pass
from radiogenesis.given_files import refuse_special

_FORMULA = re.compile(r"'*[=+\-@\t\r＝＋－＠]")


def write_csv(frame: pd.DataFrame, path: Path, *, index_label: str = "") -> None:
    """Write a table, its index only where that has a label."""
    shown = _texts(frame, guarded)
    if index_label:
        shown.index = pd.Index([guarded(name) for name in frame.index])
    shown.to_csv(path.absolute(), index=bool(index_label), index_label=index_label or None)


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """A table that `write_csv` wrote, with the options of pandas. Raises InputError where it is damaged."""
    refuse_special(path)
    try:
        table = _texts(pd.read_csv(path.absolute(), **options), bare)
    except (ValueError, TypeError, AttributeError, csv.Error) as error:  # of pandas a ParserError is a ValueError
        raise InputError(f"is no table ({' '.join(str(error).split())})", path=path, remedy="make it again") from error
    if options.get("index_col") is not None:
        table.index = table.index.map(bare)
    elif not isinstance(table.index, pd.RangeIndex):  # pandas takes what is too much for an index, and shifts the rest
        raise InputError("is no table (its rows have more cells than its header)", path=path, remedy="make it again")
    return table


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a table without its index."""
    frame.to_parquet(path.absolute(), index=False)  # in full: `file:y` would be taken for a URL


def read_parquet(path: Path) -> pd.DataFrame:
    """A table as Parquet. Raises InputError where it is damaged."""
    refuse_special(path)
    try:
        return pd.read_parquet(path.absolute())
    except (OSError, ValueError, KeyError, TypeError, NotImplementedError) as error:  # pyarrow's own are such
        if may_pass(error):
            raise
        raise InputError(f"is no table ({' '.join(str(error).split())})", path=path, remedy="make it again") from error


def require_columns(table: pd.DataFrame, path: Path, texts: Sequence[str], numbers: Sequence[str] = ()) -> None:
    """Raises InputError where a table that was read from `path` lacks a column, or has texts in one of numbers."""
    for name in (*texts, *numbers):
        if name not in table:
            raise InputError(f"has no column {name!r}", path=path, remedy="make it again")
        if name in numbers and not pd.api.types.is_numeric_dtype(table[name]):
            raise InputError(f"column {name!r} holds texts, not numbers", path=path, remedy="make it again")


def _texts(frame: pd.DataFrame, change: Callable[[Any], Any]) -> pd.DataFrame:
    """The table with its texts changed, and the names of its columns; numbers keep their type."""
    changed = frame.rename(columns=change)
    for place, kind in enumerate(frame.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            cells = np.empty(len(frame), object)
            cells[:] = [change(value) for value in frame.iloc[:, place]]
            changed.isetitem(place, cells)
    return changed


def guarded(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) and not _is_number(value) else value


def bare(value: Any) -> Any:
    """The cell before it was guarded."""
    return value[1:] if isinstance(value, str) and value[:1] == "'" and _FORMULA.match(value[1:]) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
