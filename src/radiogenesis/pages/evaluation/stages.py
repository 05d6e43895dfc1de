"""Adds to an evaluation what was measured beside it: the stages of Li, Sui et al. on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from radiogenesis.output import json_text
from radiogenesis.pages.evaluation.checklist_facts import outline_fact
from radiogenesis.pages.evaluation.detection import Detection
from radiogenesis.reporting.checklists import amend_checklists
from radiogenesis.reporting.model import Fact, Page, Section

ADDED = ("headline", "conclusions", "runs")
"""What evaluation.json lists of every run."""


def add_detection(folder: Path, summary: Mapping[str, Any], detection: Detection) -> dict[str, Any]:
    """Put stage 1 behind the first section, and its numbers before the others. Returns what evaluation.json holds.

    Args:
        folder: of the evaluation of the same cohort; the tables and pictures of `detection` are in it.
        summary: what its evaluation.json holds, with what could not be measured as nan.
    """
    more = {name: detection.summary[name] for name in (*ADDED, "find_settings", "left_out")}
    together = add(folder, summary, more, second=[detection.section], facts=detection.facts)
    amended = amend_checklists({"automatic_outline": outline_fact(detection.summary)}, folder / "tables")
    page = Page.load(folder)
    replace(page, sections=(*(section for section in page.sections if not section.folded), amended)).save(folder)
    return together


def add(
    folder: Path,
    summary: Mapping[str, Any],
    more: Mapping[str, Any],
    *,
    second: Sequence[Section] = (),
    last: Sequence[Section] = (),
    facts: Sequence[Fact] = (),
) -> dict[str, Any]:
    """Put sections on the page and values into evaluation.json, lists before those that are there.

    Args:
        folder: of the evaluation.
        summary: what its evaluation.json holds, with what could not be measured as nan.
        more: for evaluation.json.
        second: sections that follow the first.
        last: sections at the end.
        facts: for the page.
    """
    page = Page.load(folder)
    together = {**summary}
    together |= {name: [*value, *summary[name]] if name in ADDED else value for name, value in more.items()}
    first, rest = page.sections[:1], page.sections[1:]
    replace(
        page,
        facts=(*facts, *page.facts),
        conclusions=tuple(together["conclusions"]),
        sections=tuple(sorted((*first, *second, *rest, *last), key=lambda one: one.folded)),  # checklists stay last
    ).save(folder)
    (folder / "evaluation.json").write_text(json_text(together), encoding="utf-8")
    return together
