"""Tables, annotations and archives that are damaged or made to do harm: one line, soon, and nothing lost in silence."""

from __future__ import annotations

import csv
import gzip
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from radiogenesis import given_files
from radiogenesis.cohort.build import build_cohort
from radiogenesis.cohort.dicom.rtstruct import TooManyError, drawn_once, fill_even_odd, nested
from radiogenesis.cohort.expression import read_expression
from radiogenesis.cohort.loading import Tables
from radiogenesis.cohort.split import Split
from radiogenesis.cohort.tables import annotations, profiles
from radiogenesis.cohort.tables.annotations import read_aim, read_clinical
from radiogenesis.cohort.tables.reading import read_table
from radiogenesis.errors import AnnotationError, ExpressionError, InputError, RadiogenesisError
from radiogenesis.mapping.conventional.enrichment import read_gmt

HEADER = "gene,P1,P2\n"


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ('A,1,2\n"B,3,4\nC,5,6"\nD,7,8\n', 3),  # the quote is closed a row further on
        ('A,1,2\n"B,3,4\n"C",5,6\nD,7,8\n', 3),  # by the quote that opens the next row's name
        ('A,1,2\nB,3,"4\nC,5,6\nD,7,"8\n', 3),
        ('A,1,2\nB,3,"4\nC,5,6\nD,7,8\n', 3),  # it is not closed at all
        ('A,1,2\nB,3,4\nC,5,6\nD,7,"8', 5),
        ('A,1,2\n\n"B,3,4\nC,5,6"\nD,7,8\n', 4),  # lines are counted as they stand in the file
    ],
)
def test_a_stray_quote_that_swallows_rows_is_told_with_its_line(tmp_path: Path, rows: str, line: int) -> None:
    path = tmp_path / "t.csv"
    path.write_text(HEADER + rows)
    with pytest.raises(ExpressionError, match=rf"t\.csv: line {line} .* has a quote .*that is not closed") as error:
        read_expression(path, patients=["P1", "P2"])
    assert "\n" not in str(error.value)


