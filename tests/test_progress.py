"""Progress in a log file: dated lines, not silence."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from radiogenesis.progress import Bar, Status

DATED = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  "


@pytest.fixture
def log() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=80)


def lines(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return [line for line in console.file.getvalue().splitlines() if re.match(DATED, line)]


def test_a_bar_says_how_far_it_is(log: Console) -> None:
    with Bar("{task.description}", console=log, every=0.0) as bar:
        task = bar.add_task("train fusion-gan", total=3, rate="")
        bar.update(task, completed=1, rate="45 images/s")
        bar.advance(task)
        bar.advance(task)
    assert len(lines(log)) == 2
    assert re.fullmatch(DATED + "train fusion-gan  1 of 3  45 images/s", lines(log)[0])
    assert lines(log)[1].split("  ")[2] == "2 of 3"


def test_lines_come_now_and_then(log: Console) -> None:
    with Bar("{task.description}", console=log) as bar:
        list(bar.track(range(1000), description="patients"))
    assert len(lines(log)) <= 1
    with Status("measuring lesions", console=log) as status:
        for step in range(1000):
            status.update(f"step {step}")
    assert [line.split("  ")[1] for line in lines(log) if "lesions" in line or "step" in line] == ["measuring lesions"]


def test_a_terminal_gets_no_lines() -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80)
    with Bar("{task.description}", console=terminal, every=0.0) as bar:
        bar.update(bar.add_task("patients", total=2), completed=1)
    assert not lines(terminal)
