"""Whether a file is what the source has: its size, and the checksum that the source tells."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

_MIB = 2**20
PART_SIZES = tuple(size * _MIB for size in (5, 8, 10, 15, 16, 25, 32, 50, 64, 100, 128, 256, 512))
"""Sizes of the parts of an S3 multipart upload that clients use; 5 MiB is the least that S3 takes."""
_MD5 = re.compile(r"[0-9a-f]{32}")
_OF_PARTS = re.compile(r"([0-9a-f]{32})-(\d+)")


def agrees(path: Path, checksum: str) -> bool | None:
    """Whether the file has this checksum; None where the checksum is of a kind that cannot be compared.

    The ETag of an S3 object is the MD5 of its content, or, of one that was uploaded in N parts, `MD5-N`, where MD5 is
    that of the parts' MD5 digests; the size of the parts is not told and is found by trying the usual ones
    (Amazon S3 User Guide, "Checking object integrity in Amazon S3", and API reference, "Object").

    Args:
        path: the file.
        checksum: an MD5 in hexadecimal digits, an ETag without its quotes, or "".
    """
    if _MD5.fullmatch(checksum):
        return md5(path) == checksum
    if not (parted := _OF_PARTS.fullmatch(checksum)):
        return None
    size, count = path.stat().st_size, int(parted[2])
    sizes = [part for part in (*PART_SIZES, max(size, 1)) if -(-size // part) == count]
    if any(_md5_of_parts(path, part) == parted[1] for part in sizes):
        return True
    return False if count == 1 else None  # an unusual part size says nothing about the file


def md5(path: Path) -> str:
    """MD5 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _md5_of_parts(path: Path, part: int) -> str:
    digests = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(part):
            digests.update(hashlib.md5(chunk, usedforsecurity=False).digest())
    return digests.hexdigest()
