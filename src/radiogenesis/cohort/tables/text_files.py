"""Text files in the encodings that people have: UTF-8, UTF-16 as Excel's "Unicode text", Latin-1, each also as gzip."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from radiogenesis.errors import ExpressionError

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark is its beginning
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_ZIP = b"PK\x03\x04"
_LOOKED_AT = 4096  # bytes or characters at the beginning that tell what a file is


def open_text(path: Path) -> Iterator[str]:
    """Lines of a text file, gzip or not, without their ends; Latin-1 where it is no Unicode.

    Raises ExpressionError where the file is missing, is no text, or its gzip stream is damaged.
    """
    try:
        raw = path.read_bytes()
        content = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else f"damaged gzip: {error}"
        raise ExpressionError(f"cannot be read ({reason})", path=path, remedy="copy or download it again") from error
    text = _decoded(content)
    if "\x00" in text[:_LOOKED_AT]:
        what = "a zip archive or a workbook" if content.startswith(_ZIP) else "not a text file"
        raise ExpressionError(f"is {what}", path=path, remedy="save the table in it as CSV (UTF-8)")
    # Not splitlines: it also breaks at characters that stand in the middle of Latin-1 text, such as 0x85.
    return iter(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))


def is_zip(path: Path) -> bool:
    """Whether a file is a zip archive, as workbooks of Excel (.xlsx) are."""
    with path.open("rb") as file:
        return file.read(len(_ZIP)) == _ZIP


def _decoded(content: bytes) -> str:
    try:
        return content.decode(_encoding(content))
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _encoding(content: bytes) -> str:
    """By its mark, else UTF-16 where every other byte at the beginning is zero, as in text without a mark."""
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return encoding
    even, odd = content[:_LOOKED_AT:2], content[1:_LOOKED_AT:2]
    for zeros, letters, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if zeros.count(0) > 0.9 * len(zeros) and not letters.count(0):
            return encoding
    return "utf-8"
