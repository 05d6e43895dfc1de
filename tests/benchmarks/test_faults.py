"""The short version of `benchmarks/faults.py`: one verb, each fault once; and that what is wrong would be seen."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from struck import struck

import faults
from faults import Trial
from radiogenesis.cohort.store import Cohort


def test_a_command_comes_to_the_same_whatever_strikes_it(discs: Cohort, tmp_path: Path) -> None:
    """In a process of its own: the threads that another test has left in this one (OpenVINO's) do not survive forks."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        trials = fresh.submit(struck, discs.path, tmp_path).result()
    assert [trial.fault for trial in trials] == ["none", "none", *faults.FAULTS]
    assert not [trial for trial in trials if faults.bad(trial)]
    for trial in trials:
        assert trial.code in (0, {"none": 0, "SIGKILL": -9, "SIGTERM": 130}.get(trial.fault, 2)), trial


def test_a_part_that_differs_is_named(tmp_path: Path) -> None:
    for name, text in {"a.csv": "1", "made.json": "today"}.items():
        (tmp_path / name).write_text(text)
    before = faults.every_file(tmp_path)
    (tmp_path / "made.json").write_text("tomorrow")
    assert faults.every_file(tmp_path) == before
    (tmp_path / "a.csv").write_text("2")
    (tmp_path / "b.csv").touch()
    assert faults._differing(before, faults.every_file(tmp_path)) == ["a.csv", "b.csv"]


@pytest.mark.parametrize(
    "wrong", [{"same": False}, {"tracebacks": 1}, {"code_again": 2}, {"left": "out.parts"}, {"left": "process 7"}]
)
def test_whatever_is_wrong_is_counted(wrong: dict[str, object]) -> None:
    good = Trial("map", "full", 0, 1.0, 2, "", 0, 0, True, "")
    assert not faults.bad(good)
    assert faults.bad(Trial(**{**vars(good), **wrong}))  # type: ignore[arg-type]
