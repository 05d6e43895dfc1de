from __future__ import annotations

import gzip
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogenesis.cohort.expression import ExpressionScaler, ExpressionSettings, TableSettings, read_expression
from radiogenesis.errors import ExpressionError

PATIENTS = ["R01-001", "R01-002", "R01-003"]
GENES_IN_ROWS = ",R01-001,R01-002,R01-003\nTP53,1,2,3\nEGFR,4,NA,6\n"
PATIENTS_IN_ROWS = "PID,Recurrence,TP53,EGFR\nR01-001,yes,1,4\nR01-002,no,2,\nR01-003,no,3,6\n"
EXPECTED = [[1, 4], [2, np.nan], [3, 6]]


def _write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def _expression(values: object, genes: str = "abcdefgh", **uns: object) -> AnnData:
    matrix = np.asarray(values, np.float32)
    names = [f"P{row}" for row in range(len(matrix))]
    made = AnnData(matrix, obs=pd.DataFrame(index=names), var=pd.DataFrame(index=list(genes[: matrix.shape[1]])))
    made.uns.update(uns)
    return made


@pytest.mark.parametrize("name", ["table.csv", "table.tsv", "table.csv.gz", "semicolons.csv"])
@pytest.mark.parametrize("text", [GENES_IN_ROWS, PATIENTS_IN_ROWS])
def test_known_patients_decide_which_way_a_table_lies(tmp_path: Path, name: str, text: str) -> None:
    delimiter = {"table.tsv": "\t", "semicolons.csv": ";"}.get(name, ",")
    path = _write(tmp_path / name, text.replace(",", delimiter))
    not_genes = ("Recurrence",) if "Recurrence" in text else ()
    read = read_expression(path, patients=["R01-002", "other"], settings=TableSettings(not_genes=not_genes))
    assert list(read.obs_names) == PATIENTS
    assert list(read.var_names) == ["TP53", "EGFR"]
    assert read.X.dtype == np.float32
    np.testing.assert_array_equal(read.X, np.array(EXPECTED, np.float32))


