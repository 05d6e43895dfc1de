"""Folders that a stopped command goes on in: known as our own before anything in them is used or removed, and worked in
by one command at a time."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from radiogenesis.errors import OutputError

_OURS = ".made-by-radiogenesis"
_LOCK = ".lock"
_PART = re.compile(r".+-[0-9a-f]{16}\.(npz|json)(\..+-\d+\.partial)?", re.DOTALL)


def refuse_foreign(folder: Path) -> None:
    """Raises OutputError where something is at `folder` that no command of ours left: it would be taken for parts, and
    removed in the end."""
    if not os.path.lexists(folder):
        return
    ours = folder.is_dir() and not folder.is_symlink()
    if not ours or (any(folder.iterdir()) and not (folder / _OURS).is_file()):
        raise OutputError(
            "is there already, and is not what a stopped command left", path=folder,
            remedy="move it away, or choose another name for the output",
        )  # fmt: skip


@contextmanager
def parts_folder(folder: Path) -> Iterator[None]:
    """Make a folder for parts, or go on in it, with nobody else.

    Raises:
        OutputError: it is somebody's own folder, or another command works in it.
    """
    refuse_foreign(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _OURS).touch()
    with alone_in(folder):
        yield


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Let no other command work in a folder, made where there is none, until the block ends or this process dies.

    Raises:
        OutputError: another command works in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        remedy = "wait for it, or choose another name for the output"
        raise OutputError("another command works in it", path=folder, remedy=remedy) from error
    try:
        yield
    finally:
        lock.release()


def remove_parts(folder: Path) -> list[str]:
    """Remove the parts in a folder, and the folder too unless anything else is in it. The names of what is."""
    for file in [*folder.iterdir()]:
        if _PART.fullmatch(file.name) or file.name == _LOCK:
            file.unlink()
    left = sorted(file.name for file in folder.iterdir() if file.name != _OURS)
    if not left:
        (folder / _OURS).unlink(missing_ok=True)
        folder.rmdir()
    return left
