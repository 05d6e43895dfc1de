"""Nothing in a written summary that only Python can read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from radiogenesis.cli import demo
from radiogenesis.evaluation.strict_json import json_text


def refuse(constant: str) -> None:
    raise AssertionError(constant)


def test_what_is_no_number_is_null() -> None:
    value = {"a": [1.5, float("nan"), (np.float64("inf"), "x")], "b": {"c": np.nan}, "path": Path("y"), "n": 3}
    found = json.loads(json_text(value), parse_constant=refuse)
    assert found == {"a": [1.5, None, [None, "x"]], "b": {"c": None}, "path": "y", "n": 3}


def test_the_demo_prints_numbers_that_could_not_be_had(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    number = {"run": "gan", "name": "control", "text": "rho", "value": float("nan"), "share": float("nan")}
    number |= {"ceiling": 0.8, "null_low": -0.1, "null_high": 0.1}
    (tmp_path / "evaluation.json").write_text(json_text({"headline": [number]}))
    assert demo.headline(tmp_path) == ["rho: not measured (ceiling 0.80, null -0.10 to 0.10)"]
