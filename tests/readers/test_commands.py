"""The verbs as they are typed: what they print, and what helps where they cannot."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from radiogenesis.cli.main import main


def test_a_plan_is_printed_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.csv"
    assert main(["readers", "plan", "--readers", "6,8", "--cases", "40", "--csv", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "to meet the bar" in printed
    assert pd.read_csv(file)["readers"].tolist() == [6, 8]
    assert main(["readers", "plan", "--auc", "0.4"]) == 2
    assert "auc is 0.4" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["analyze", "analyse"])
def test_a_rehearsal_from_the_key_to_the_page(
    key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert main(["readers", "simulate", str(key), str(tmp_path / "rehearsal"), "--readers", "2"]) == 0
    assert "6 files of answers in guesses, knows, network" in capsys.readouterr().out
    files = [str(path) for path in sorted((tmp_path / "rehearsal" / "knows").glob("*.csv"))]
    assert main(["readers", verb, *files, str(tmp_path / "out"), "--key", str(key)]) == 0
    printed = capsys.readouterr().out
    assert "Drawn against real lesions on the same backgrounds" in printed
    assert (tmp_path / "out" / "report.html").is_file()


def test_without_a_key_nothing_is_analyzed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["readers", "analyze", "a.csv", str(tmp_path / "out")]) == 2
    assert "give --key" in capsys.readouterr().err
    assert main(["readers", "analyze", "a.csv", str(tmp_path / "out"), "--key", "b.json"]) == 2
    assert "b.json: there is no key here" in capsys.readouterr().err
