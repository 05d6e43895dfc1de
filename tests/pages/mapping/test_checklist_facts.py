"""What a map recorded, as answers to the checklists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogenesis.cohort.store import Cohort
from radiogenesis.mapping.conventional.three_step import ConventionalMap, conventional_map, inputs_of
from radiogenesis.mapping.settings import MapSettings
from radiogenesis.pages.mapping.checklist_facts import map_facts
from radiogenesis.reporting.checklists import AUTHORS, NO, YES, answers

SETTINGS = MapSettings(clusters=4, permutations=100, shuffles=1)


@pytest.fixture(scope="module")
def made(cohort: Cohort) -> ConventionalMap:
    return conventional_map(inputs_of(cohort, SETTINGS), SETTINGS)


def filled(made: ConventionalMap, tables: Path, cohort: Cohort | None) -> pd.DataFrame:
    return answers(map_facts(made, tables, cohort)).set_index(["checklist", "number"])


def test_associations_alone_hold_nobody_out(made: ConventionalMap, cohort: Cohort, tmp_path: Path) -> None:
    given = filled(made, tmp_path, cohort)
    for item in (("METRICS", 26), ("METRICS", 21), ("METRICS", 27), ("METRICS", 12), ("CLAIM", 32)):
        assert given.loc[item, "answer"] == NO
    assert given.loc[("METRICS", 19), "answer"] == YES
    assert "kernel" in given.loc[("METRICS", 19), "recorded"]
    assert given.loc[("METRICS", 24), "answer"] == AUTHORS
    assert "q < 0.05; with patients shuffled" in given.loc[("CLEAR", 47), "recorded"]
    assert "64 × 64 pixels" in given.loc[("CLEAR", 22), "recorded"]


def test_predictions_on_patients_left_out_do(made: ConventionalMap, cohort: Cohort, tmp_path: Path) -> None:
    table = pd.DataFrame({"target": ["M0", "M1"], "gain": [0.1, 0.3], "size only": [0.2, 0.1], "batch only": np.nan})
    table.to_csv(tmp_path / "predictions.csv", index=False)
    given = filled(made, tmp_path, cohort)
    assert given.loc[("METRICS", 26), "answer"] == YES
    assert "2 predictions, each of patients left out" in given.loc[("METRICS", 26), "recorded"]
    assert "those from: size only." in given.loc[("METRICS", 25), "recorded"]
    assert "median gain over the best baseline 0.20" in given.loc[("METRICS", 24), "recorded"]


def test_without_a_cohort_or_batches_it_says_so(made: ConventionalMap, tmp_path: Path) -> None:
    bare = replace(made, material=replace(made.material, batches=made.material.batches.iloc[:, :0]))
    given = filled(bare, tmp_path, None)
    assert given.loc[("METRICS", 19), "answer"] == NO
    assert given.loc[("CLAIM", 13), "answer"] == AUTHORS
    adjusted = replace(bare, settings=replace(SETTINGS, covariates="Age"))
    assert filled(adjusted, tmp_path, None).loc[("METRICS", 19), "answer"] == YES
