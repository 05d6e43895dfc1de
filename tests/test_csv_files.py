"""A table that a spreadsheet opens: no text in it is executed, and no number is changed."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pandas as pd
import pytest

from radiogenesis.csv_files import guarded, read_csv, write_csv

SOURCES = Path(__file__).parents[1] / "src" / "radiogenesis"


def test_a_text_that_begins_as_a_formula_is_text_and_a_number_stays_a_number(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "patient": ['=HYPERLINK("http://x")', "@SUM(A1)", "-7", "'=1", "P-1"],
            "=gene": [-1.5, 2.0, float("nan"), -0.0, 1e-300],
            "note": ["+1+cmd|' /C calc'!A0", "-", None, "+3.5e-4", "a = b"],
        }
    )
    write_csv(table, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["patient", "'=gene", "note"]
    assert [row[0] for row in rows] == ['\'=HYPERLINK("http://x")', "'@SUM(A1)", "-7", "''=1", "P-1"]
    assert [row[1] for row in rows] == ["-1.5", "2.0", "", "-0.0", "1e-300"]
    assert [row[2] for row in rows] == ["'+1+cmd|' /C calc'!A0", "'-", "", "+3.5e-4", "a = b"]
    pd.testing.assert_frame_equal(read_csv(tmp_path / "t.csv").fillna(""), table.fillna(""))


def test_the_index_is_guarded_too(tmp_path: Path) -> None:
    write_csv(pd.DataFrame({"n": [1]}, index=["=1+1"]), tmp_path / "t.csv", index_label="Image")
    assert (tmp_path / "t.csv").read_text() == "Image,n\n'=1+1,1\n"


@pytest.mark.parametrize("text", ["\t=1", "\r=1", "=1", "＝1", "-x", "+x", "@x"])
def test_all_that_starts_a_formula_is_known(text: str) -> None:
    assert guarded(text) == f"'{text}"


def test_every_table_is_written_so() -> None:
    """But what `cohort fetch` lays down: as it came, for `cohort build`."""
    fetched = SOURCES / "cohort" / "fetch"
    others = [path for path in SOURCES.rglob("*.py") if path.name != "csv_files.py" and fetched not in path.parents]
    assert not [path for path in others if re.search(r"\.to_csv\(|csv\.writer", path.read_text(encoding="utf-8"))]
