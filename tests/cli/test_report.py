"""`radiogenesis report`: renders what an evaluation wrote, refuses anything else with one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from radiogenesis.cli.main import main
from radiogenesis.reporting.model import Page


def test_it_says_where_the_page_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Page(title="T", subtitle="s").save(tmp_path)
    assert main(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    assert "<h1>T</h1>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_it_refuses_a_folder_without_an_evaluation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    line = "there is no evaluation here; give the folder that `radiogenesis evaluate` wrote"
    assert capsys.readouterr().err == f"radiogenesis report: {tmp_path}: {line}\n"
