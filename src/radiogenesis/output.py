"""Outputs appear whole or not at all: written beside their place, and renamed to it at the end.

JSON that every reader takes: Python alone writes NaN, which the standard does not know.
"""

from __future__ import annotations

import errno
import glob
import json
import math
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil

from radiogenesis.errors import OutputError

T = TypeVar("T")
ROOM = 16 * 2**20
"""Bytes that must fit on a disk before a command begins; few outputs are smaller, and many are larger."""


def refuse_existing(path: Path) -> None:
    """Raises OutputError where something is there already."""
    if os.path.lexists(path):
        raise OutputError("already exists", path=path, remedy="choose another name, or delete it first")


def check_place(path: Path, *, room: int = ROOM) -> None:
    """Before the work: nothing is there yet, and something can be written there.

    Args:
        room: bytes that must fit on the disk; 0 asks nothing.

    Raises:
        OutputError: something is there already, the folder may not be written, a part of the path is a file, a name
            is too long, or the disk is full.
    """
    refuse_existing(path)
    folder = _there(path.absolute().parent)
    try:
        with tempfile.TemporaryDirectory(prefix=".radiogenesis-", dir=folder) as probe:
            for name in path.absolute().relative_to(folder).parts:
                (Path(probe) / name).mkdir()
                (Path(probe) / name).rmdir()
    except OSError as error:
        raise cannot_write(error, path) from error
    check_room(path, room)


def check_room(path: Path, room: int) -> None:
    """Raises OutputError where so many bytes do not fit on the disk, whatever stands against it."""
    if not room:
        return
    try:
        with tempfile.TemporaryFile(dir=_there(path.absolute().parent)) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, room)
            elif shutil.disk_usage(path.absolute().anchor).free < room:  # macOS, Windows: no quota is seen
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise cannot_write(error, path) from error


def _there(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    while not os.path.lexists(folder):
        folder = folder.parent
    return folder


def cannot_write(error: OSError, path: Path | None = None) -> OutputError:
    """The error of the system as one line: what could not be written, why, and what helps.

    Args:
        path: the output; None where the error may be about something that was to be read.
    """
    reason = os.strerror(error.errno) if error.errno else str(error)
    problem = "cannot be written" if path is not None or error.errno in _FULL else "cannot be read or written"
    where = path if path is not None else error.filename
    return OutputError(f"{problem} ({reason})", path=where, remedy=_REMEDIES.get(error.errno or 0, _ELSEWHERE))


_ELSEWHERE = "choose another place for the output"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_REMEDIES = {
    **dict.fromkeys(_FULL, "make room on that disk, or write to another one"),
    **dict.fromkeys(_FORBIDDEN, "change its permissions, or choose a folder that you may write"),
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "a part of that path is a file: choose a folder",
}
OF_THE_PLACE = frozenset(_REMEDIES) | {errno.EIO}
"""Errors of the system that say something about a disk and nothing about the program."""


def partial_of(path: Path, suffix: str = "") -> Path:
    """Where `path` is written until it is whole, beside it. The name is this process's own: two commands that write the
    same output do not write into each other's. What killed processes of this machine left is removed.

    Args:
        suffix: what the name must still end in.
    """
    stem, host = path.name.removesuffix(suffix), platform.node()
    for left in path.parent.glob(f"{glob.escape(stem)}.*.partial{glob.escape(suffix)}"):
        owner = left.name.removeprefix(f"{stem}.").removesuffix(f".partial{suffix}")
        name, _, number = owner.rpartition("-")
        if name == host and number.isdecimal() and not psutil.pid_exists(int(number)):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
    return path.with_name(f"{stem}.{host}-{os.getpid()}.partial{suffix}")


@contextmanager
def whole_file(path: Path, *, suffix: str = "") -> Iterator[Path]:
    """Where to write a file that takes the place of `path` when the block ends, and is gone if it fails.

    Args:
        path: the file; one that is there already is replaced.
        suffix: what the name must still end in while it is written.
    """
    partial = partial_of(path, suffix)
    partial.unlink(missing_ok=True)  # of a process with the same number
    # Made here, and only where nothing is: a link that somebody put there would be followed.
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)  # renamed by now if all went well


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to write into, which is renamed to `path` when the block ends, and is gone if it fails.

    Raises:
        OutputError: something is already at `path`, or it cannot be written.
    """
    check_place(path, room=0)
    partial = new_partial(path)
    try:
        yield partial
        take_place(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # renamed by now if all went well


def new_partial(path: Path) -> Path:
    """A new folder beside `path`, to be renamed to it. A link in its place is not followed."""
    partial = partial_of(path)
    if partial.is_dir() and not partial.is_symlink():
        shutil.rmtree(partial)  # of a process with the same number
    partial.mkdir(parents=True)
    return partial


def sync(path: Path) -> None:
    """Have a file on the disk, where neither want of room nor a power cut can take it back."""
    number = os.open(path, os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def written(write: Callable[[Path], T], path: Path) -> T:
    """What `write` returns after it wrote `path`; for work that nobody wants to do twice.

    Raises:
        OutputError: the place does not take it. What was to be written lies in the system's folder for temporary files
            then, and the error says where; nowhere if that does not take it either.
    """
    try:
        return write(path)
    except (OSError, OutputError) as error:
        cause = error.__cause__ if isinstance(error, OutputError) else error
        if not isinstance(cause, OSError) or cause.errno not in OF_THE_PLACE:
            raise
        failed = cannot_write(cause, path)
        with ExitStack() as tidy:
            try:
                place = Path(tempfile.mkdtemp(prefix="radiogenesis-"))
                tidy.callback(shutil.rmtree, place, ignore_errors=True)
                elsewhere = place / path.name
                write(elsewhere)
            except (OSError, OutputError):
                raise failed from error
            tidy.pop_all()
        raise OutputError(failed.problem, path=path, remedy=f"all of it lies in {elsewhere}: move it") from error


def take_place(partial: Path, path: Path) -> None:
    """Rename a finished folder to its place. Raises OutputError where another command was there first."""
    if os.path.lexists(path):
        raise OutputError(
            "was written by another command in the meantime", path=path, remedy="give every command a name of its own"
        )
    partial.rename(path)


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
