"""Text files in the encodings that people have: UTF-8, UTF-16 as Excel's "Unicode text", Latin-1, each also as gzip."""

from __future__ import annotations

import codecs
import csv
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from radiogenesis.errors import ExpressionError, InputError
from radiogenesis.given_files import is_special, refuse_special, unpacked_gzip

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
    refuse_special(path, ExpressionError)
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        content = unpacked_gzip(path) if packed else path.read_bytes()
    except ValueError as error:
        raise ExpressionError(f"cannot be read ({error})", path=path, remedy="give the table unpacked") from error
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else f"damaged gzip: {error}"
        raise ExpressionError(f"cannot be read ({reason})", path=path, remedy="copy or download it again") from error
    text = _decoded(content)
    if "\x00" in text[:_LOOKED_AT]:
        what = "a zip archive or a workbook" if content.startswith(_ZIP) else "not a text file"
        raise ExpressionError(f"is {what}", path=path, remedy="save the table in it as CSV (UTF-8)")
    # Not splitlines: it also breaks at characters that stand in the middle of Latin-1 text, such as 0x85.
    return iter(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))


def split_rows(
    lines: Iterable[tuple[int, str]], delimiter: str, path: Path, error: type[InputError], *, width: int
) -> Iterator[list[str]]:
    """The cells of each row of a text, quotes taken off.

    A cell in quotes may go over several lines. But a quote too many takes the rows behind it into one cell, up to the
    next quote, and nothing else would tell that they are gone.

    Args:
        lines: (number, line) without its end.
        width: cells of a whole row; several lines with delimiters for two of them are two rows, of which one was
            swallowed. 1 for tables without cells of several lines.

    Raises:
        error: a quote that is not closed where it should be, with its line, or a cell longer than the reader takes.
    """
    begun: list[tuple[int, str]] = []  # the lines of one row

    def fed() -> Iterator[str]:
        for number, line in lines:
            begun.append((number, line))
            yield line
        yield _END

    reader = csv.reader(fed(), delimiter=delimiter)
    while True:
        begun.clear()
        try:
            row = next(reader)
        except csv.Error as problem:
            raise _open_quote(begun[0], path, error) from problem
        if row == [_END]:
            return
        swallowed = len(begun) > 1 and sum(line.count(delimiter) for _, line in begun) >= 2 * (width - 1)
        if swallowed or (row and row[-1].endswith(_END)):
            raise _open_quote(begun[0], path, error)
        yield row


_END = "\x1eend"  # a line behind the last one: in a quote that is open it becomes part of a cell


def _open_quote(begun: tuple[int, str], path: Path, error: type[InputError]) -> InputError:
    number, line = begun
    return error(
        f'line {number} ({line[:40]!r}) has a quote (") that is not closed, or a cell of unheard-of length', path=path,
        remedy="remove the quote, or write it twice inside of quotes",
    )  # fmt: skip


def is_zip(path: Path) -> bool:
    """Whether a file is a zip archive, as workbooks of Excel (.xlsx) are."""
    if is_special(path):
        return False
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
