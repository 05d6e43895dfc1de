"""The page: what is written is what is shown, rounded sensibly, and nothing is fetched."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imsave

from radiogenesis.csv_files import write_csv
from radiogenesis.errors import RunError
from radiogenesis.reporting.model import Column, Fact, Page, Picture, Section, Table
from radiogenesis.reporting.page import cell, render, shown, write_report

PAGE = Page(
    title="Genes & <lesions>",
    subtitle="on nobody",
    facts=(
        Fact(label="control", value="0.80", beside="regression 0.90", share=1.2),
        Fact(label="rank", value="4", beside="of 40"),
    ),
    conclusions=("Nothing is shown.",),
    sections=(
        Section(
            title="Numbers",
            text="In words.",
            blocks=(
                Picture(file="a.png", dark="b.png", caption="light and dark", alt='a "picture"'),
                Table(
                    file="t.csv",
                    caption="all",
                    columns=(
                        Column(label="Property", value="feature", help="what was measured"),
                        Column(label="rho", value="rho", low="low", high="high", format=".2f"),
                        Column(label="n", value="n", format="d"),
                    ),
                    strong=("feature", "mean"),
                ),
            ),
            notes=("A note.",),
        ),
    ),
    provenance=(("seed", "0"),),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("tables", "pictures"):
        (tmp_path / name).mkdir()
    for name in ("a.png", "b.png"):
        imsave(tmp_path / "pictures" / name, np.zeros((4, 4)))
    rows = {
        "feature": ["size", "mean"],
        "rho": [-0.256, np.nan],
        "low": [-0.4, np.nan],
        "high": [0.1, np.nan],
        "n": [1234, 2],
    }
    pd.DataFrame(rows).to_csv(tmp_path / "tables" / "t.csv", index=False)
    PAGE.save(tmp_path)
    return tmp_path


def test_a_page_survives_the_disk(folder: Path) -> None:
    loaded = Page.load(folder)
    assert loaded.sections == PAGE.sections
    assert loaded.provenance == PAGE.provenance
    assert loaded.facts[0] == PAGE.facts[0]


def test_what_is_no_number_is_strict_json_and_looks_the_same(folder: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    unknown = tuple(Fact(label="x", value="–", beside="", share=value) for value in (float("nan"), float("inf"), None))
    page = replace(PAGE, facts=(*PAGE.facts, *unknown))
    page.save(folder)
    json.loads((folder / "page.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert [fact.share for fact in Page.load(folder).facts] == [1.2, None, None, None, None]
    before, after = render(page, folder), render(Page.load(folder), folder)
    assert before == after


def test_the_page_is_self_contained_and_escaped(folder: Path) -> None:
    html = write_report(folder).read_text(encoding="utf-8")
    assert "<h1>Genes &amp; &lt;lesions&gt;</h1>" in html
    # Tables to download lie beside the page; nothing else is outside it, and nothing is loaded.
    assert not re.findall(r"""(?:src|href)=["'](?!data:image/png;base64,|#|tables/)""", html)
    assert re.findall(r'href="(tables/[^"]+)" download', html) == ["tables/t.csv"]
    assert "http" not in html
    assert "url(" not in html
    assert html.count("data:image/png;base64,") == 2
    assert "prefers-color-scheme: dark" in html
    assert 'alt="a &#34;picture&#34;"' in html
    assert "For research only" in html
    assert 'style="width: 100.0%"' in html  # a share above 1 fills the bar


def test_names_from_elsewhere_are_text(folder: Path) -> None:
    """A patient id, a gene and a column of a table may be called anything."""
    script, attribute = "<script>alert(1)</script>", '" onmouseover="alert(1)'
    rows = {script: ["=1+1", attribute], "rho": [1.0, 2.0]}
    write_csv(pd.DataFrame(rows), folder / "tables" / "t.csv")
    table = Table(file="t.csv", caption=script, columns=(Column(label=script, value=script, help=attribute),))
    section = replace(PAGE.sections[0], blocks=(table,), notes=(script,))
    replace(PAGE, sections=(section,), provenance=((script, attribute),)).save(folder)
    html = write_report(folder).read_text(encoding="utf-8")
    assert script not in html
    assert attribute not in html
    assert '<td class="">=1+1</td>' in html  # the apostrophe is for spreadsheets


def test_the_table_shows_intervals_and_dashes(folder: Path) -> None:
    html = write_report(folder).read_text(encoding="utf-8")
    assert '<td class="number" data-key="-0.256">−0.26 [−0.40, 0.10]</td>' in html
    assert '<td class="number" data-key="1234.0">1,234</td>' in html
    assert re.search(r'<tr class="strong"><td class="">mean</td><td class="number">–</td>', html)


