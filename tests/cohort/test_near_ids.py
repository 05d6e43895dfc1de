"""Ids that nearly match are listed and proposed, never paired."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_cohorts import write_ball, write_table

from radiogenesis.cohort.build import BuildSettings, Tables, build_cohort
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.tables.identity import read_id_map
from radiogenesis.cohort.tables.near_ids import near_ids, write_proposal
from radiogenesis.errors import ExpressionError

SCANS = ["R01-001", "R01-002", "R01-003", "R01-004", "R01-012"]


def test_the_nearest_scans_of_each_id() -> None:
    near = near_ids("expression", ["R011", "NSCLC-R01-002", "R01-003", "RO1-004", "x9", "R01 12b"], SCANS)
    assert near.candidates == {
        "NSCLC-R01-002": ("R01-002",),
        "R01 12b": ("R01-012",),
        "R011": ("R01-001",),  # R01-1 without its separator
        "RO1-004": ("R01-004",),
    }
    expected = {"NSCLC-R01-002": "R01-002", "R01 12b": "R01-012", "RO1-004": "R01-004"}
    assert near.proposal() == expected  # R011 is not sure enough
    (sentence,) = near.told()
    assert "'R011' (scans: 'R01-001')" in sentence


def test_other_patients_of_a_cohort_are_no_candidates() -> None:
    """R01-005 is as like R01-006 as a typing error would be; everybody would be somebody's."""
    assert near_ids("expression", ["R01-005", "R01-104"], ["R01-006", "R01-110"]).candidates == {}


def test_separators_that_a_layout_forbids() -> None:
    """BIDS has no hyphen in ids; as numbers 01026 is not 01-026, so they are no mere matter of style."""
    near = near_ids("expression", ["R01-026", "R01-126", "R01-031"], ["R01026", "R01126"])
    assert near.proposal() == {"R01-026": "R01026", "R01-126": "R01126"}


def test_numbers_alone_and_genes() -> None:
    """A table of numbers is meant; genes in the place of patients are not, though some have an id's digits."""
    assert near_ids("clinical table", ["1", "012"], SCANS).candidates == {"1": ("R01-001",), "012": ("R01-012",)}
    assert near_ids("expression", ["CD4", "GENE1004", "R3HDM1", "IL12"], SCANS).candidates == {}


def test_two_that_claim_the_same_scan_are_not_proposed() -> None:
    assert near_ids("t", ["X-R01-002", "Y-R01-002"], SCANS).proposal() == {}


def test_a_proposal_is_a_map_and_is_not_written_over(tmp_path: Path) -> None:
    near = near_ids("t", ["X-R01-002", 'R01-"4"x'], SCANS)
    assert write_proposal(tmp_path / "map.csv", [near])
    assert read_id_map(tmp_path / "map.csv")["X-R01-002"] == "R01-002"
    (tmp_path / "map.csv").write_text("mine")
    assert write_proposal(tmp_path / "map.csv", [near])
    assert (tmp_path / "map.csv").read_text() == "mine"


def test_a_build_lists_them_and_takes_the_proposal(tmp_path: Path) -> None:
    for patient in ("R01-001", "R01-002"):
        write_ball(tmp_path / "raw", patient)
    e = write_table(tmp_path / "e.csv", ["NSCLC-R01-001", "NSCLC-R01-002"])
    sampling, one = SamplingSettings(pixels=16, background_centers=0), BuildSettings(workers=1)
    with pytest.raises(ExpressionError) as caught:
        build_cohort(tmp_path / "raw", tmp_path / "c", Tables(expression=e), sampling=sampling, build=one)
    line = str(caught.value)
    assert "ids that nearly match and are not paired: 'NSCLC-R01-001' (scans: 'R01-001')" in line
    assert f"{tmp_path / 'c.id_map.csv'} proposes pairs: check every line" in line
    assert "--id_map" in line
    tables = Tables(expression=e, id_map=tmp_path / "c.id_map.csv")
    cohort = build_cohort(tmp_path / "raw", tmp_path / "c", tables, sampling=sampling, build=one)
    assert cohort.patients["has_expression"].all()


def test_a_table_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    write_ball(tmp_path / "raw", "P1")
    with pytest.raises(ExpressionError, match=r"missing\.xlsx: there is no such file"):
        build_cohort(tmp_path / "raw", tmp_path / "c", Tables(expression=tmp_path / "missing.xlsx"))
