"""The command itself: help at once, verbs found or refused in one line, exit codes."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time

import pytest

from radiogenesis import __version__
from radiogenesis.cli import main as command
from radiogenesis.cli.main import VERBS, find_verb, main, module_of

HEAVY = {"torch", "lightning", "numpy", "pandas", "anndata", "zarr", "matplotlib", "jsonargparse", "pydicom", "scipy"}


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["--version"], ["cohort"], ["cohort", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"import sys; from radiogenesis.cli.main import main; main({arguments!r}); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & {name.split(".")[0] for name in done.stderr.split()}
    assert done.stdout.strip()


def test_help_answers_at_once() -> None:
    took = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "radiogenesis.cli.main", "--help"], check=True, capture_output=True)
        took.append(time.perf_counter() - started)
    assert min(took) < 0.7


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for verb, what in VERBS.items():
        assert f"  {verb} " in text
        assert what in text
    assert "Research use only" in text


def test_every_verb_has_its_module() -> None:
    for verb in VERBS:
        assert callable(importlib.import_module(module_of(verb)).main)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"radiogenesis {__version__}\n"


def test_a_group_lists_its_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cohort"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()[:2]) for line in lines] == [verb for verb in VERBS if verb.startswith("cohort ")]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["paint"], "there is no command 'paint'; choose from: demo, cohort fetch, cohort build,"),
        (["cohort", "bulid"], "there is no command 'cohort bulid'; choose from: cohort fetch, cohort build,"),
        (["--verbose"], "there is no command '--verbose'; choose from: demo,"),
        (["Train"], "there is no command 'Train'"),
    ],
)
def test_unknown_verbs_are_one_line(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert printed.err.startswith(f"radiogenesis: {line}")
    assert printed.err.count("\n") == 1


def test_find_verb() -> None:
    assert find_verb(["cohort", "build", "a", "b"]) == ("cohort build", ["a", "b"])
    assert find_verb(["train", "fusion-gan"]) == ("train", ["fusion-gan"])
    assert find_verb(["cohort"]) is None
    assert find_verb(["nothing", "train"]) is None


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "train"])
def test_every_verbs_help_shows_its_defaults(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([*verb.split(), "--help"])
    assert exit_.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith(f"usage: radiogenesis {verb} ")
    if verb not in ("report", "cohort describe"):  # they have no settings
        assert "default: " in text
        assert "--config" in text


@pytest.mark.parametrize("verb", ["report", "synthesize", "cohort describe", "evaluate"])
def test_an_unknown_option_is_one_line(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*verb.split(), "a", "b", "--no_such_option", "1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"radiogenesis {verb}: ")
    assert "no_such_option" in error
    assert error.count("\n") == 1


def test_interrupted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from radiogenesis.cli import report

    def stopped(arguments: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "main", stopped)
    assert command.main(["report", "x"]) == 130
    assert capsys.readouterr().err == "radiogenesis report: interrupted\n"


@pytest.mark.parametrize("given", ["", "ACTIVE"])
def test_waiting_threads_sleep_unless_told_otherwise(given: str) -> None:
    around = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    code = "import os, radiogenesis; print(os.environ['OMP_WAIT_POLICY'])"
    around |= {"OMP_WAIT_POLICY": given} if given else {}
    said = subprocess.run([sys.executable, "-c", code], env=around, capture_output=True, check=True, text=True).stdout
    assert said.strip() == (given or "PASSIVE")
