"""The short version of `benchmarks/mutations.py`: every reader, a few damaged files; and that what is wrong is seen."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import mutations
from mutation_readers import READERS, Values
from mutations import Heard, judge, listen
from mutators import Mutation
from radiogenesis.errors import InputError

WHOLE = Heard("read", {"hu": "1", "said": "in"}, "2 patients", [])


@pytest.mark.slow
def test_no_reader_falls_over_a_damaged_file(tmp_path: Path) -> None:
    cases = mutations.run(tmp_path, list(READERS), trials=len(READERS), seed=7)
    assert {case.reader for case in cases} == set(READERS)
    assert not [case for case in cases if case.verdict in mutations.BAD]
    assert {"refused", "right"} <= {case.verdict for case in cases}


@pytest.mark.parametrize(
    ("end", "values", "said", "must", "verdict"),
    [
        ("read", {"hu": "1", "said": "in"}, "2 patients", True, "right"),
        ("read", {"hu": "2", "said": "in"}, "2 patients", True, "silent"),
        ("read", {"hu": "2", "said": "in"}, "2 patients", False, "by design"),
        ("read", {"said": "out: damaged"}, "2 patients", True, "right"),
        ("read", {"hu": "2", "said": "in"}, "2 patients\n1 was left out", True, "right"),
        ("read", {"hu": "2", "said": "in"}, "2026-11-27 20:42:57  patients  1 of 2", True, "silent"),
        ("read", {"hu": "1", "said": "in", "doubt": "a tumor of 2000 ml"}, "", False, "silent"),
        ("refused", {}, "x.nii: damaged", False, "for all"),
        ("hang", {}, "", False, "hang"),
        ("memory", {}, "", False, "memory"),
        ("traceback", {}, "KeyError: 'a'", False, "traceback"),
    ],
)
def test_verdicts(end: str, values: Values, said: str, must: bool, verdict: str) -> None:
    heard, mutation = Heard(end, values, said, []), Mutation("flip", "", must)
    assert judge(READERS["nifti"], "x.nii", mutation, heard, WHOLE)[0] == verdict


def test_refused_is_right_where_no_patient_is_at_stake_and_digests_are_believed() -> None:
    mutation = Mutation("flip", "")
    assert judge(READERS["gene-sets"], "sets.gmt", mutation, Heard("refused", {}, "no", []), WHOLE)[0] == "refused"
    changed = Heard("read", {"hu": "2"}, "", [])
    assert judge(READERS["cohort-store"], "toy.zarr/zarr.json", mutation, changed, WHOLE)[0] == "silent"


def test_a_process_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    allowed.mkdir()

    def heard(read: object) -> Heard:
        return listen(read, [allowed, allowed])  # type: ignore[arg-type]

    def wrong() -> Values:
        raise InputError("is damaged", path="x")

    def writes(path: Path) -> Values:
        path.write_text("x")
        return {}

    assert heard(lambda: {"a": "1"}).values == {"a": "1"}
    assert heard(wrong).end == "refused"
    assert heard(lambda: {"a": {}["b"]}).end == "traceback"
    assert heard(lambda: os.kill(os.getpid(), 11)).end == "traceback"  # type: ignore[arg-type]
    assert not heard(lambda: writes(allowed / "a")).outside
    assert heard(lambda: writes(elsewhere)).outside == [f"open {elsewhere}"]
    monkeypatch.setattr(mutations, "LONGEST", 0.2)
    assert heard(lambda: time.sleep(60)).end == "hang"  # type: ignore[arg-type]
    monkeypatch.setattr(mutations, "LONGEST", 60.0)
    monkeypatch.setattr(mutations, "MEMORY", 2**20)
    assert heard(lambda: time.sleep(0.2)).end == "memory"  # type: ignore[arg-type]
