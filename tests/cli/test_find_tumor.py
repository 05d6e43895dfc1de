"""The command find-tumor: its help and what it refuses; what it writes is in tests/inference/test_finding.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from radiogenesis.cli.main import main


@pytest.mark.parametrize("name", ["find-tumor", "find-tumour"])
def test_help_shows_every_setting(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    for option in ("--threshold", "--smallest_ml", "--most", "--whole_lung_mm2", "CT_FOLDER".lower(), "cohort build"):
        assert option in shown


def test_refusals_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find-tumor", str(tmp_path / "run"), str(tmp_path), str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "there is no run here" in error
    assert "Traceback" not in error
    assert main(["find-tumor", str(tmp_path), str(tmp_path), str(tmp_path / "out"), "--threshold", "2"]) == 2
    assert list(tmp_path.iterdir()) == []
