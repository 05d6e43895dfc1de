from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from radiogenesis.cohort.expression import TableSettings, read_expression
from radiogenesis.cohort.tables.geo import read_characteristics, read_series_matrix
from radiogenesis.errors import ExpressionError

HEAD = """!Series_title\t"A series"
!Series_geo_accession\t"GSE1"
!Series_supplementary_file\t"ftp://ftp/GSE1/suppl/GSE1_counts.txt.gz"

!Sample_title\t"lung_1"\t"lung_2"
!Sample_geo_accession\t"GSM1"\t"GSM2"
!Sample_characteristics_ch1\t"patient: LUNG3-01"\t"patient: LUNG3-02"
!Sample_characteristics_ch1\t"gender: M"\t""
!Sample_characteristics_ch1\t"grade: 2"\t"gender: F"
!series_matrix_table_begin
"ID_REF"\t"GSM1"\t"GSM2"
"""
ROWS = '"TP53"\t1.5\t2\n"EGFR"\tnull\t4\n'
END = "!series_matrix_table_end\n"


def _write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()))
    return path


@pytest.mark.parametrize(
    ("known", "ids"),
    [
        (None, ["lung_1", "lung_2"]),
        (["GSM2"], ["GSM1", "GSM2"]),
        (["LUNG3-01"], ["LUNG3-01", "LUNG3-02"]),
    ],
)
def test_values_with_the_ids_that_are_known(tmp_path: Path, known: list[str] | None, ids: list[str]) -> None:
    read = read_expression(_write(tmp_path / "GSE1_series_matrix.txt.gz", HEAD + ROWS + END), patients=known)
    assert list(read.obs_names) == ids
    assert read.uns["patients_from"] == {"lung_1": "title", "GSM1": "geo_accession"}.get(ids[0], "patient")
    assert list(read.var_names) == ["TP53", "EGFR"]
    np.testing.assert_array_equal(read.X, np.array([[1.5, np.nan], [2, 4]], np.float32))


def test_titles_are_not_taken_for_patients_in_silence(tmp_path: Path) -> None:
    path = _write(tmp_path / "m.gz", HEAD + ROWS + END)
    with pytest.raises(ExpressionError, match=r"none of the 1 known patients \(such as 'R01-1'\).*such as 'lung_1'"):
        read_expression(path, patients=["R01-1"])
    told = read_expression(path, patients=["R01-1"], settings=TableSettings(orientation="genes-in-rows"))
    assert list(told.obs_names) == ["lung_1", "lung_2"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (TableSettings(not_genes=("GSM1",)), "whose columns are samples.*leave --not_genes off"),
        (TableSettings(orientation="patients-in-rows"), "has genes in rows; leave --orientation off"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(tmp_path: Path, settings: TableSettings, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        read_expression(_write(tmp_path / "m.gz", HEAD + ROWS + END), patients=["GSM1"], settings=settings)


def test_characteristics_go_by_their_key_whatever_their_line(tmp_path: Path) -> None:
    table = read_characteristics(_write(tmp_path / "m.gz", HEAD + END))
    assert table.loc["lung_2", "gender"] == "F"
    assert table.loc["lung_1", ["gender", "grade", "geo_accession"]].tolist() == ["M", "2", "GSM1"]


def test_without_values_it_says_what_it_has_and_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(ExpressionError, match=r"GSE1 without expression values.*2 samples.*give GSE1_counts\.txt\.gz"):
        read_expression(_write(tmp_path / "m.gz", HEAD + END))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + ROWS, "ends before its table does"),
        (HEAD + '"TP53"\t1\n' + END, r"row 2 \('TP53'\) has 2 cells and the header 3"),
        (HEAD + '"TP53"\t1\tx\n' + END, "row 'TP53', column 'GSM2' is 'x'"),
        ('!Series_title\t"x"\n!series_matrix_table_begin\n' + END, "does not list its samples"),
    ],
)
def test_damage_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        read_expression(_write(tmp_path / "m.gz", text))


@pytest.mark.real_data
def test_the_real_series_matrix(real_data: Path) -> None:
    path = real_data / "expression" / "GSE103584_series_matrix.txt.gz"
    matrix = read_series_matrix(path)
    assert (matrix.accession, len(matrix.samples), matrix.rows) == ("GSE103584", 130, [])
    assert matrix.samples.loc["GSM2774822", "title"] == "R01-034"
    table = read_characteristics(path)
    assert {"histology", "gender", "histopathological grade"} <= set(table.columns)
    with pytest.raises(ExpressionError, match=r"130 samples.*give GSE103584_R01_NSCLC_RNAseq\.txt\.gz"):
        read_expression(path)
