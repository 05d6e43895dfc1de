from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from radiogenesis.cli.main import main
from radiogenesis.testing import write_cohort


def _write(path: Path) -> None:
    write_cohort(path, [], audit=pd.DataFrame({"patient": ["A", "B"], "status": "out", "reason": "gantry tilt"}))


def test_reasons_are_grouped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(tmp_path / "c")
    assert main(["cohort", "describe", str(tmp_path / "c")]) == 0
    printed = capsys.readouterr().out
    assert "2  gantry tilt: A, B" in printed
    assert "Intact" not in printed


def test_damage_is_one_line_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cohort", "describe", str(tmp_path / "none")]) == 2
    _write(tmp_path / "c")
    (tmp_path / "c" / "audit" / "reason" / "zarr.json").write_text("{}")
    assert main(["cohort", "describe", str(tmp_path / "c"), "--verify"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2
    assert "does not exist" in lines[0]
    assert "'audit' cannot be read" in lines[1]
