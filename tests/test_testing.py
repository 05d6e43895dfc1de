"""The toys for whoever tests a method: their examples are true, and every method trains on them."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from radiogenesis import testing
from radiogenesis.cohort.store import Cohort
from radiogenesis.methods.mc_gan import MCGAN, MCGANSettings
from radiogenesis.training.registry import METHODS

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "python.md"


def test_the_examples_are_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(testing, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert (found.failed, found.attempted) == (0, 9)
    assert set(METHODS) == set(testing.SMALL)


def test_a_method_of_your_own_is_tested_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(from radiogenesis.inference.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    monkeypatch.setitem(METHODS, "mine", METHODS["mc-gan"])  # gone again after the test
    names = {"MyMethod": MCGAN, "MySettings": MCGANSettings}
    exec(compile(code, str(PAGE), "exec"), names)
    names["test_it_trains_and_draws"](tmp_path)  # type: ignore[operator]


def test_the_toys_of_one_seed_are_the_same(discs: Cohort, tmp_path: Path) -> None:
    assert testing.toy_cohort(tmp_path / "same.zarr").digest == discs.digest
    assert testing.toy_cohort(tmp_path / "other.zarr", seed=1).digest != discs.digest
