"""The checklists that journals ask for, filled as far as a run can answer them.

checklists.csv holds the items of METRICS (30), CLEAR (58) and CLAIM (44) in our own words: which recorded facts decide
an item, and which help to answer it. An item that no fact decides, or whose fact is missing, is the authors' to answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import pandas as pd

from radiogenesis.csv_files import read_csv, write_csv
from radiogenesis.reporting.model import Column, Section, Table

YES, NO, NOT_APPLICABLE, AUTHORS = "yes", "no", "not applicable", "for the authors to say"
CHECKLISTS = {
    "METRICS": "METRICS 1.0 (Kocak et al. 2024, doi 10.1186/s13244-023-01572-w): how well a radiomic study was done",
    "CLEAR": "CLEAR 1.0 (Kocak et al. 2023, doi 10.1186/s13244-023-01415-8): what a radiomic study must report",
    "CLAIM": "CLAIM, 2024 update (Tejani et al. 2024, doi 10.1148/ryai.240300): what a study of artificial "
    "intelligence in medical imaging must report; its numbers were checked in a published summary of it",
}
ALL = "checklists.csv"
"""Table with the items of all three lists, to paste into a submission."""


@dataclass(frozen=True)
class Recorded:
    """What a run recorded about one question, and whether the answer to it is yes, no, or not applicable."""

    text: str
    answer: str = YES


Facts = dict[str, Recorded]
"""Name of a fact (as in checklists.csv) -> what was recorded. A fact that was not recorded is not in it."""


@cache
def items() -> pd.DataFrame:
    """checklist, number, item, decided_by, see: names of facts with blanks between them, "" for none."""
    path = files("radiogenesis.reporting") / "checklists.csv"
    return pd.read_csv(str(path), dtype={"number": int}, keep_default_na=False)


def answers(facts: Facts) -> pd.DataFrame:
    """checklist, number, item, answer, recorded: a row for every item."""
    given = [_answer(decided.split(), see.split(), facts) for decided, see in items()[["decided_by", "see"]].to_numpy()]
    return items()[["checklist", "number", "item"]].assign(
        answer=[answer for answer, _ in given], recorded=[text for _, text in given]
    )


def _answer(decided_by: list[str], see: list[str], facts: Facts) -> tuple[str, str]:
    """The answer and what it rests on. Yes needs every fact that decides."""
    known = [facts[name] for name in [*decided_by, *see] if name in facts]
    text = " ".join(dict.fromkeys(one.text for one in known))
    given = {facts[name].answer for name in decided_by if name in facts}
    if not decided_by or any(name not in facts for name in decided_by):
        return AUTHORS, text
    if NO in given:
        return NO, text
    return (NOT_APPLICABLE if given == {NOT_APPLICABLE} else YES), text


def checklists(facts: Facts) -> Section:
    """The page's section, folded: a table for each list. Its files are written by `save_checklists`."""
    return _section(answers(facts))


def _section(given: pd.DataFrame) -> Section:
    return Section(
        title="Checklists of journals",
        text=(
            "What this run recorded, put beside the items that journals ask about. Items are in our own words; their "
            "numbers are those of the lists. Yes: the recorded values answer the item; whether well enough, a reviewer "
            "decides. Where nothing is recorded the authors must answer, and what helps them stands beside it."
        ),
        blocks=tuple(_table(name, given[given["checklist"] == name]) for name in CHECKLISTS),
        notes=("Complete the official lists for a submission: each asks for the page on which an item is reported.",),
        folded=True,
    )


def _table(name: str, rows: pd.DataFrame) -> Table:
    count = rows["answer"].value_counts()
    counted = ", ".join(f"{count[answer]} {answer}" for answer in (YES, NO, NOT_APPLICABLE, AUTHORS) if answer in count)
    return Table(
        file=_file(name),
        full=ALL,
        caption=f"{CHECKLISTS[name]}. Of {len(rows)} items: {counted}.",
        columns=(
            Column(label="No.", value="number", format="d"),
            Column(label="Item", value="item"),
            Column(label="Answer", value="answer"),
            Column(label="Recorded", value="recorded"),
        ),
    )


def save_checklists(facts: Facts, tables: Path) -> Section:
    """Write the tables of `checklists` into tables/, and return the section."""
    return _save(answers(facts), tables)


def amend_checklists(facts: Facts, tables: Path) -> Section:
    """Write the tables again, with the items that these facts decide answered by them."""
    given, more = read_csv(tables / ALL, keep_default_na=False), answers(facts)
    decided = more["answer"] != AUTHORS
    given.loc[decided, ["answer", "recorded"]] = more.loc[decided, ["answer", "recorded"]]
    return _save(given, tables)


def _save(given: pd.DataFrame, tables: Path) -> Section:
    write_csv(given, tables / ALL)
    for name, rows in given.groupby("checklist"):
        write_csv(rows, tables / _file(str(name)))
    return _section(given)


def _file(name: str) -> str:
    return f"checklist_{name.lower()}.csv"
