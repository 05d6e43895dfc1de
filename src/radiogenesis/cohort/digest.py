"""The content digest of a cohort: sha256 over what is in it, whatever its chunks, compression or file names.

Every part (an array, a table, the expression) has its own digest, in a canonical form: little-endian bytes in C
order, one kind of NaN, text as JSON. The cohort's digest is the digest of its parts' digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray


class Hash(Protocol):
    """What hashlib's objects offer."""

    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


def file_digest(path: Path) -> str:
    """sha256 of a file as it is on disk."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_digest(value: object) -> str:
    """sha256 of a JSON-able value; the order of keys does not matter."""
    return hashlib.sha256(_json(value)).hexdigest()


def start_array(dtype: np.dtype[Any], tail: tuple[int, ...]) -> Hash:
    """A hash for an array (N, *tail) that will arrive in blocks along its first axis."""
    started = hashlib.sha256()
    started.update(_json(["array", np.dtype(dtype).newbyteorder("<").str, list(tail)]))
    return started


def array_bytes(values: NDArray[Any]) -> bytes:
    """Canonical bytes: little-endian, C order, every NaN the same."""
    plain = np.ascontiguousarray(values)
    if plain.dtype.kind == "f" and np.isnan(plain).any():
        plain = np.where(np.isnan(plain), plain.dtype.type(np.nan), plain)
    return plain.astype(plain.dtype.newbyteorder("<"), copy=False).tobytes()


def array_digest(values: NDArray[Any]) -> str:
    """sha256 of an array that is in memory; equal to that of the same rows in blocks."""
    started = start_array(values.dtype, values.shape[1:])
    started.update(array_bytes(values))
    return started.hexdigest()


def frame_digest(frame: pd.DataFrame) -> str:
    """sha256 of a table in the form that `storable` gives it."""
    started = hashlib.sha256()
    started.update(_json(["frame", [str(name) for name in frame.columns], [str(row) for row in frame.index]]))
    for name in frame.columns:
        started.update(_column_bytes(frame[name]))
    return started.hexdigest()


def cohort_digest(facts: Mapping[str, object], parts: Mapping[str, str]) -> str:
    """sha256 of the whole cohort from its parts' digests."""
    return json_digest({"facts": dict(facts), "parts": dict(parts)})


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def _column_bytes(column: pd.Series[Any]) -> bytes:
    if column.dtype.kind == "f":
        return b"f" + array_bytes(column.to_numpy(np.float64))
    if column.dtype.kind in "iu":
        return b"i" + array_bytes(column.to_numpy(np.int64))
    if column.dtype.kind == "b":
        return b"b" + array_bytes(column.to_numpy(np.bool_))
    return b"s" + _json([None if pd.isna(value) else str(value) for value in column])
