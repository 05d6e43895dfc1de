"""Every file under a folder, behind links too; whatever is passed over on the way is said, so that nobody vanishes."""

from __future__ import annotations

import os
from pathlib import Path

from radiogenesis.errors import ScanError, passing_cause
from radiogenesis.given_files import is_special

LEFT_BY_SYSTEMS = {
    "__macosx": "resource forks that macOS adds to archives",
    "@eadir": "previews that a Synology disk station makes",
    "$recycle.bin": "deleted files",
    "#recycle": "deleted files",
    ".trash": "deleted files",
    ".trashes": "deleted files",
}
APPLE_DOUBLE = b"\x00\x05\x16\x07"  # how a resource fork of macOS begins, beside its file as ._NAME

PassedOver = list[tuple[Path, str]]


def files_under(folder: Path) -> tuple[list[Path], PassedOver]:
    """The files under a folder in the order of their paths, and (path, reason) of what was passed over.

    Links are followed. A folder that several ways lead to is read once, under its own place before any link to it, so
    links that run in a circle end. Folders and files of operating systems (`LEFT_BY_SYSTEMS`, resource forks) hold
    nothing that is anybody's.
    """
    files: list[Path] = []
    passed_over: PassedOver = []
    seen: set[str] = set()
    waiting, links = [folder], list[Path]()
    while waiting or links:
        here = waiting.pop() if waiting else links.pop(0)
        own_place = os.path.realpath(here)
        if own_place in seen:
            passed_over.append((here, "a link to a folder that is read already"))
            continue
        seen.add(own_place)
        try:
            names = sorted(os.listdir(here))
        except OSError as error:
            refuse_passing(error, here)
            passed_over.append((here, f"a folder that cannot be opened ({error.strerror})"))
            continue
        for path in (here / name for name in names):
            if reason := _no_data(path):
                passed_over.append((path, reason))
            elif path.is_dir():
                (links if path.is_symlink() else waiting).append(path)
            else:
                files.append(path)
    return sorted(files), passed_over


def refuse_passing(error: BaseException, path: Path) -> None:
    """Raises ScanError for an error that may pass: whose a file is that cannot be read now, nobody knows, and without
    it a cohort would look whole."""
    if cause := passing_cause(error):
        why = cause.strerror if isinstance(cause, OSError) else "not enough memory"
        remedy = "mend that, or move it away for good, and the same command goes on"
        raise ScanError(f"cannot be read ({why})", path=path, remedy=remedy) from error


def _no_data(path: Path) -> str:
    """Why nothing of anybody can be in a file or folder; "" where there can."""
    if path.name.lower() in LEFT_BY_SYSTEMS and path.is_dir():
        return f"a folder with {LEFT_BY_SYSTEMS[path.name.lower()]}"
    if path.name.startswith("._") and _begins(path, APPLE_DOUBLE):
        return "a resource fork of macOS, not the file it is named after"
    # To open a pipe would wait for ever. What cannot be looked at, such as a link to nothing, fails when it is read.
    return "neither a file nor a folder" if is_special(path) else ""


def _begins(path: Path, with_bytes: bytes) -> bool:
    if is_special(path):
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(with_bytes)) == with_bytes
    except OSError:
        return False
