"""What an evaluation, a detection and a map record, read off cohorts of which everything is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager

import pandas as pd
import pytest
from known_cohort import Deaf, subject

from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.pages.evaluation.checklist_facts import cohort_facts, detection_facts, run_facts
from radiogenesis.pages.evaluation.evaluate import evaluate
from radiogenesis.reporting.checklists import AUTHORS, NO, NOT_APPLICABLE, YES, answers

SETTINGS = EvaluationSettings(backgrounds_per_patient=2, bootstrap=50, permutations=19, gene_shuffles=9)


@pytest.fixture(scope="module")
def filled(
    cohort: Cohort, tmp_path_factory: pytest.TempPathFactory, blank_pictures: Callable[[], AbstractContextManager[None]]
) -> pd.DataFrame:
    """checklists.csv of an evaluation of two methods, by list and number."""
    out = tmp_path_factory.mktemp("evaluated") / "out"
    with blank_pictures():
        evaluate([subject(cohort, "perfect"), subject(cohort, "deaf", Deaf(), "deaf")], cohort, out, SETTINGS)
    page = json.loads((out / "page.json").read_text(encoding="utf-8"))
    assert page["sections"][-1]["title"] == "Checklists of journals"
    return pd.read_csv(out / "tables" / "checklists.csv", keep_default_na=False).set_index(["checklist", "number"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("item", "answer", "recorded"),
    [
        (("CLAIM", 35), YES, "Of 41 patients found: 40 in, 1 out. Reasons: no CT (1)."),
        (("CLAIM", 19), YES, "24 patients trained on, 2 for validation, 14 held out."),
        (("CLEAR", 22), YES, "64 × 64 pixels of 0.938 mm"),
        (("CLEAR", 16), YES, "kernel: B30f (20), B60f (20); slice thickness 1 to 2 mm"),
        (("METRICS", 21), YES, "95 % intervals from 50 resamples of patients."),
        (("METRICS", 26), YES, "Measured on 14 held-out patients."),
        (("METRICS", 27), NO, "no other was tested"),
        (("METRICS", 22), NO, "Calibration is not measured"),
        (("METRICS", 25), YES, "Ridge regression"),
        (("METRICS", 9), NOT_APPLICABLE, "Outlines come with the cohort"),
        (("CLEAR", 41), YES, "2 methods, compared"),
        (("CLEAR", 8), AUTHORS, ""),
        # its scans have no series UID: whether patients share one is not known
        (("METRICS", 18), AUTHORS, "24 patients trained on"),
    ],
)
def test_an_evaluation_answers_what_it_recorded(
    filled: pd.DataFrame, item: tuple[str, int], answer: str, recorded: str
) -> None:
    assert filled.loc[item, "answer"] == answer
    assert recorded in filled.loc[item, "recorded"]


def test_scans_on_both_sides_of_the_split_are_a_no(cohort: Cohort) -> None:
    cohort = Cohort.open(cohort.path)
    one = subject(cohort, "perfect", Deaf())
    patients = cohort.patients
    assert "apart" not in run_facts([one], cohort)
    patients["series_uid"] = [f"1.2.{number}" for number in range(len(patients))]
    assert run_facts([one], cohort)["apart"].answer == YES
    patients["series_uid"] = "1.2.3"
    assert run_facts([one], cohort)["apart"].answer == NO


def test_the_acquisition_is_a_no_where_headers_are_empty(cohort: Cohort) -> None:
    cohort = Cohort.open(cohort.path)
    cohort.patients[["manufacturer", "model", "kernel"]] = ""
    cohort.patients["slice_thickness_mm"] = float("nan")
    assert cohort_facts(cohort)["acquisition"].answer == NO


def test_runs_of_which_the_same_is_said_are_named_together(cohort: Cohort) -> None:
    three = [subject(cohort, "a", Deaf()), subject(cohort, "b", Deaf()), subject(cohort, "c", Deaf(), "other")]
    text = run_facts(three, cohort)["model"].text
    assert (
        text == "a and b: painter; its settings stand under Provenance. c: other; its settings stand under Provenance."
    )
    assert run_facts(three, cohort)["seed"].text == "Seed 0."


def test_on_another_cohort_whether_it_is_external_is_the_authors_to_say(cohort: Cohort) -> None:
    number = {"run": "u", "text": "Dice", "value": 0.7, "low": 0.6, "high": 0.8, "baseline": 0.4}
    run = {"name": "u", "trained_on": 20, "held_out": 10, "provenance": {"seed": 1}}
    summary = {"headline": [number], "runs": [run], "settings": {"confidence": 0.95, "bootstrap": 100}, "versions": {}}
    for another, answer in ((True, AUTHORS), (False, NO)):
        filled = answers(detection_facts(cohort, summary, another=another)).set_index(["checklist", "number"])
        assert filled.loc[("CLAIM", 33), "answer"] == answer
        assert filled.loc[("METRICS", 9), "answer"] == YES
        assert "u, Dice: 0.7 (0.6 to 0.8)." in filled.loc[("METRICS", 9), "recorded"]
