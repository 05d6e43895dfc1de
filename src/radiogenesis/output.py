"""Outputs appear whole or not at all: written beside their place, and renamed to it at the end.

JSON that every reader takes: Python alone writes NaN, which the standard does not know.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from radiogenesis.errors import OutputError


def refuse_existing(path: Path) -> None:
    """Raises OutputError where something is already there."""
    if path.exists() or path.is_symlink():
        raise OutputError("already exists", path=path, remedy="choose another name, or delete it first")


@contextmanager
def whole_file(path: Path, *, suffix: str = "") -> Iterator[Path]:
    """Where to write a file that takes the place of `path` when the block ends, and is gone if it fails.

    Args:
        path: the file; one that is there already is replaced.
        suffix: what the name must still end in while it is written.
    """
    partial = path.with_name(path.name.removesuffix(suffix) + ".partial" + suffix)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)  # renamed by now if all went well


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to write into, which is renamed to `path` when the block ends, and is gone if it fails.

    Raises:
        OutputError: something is already at `path`.
    """
    refuse_existing(path)
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by a run that was killed
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # renamed by now if all went well


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all; an earlier one is replaced."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def json_text(value: Any) -> str:
    """Nested mappings and sequences as JSON; what is not a number (nan, infinite) as null, what JSON lacks as text."""
    return json.dumps(_finite(value), indent=1, default=str, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
