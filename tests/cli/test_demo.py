"""`radiogenesis demo`, whole and small: half a minute on one core, then nothing is done twice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from radiogenesis.cli import cohort_phantom, evaluate
from radiogenesis.cli.demo import AT_THE_EDGE, headline
from radiogenesis.cli.demo_steps import DemoSettings, go_on
from radiogenesis.cli.main import main
from radiogenesis.cohort.store import Cohort
from radiogenesis.output import json_text
from radiogenesis.training.run import Run

pytestmark = pytest.mark.slow

SMALL = ["--patients", "14", "--gan_steps", "4"]
# What the demo leaves at its default, made small: processes that import everything again, images, permutations.
SMALLER = {
    cohort_phantom: ["--workers=1"],
    evaluate: ["--backgrounds_per_patient=3", "--bootstrap=50", "--permutations=49", "--gene_shuffles=3"],
}


@dataclass(frozen=True)
class Demo:
    """A finished demo: its folder and what it printed."""

    out: Path
    printed: str


@pytest.fixture(scope="module")
def demo(
    tmp_path_factory: pytest.TempPathFactory,
    blank_pictures: Callable[[], AbstractContextManager[None]],
    one_chest: Callable[[], AbstractContextManager[None]],
) -> Demo:
    out, printed = tmp_path_factory.mktemp("demo") / "demo", StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), blank_pictures(), one_chest():
        for verb, words in SMALLER.items():
            patch.setattr(verb, "main", lambda given, run=verb.main, words=words: run([*given, *words]))
        assert main(["demo", str(out), *SMALL]) == 0
    return Demo(out, printed.getvalue())


def files_of(out: Path) -> dict[str, int]:
    """Every file but the report, with the time of its last change."""
    return {
        str(path.relative_to(out)): path.stat().st_mtime_ns
        for path in out.rglob("*")
        if path.is_file() and path.name != "report.html"
    }


def test_it_makes_everything(demo: Demo) -> None:
    assert {path.name for path in demo.out.iterdir()} >= {
        "cohort.zarr", "alignment", "fusion-gan", "drawings", "evaluation",
    }  # fmt: skip
    cohort = Cohort.open(demo.out / "cohort.zarr", verify=True)
    assert len(cohort.patients) == 14
    assert cohort.settings["phantom"]["at_the_edge"] == AT_THE_EDGE
    alignment, gan = Run.open(demo.out / "alignment"), Run.open(demo.out / "fusion-gan")
    assert (alignment.method_name, gan.config["steps"]) == ("canonical-alignment", 4)
    assert gan.split == alignment.split
    assert gan.split.test
    assert (demo.out / "drawings" / "grid.png").is_file()
    assert "<html" in (demo.out / "evaluation" / "report.html").read_text(encoding="utf-8")
    assert not list(demo.out.rglob("*.partial"))


def test_it_says_its_steps_in_order(demo: Demo) -> None:
    assert re.findall(r"^\[(\d)/7\]", demo.printed, re.MULTILINE) == list("1234567")
    assert re.search(r"^Done in \d+\.\d minutes\.", demo.printed, re.MULTILINE)


def test_it_prints_the_numbers_and_where_the_report_is(demo: Demo) -> None:
    numbers = json.loads((demo.out / "evaluation" / "evaluation.json").read_text())["headline"]
    assert numbers
    told = demo.printed[demo.printed.index("The numbers that matter") :]
    for number in numbers:
        assert f"  {number['run']}: {number['text']}: {number['value']:.2f} (" in told
    report, explorer = demo.out / "evaluation" / "report.html", demo.out / "explorer.html"
    assert demo.printed.rstrip().endswith(f"Open {report} and {explorer}")
    assert "heterogeneity" in explorer.read_text(encoding="utf-8")
    assert headline(demo.out / "evaluation")


def test_a_second_call_keeps_everything(demo: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    before = files_of(demo.out)
    assert main(["demo", str(demo.out), *SMALL]) == 0
    again = capsys.readouterr().out
    assert files_of(demo.out) == before
    assert again.count("already trained") == 3
    assert "[1/7]" not in again  # neither the cohort,
    assert "[4/7]" not in again  # nor the drawings,
    assert "[5/7]" not in again  # nor the evaluation is made again
    minutes = re.search(r"Done in (\d+\.\d) minutes", again)
    assert minutes
    assert float(minutes[1]) <= 0.1
    tail = "The numbers that matter"
    assert again[again.index(tail) :] == demo.printed[demo.printed.index(tail) :]


def test_a_lost_part_is_made_again(demo: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    record = (demo.out / "drawings" / "synthesis.json").read_text()
    shutil.rmtree(demo.out / "drawings")
    assert main(["demo", str(demo.out), *SMALL]) == 0
    assert "[4/7]" in capsys.readouterr().out
    assert (demo.out / "drawings" / "synthesis.json").read_text() == record


def test_what_was_begun_goes_on_also_before_its_first_checkpoint(tmp_path: Path) -> None:
    calls: list[list[str]] = []
    words = ["fusion-gan", "cohort", str(tmp_path / "run"), "--steps=4"]
    go_on(calls.append, words)
    (tmp_path / "run").mkdir()
    go_on(calls.append, words)
    (tmp_path / "run" / "weights.safetensors").touch()
    go_on(calls.append, words)
    assert calls == [words, [*words, "--resume"]]


def test_a_stopped_training_says_how_the_demo_goes_on(tmp_path: Path) -> None:
    def stopped(arguments: list[str]) -> None:
        raise KeyboardInterrupt("go on with --resume")

    with pytest.raises(KeyboardInterrupt) as stop:
        go_on(stopped, ["fusion-gan", "cohort", str(tmp_path / "run")])
    assert str(stop.value) == f"{tmp_path / 'run'}: stopped; the same demo command goes on"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--patients", "11"], "patients 11: at least 12, to have some to hold out"),
        (["--gan_steps", "0"], "gan_steps must be at least 1"),
        (["--seed", "x"], "seed"),
    ],
)
def test_refused_settings_are_one_line(
    arguments: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", str(tmp_path / "demo"), *arguments]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
    assert not (tmp_path / "demo").exists()


def test_defaults() -> None:
    assert DemoSettings().patients == 130  # Xu et al. 2020


def test_numbers_that_could_not_be_had_are_told(tmp_path: Path) -> None:
    number = {"run": "gan", "name": "control", "text": "rho", "value": float("nan"), "share": float("nan")}
    number |= {"regression": 0.8, "null_low": -0.1, "null_high": 0.1}
    (tmp_path / "evaluation.json").write_text(json_text({"headline": [number]}))
    assert headline(tmp_path) == ["gan: rho: not measured (regression 0.80, null -0.10 to 0.10)"]
