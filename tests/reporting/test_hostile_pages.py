"""Folders of somebody else that `report` and the Python API read: one line, whatever stands in them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from radiogenesis.csv_files import read_csv, read_parquet
from radiogenesis.errors import InputError, RunError
from radiogenesis.reporting.model import Page
from radiogenesis.reporting.page import write_report

TABLE = {"kind": "table", "file": "t.csv", "caption": "", "columns": [{"label": "A", "value": "a", "format": ".2f"}],
         "strong": ["", ""], "full": ""}  # fmt: skip
PAGE = {
    "title": "T", "subtitle": "", "facts": [], "conclusions": [], "provenance": [],
    "sections": [{"title": "S", "text": "", "blocks": [TABLE], "notes": [], "folded": False}],
}  # fmt: skip


def folder(path: Path, page: object, table: bytes = b"a\n1\n") -> Path:
    (path / "tables").mkdir()
    (path / "page.json").write_text(page if isinstance(page, str) else json.dumps(page))
    (path / "tables" / "t.csv").write_bytes(table)
    return path


def test_the_page_of_this_test_is_one(tmp_path: Path) -> None:
    assert write_report(folder(tmp_path, PAGE)).is_file()


def table(**changes: object) -> dict[str, object]:
    return {**PAGE, "sections": [{**PAGE["sections"][0], "blocks": [{**TABLE, **changes}]}]}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "page",
    [
        "[" * 100_000, "5", "null", "{", {**PAGE, "facts": 5}, {**PAGE, "facts": [5]}, {**PAGE, "sections": "abc"},
        {**PAGE, "sections": [{"title": 5}]}, {**PAGE, "provenance": [[1, 2, 3]]}, table(columns=5), table(columns=[5]),
        table(strong=5), table(file=5), table(kind="film"), table(columns=[{"label": "A", "value": 1}]),
        table(columns=[{"label": "A", "value": "a", "format": ".999999999f"}]),
        {**PAGE, "facts": [{"label": "a", "value": "b", "beside": "c", "share": "much"}]},
    ],
)  # fmt: skip
def test_pages_of_another_kind(tmp_path: Path, page: object) -> None:
    with pytest.raises(RunError, match=r"page\.json: cannot be read") as error:
        Page.load(folder(tmp_path, page))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"b\n1\n", b'a\n"1\n2\n', b"a,a\nx,y,z\n1\n", b"a\nx\n", b"\xff\xfe\x00\xd8"])
def test_tables_of_a_page_that_are_damaged(tmp_path: Path, content: bytes) -> None:
    folder(tmp_path, PAGE, content)
    with pytest.raises((RunError, InputError), match=r"t\.csv: is (no table|not the table of its page)") as error:
        write_report(tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_damaged_parquet(tmp_path: Path, share: float) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": range(100), "b": ["x"] * 100}).to_parquet(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"t\.parquet: is no table"):
        read_parquet(path)


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.csv")
    for read in (read_csv, read_parquet):
        with pytest.raises(InputError, match="is a named pipe, not a file"):
            read(tmp_path / "t.csv")
