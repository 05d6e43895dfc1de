"""Ways to damage a file whatever is in it: its bytes, or the file itself. `format_mutators.py` knows what is in it."""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator
BOMB = 64 * 2**20  # bytes of zeros in each of the members of a compressed bomb
CHECKED = (".gz", ".npz", ".xlsx")  # formats with a checksum of their own
WHOLE = (*CHECKED, ".nii", ".dcm", ".nrrd", ".mha", ".h5ad", ".xml", ".json", ".safetensors", ".ckpt")
"""Formats of which a reader can see that the end is missing."""


@dataclass(frozen=True)
class Mutation:
    """What was done to a file.

    Attributes:
        kind: which mutator.
        what: where and to which value.
        must: whether a reader can know.
    """

    kind: str
    what: str
    must: bool = False


def pick(rng: Rng, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def shown(value: object) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:50]}... ({len(text)} characters)"


# ---- bytes ----


def damaged_bytes(content: bytes, rng: Rng) -> tuple[str, bytes, str]:
    """Name of what was done, the new content, where."""
    data, size = bytearray(content), max(len(content), 1)
    at, length = int(rng.integers(size)), int(min(size, 1 + rng.integers(1, 1 + max(1, size // 4))))
    name = pick(rng, ("flip", "flip", "truncate", "zeros", "ones", "insert", "duplicate", "swap", "header", "append"))
    if name == "flip":
        places = rng.integers(size, size=int(rng.integers(1, 9)))
        for place in places[: len(content)]:
            data[place] ^= 1 << int(rng.integers(8))
        return name, bytes(data), f"bytes {sorted(map(int, places))}"
    if name == "header":  # the first bytes say what a file is
        place = int(rng.integers(min(size, 400)))
        data[place : place + 1] = bytes([int(rng.integers(256))])
        return name, bytes(data), f"byte {place}"
    if name == "truncate":
        return name, bytes(data[:at]), f"to {at} of {len(content)} bytes"
    if name in ("zeros", "ones"):
        data[at : at + length] = (b"\x00" if name == "zeros" else b"\xff") * len(data[at : at + length])
    elif name == "insert":
        data[at:at] = rng.bytes(min(length, 4096))
    elif name == "duplicate":
        data[at:at] = data[at : at + length]
    elif name == "swap":
        other = int(rng.integers(size))
        low, high = sorted((at, other))
        length = max(1, min(length, high - low))
        one, two = data[low : low + length], data[high : high + length]
        data[low : low + length], data[high : high + length] = two, one
    else:
        data += rng.bytes(min(length, 4096))
    return name, bytes(data), f"{length} bytes at {at}"


# ---- the file itself ----


def _no_file(path: Path, rng: Rng) -> Mutation:
    path.unlink()
    return Mutation("removed", "", must=False)


def _pipe(path: Path, rng: Rng) -> Mutation:
    path.unlink()
    os.mkfifo(path)
    return Mutation("named pipe", "")


def _folder(path: Path, rng: Rng) -> Mutation:
    path.unlink()
    path.mkdir()
    return Mutation("folder", "")


def _loop(path: Path, rng: Rng) -> Mutation:
    path.unlink()
    path.symlink_to(path.name)
    return Mutation("link to itself", "")


def _empty(path: Path, rng: Rng) -> Mutation:
    path.write_bytes(b"")
    return Mutation("empty", "", must=path.name.endswith(WHOLE))


def _device(path: Path, rng: Rng) -> Mutation:
    path.unlink()
    path.symlink_to("/dev/zero")
    return Mutation("link to /dev/zero", "")


def _bomb(path: Path, rng: Rng) -> Mutation:
    """6 GiB of zeros behind what is there, where it is compressed."""
    if not path.name.endswith(".gz"):
        return _empty(path, rng)
    path.write_bytes(path.read_bytes() + gzip.compress(bytes(BOMB)) * 96)
    return Mutation("bomb", "6 GiB of zeros behind it", must=False)


FILES = (_no_file, _pipe, _folder, _loop, _empty, _device, _bomb, _bomb)