def test_cells_of_several_lines_and_quotes_in_quotes_stay(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text('ID,Note,Stage\nP1,"first\nsecond, and ""third""",IA\nP2,5" tube,IB\nP3,"last\n",IA\n')
    table = read_clinical(path, patients=["P1", "P2", "P3"])
    assert list(table["Note"]) == ['firstsecond, and "third"', '5" tube', "last"]
    assert list(table["Stage"]) == ["IA", "IB", "IA"]


@pytest.mark.parametrize("at", [2, 5, 8])
def test_a_stray_quote_in_a_series_matrix(tmp_path: Path, at: int) -> None:
    lines = [
        '!Series_geo_accession\t"GSE1"', '!Sample_title\t"P1"\t"P2"', '!Sample_geo_accession\t"GSM1"\t"GSM2"',
        "!series_matrix_table_begin", '"ID_REF"\t"GSM1"\t"GSM2"', '"A"\t1\t2', '"B"\t3\t4', '"C"\t5\t6', '"D"\t7\t8',
        "!series_matrix_table_end",
    ]  # fmt: skip
    path = tmp_path / "m.txt"
    path.write_text("\n".join(lines))
    assert list(read_expression(path, patients=["P1", "P2"]).var_names) == ["A", "B", "C", "D"]
    lines[at] = lines[at][: lines[at].rindex('"')] + lines[at][lines[at].rindex('"') + 1 :]
    path.write_text("\n".join(lines))
    with pytest.raises(ExpressionError, match=rf"line {at + 1} .*that is not closed"):
        read_expression(path, patients=["P1", "P2"])


def test_a_large_table_that_runs_into_the_readers_limit(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(HEADER + f'A,1,"{"x" * (csv.field_size_limit() + 1)}"\n')
    with pytest.raises(ExpressionError, match=r"line 2 .*a cell of unheard-of length"):
        read_expression(path, patients=["P1", "P2"])


@pytest.mark.parametrize(
    "content",
    [
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
        b'<?xml version="1.0" encoding="big5"?><a/>',
        b"<a>" * 50_000,
        b"",
    ],
)
def test_one_annotation_that_cannot_be_read_costs_nobody_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.xml").write_bytes(content)
    with pytest.raises(AnnotationError, match=r"no AIM v4 annotation that can be used \(a\.xml: "):
        read_aim(tmp_path)


def seconds(run: Callable[[], object]) -> float:
    """Processor time, the least of three."""
    import time

    times = []
    for _ in range(3):
        begun = time.process_time()
        run()
        times.append(time.process_time() - begun)
    return min(times)


def grows(make: Callable[[int], Callable[[], object]], small: int) -> float:
    """How much longer something takes for eight times as much: 8 where it is linear, 64 where it is quadratic."""
    return seconds(make(8 * small)) / max(seconds(make(small)), 1e-4)


def test_the_patient_of_a_damaged_annotation_takes_linear_time(tmp_path: Path) -> None:
    def make(count: int) -> Callable[[], object]:
        path = tmp_path / f"{count}.xml"
        path.write_bytes(b"<person>" * count)
        return lambda: annotations._named_patient(path)

    assert grows(make, 12_000) < 30  # 96,000 are 0.8 MB


def test_many_genes_take_linear_time(tmp_path: Path) -> None:
    def make(count: int) -> Callable[[], object]:
        path = tmp_path / f"{count}.csv"
        path.write_text("id," + ",".join(f"G{n}" for n in range(count)) + "\nP1" + ",1" * count + "\n")
        return lambda: read_table(path, InputError)

    assert grows(make, 2_000) < 30


def test_many_patients_take_linear_time() -> None:
    def make(count: int) -> Callable[[], object]:
        names = tuple(f"P{n}" for n in range(count))
        return lambda: Split(names, (), ())

    assert grows(make, 2_000) < 30


def test_many_genes_that_stand_twice_take_linear_time() -> None:
    def make(count: int) -> Callable[[], object]:
        names = pd.Index([f"G{n // 2}" for n in range(count)])
        values, votes = np.ones((2, count), np.float32), np.ones(2, bool)
        return lambda: profiles._merged(values, names, votes, "maxmean", Path())

    assert grows(make, 500) < 30


def disc(y: float, x: float, radius: float) -> NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    return np.column_stack([y + radius * np.sin(angle), x + radius * np.cos(angle)])


def test_many_contours_on_one_plane_take_linear_time() -> None:
    """Side by side: each was compared with all others, on the whole plane."""

    def make(count: int) -> Callable[[], object]:
        side = int(np.ceil(np.sqrt(count)))
        shape = (12 * side, 12 * side)
        discs = [disc(12 * (n // side) + 6, 12 * (n % side) + 6, 4) for n in range(count)]
        mask = np.zeros(shape, bool)
        for one in discs:
            mask |= fill_even_odd([one], shape)
        assert np.array_equal(nested(drawn_once(discs, shape)[0], shape), mask)
        return lambda: nested(drawn_once(discs, shape)[0], shape)

    assert grows(make, 100) < 30


def test_more_contours_on_one_place_than_anybody_draws() -> None:
    with pytest.raises(TooManyError):
        drawn_once([disc(50 + n % 40, 50 + n // 40, 5) for n in range(1600)], (100, 100))


def test_a_compressed_table_that_unpacks_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv.gz"
    with gzip.open(path, "wb") as file:
        file.write(HEADER.encode())
        for _ in range(80):
            file.write(b"A,1,2\n" * 2**18)
    with pytest.raises(ExpressionError, match=r"unpack to more than 200 times as many, which no table does"):
        read_expression(path, patients=["P1"])
    monkeypatch.setattr(given_files, "MOST_UNPACKED", 10)
    path.write_bytes(gzip.compress((HEADER + "A,1,2\n").encode()))
    with pytest.raises(ExpressionError, match=r"unpacks to more than"):
        read_expression(path, patients=["P1"])


def test_a_workbook_that_unpacks_without_end(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("sheet.xml", "w") as file:
        for _ in range(80):
            file.write(bytes(2**20))
    pytest.importorskip("openpyxl")
    with pytest.raises(InputError, match="bytes unpack to 83,886,080"):
        read_table(path, InputError)


def readers() -> Sequence[Callable[[Path], object]]:
    return (
        read_expression, read_clinical, read_aim, read_gmt, lambda path: read_table(path, InputError),
        lambda path: build_cohort(path, path.with_name("out")),
        lambda path: build_cohort(path.parent, path.with_name("out"), Tables(annotations=path)),
    )  # fmt: skip


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.timeout(30)
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, number: int, kind: str) -> None:
    path = tmp_path / "given.csv"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(RadiogenesisError) as error:
        readers()[number](path)
    assert "\n" not in str(error.value)


def test_pipes_among_scans_annotations_and_gene_sets_are_passed_over(tmp_path: Path) -> None:
    for name in ("a.xml", "b.nii.gz", "c.dcm", "cohort.json"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(AnnotationError, match=r"a\.xml: neither a file nor a folder"):
        read_aim(tmp_path)
    with pytest.raises(InputError, match="holds no scan that can be used"):
        build_cohort(tmp_path, tmp_path / "out")