def test_which_way_is_never_guessed(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", GENES_IN_ROWS)
    with pytest.raises(ExpressionError, match="without knowing a patient; say --orientation"):
        read_expression(path)
    with pytest.raises(ExpressionError, match=r"none of the 1 known patients \(such as 'LUNG1-001'\)"):
        read_expression(path, patients=["LUNG1-001"])
    both = _write(tmp_path / "b.csv", "id,R01-001,R01-002\nR01-001,1,2\nR01-002,3,4\n")
    with pytest.raises(ExpressionError, match=r"both in the header \(2\) and in column 'id' \(2\)"):
        read_expression(both, patients=PATIENTS)
    told = read_expression(path, settings=TableSettings(orientation="genes-in-rows"))
    assert list(told.obs_names) == PATIENTS


@pytest.mark.parametrize("header", ["\tR01-001\tR01-002", "R01-001\tR01-002"])
def test_the_text_table_as_geo_publishes_it(tmp_path: Path, header: str) -> None:
    """Tab separated, gzip, NA; the first header cell is empty, or left out as R does."""
    path = _write(tmp_path / "GSE103584_R01_NSCLC_RNAseq.txt.gz", header + "\nA1BG\t1.5\tNA\nA1CF\tNA\t0\n")
    read = read_expression(path, patients=["R01-001"])
    assert read.shape == (2, 2)
    np.testing.assert_array_equal(read.X, np.array([[1.5, np.nan], [np.nan, 0]], np.float32))


@pytest.mark.parametrize(
    ("how", "expected"),
    [("maxmean", [[2, 1], [9, 1]]), ("mean", [[1.5, 1], [9, 1]])],
)
def test_rows_of_the_same_gene_are_merged(tmp_path: Path, how: str, expected: list[list[float]]) -> None:
    text = ",R01-001,R01-002\nG,1,NA\nH,1,1\nG,2,9\nG,NA,NA\n"
    path = _write(tmp_path / "t.csv", text)
    read = read_expression(path, patients=PATIENTS, settings=TableSettings(duplicates=how))  # type: ignore[arg-type]
    assert list(read.var_names) == ["G", "H"]
    np.testing.assert_array_equal(read.X, np.array(expected, np.float32))
    assert read.uns["merged_genes"] == 1
    with pytest.raises(ExpressionError, match="gene 'G' appears twice"):
        read_expression(path, patients=PATIENTS, settings=TableSettings(duplicates="refuse"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 lines: not a table"),
        ("abc\ndef\n", "no tab, comma or semicolon"),
        (",R01-001\nTP53,high\n", "row 'TP53', column 'R01-001' is 'high', not a number"),
        (",R01-001\nTP53,inf\n", "row 'TP53', column 'R01-001' is 'inf', not a number"),
        (",R01-001,R01-002\nTP53,1\n", r"row 2 \('TP53'\) has 1|row 2 \('TP53'\) has 2 cells and the header 3"),
        (",R01-001,R01-001\nTP53,1,2\n", "column 'R01-001' appears twice"),
        ("id,TP53\nR01-001,1\nR01-001,2\n", "patient 'R01-001' appears twice"),
        (",R01-001\n,2\n", "1 patients x 0 genes; left out, 1 gene: without a name: ''"),
    ],
)
def test_what_is_refused_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        read_expression(_write(tmp_path / "t.csv", text), patients=PATIENTS)


def test_a_label_is_no_gene_and_its_name_must_be_right(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", PATIENTS_IN_ROWS)
    with pytest.raises(ExpressionError, match=r"column 'Recurrence' is 'yes'.*--not_genes 'Recurrence'"):
        read_expression(path, patients=PATIENTS)
    with pytest.raises(ExpressionError, match="no column or gene 'Recurence' to leave out"):
        read_expression(path, patients=PATIENTS, settings=TableSettings(not_genes=("Recurence",)))


def test_damaged_gzip_and_missing_file(tmp_path: Path) -> None:
    whole = gzip.compress(GENES_IN_ROWS.encode() * 50)
    (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ExpressionError, match="damaged gzip"):
        read_expression(tmp_path / "cut.csv.gz", patients=PATIENTS)
    with pytest.raises(ExpressionError, match="no such file"):
        read_expression(tmp_path / "none.csv")


def test_log_of_negative_values_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", ",R01-001,R01-002\nTP53,1,-2.5\n")
    with pytest.raises(ExpressionError, match=r"gene TP53 of patient R01-002 is -2\.5.*leave log off"):
        read_expression(path, patients=PATIENTS, settings=TableSettings(log=True))


@pytest.mark.parametrize("turned", [False, True])
def test_h5ad_either_way(tmp_path: Path, turned: bool) -> None:
    made = _expression([[1, 2], [3, np.nan]])
    (made.T.copy() if turned else made).write_h5ad(tmp_path / "e.h5ad")
    read = read_expression(tmp_path / "e.h5ad", patients=["P1"])
    assert list(read.obs_names) == ["P0", "P1"]
    np.testing.assert_array_equal(read.X, made.X)
    (tmp_path / "no.h5ad").write_text("x")
    with pytest.raises(ExpressionError, match="not readable as h5ad"):
        read_expression(tmp_path / "no.h5ad")


def test_which_way_an_h5ad_lies_is_never_guessed_either(tmp_path: Path) -> None:
    path = tmp_path / "e.h5ad"
    made = _expression([[1, 2], [3, 4]])
    made.write_h5ad(path)
    with pytest.raises(ExpressionError, match=r"e\.h5ad: .*without knowing a patient; say --orientation"):
        read_expression(path)
    with pytest.raises(ExpressionError, match=r"none of the 1 known patients \(such as 'LUNG1-001'\)"):
        read_expression(path, patients=["LUNG1-001"])
    with pytest.raises(ExpressionError, match=r"both in var_names \(1\) and in obs_names \(2\)"):
        read_expression(path, patients=["P0", "P1", "a"])
    told = read_expression(path, patients=["P0", "P1", "a"], settings=TableSettings(orientation="patients-in-rows"))
    assert list(told.obs_names) == ["P0", "P1"]
    turned = read_expression(path, settings=TableSettings(orientation="genes-in-rows"))
    assert list(turned.obs_names) == ["a", "b"]


def test_not_genes_of_an_h5ad_must_be_there(tmp_path: Path) -> None:
    _expression([[1, 2], [3, 4]]).write_h5ad(tmp_path / "e.h5ad")
    read = read_expression(tmp_path / "e.h5ad", patients=["P1"], settings=TableSettings(not_genes=("a",)))
    assert list(read.var_names) == ["b"]
    with pytest.raises(ExpressionError, match="has no gene 'stage' to leave out"):
        read_expression(tmp_path / "e.h5ad", patients=["P1"], settings=TableSettings(not_genes=("a", "stage")))


def test_scaler_uses_training_patients_only() -> None:
    rng = np.random.default_rng(0)
    values = rng.lognormal(2, 1, (10, 3))
    train = [f"P{row}" for row in range(6)]
    scaler = ExpressionScaler.fit(_expression(values, log=True), train)
    logs = np.log10(values + 1)
    expected = (logs - logs[:6].mean(0)) / logs[:6].std(0)
    np.testing.assert_allclose(scaler.transform(_expression(values)), expected, atol=1e-5)
    changed = values.copy()
    changed[6:] *= 100
    again = ExpressionScaler.fit(_expression(changed, log=True), train)
    np.testing.assert_array_equal(again.mean, scaler.mean)


def test_scaler_follows_the_cohort_unless_told() -> None:
    values = _expression([[1, 9], [9, 99], [99, 9]], log=True)
    patients = list(values.obs_names)
    plain = ExpressionSettings(zscore=False)
    np.testing.assert_allclose(ExpressionScaler.fit(values, patients, plain).transform(values)[1], [1, 2], rtol=1e-6)
    off = ExpressionScaler.fit(values, patients, ExpressionSettings(zscore=False, log=False))
    np.testing.assert_array_equal(off.transform(values), values.X)


def test_missing_values_drop_or_median() -> None:
    gap = np.nan
    values = [[1, 1, 5, 1], [2, 2, 5, gap], [3, 4, 5, 3], [4, 5, 5, gap], [9, 3, 5, 7], [4, gap, 6, 2]]
    table, train = _expression(values), ["P0", "P1", "P2", "P3", "P4"]
    dropped = ExpressionScaler.fit(table, train, ExpressionSettings(missing="drop"))
    assert dropped.genes == ("a",)  # b is missing in a held-out patient, c is constant in training, d is missing
    imputed = ExpressionScaler.fit(table, train, ExpressionSettings(zscore=False))
    assert imputed.genes == ("a", "b", "c")  # two of five values of d are missing: more than a fifth
    np.testing.assert_array_equal(imputed.transform(table)[:, 1], [1, 2, 4, 5, 3, 3])
    said = (
        "2 of 4 genes are left out, since values of them are missing: b, d; --missing median keeps those that lack few."
    )
    assert dropped.left_out(table) == said
    assert imputed.left_out(table) == "1 of 4 genes are left out, since more than 20% of their values are missing: d."
    values[1][3] = 2
    one_of_five = ExpressionScaler.fit(_expression(values), train, ExpressionSettings(zscore=False))
    np.testing.assert_array_equal(one_of_five.transform(_expression(values))[:, 3], [1, 2, 3, 2.5, 7, 2])
    assert not one_of_five.left_out(_expression(values))


def test_transform_orders_genes_and_patients_and_refuses_what_it_lacks() -> None:
    table = _expression([[1, 2, 3], [2, 4, 7], [5, 6, 9]])
    scaler = ExpressionScaler.fit(table, ["P0", "P1"], ExpressionSettings(missing="drop"))
    turned = table[:, ["c", "a", "b"]].copy()
    np.testing.assert_array_equal(scaler.transform(turned, ["P2", "P0"]), scaler.transform(table)[[2, 0]])
    with pytest.raises(ExpressionError, match="1 of the model's 3 genes are not in the table: b"):
        scaler.transform(table[:, ["a", "c"]].copy())
    with pytest.raises(ExpressionError, match="no expression of 1 patients: P9"):
        scaler.transform(table, ["P9"])
    with pytest.raises(ExpressionError, match="have missing values: a"):
        scaler.transform(_expression([[np.nan, 1, 2]]))
    with pytest.raises(ExpressionError, match="no gene is complete"):
        ExpressionScaler.fit(_expression([[np.nan], [1]]), ["P1"])


def test_scaler_as_arrays() -> None:
    table = _expression([[1, 2], [2, np.nan], [4, 7], [5, 3], [1, 9]], genes="gλ")
    scaler = ExpressionScaler.fit(table, list(table.obs_names), ExpressionSettings(log=True))
    again = ExpressionScaler.from_arrays(scaler.to_arrays())
    assert again.genes == scaler.genes == ("g", "λ")
    assert all(array.dtype.kind in "fu" for array in scaler.to_arrays().values())
    np.testing.assert_array_equal(again.transform(table), scaler.transform(table))


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 12), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_scaled_training_genes_have_mean_0_and_deviation_1(patients: int, genes: int, seed: int) -> None:
    table = _expression(np.random.default_rng(seed).gamma(2, 50, (patients, genes)), log=True)
    scaled = ExpressionScaler.fit(table, list(table.obs_names)).transform(table)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(0), 1, atol=1e-4)


