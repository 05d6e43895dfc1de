"""The page: one HTML file that opens offline, rendered from what an evaluation wrote. Pictures, styles and a few lines
of JavaScript are in it; tables to download lie beside it."""

from __future__ import annotations

import base64
import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from radiogenesis.csv_files import read_csv
from radiogenesis.errors import RunError
from radiogenesis.output import write_text
from radiogenesis.reporting.model import Column, Page, Picture, Table, dated
from radiogenesis.version import __version__

REPORT_FILE = "report.html"


def write_report(folder: str | Path) -> Path:
    """Render OUT/report.html from OUT/page.json, OUT/tables and OUT/pictures; an earlier report is replaced.

    Raises:
        RunError: there is no evaluation in the folder, or something that the page shows is missing.
    """
    folder = Path(folder)
    html = render(dated(Page.load(folder), folder), folder)
    target = folder / REPORT_FILE
    write_text(target, html)
    return target


def render(page: Page, folder: Path) -> str:
    """The page as HTML, pictures and styles inlined."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("radiogenesis.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        picture=lambda picture: _picture(picture, folder),
        rows=lambda table: _rows(table, folder),
        download=lambda table: _download(table, folder),
        finite=math.isfinite,
        version=__version__,
    )
    return environment.get_template("report.html.j2").render(page=page)


def cell(column: Column, row: Mapping[Hashable, Any]) -> str:
    """What stands in a table's cell: rounded, with its interval; a dash where there is no number."""
    text = shown(row[column.value], column.format)
    if column.low and text != "–":
        low, high = (shown(row[name], column.format) for name in (column.low, column.high))
        text += f" [{low}, {high}]" if "–" not in (low, high) else ""
    return text


def shown(value: Any, form: str) -> str:
    """A value as the page writes it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if form == "":
        return str(value)
    number = float(value)
    if math.isinf(number):
        return "∞" if number > 0 else "−∞"
    if form == "p":
        return "< 0.001" if number < 0.001 else f"{number:.3f}"
    if form == "small":
        return "< 0.0001" if 0 < number < 0.00005 else f"{number:.4f}"
    if form == "%":
        return f"{100 * number:z.0f} %".replace("-", "−")
    if form == "d":
        return f"{round(number):,}"
    return format(number, "z" + form).replace("-", "−")  # z: no minus before a zero


def sorting_key(value: Any, form: str) -> str:
    """What the page sorts a cell by: the unrounded number, "" where there is none; of a text nothing, it is the key."""
    if form == "" or value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(float(value))


def _rows(table: Table, folder: Path) -> list[dict[str, Any]]:
    """The rows of a table: cells and their keys in the order of its columns, and whether the row is set off."""
    path = _beside(folder / "tables", table.file, "table")
    frame = read_csv(path)
    name, wanted = table.strong
    try:
        return [
            {
                "cells": [cell(column, row) for column in table.columns],
                "keys": [sorting_key(row[column.value], column.format) for column in table.columns],
                "strong": bool(name) and str(row[name]) == wanted,
            }
            for row in frame.to_dict("records")
        ]
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise RunError(f"is not the table of its page ({error})", path=path, remedy="make the page again") from error


def _download(table: Table, folder: Path) -> str:
    """The file behind a table, as a link from the page beside it."""
    name = table.full or table.file
    _beside(folder / "tables", name, "table")
    return "tables/" + quote(name)


def _picture(picture: Picture, folder: Path) -> Markup:
    """The picture inlined, its dark version too."""
    light = _inline(folder / "pictures", picture.file)
    alt = jinja2.filters.do_forceescape(picture.alt)
    image = f'<img src="{light}" alt="{alt}">'
    if picture.dark:
        dark = _inline(folder / "pictures", picture.dark)
        image = f'<picture><source srcset="{dark}" media="(prefers-color-scheme: dark)">{image}</picture>'
    return Markup(image)  # made of base64 and escaped text only


def _inline(folder: Path, name: str) -> str:
    path = _beside(folder, name, "picture")
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def _beside(folder: Path, name: str, what: str) -> Path:
    """The file of this name in the folder itself: a page that came from elsewhere shows no other file of the reader's.

    Raises:
        RunError: it is not there, or lies elsewhere, by its name or by a link.
    """
    path = folder / name
    if path.resolve().parent != folder.parent.resolve() / folder.name:
        raise RunError(f"the page names a {what} that does not lie in {folder}", path=path, remedy="evaluate again")
    if not path.is_file():
        raise RunError(f"a {what} of the page is missing", path=path, remedy="evaluate again")
    return path
