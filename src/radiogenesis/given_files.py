"""Files that somebody else wrote: only regular ones are opened, and none takes more memory than it may.

What is not a file (a named pipe, a socket, a device) would be waited for without end, and a few kilobytes of YAML, JSON
or of a compressed file can stand for more than a machine has.
"""

from __future__ import annotations

import gzip
import json
import os
import stat
import zipfile
import zlib
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from radiogenesis.errors import InputError

MOST_UNPACKED = 2**31
"""Bytes that a compressed table, or a workbook, may unpack to."""
SUSPICIOUS = 2**26
"""Bytes from which on a compressed text may not be more than `RATIO` times its file."""
RATIO = 200
"""Numbers in text shrink by a factor of 3 to 20 as gzip, and 1,032 is what the method can do at most."""
MOST_YAML = 100_000
"""Values that a YAML file may stand for, each counted as often as an alias repeats it."""

DEEPEST = 100
"""Brackets within brackets in a YAML file: PyYAML needs a time that grows with the square of them."""
LONGEST_YAML = 2**20
"""Characters of a YAML file."""

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def is_special(path: Path) -> str:
    """What a path is, where it is neither a file nor a folder: "a named pipe", "a socket", "a device"; else "".

    Examples:
        >>> is_special(Path("/dev/null"))
        'a device'
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return ""  # what is not there fails when it is read
    return next((kind for test, kind in _KINDS if test(mode)), "")


def refuse_special(path: Path, error: type[InputError] = InputError) -> None:
    """Raises `error` where a path is no file, but a named pipe, a socket or a device."""
    if kind := is_special(path):
        raise error(f"is {kind}, not a file", path=path, remedy="write what it gives into a file, and give that")


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        InputError: a named pipe, a socket or a device.
        OSError, ValueError: it cannot be read, or is no JSON.
    """
    refuse_special(path)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except RecursionError as error:
        raise ValueError("its values are nested too deeply") from error


def read_yaml(path: Path) -> Any:
    """What a YAML file holds: plain values only, as many as it could reasonably list without aliases.

    Raises:
        InputError: a named pipe, a socket or a device.
        OSError, ValueError: it cannot be read, is no YAML, or its aliases stand for more than `MOST_YAML` values.
    """
    refuse_special(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        if len(text) > LONGEST_YAML:
            raise ValueError(f"it has {len(text):,} characters, which no settings have")
        steps = accumulate(1 if mark in "[{" else -1 for mark in text if mark in "[{]}")
        if max(steps, default=0) > DEEPEST:
            raise ValueError("its values are nested too deeply")
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _count(node, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise ValueError("its values are nested too deeply") from error


_PLAIN = ("str", "int", "float", "bool", "null", "map", "seq", "merge")  # what JSON has, too


def _count(node: Any, known: dict[int, int]) -> int:
    """How many values a node stands for, aliases written out."""
    if (size := known.get(id(node))) is not None:
        if not size:
            raise ValueError("an alias in it stands for itself")
        return size
    if node.tag.rpartition(":")[2] not in _PLAIN:
        raise ValueError(f"{str(node.value)[:40]!r} is no number, text or list: put a date or the like in quotes")
    known[id(node)] = 0  # while it is counted
    parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
    size = 1 + (sum(_count(part, known) for part in parts) if not isinstance(node, yaml.ScalarNode) else 0)
    if size > MOST_YAML:
        raise ValueError(f"its aliases stand for more than {MOST_YAML:,} values")
    known[id(node)] = size
    return size


def unpacked_gzip(path: Path) -> bytes:
    """The content of a gzip file with a text in it.

    Raises:
        OSError, EOFError, zlib.error: it cannot be read, or is damaged.
        ValueError: it unpacks to more than `MOST_UNPACKED`, or to so much more than its own size as no table does.
    """
    packed, parts, size = path.stat().st_size, [], 0
    with gzip.open(path) as file:
        while part := file.read(2**22):
            parts.append(part)
            size += len(part)
            if size > MOST_UNPACKED:
                raise ValueError(f"it unpacks to more than {MOST_UNPACKED / 2**30:g} GiB")
            if size > SUSPICIOUS and size > RATIO * packed:
                raise ValueError(f"{packed:,} bytes unpack to more than {RATIO} times as many, which no table does")
    return b"".join(parts)


def refuse_zip_bomb(path: Path, error: type[InputError] = InputError) -> None:
    """Raises `error` where a zip archive unpacks to more than `MOST_UNPACKED`, or to so much as no table does. Of one
    that is damaged whoever reads it says what is wrong."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, EOFError):
        return
    size, packed = sum(one.file_size for one in parts), sum(one.compress_size for one in parts)
    if size > MOST_UNPACKED or (size > SUSPICIOUS and size > RATIO * packed):
        raise error(f"{packed:,} bytes unpack to {size:,}", path=path, remedy="save the table in it as CSV")