@pytest.mark.real_data
def test_the_real_tables(real_data: Path) -> None:
    zscores = read_expression(
        real_data / "expression" / "gse103584_zscore_1000genes_130patients.csv", patients=["R01-023"]
    )
    fpkm = read_expression(
        real_data / "expression" / "gse103584_fpkm_140genes_130patients.tsv",
        patients=["R01-023"],
        settings=TableSettings(not_genes=("Recurrence",), log=True),
    )
    assert zscores.shape == (130, 1000)
    assert np.isnan(zscores.X).sum() == 4519
    assert (~np.isnan(zscores.X).any(axis=0)).sum() == 436
    assert fpkm.shape == (130, 140)
    train = list(zscores.obs_names[:90])
    assert len(ExpressionScaler.fit(zscores, train, ExpressionSettings(missing="drop")).genes) == 436
    shares = np.isnan(zscores[train].X).mean(axis=0)
    assert len(ExpressionScaler.fit(zscores, train).genes) == (shares <= 0.2).sum() > 900
    shared = zscores.var_names.intersection(fpkm.var_names)
    assert len(shared) == 10
    logs = np.log10(fpkm[zscores.obs_names, shared].X + 1)
    for gene, column in zip(shared, logs.T, strict=True):
        known = ~np.isnan(zscores[:, gene].X[:, 0])
        assert np.corrcoef(zscores[:, gene].X[known, 0], column[known])[0, 1] > 0.999
    with pytest.raises(ExpressionError, match="already on a logarithmic"):
        ExpressionScaler.fit(zscores, train, ExpressionSettings(log=True))


def test_a_table_of_22126_genes_is_read_and_scaled(tmp_path: Path) -> None:
    genes, patients = 22126, 20
    values = np.random.default_rng(0).gamma(1, 30, (genes, patients)).round(3)
    lines = ["\t" + "\t".join(f"R01-{n:03d}" for n in range(patients))]
    lines += [f"G{n}\t" + "\t".join("NA" if v < 0.1 else str(v) for v in row) for n, row in enumerate(values)]
    read = read_expression(_write(tmp_path / "t.txt.gz", "\n".join(lines)), patients=["R01-000"])
    assert read.shape == (patients, genes)
    assert np.isnan(read.X).sum() == (values < 0.1).sum()
    scaler = ExpressionScaler.fit(read, list(read.obs_names[:15]), ExpressionSettings(missing="drop", log=True))
    assert len(scaler.genes) == (values >= 0.1).all(axis=1).sum()
    assert isinstance(read, anndata.AnnData)
