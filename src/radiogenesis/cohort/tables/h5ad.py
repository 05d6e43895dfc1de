"""What is looked at in an h5ad before it is read: sparse matrices whose places lie, and more values than memory holds.

scipy believes what a file says of a sparse matrix: an `indptr` that leads beyond the values reads foreign memory, and
ends the program.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np

from radiogenesis.cohort.tables import h5ad_probe
from radiogenesis.errors import ExpressionError, may_pass

MOST_BYTES = 2**32
"""Of all arrays in a file, unpacked."""
PATIENCE = 60
"""Seconds that a small file may take."""
BYTES_IN_A_SECOND = 2**20
"""Of larger ones, on a slow disk."""
_SPARSE = {"csr_matrix": 0, "csc_matrix": 1}  # and which axis indptr runs along


def refuse_unsound(path: Path) -> None:
    """Raises ExpressionError where the file is no HDF5, promises more than `MOST_BYTES`, or has a sparse matrix whose
    places do not lie within it."""
    if problem := _probed(path):
        raise _unreadable(problem, path)
    try:
        with h5py.File(path) as file:
            for name, group in _sparse(file):
                if problem := _unsound(group):
                    raise _unreadable(f"its sparse matrix {name}: {problem}", path)
    except ExpressionError:
        raise
    except Exception as error:  # h5py raises what HDF5 says of a damaged file
        if may_pass(error):
            raise
        raise _unreadable(f"{error or type(error).__name__}", path) from error


def _unreadable(problem: str, path: Path) -> ExpressionError:
    return ExpressionError(
        f"is not readable as h5ad ({' '.join(problem.split())[:200]})", path=path,
        remedy="write it again with the patients and genes that count, or copy it again",
    )  # fmt: skip


def _probed(path: Path) -> str:
    """What is wrong with a file by `h5ad_probe`, in a process of its own; "" for nothing."""
    if not sys.executable:
        return ""
    patience = PATIENCE + path.stat().st_size / BYTES_IN_A_SECOND
    command = [sys.executable, "-P", h5ad_probe.__file__, str(path.absolute()), str(MOST_BYTES)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=patience, check=False)
    except subprocess.TimeoutExpired:
        return f"its reading has not come to an end after {patience:.0f} s"
    if done.returncode < 0:
        return f"its reading ends the program, {signal.Signals(-done.returncode).name}"
    lines = [*done.stdout.splitlines(), *(done.stderr.splitlines()[-1:] if done.returncode else [])]
    return lines[0] if lines else ""


def _sparse(file: h5py.File) -> Iterator[tuple[str, h5py.Group]]:
    """Every group that is a sparse matrix, with its name."""
    groups: dict[str, h5py.Group] = {}

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Group) and "indptr" in item:
            groups[name] = item

    file.visititems(add)
    yield from groups.items()


def _unsound(group: h5py.Group) -> str:
    """What is wrong with a sparse matrix; "" for nothing."""
    kind = group.attrs.get("encoding-type", group.attrs.get("h5sparse_format", ""))
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    shape = np.asarray(group.attrs.get("shape", group.attrs.get("h5sparse_shape", ())))
    axis = _SPARSE.get(kind if kind in _SPARSE else f"{kind}_matrix")
    if axis is None or shape.shape != (2,) or shape.dtype.kind not in "iu" or (shape < 0).any():
        return f"encoding-type {kind!r}, shape {shape.tolist()}"
    if any(name not in group for name in ("data", "indices")):
        return "data or indices are missing"
    indptr, indices, data = (np.asarray(group[name]) for name in ("indptr", "indices", "data"))
    if any(one.ndim != 1 for one in (indptr, indices, data)) or any(
        one.dtype.kind not in "iu" for one in (indptr, indices)
    ):
        return "indptr or indices are no whole numbers"
    if len(indptr) != shape[axis] + 1:
        return f"indptr has {len(indptr)} entries, and {shape[axis] + 1} are needed"
    if indptr[0] != 0 or (indptr[1:] < indptr[:-1]).any():
        return "indptr does not ascend from 0"
    if not len(indices) == len(data) == indptr[-1]:
        return f"indptr ends at {indptr[-1]}, with {len(indices)} indices and {len(data)} values"
    if len(indices) and (indices.min() < 0 or indices.max() >= shape[1 - axis]):
        return f"indices from {indices.min()} to {indices.max()}, where {shape[1 - axis]} are there"
    return ""
