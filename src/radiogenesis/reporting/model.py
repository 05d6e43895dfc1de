"""What a page is made of: sections of text, pictures and tables. Whoever evaluates fills it; the page knows no method.

OUT/page.json        this, as JSON
OUT/tables/*.csv     the numbers, unrounded
OUT/pictures/*.png   the pictures
OUT/made.json        when; in nothing else of OUT, so that the same command writes the same files again
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from radiogenesis.errors import RunError
from radiogenesis.given_files import read_json
from radiogenesis.output import json_text

PAGE_FILE = "page.json"
MADE_FILE = "made.json"
LONGEST_FORMAT = 8
"""Characters of a column's format."""
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a shown table.

    Attributes:
        label: its heading.
        value: the column of the CSV file.
        low, high: columns of the CSV file with the interval's ends, shown in brackets; "" for none.
        format: "" for text, "p" for p values, "%" for shares, "small" for four decimals, else a format specification
            such as ".2f".
        help: what it is, shown on hovering.
        more: shown only when the reader asks for all columns.
    """

    label: str
    value: str
    low: str = ""
    high: str = ""
    format: str = ""
    help: str = ""
    more: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """A CSV file under tables/, with the columns to show.

    Attributes:
        strong: column and value of the rows that are set off.
        full: the CSV file to download; the shown one where this is "".
    """

    file: str
    caption: str
    columns: tuple[Column, ...]
    strong: tuple[str, str] = ("", "")
    full: str = ""
    kind: str = "table"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A PNG file under pictures/, and its version for dark pages if there is one."""

    file: str
    caption: str
    alt: str
    dark: str = ""
    width: int = 0
    kind: str = "picture"


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading, a text in plain words, pictures and tables; of a folded one the heading alone until it is opened."""

    title: str
    text: str = ""
    blocks: tuple[Table | Picture, ...] = ()
    notes: tuple[str, ...] = ()
    folded: bool = False


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A number that matters, with what it must be read beside."""

    label: str
    value: str
    beside: str
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Page:
    """The whole page."""

    title: str
    subtitle: str
    facts: tuple[Fact, ...] = ()
    conclusions: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    provenance: tuple[tuple[str, str], ...] = field(default=())

    def save(self, folder: Path) -> None:
        """Write page.json into the folder, and made.json; a share that is not a number becomes None."""
        (folder / PAGE_FILE).write_text(json_text(asdict(self)), encoding="utf-8")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        (folder / MADE_FILE).write_text(json_text({"created": now}), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Page:
        """Read page.json. Raises RunError where it is missing or damaged."""
        path = folder / PAGE_FILE
        if not path.is_file():
            raise RunError(
                "there is no evaluation here", path=folder, remedy="give the folder that `radiogenesis evaluate` wrote"
            )
        try:
            return _page(read_json(path))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"cannot be read ({error})", path=path, remedy="evaluate again") from error


def dated(page: Page, folder: Path) -> Page:
    """The page with the date of made.json; earlier versions wrote it into page.json, or nowhere. Raises RunError where
    it is damaged."""
    path = folder / MADE_FILE
    if not path.is_file():
        return page
    try:
        created = str(read_json(path)["created"])
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"cannot be read ({error})", path=path, remedy="delete it, or evaluate again") from error
    return replace(page, provenance=(("made", created), *page.provenance))


def _page(record: dict[str, Any]) -> Page:
    sections = tuple(
        _of(Section, {**s, "blocks": tuple(_block(b) for b in s["blocks"]), "notes": tuple(map(str, s["notes"]))})
        for s in record["sections"]
    )
    return Page(
        title=str(record["title"]),
        subtitle=str(record["subtitle"]),
        facts=tuple(_of(Fact, fact) for fact in record["facts"]),
        conclusions=tuple(map(str, record["conclusions"])),
        sections=sections,
        provenance=tuple((str(name), str(value)) for name, value in record["provenance"]),
    )


def _block(record: dict[str, Any]) -> Table | Picture:
    if record["kind"] == "picture":
        return _of(Picture, record)
    if record["kind"] != "table":
        raise ValueError(f"a block is neither table nor picture, but {str(record['kind'])[:40]!r}")
    columns = tuple(_of(Column, column) for column in record["columns"])
    name, wanted = map(str, record["strong"])
    return _of(Table, {**record, "columns": columns, "strong": (name, wanted)})


def _of(kind: type[T], record: Mapping[str, Any]) -> T:
    """A part of the page. Raises TypeError for a value of another kind than it has: the file may be anybody's."""
    for one in fields(kind):  # type: ignore[arg-type]
        wanted = _KINDS.get(str(one.type))
        if wanted and one.name in record and not isinstance(record[one.name], wanted):
            raise TypeError(f"{one.name} {str(record[one.name])[:40]!r} is of another kind")
    if len(record.get("format", "")) > LONGEST_FORMAT:
        raise TypeError(f"format {record['format'][:40]!r} is none")
    return kind(**record)


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,), "bool": (bool,), "int": (int,), "float | None": (int, float, type(None)),
}  # fmt: skip
