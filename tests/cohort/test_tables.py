"""One reader for every table that a user gives; what it reads is compared with pandas."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogenesis.cohort.tables import reading
from radiogenesis.errors import ExpressionError, InputError

PLAIN = "gene;P1;P2\nTP53;1.5;2\nEGFR;0;2.25\nMÜ1;NA;3\n"
EXPECTED = pd.DataFrame({"P1": [1.5, 0, np.nan], "P2": [2, 2.25, 3]}, index=["TP53", "EGFR", "MÜ1"])


def _values(path: Path) -> pd.DataFrame:
    table = reading.read_table(path, InputError)
    names = list(table.pop(table.columns[0]))
    return pd.DataFrame(reading.numbers(table, names, path, InputError), names, table.columns)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
@pytest.mark.parametrize("zipped", [False, True])
def test_encodings(tmp_path: Path, encoding: str, zipped: bool) -> None:
    content = PLAIN.encode(encoding)
    (tmp_path / "t.csv").write_bytes(gzip.compress(content) if zipped else content)
    pd.testing.assert_frame_equal(_values(tmp_path / "t.csv"), EXPECTED, check_dtype=False)


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\n" + PLAIN,
        '"sep=;"\r\n' + PLAIN.replace("\n", "\r\n"),
        "# made by a tool; with, signs\n# and another line\n" + PLAIN,
        "#1.2\n3\t2\n" + PLAIN.replace(";", "\t"),  # GCT
        PLAIN.replace("\n", ";;\n") + ";;;;\n;;;;\n",  # what Excel leaves at the end of rows and of the table
        PLAIN.replace("gene;P1;P2\n", "gene;P1;P2;\n"),
        PLAIN.replace("gene;P1;P2", "P1;P2"),  # R names no column of row names
        PLAIN.replace(".", ","),  # decimal commas
        PLAIN.replace(".", ",").replace(";", "\t"),
        '"gene","P1","P2"\n"TP53","1,5","2"\n"EGFR","0","2,25"\n"MÜ1","NA","3"\n',
    ],
)
def test_what_people_save(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8", newline="")
    pd.testing.assert_frame_equal(_values(tmp_path / "t.csv"), EXPECTED, check_dtype=False, check_names=False)


def test_trailing_delimiters_do_not_shift_a_column(tmp_path: Path) -> None:
    """A delimiter at the end of rows alone looks like R's header, which is one cell short."""
    (tmp_path / "t.csv").write_text("gene,P1,P2\nA,1,2,\nB,3,4,\n")
    assert _values(tmp_path / "t.csv").to_dict() == {"P1": {"A": 1, "B": 3}, "P2": {"A": 2, "B": 4}}
    (tmp_path / "r.csv").write_text("P1,P2\nA,1,\nB,3,4\nC,5,6\n")
    assert _values(tmp_path / "r.csv").fillna(-1).to_dict("list") == {"P1": [1, 3, 5], "P2": [-1, 4, 6]}


def test_a_header_may_begin_with_a_hash(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("#id,age\nP1,60\nP2,70\n")
    assert reading.read_table(tmp_path / "t.csv", InputError)["age"].tolist() == ["60", "70"]


def test_decimal_commas_agree_with_pandas(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 1000, (5, 3)).round(3)
    frame = pd.DataFrame(values, [f"G{row}" for row in range(5)], ["P1", "P2", "P3"])
    frame.to_csv(tmp_path / "t.csv", sep=";", decimal=",")
    pd.testing.assert_frame_equal(
        _values(tmp_path / "t.csv"), pd.read_csv(tmp_path / "t.csv", sep=";", decimal=",", index_col=0),
        check_dtype=False, check_names=False, rtol=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("g;P1\nA;1,234\nB;12,345\n", "is '1,234', not a number; write all numbers with decimal points"),
        ("g;P1\nA;1.234,5\nB;1\n", "is '1.234,5', not a number; write all numbers with decimal points"),
        ("g;P1;P2\nA;1,5;2.5\n", "is '1,5', not a number; write all numbers with decimal points"),
        ("g,P1,P2\nA,1,5,2,5\n", r"row 2 \('A'\) has 5 cells and the header 3; where numbers have decimal commas"),
        ("g,P1,P2\nA,1\n", r"row 2 \('A'\) has 2 cells and the header 3; the file may be cut off"),
        ("g,P1\nA,1e39\n", "is '1e39', not a number"),
        ("sep=;\ng;P1\n", "has 1 lines: not a table"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        _values(tmp_path / "t.csv")


def test_what_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "t.xls").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(range(256)) * 4)
    with pytest.raises(ExpressionError, match=r"t\.xls: is not a text file; save the table in it as CSV") as raised:
        reading.read_table(tmp_path / "t.xls", InputError)
    assert str(raised.value).isprintable()


def test_a_workbook_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04" + bytes(100))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"workbook of Excel .*; save the sheet as CSV, or `pip install openpyxl`"):
        reading.read_table(tmp_path / "t.xlsx", InputError)


def test_a_workbook(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
        EXPECTED.to_excel(book, sheet_name="values", startrow=1)
        pd.DataFrame().to_excel(book, sheet_name="empty")
    pd.testing.assert_frame_equal(_values(tmp_path / "t.xlsx"), EXPECTED, check_dtype=False, check_names=False)
    with pd.ExcelWriter(tmp_path / "two.xlsx") as book:
        EXPECTED.to_excel(book, sheet_name="a")
        EXPECTED.to_excel(book, sheet_name="b")
    with pytest.raises(InputError, match=r"has 2 sheets with content \(a, b\)"):
        reading.read_table(tmp_path / "two.xlsx", InputError)
    (tmp_path / "damaged.xlsx").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(InputError, match="not readable as a workbook"):
        reading.read_table(tmp_path / "damaged.xlsx", InputError)