def test_a_table_can_be_read_aloud_reached_by_key_sorted_and_downloaded_whole(folder: Path) -> None:
    pd.DataFrame({"feature": ["all"]}).to_csv(folder / "tables" / "all of it.csv", index=False)
    table = PAGE.sections[0].blocks[1]
    assert isinstance(table, Table)
    columns = (*table.columns[:2], replace(table.columns[2], more=True))
    table = replace(table, columns=columns, full="all of it.csv")
    page = replace(PAGE, sections=(replace(PAGE.sections[0], blocks=(table,)),))
    page.save(folder)
    html = write_report(folder).read_text(encoding="utf-8")
    assert '<div class="scroll" tabindex="0" role="region" aria-label="all">' in html
    assert "<caption><span>all</span></caption>" in html
    assert len(re.findall('<th scope="col"', html)) == html.count("<th ") == 3
    assert '<td class="number" data-key="-0.256">' in html  # sorted by what is in the file, not by what is shown
    assert '<td class="number more" data-key="1234.0">1,234</td>' in html
    assert 'href="tables/all%20of%20it.csv" download>All rows and columns' in html
    (folder / "tables" / "all of it.csv").unlink()
    with pytest.raises(RunError, match=r"all of it\.csv: a table of the page is missing"):
        write_report(folder)


def test_a_page_of_before_has_no_column_behind_the_toggle(folder: Path) -> None:
    written = json.loads((folder / "page.json").read_text())
    for column in written["sections"][0]["blocks"][1]["columns"]:
        del column["more"]
    del written["sections"][0]["blocks"][1]["full"]
    (folder / "page.json").write_text(json.dumps(written))
    assert Page.load(folder).sections == PAGE.sections


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (0.00042, "p", "< 0.001"),
        (0.0421, "p", "0.042"),
        (0.914, "%", "91 %"),
        (-0.571, "%", "−57 %"),
        (-0.001, "%", "0 %"),
        (0.00001, "small", "< 0.0001"),
        (0.0, "small", "0.0000"),
        (0.00437, "small", "0.0044"),
        (-1.26, ".1f", "−1.3"),
        (-0.001, ".2f", "0.00"),
        (float("nan"), ".2f", "–"),
        (None, "", "–"),
        ("in", "", "in"),
        (True, "", "yes"),
        (False, "", "no"),
        (2200.0, "d", "2,200"),
    ],
)
def test_numbers_are_rounded_as_a_reader_wants_them(value: object, form: str, text: str) -> None:
    assert shown(value, form) == text


def test_a_cell_without_a_number_has_no_interval() -> None:
    column = Column(label="x", value="x", low="l", high="h", format=".1f")
    assert cell(column, {"x": float("nan"), "l": 1.0, "h": 2.0}) == "–"
    assert cell(column, {"x": 1.5, "l": 1.0, "h": 2.0}) == "1.5 [1.0, 2.0]"
    assert cell(column, {"x": 1.5, "l": float("nan"), "h": float("nan")}) == "1.5"


def test_a_report_can_be_written_again(folder: Path) -> None:
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first
    assert not list(folder.glob("*.partial"))


def test_the_date_stands_in_one_file_and_on_the_page(folder: Path) -> None:
    first = (folder / "page.json").read_bytes()
    (folder / "made.json").write_text('{"created": "2031-05-06T07:08:09+00:00"}')
    assert "2031-05-06T07:08:09+00:00" in write_report(folder).read_text(encoding="utf-8")
    Page.load(folder).save(folder)
    assert (folder / "page.json").read_bytes() == first
    (folder / "made.json").unlink()  # of before
    write_report(folder)
    (folder / "made.json").write_text("[]")
    with pytest.raises(RunError, match=r"made\.json: cannot be read"):
        write_report(folder)


def test_what_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no evaluation here; give the folder"):
        write_report(tmp_path / "nothing")
    (folder / "pictures" / "b.png").unlink()
    with pytest.raises(RunError, match=r"b\.png: a picture of the page is missing; evaluate again"):
        write_report(folder)
    (folder / "page.json").write_text("{")
    with pytest.raises(RunError, match=r"page\.json: cannot be read"):
        write_report(folder)


@pytest.mark.parametrize("kind", ["../secret.png", "absolute", "link", "linked folder"])
def test_a_page_shows_no_file_that_lies_elsewhere(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, kind: str
) -> None:
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.png"
    secret.write_bytes(b"not for the page")
    (folder / "secret.png").write_bytes(b"not for the page")
    if kind == "link":
        (folder / "pictures" / "b.png").unlink()
        (folder / "pictures" / "b.png").symlink_to(secret)
    if kind == "linked folder":
        shutil.rmtree(folder / "pictures")
        (folder / "pictures").symlink_to(secret.parent)
        shutil.copy(secret, secret.with_name("a.png"))
    text = (folder / "page.json").read_text()
    name = {"linked folder": "secret.png", "absolute": str(secret), "link": "b.png"}.get(kind, kind)
    (folder / "page.json").write_text(text.replace('"b.png"', json.dumps(name)))
    with pytest.raises(RunError, match=r"names a picture that does not lie in .*pictures; evaluate again"):
        write_report(folder)
