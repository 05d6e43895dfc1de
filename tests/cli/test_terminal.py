"""Where output goes: terminals without letters, readers that leave, and a machine that lends few files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from radiogenesis.cli.main import main
from radiogenesis.cohort.store import Cohort


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "radiogenesis.cli.main", *words]


def test_a_terminal_without_the_letters(tmp_path: Path) -> None:
    told = "import sys; from radiogenesis.cli import main as m; m._say_anything(); print('\u00b2 \u2013 \u60a3')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", told], env=environment, capture_output=True, check=True)
    assert done.stdout == b"\\xb2 \\u2013 \\u60a3\n"
    done = subprocess.run(
        command("cohort", "describe", str(tmp_path / "\u60a3\u8005")), env=environment, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"radiogenesis cohort describe: ")
    assert b"\\u60a3\\u8005" in done.stderr


def test_a_reader_that_leaves(discs: Cohort) -> None:
    """`describe | head -1`: no traceback, whatever is still to come."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        command("cohort", "describe", str(discs.path)), stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert done.stderr == b""
    assert done.returncode == 141


@pytest.mark.parametrize("text", ["seed: null", "strength: null", "patients: null\n"])
def test_null_is_no_number(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text(text)
    assert main(["cohort", "phantom", str(tmp_path / "x"), "--config", str(tmp_path / "c.yaml")]) == 2
    assert "null: it needs a value; leave it out for" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("text", ["a: &a [*a]", "seed: " + "[" * 3000, "seed: [1]", "seed: {a: 1}", "- 1"])
def test_settings_of_another_kind(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text(text)
    assert main(["cohort", "phantom", str(tmp_path / "x"), "--config", str(tmp_path / "c.yaml")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
