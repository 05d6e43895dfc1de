"""A short `benchmarks/faults.py` in a process of its own, which imports this file by its name."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import faults
from radiogenesis.cohort.store import Cohort
from radiogenesis.testing import train_toy


def struck(cohort: Path, folder: Path) -> list[faults.Trial]:
    """`synthesize` of a toy run, undisturbed twice and with each fault once."""
    for module in ("radiogenesis.api", "radiogenesis.cli.synthesize"):
        importlib.import_module(module)  # once, not in every fork
    run = train_toy("inpainting-gan", Cohort.open(cohort), folder / "run", steps=2).path

    def words(out: Path) -> list[str]:
        return ["synthesize", str(run), str(out), "--formats", "npz", "--per_patient", "3"]

    given = argparse.Namespace(seed=0, trials=1, faults=faults.FAULTS)
    verb = faults.Verb(words, words, faults.every_file)
    return list(faults.strike("synthesize", verb, folder / "trials", given, faults._Forked))
