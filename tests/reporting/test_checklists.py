"""The journals' checklists: complete lists, and no yes without a recorded fact."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radiogenesis.reporting.checklists import (
    AUTHORS,
    CHECKLISTS,
    NO,
    NOT_APPLICABLE,
    YES,
    Recorded,
    answers,
    checklists,
    items,
    save_checklists,
)
from radiogenesis.reporting.model import Page, Table
from radiogenesis.reporting.page import write_report


def named(column: str) -> set[str]:
    return {name for cell in items()[column] for name in cell.split()}


ALL_KNOWN = {name: Recorded(f"about {name}.") for name in named("decided_by") | named("see")}


def answer(name: str, number: int, facts: dict[str, Recorded]) -> tuple[str, str]:
    row = answers(facts).set_index(["checklist", "number"]).loc[(name, number)]
    return row["answer"], row["recorded"]


def test_the_lists_are_complete() -> None:
    # Kocak et al. 2024: 30 items; Kocak et al. 2023: 58; Tejani et al. 2024: 44
    for name, count in {"METRICS": 30, "CLEAR": 58, "CLAIM": 44}.items():
        assert items().loc[items()["checklist"] == name, "number"].tolist() == list(range(1, count + 1))
    assert set(items()["checklist"]) == set(CHECKLISTS)
    assert (items()["item"] != "").all()


def test_nothing_is_answered_by_a_run_that_recorded_nothing() -> None:
    assert set(answers({})["answer"]) == {AUTHORS}


def test_every_fact_that_decides_is_needed_for_a_yes() -> None:
    for missing in named("decided_by"):
        given = answers({name: fact for name, fact in ALL_KNOWN.items() if name != missing})["answer"]
        decides = items()["decided_by"].map(lambda cell, missing=missing: missing in cell.split())
        assert set(given[decides]) == {AUTHORS}
        assert set(given[~decides & (items()["decided_by"] != "")]) == {YES}


def test_an_item_without_a_fact_is_the_authors_whatever_is_known() -> None:
    given = answers(ALL_KNOWN)["answer"]
    assert ((given == AUTHORS) == (items()["decided_by"] == "")).all()
    assert answer("CLAIM", 44, ALL_KNOWN) == (AUTHORS, "")  # funding


def test_a_no_outweighs_a_yes() -> None:
    facts = {"intervals": Recorded("intervals."), "nulls": Recorded("nulls."), "multiple_testing": Recorded("q.", NO)}
    assert answer("CLAIM", 29, facts) == (NO, "intervals. nulls. q.")
    assert answer("METRICS", 9, {"automatic_outline": Recorded("none.", NOT_APPLICABLE)}) == (NOT_APPLICABLE, "none.")


def test_the_section_is_folded_and_its_tables_lie_beside_the_page(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    section = save_checklists({"seed": Recorded("Seed <3>.")}, tmp_path / "tables")
    assert section == checklists({"seed": Recorded("Seed <3>.")})
    whole = pd.read_csv(tmp_path / "tables" / "checklists.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(whole, answers({"seed": Recorded("Seed <3>.")}), check_dtype=False)
    Page(title="t", subtitle="s", sections=(section,)).save(tmp_path)
    assert Page.load(tmp_path).sections == (section,)
    html = write_report(tmp_path).read_text(encoding="utf-8")
    assert html.count("<details>") == html.count("</details>") == 1
    assert "Seed &lt;3&gt;." in html
    for block in section.blocks:
        assert isinstance(block, Table)
        assert (tmp_path / "tables" / block.file).is_file()
