"""What enters as expression: genes that are none, patients who are none, values that are none."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from tiny_cohorts import audit

from radiogenesis.cohort.expression import ExpressionScaler, ExpressionSettings, TableSettings, read_expression
from radiogenesis.cohort.tables.gene_names import sort_out
from radiogenesis.cohort.writer import CohortWriter
from radiogenesis.errors import ExpressionError

P = ["P1", "P2", "P3"]
ACROSS = TableSettings(orientation="genes-in-rows")


def _read(folder: Path, text: str, patients: list[str] | None = None, **settings: object) -> AnnData:
    (folder / "t.csv").write_text(text)
    return read_expression(
        folder / "t.csv", patients=P if patients is None else patients, settings=TableSettings(**settings)
    )


@pytest.mark.parametrize(
    "name",
    ["", "NA", "nan", "---", "-", "///", "#N/A", "__no_feature", "__alignment_not_unique", "no_feature", "N_unmapped"],
)
def test_names_that_are_none(name: str) -> None:
    assert sort_out([name, "TP53"])[0].tolist() == [False, True]


@pytest.mark.parametrize("name", ["1-Mar", "Mar-01", "01. Mrz", "2-Sep-2021", "2021-09-02 00:00:00", "9/2/2021"])
def test_dates_are_genes_once_only(name: str) -> None:
    kept, said = sort_out([name, name, "TP53"])
    assert kept.tolist() == [False, False, True]
    assert "dates that Excel makes" in said[0]
    kept, said = sort_out([name, "TP53"])
    assert kept.all()
    assert name in said[0]


def test_names_of_genes_that_look_odd() -> None:
    """Symbols, aliases and identifiers of HGNC, Ensembl, Entrez and miRBase."""
    names = ["7SK", "5S_rRNA", "Y_RNA", "12-LOX", "HLA-A", "DEC1", "SEPT2", "MARCHF1", "NAA10", "NUL", "N4BP1", "7157"]
    names += ["C1orf112", "ENSG00000141510.11", "hsa-mir-21", "Metazoa_SRP", "1060P11.3", "A1BG|1", "NAN1", "OCT4"]
    kept, said = sort_out(names)
    assert kept.all()
    assert not said


def test_annotations_of_genes_are_no_patients(tmp_path: Path) -> None:
    """featureCounts, cBioPortal, GCT: no vote for the longest transcript, no gene incomplete for a column of "na"."""
    text = (
        "Symbol,Entrez_Gene_Id,Length,Description,Strand,hg19_note,P1,P2,P3,P4\n"
        "A,7157,90000,na,+,x,0.1,0.1,0.1,9\n"
        "A,7157,1000,tumor protein,+,y,5,6,7,1\n"
        "B,1956,1200,na,-,z,1,2,3,4\n"
    )
    read = _read(tmp_path, text)
    assert list(read.obs_names) == [*P, "P4"]  # P4 has no scan, but an id like theirs
    assert read.to_df().loc[P, "A"].tolist() == [5, 6, 7]
    assert read.uns["remarks"] == [
        "left out, 5 names not taken for patients: Entrez_Gene_Id, Length, Description, Strand, hg19_note"
    ]


def test_columns_of_nobody_have_no_vote(tmp_path: Path) -> None:
    """Q9 is built like an id: it stays, but MaxMean is decided by those who are known."""
    read = _read(tmp_path, "g,Q9,P1,P2\nA,90000,1,1\nA,1,5,6\n")
    assert read.to_df()["A"].to_dict() == {"Q9": 1, "P1": 5, "P2": 6}


def test_nobody_known_and_a_column_unlike_the_others(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("g,Length,P1,P2\nA,900,1,1\nB,100,5,6\n")
    assert list(read_expression(tmp_path / "t.csv", settings=ACROSS).obs_names) == ["P1", "P2"]
    (tmp_path / "t.csv").write_text("g,Anna,Otto\nA,1,1.5\nB,5,6\n")  # ids need no digits where none has any
    assert list(read_expression(tmp_path / "t.csv", settings=ACROSS).obs_names) == ["Anna", "Otto"]


def test_row_numbers_are_neither_genes_nor_patients(tmp_path: Path) -> None:
    across = _read(tmp_path, "Unnamed: 0,g,P1,P2\n0,A,1,2.5\n1,B,5,6\n2,C,1,2\n")
    assert list(across.var_names) == ["A", "B", "C"]
    assert list(across.obs_names) == ["P1", "P2"]
    down = _read(tmp_path, "Unnamed: 0,id,A,B\n0,P1,1.5,2\n1,P2,5,6\n")
    assert list(down.var_names) == ["A", "B"]


def test_summaries_of_rows_are_no_patients(tmp_path: Path) -> None:
    read = _read(tmp_path, "id,A,B\nP1,1,2.5\nP2,5,6\nMean,3,4.25\n,,\n")
    assert list(read.obs_names) == ["P1", "P2"]
    assert "not taken for patients: Mean" in read.uns["remarks"][0]


def test_a_label_among_genes_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.random((6, 30)), [f"P{n}" for n in range(6)], [f"G{n}" for n in range(30)])
    table.insert(0, "Recurrence", [0, 1, 0, 1, 1, 0])
    said = _read(tmp_path, table.to_csv()).uns["remarks"]
    assert said[0].endswith("leave them out: --not_genes Recurrence")
    assert "remarks" not in _read(tmp_path, table.to_csv(), not_genes=("Recurrence",)).uns
    counts = (table * 100).round().astype(int)  # whole numbers are the scale of counts
    assert "remarks" not in _read(tmp_path, counts.to_csv()).uns


def test_genes_in_rows_can_be_left_out_too(tmp_path: Path) -> None:
    read = _read(tmp_path, "g,P1,P2\nRecurrence,yes,no\nA,5,6\n", not_genes=("Recurrence",))
    assert list(read.var_names) == ["A"]
    with pytest.raises(ExpressionError, match="row 'Recurrence', column 'P1' is 'yes', not a number; mend the cell"):
        _read(tmp_path, "g,P1,P2\nRecurrence,yes,no\nA,5,6\n")


@pytest.mark.parametrize("value", ["0", "", "NA", "-7.5"])
def test_a_patient_of_whom_nothing_was_measured(tmp_path: Path, value: str) -> None:
    cells = ",".join([value] * 4)
    read = _read(tmp_path, f"id,A,B,C,D\nP1,1,2,3,4.5\nP2,{cells}\nP3,2,3,4,5\n")
    assert list(read.obs_names) == ["P1", "P3"]
    why = (
        f"all of its 4 genes with values are {value}" if value not in ("", "NA") else "none of its 4 genes has a value"
    )
    assert read.uns["remarks"] == [f"left out, 1 patient without a measurement: P2: {why}"]
    assert np.isfinite(ExpressionScaler.fit(read, ["P1", "P3"]).transform(read)).all()


def test_nobody_measured(tmp_path: Path) -> None:
    with pytest.raises(ExpressionError, match="nobody has values: P1: none of its 1 genes has a value"):
        _read(tmp_path, "id,A\nP1,NA\n")


def _h5ad(path: Path, values: object, **more: object) -> Path:
    names = {"obs": pd.DataFrame(index=P), "var": pd.DataFrame(index=["A", "B"])}
    AnnData(values, **names, **more).write_h5ad(path)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_values_of_an_h5ad(tmp_path: Path, value: float) -> None:
    path = _h5ad(tmp_path / "x.h5ad", np.array([[1, 2], [3, value], [value, 4.0]]))
    with pytest.raises(ExpressionError, match=r"gene B of patient P2 is -?inf, one of 2 infinite values; add 1 before"):
        read_expression(path, patients=P)


def test_infinite_values_of_an_older_cohort_reach_no_model() -> None:
    table = AnnData(np.array([[1.0, 2], [3, -np.inf], [2, 4]]), obs=pd.DataFrame(index=P))
    with pytest.raises(ExpressionError, match="gene 1 of patient P2 is -inf"):
        ExpressionScaler.fit(table, ["P1", "P3"])


def test_an_h5ad_without_x(tmp_path: Path) -> None:
    path = _h5ad(tmp_path / "x.h5ad", None, layers={"counts": np.ones((3, 2))})
    with pytest.raises(ExpressionError, match="has no X, where expression stands; it has layer 'counts'; copy"):
        read_expression(path, patients=P)
    _h5ad(path, None)
    with pytest.raises(ExpressionError, match="it has no layers either"):
        read_expression(path, patients=P)


def test_what_is_said_is_kept_in_the_file(tmp_path: Path) -> None:
    read = _read(tmp_path, "g,Length,P1,P2\nNA,1,1,1\nA,900,1,1.5\nB,100,5,6\n")
    read.write_h5ad(tmp_path / "x.h5ad")
    assert list(anndata.read_h5ad(tmp_path / "x.h5ad").uns["remarks"]) == read.uns["remarks"]
    assert len(read.uns["remarks"]) == 2


def test_the_description_says_which_genes_miss_values(tmp_path: Path) -> None:
    """Of 10 patients 1 lacks B, 3 lack C: 10 and 30 %, where a fifth may be missing."""
    patients = [f"P{row}" for row in range(10)]
    values = np.random.default_rng(0).random((10, 3)).round(3)
    values[0, 1] = values[:3, 2] = np.nan
    pd.DataFrame(values, patients, ["A", "B", "C"]).to_csv(tmp_path / "t.csv")
    read = read_expression(tmp_path / "t.csv", patients=patients)
    settings = {"sampling": {"pixels": 16, "field_of_view_mm": 60.0}}
    with CohortWriter(tmp_path / "c", settings=settings) as writer:
        lines = writer.finish(expression=read, audit=audit(patients)).describe().splitlines()
    missing = lines.index("  missing      4 values; 1 genes have none missing")
    assert lines[missing + 1].endswith("that lack more than a fifth in 10 patients with images: 1 (C)")
    assert lines[missing + 2].endswith("--missing drop leaves out 2 (B, C)")
    for how, genes in (("median", ("A", "B")), ("drop", ("A",))):
        assert ExpressionScaler.fit(read, patients, ExpressionSettings(missing=how)).genes == genes
