"""What readers saved, beside the key: every file is checked, and nothing in it is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from radiogenesis.cohort.digest import json_digest
from radiogenesis.errors import InputError
from radiogenesis.given_files import read_json, refuse_special

COLUMNS = (
    "study",
    "reader",
    "task",
    "item",
    "number",
    "left",
    "answer",
    "seconds",
    "window_low",
    "window_high",
    "zoom",
)
"""Of a file of answers, in order."""
NUMBERS = ("number", "seconds", "window_low", "window_high", "zoom")
_MOST = 1e6  # of seconds, HU, and all else that a page writes
SCALE = tuple("123456")
SIDES = ("A", "B")


def read_key(path: Path) -> dict[str, Any]:
    """The key of a study. Raises InputError where it is missing, damaged or no key."""
    try:
        key: dict[str, Any] = read_json(path)
        digest = key.pop("digest", None)  # keys of before have none
        if digest is not None and digest != json_digest(key):
            raise InputError("was changed or damaged since it was written", path=path, remedy=_KEY)
        tasks = {item["task"] for item in key["items"].values()}
        if not isinstance(key["study"], str) or not tasks <= {"rate", "drawn", "high"}:
            raise ValueError("unknown tasks")
    except FileNotFoundError as error:
        raise InputError("there is no key here", path=path, remedy=_KEY) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"is not the key of a reader study ({error})", path=path, remedy=_KEY) from error
    return key


_KEY = "give the .key.json that `radiogenesis readers make` wrote beside the page"


def read_answers(paths: Sequence[Path], key: Mapping[str, Any]) -> pd.DataFrame:
    """All answers: COLUMNS, and what the key says of each item.

    Raises:
        InputError: a file that is missing, of another study or of several readers, with answers that cannot be; or two
            files of one reader.
    """
    if not paths:
        raise InputError("no answers were given", remedy="give the CSV files that readers saved")
    seen: dict[str, Path] = {}
    parts = []
    for path in paths:
        table = _read(path)
        _check(table, path, key)
        reader = str(table["reader"].iloc[0])
        if reader in seen:
            raise InputError(f"holds answers of reader {reader}, as {seen[reader]} does", path=path,
                             remedy="give one file per reader")  # fmt: skip
        seen[reader] = path
        parts.append(table)
    answers = pd.concat(parts, ignore_index=True)
    truth = pd.DataFrame.from_dict(dict(key["items"]), orient="index").drop(columns="task")
    return answers.join(truth, on="item")


def _read(path: Path) -> pd.DataFrame:
    refuse_special(path)
    try:
        table = pd.read_csv(path.absolute(), dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise InputError("there is no such file", path=path, remedy="give the CSV files that readers saved") from error
    except (OSError, ValueError) as error:  # a parser's error is a ValueError
        reason = " ".join(str(error).split())
        raise InputError(f"cannot be read ({reason})", path=path, remedy="ask the reader to save it again") from error
    if tuple(table.columns) != COLUMNS:
        raise InputError("is not a file of answers: its columns are others", path=path,
                         remedy="give what the page saved, as it is")  # fmt: skip
    if table.empty:
        raise InputError("holds no answers", path=path, remedy="leave it out")
    for name in NUMBERS:
        numbers = pd.to_numeric(table[name], errors="coerce")
        if numbers.isna().any():
            raise InputError(f"{name} {table.loc[numbers.isna(), name].iloc[0]!r} is not a number", path=path,
                             remedy="give what the page saved, as it is")  # fmt: skip
        low, high = (-_MOST, _MOST) if name.startswith("window") else (0, _MOST)
        if not (impossible := table.loc[~numbers.between(low, high), name]).empty:
            raise InputError(f"{name} {impossible.iloc[0]!r} cannot be", path=path,
                             remedy="give what the page saved, as it is")  # fmt: skip
        table[name] = numbers
    return table


def _check(table: pd.DataFrame, path: Path, key: Mapping[str, Any]) -> None:
    others = sorted(set(table["study"]) - {key["study"]})
    if others:
        raise InputError(f"holds answers of study {others[0]}, the key is of {key['study']}", path=path,
                         remedy="give the key of that study")  # fmt: skip
    if (readers := table["reader"].nunique()) > 1:
        raise InputError(f"holds answers of {readers} readers", path=path, remedy="give one file per reader")
    if not str(table["reader"].iloc[0]).strip():
        raise InputError("does not name its reader", path=path, remedy="write a code into the column reader")
    for row in table.itertuples(index=False):
        item = key["items"].get(row.item)
        if item is None or item["task"] != row.task:
            raise InputError(f"answers the unknown question {row.item!r}", path=path, remedy="save it again")
        allowed = SCALE if row.task == "rate" else SIDES
        if row.answer not in allowed:
            raise InputError(f"the answer {row.answer!r} to {row.item} is none of {', '.join(allowed)}", path=path,
                             remedy="give what the page saved, as it is")  # fmt: skip
    if (twice := table["item"][table["item"].duplicated()]).any():
        raise InputError(f"answers {twice.iloc[0]} twice", path=path, remedy="leave one of the answers")
