"""Whose a row is, where files write the same patient's id in different ways."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from tiny_cohorts import write_chest, write_table

from radiogenesis.cohort.build import BuildSettings, Tables, build_cohort
from radiogenesis.cohort.expression import read_expression
from radiogenesis.cohort.loading import Loaded
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.tables.identity import Known, alike, form, read_id_map
from radiogenesis.cohort.tables.near_ids import NearIds, write_proposal
from radiogenesis.errors import ExpressionError, InputError


@pytest.mark.parametrize("other", ["r01-001", "R01_001", "R01 1", " R01.001", "Ｒ01-001", "R-01-001"])
def test_style(other: str) -> None:
    assert form(other) == form("R01-001")


@pytest.mark.parametrize("other", ["R01-010", "R01-0011", "R011", "R01-001-2", "AMC-001", "001", ""])
def test_more_than_style(other: str) -> None:
    assert form(other) != form("R01-001")


def test_a_number_of_a_spreadsheet() -> None:
    assert form("1001.0") == form("1001") != form("1001.5")


def test_what_is_not_unique_is_nobodys() -> None:
    known = Known.of(["P1", "P01", "P2", "P3"])
    assert known.alike(["p1", "p2", "p_2", "p3", "P3"]) == {}  # two patients, two names, the patient's own name
    assert known.renamed(["p-3", "x"]) == (["P3", "x"], {"p-3": "P3"})


def test_expression_of_another_style_is_that_patients(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("gene,r01_1,r01_2,R01-003\nA,1,2,3\nB,4,5,6\n")
    read = read_expression(tmp_path / "t.csv", patients=["R01-001", "R01-002", "R01-003"])
    assert read.to_df()["A"].to_dict() == {"R01-001": 1, "R01-002": 2, "R01-003": 3}
    assert "2 ids that differ from known ones in case" in read.uns["remarks"][0]
    (tmp_path / "rows.csv").write_text("id,A,B\nr01_1,1,4\nr01_2,2,5\n")
    rows = read_expression(tmp_path / "rows.csv", patients=["R01-001", "R01-002"])
    assert rows.to_df()["B"].to_dict() == {"R01-001": 4, "R01-002": 5}


def test_a_map_of_ids(tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text("table,scan\nT-17,P1\nT-18,P2\n")
    id_map = read_id_map(tmp_path / "map.csv")
    table = write_table(tmp_path / "e.csv", ["T-17", "T-18", "T-19"])
    read = read_expression(table, patients=["P1", "P2"], id_map=id_map)
    assert list(read.obs_names) == ["P1", "P2", "T-19"]
    pd.testing.assert_series_equal(
        read.to_df().loc["P1"], pd.read_csv(table, index_col=0).loc["T-17"],
        check_dtype=False, check_names=False, rtol=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,c\n1,2,3\n", "has 3 columns, and --id_map wants two"),
        ("a,b\nT1,P1\nT1,P2\n", "'T1' stands for both 'P1' and 'P2'"),
        ("a,b\nT1,\n", "an id is missing beside 'T1'"),
    ],
)
def test_maps_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "map.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_id_map(tmp_path / "map.csv")


def test_nobody_with_both_is_an_error_at_once(tmp_path: Path) -> None:
    table = write_table(tmp_path / "e.csv", ["X1", "X2"])
    with pytest.raises(ExpressionError, match=r"none of the 2 known patients \(such as 'P1'\).*; give --id_map FILE"):
        Loaded.read(Tables(expression=table), {"P1", "P2"})
    (tmp_path / "clinical.csv").write_text("id,age\nP1,60\nX1,70\n")  # the expression's patients are known, unscanned
    tables = Tables(expression=table, clinical=tmp_path / "clinical.csv")
    with pytest.raises(ExpressionError, match=r"none of its 2 patients \(such as 'X1'\) is among the 2 with images"):
        Loaded.read(tables, {"P1", "P2"})
    (tmp_path / "map.csv").write_text("P1,X1\nP2,X2\n")
    with pytest.raises(InputError, match=r"none of the ids in its second column.*first, then the id of the scans"):
        Loaded.read(Tables(expression=table, id_map=tmp_path / "map.csv"), {"P1", "P2"})


def test_who_is_in_one_place_only_is_said(tmp_path: Path) -> None:
    table = write_table(tmp_path / "e.csv", ["P1", "T-17", "T-18"])
    loaded = Loaded.read(Tables(expression=table), {"P1", "P2"})
    assert loaded.expression.uns["remarks"] == [
        "1 patient with a scan and no expression (P2), 2 patients with expression and no scan (T-17, T-18): where these"
        " are the same people under other ids, pair the ids with --id_map"
    ]


def test_a_clinical_table_of_nobody_is_said(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,age\nX1,60\n")
    loaded = Loaded.read(Tables(clinical=tmp_path / "c.csv", clinical_id="id"), {"P1"})
    assert loaded.expression.uns["remarks"][0].startswith(
        "clinical table: none of its 1 patient (such as X1) has a scan"
    )


def test_a_cohort_of_three_styles(tmp_path: Path) -> None:
    """Scans, expression and clinical table each write ids in their own way; what is said stands in the description."""
    for patient in ("P-01", "P-02"):
        write_chest(tmp_path / "raw", patient)
    (tmp_path / "c.csv").write_text("id,age\np1,60\np2,70\n")
    tables = Tables(expression=write_table(tmp_path / "e.csv", ["P_1", "P_2"]), clinical=tmp_path / "c.csv")
    sampling = SamplingSettings(pixels=16, slices_per_center=1, background_centers=0)
    cohort = build_cohort(tmp_path / "raw", tmp_path / "c", tables, sampling=sampling, build=BuildSettings(workers=1))
    assert cohort.patients["has_expression"].to_dict() == {"P-01": True, "P-02": True}
    assert cohort.clinical is not None
    assert cohort.clinical["age"].to_dict() == {"P-01": 60, "P-02": 70}
    assert "are taken for them: P_1 for P-01, P_2 for P-02" in cohort.describe()


def test_a_long_name_is_cut(tmp_path: Path) -> None:
    """55 Cyrillic letters are 350 bytes when they are percent-encoded; two names differ at their ends only."""
    names = ["Пациент_Иванова_Мария_КТ_грудной_клетки_2021_контраст_0" + end for end in "12"]
    for name in names:
        write_chest(tmp_path / "raw", name)
    sampling = SamplingSettings(pixels=16, slices_per_center=1, background_centers=0)
    cohort = build_cohort(tmp_path / "raw", tmp_path / "c", sampling=sampling, build=BuildSettings(workers=1))
    assert list(cohort.patients.index) == names
    assert len(list((tmp_path / "c.previews").glob("*.png"))) == 2


def test_a_proposed_pair_is_no_formula_and_is_read_as_it_was(tmp_path: Path) -> None:
    near = NearIds("expression", {"=P1": ("@P1",)})
    assert write_proposal(tmp_path / "map.csv", [near])
    assert (tmp_path / "map.csv").read_text().splitlines()[-1] == '"\'=P1","\'@P1"'
    assert read_id_map(tmp_path / "map.csv")["=P1"] == "@P1"


def test_the_same_id_in_another_style_is_known_across_cohorts() -> None:
    """A copy of a scan without a series UID is otherwise judged on whom it was trained on."""
    assert alike(["r01_1", "R01-011", "R01-2", "肺"], ["R01-001", "心"]).tolist() == [True, False, False, False]
