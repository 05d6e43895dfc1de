"""`radiogenesis train`: help with presets, YAML, what it prints, what it refuses."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from radiogenesis.cli.main import main
from radiogenesis.cohort.store import Cohort
from radiogenesis.methods.fusion_gan import PAPER, PRESETS
from radiogenesis.training.registry import METHODS
from radiogenesis.training.run import Run

SHARED = ["--accelerator", "cpu", "--precision", "float32", "--checkpoint_every", "1"]
ALIGNMENT = ["--batch", "4", "--widths", "[2,2,2,2]", "--hidden", "4", "--embedding", "4", *SHARED]
SMALL = ["--batch", "4", "--width", "2", "--discriminator_width", "2", "--code", "4", "--hidden", "4", *SHARED]


@pytest.fixture(scope="module")
def cohort(discs: Cohort) -> str:
    return str(discs.path)


@pytest.fixture(scope="module")
def alignment(cohort: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("runs") / "alignment")
    assert main(["train", "alignment", cohort, path, "--steps", "2", *ALIGNMENT]) == 0
    return path


def help_of(capsys: pytest.CaptureFixture[str], *arguments: str, advanced: bool = True) -> str:
    with pytest.raises(SystemExit) as exit_:
        main(["train", *arguments, "--help", *(["advanced"] if advanced else [])])
    assert exit_.value.code == 0
    return capsys.readouterr().out


def default_in(text: str, setting: str) -> object:
    """What the help says is the default of a setting."""
    found = re.search(rf"^  --{setting} .*?default:\s+([^)]*)\)", text, re.MULTILINE | re.DOTALL)
    assert found, setting
    return yaml.safe_load(found[1])


def test_help_lists_the_methods(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["train"], ["train", "--help"], ["train", "-h"]):
        assert main(arguments) == 0
        text = capsys.readouterr().out
        for name, entry in METHODS.items():
            assert re.search(rf"^  {name} +{re.escape(entry.what)}", text, re.MULTILINE)
        assert "paper" in text


def test_help_of_a_method_shows_every_setting_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys, "alignment")
    for setting, default in {"steps": 1200, "batch": 64, "gene_dropout": 0.5, "seed": 0, "missing": "median"}.items():
        assert default_in(text, setting) == default
    assert "METHODS.md section 1b" in " ".join(text.split())


@pytest.mark.parametrize("method", METHODS)
def test_help_shows_first_what_is_needed_first(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    short, every = help_of(capsys, method, advanced=False), help_of(capsys, method)
    options = [set(re.findall(r"^  (--\w+)", text, re.MULTILINE)) for text in (short, every)]
    assert {"--preset", "--seed", "--test"} <= options[0] < options[1]
    assert f"{len(options[1] - options[0])} more settings: radiogenesis train {method} --help advanced" in short
    assert "more settings" not in every
    assert len(short.splitlines()) < 110


@pytest.mark.parametrize("arguments", [["--preset", "paper"], ["--preset=paper"]])
def test_help_of_the_paper_preset_shows_its_values(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys, "fusion-gan", *arguments)
    for setting, value in PAPER.items():
        shown = default_in(text, setting)
        assert (float(shown) if isinstance(value, float) else shown) == value, setting  # type: ignore[arg-type]


def test_help_without_preset_shows_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys, "fusion-gan")
    for setting in PAPER:
        shown, default = default_in(text, setting), getattr(METHODS["fusion-gan"].settings(), setting)
        assert (float(shown) if isinstance(default, float) else shown) == default, setting  # type: ignore[arg-type]


def test_a_run_is_written_and_told(
    cohort: str, alignment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gan"
    assert main(["train", "fusion-gan", cohort, str(out), "--alignment", alignment, "--steps", "2", *SMALL]) == 0
    assert re.search(rf"^{out}: 8 images seen, \d+ images per second$", capsys.readouterr().out, re.MULTILINE)
    run = Run.open(out)
    assert run.config["settings"]["code"] == 4
    assert run.config["steps"] == 2
    assert run.split == Run.open(alignment).split
    assert run.config["alignment"]["widths"] == [2, 2, 2, 2]


def test_the_paper_preset_trains_alone(cohort: str, tmp_path: Path) -> None:
    out = tmp_path / "paper"
    few = ["--preset", "paper", "--epochs", "0", "--steps", "1", *SMALL]
    assert main(["train", "fusion-gan", cohort, str(out), *few]) == 0
    settings = Run.open(out).config["settings"]
    for setting, value in PAPER.items():
        if setting not in ("epochs", "batch", "width"):
            assert settings[setting] == value


def test_yaml_is_read_and_the_command_line_wins(cohort: str, tmp_path: Path) -> None:
    settings = {"steps": 3, "hidden": 5, "temperature": 0.2, "seed": 4, "missing": "drop", "widths": [2, 2, 2, 3]}
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    short = ["--batch", "4", "--embedding", "4", *SHARED]
    given = ["--config", str(tmp_path / "settings.yaml"), "--steps", "2", "--hidden", "6", *short]
    assert main(["train", "alignment", cohort, str(tmp_path / "run"), *given]) == 0
    config = Run.open(tmp_path / "run").config
    assert (config["settings"]["steps"], config["settings"]["hidden"]) == (2, 6)
    assert config["settings"]["temperature"] == 0.2
    assert config["settings"]["widths"] == [2, 2, 2, 3]
    assert config["training"]["seed"] == 4
    assert config["expression"]["missing"] == "drop"


@pytest.mark.parametrize("how", ["yaml", "abbreviated"])
def test_a_preset_is_obeyed_or_refused_however_it_is_given(
    how: str, cohort: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Never read and then left without effect."""
    (tmp_path / "settings.yaml").write_text("preset: paper\n")
    preset = {"yaml": ["--config", str(tmp_path / "settings.yaml")], "abbreviated": ["--prese", "paper"]}[how]
    few = ["--epochs", "0", "--steps", "1", "--matching", "0", "--energy", "0", "--gene_code", "mapping", *SMALL]
    out = tmp_path / "run"
    if main(["train", "fusion-gan", cohort, str(out), *preset, *few]):
        assert "prese" in capsys.readouterr().err
        return
    settings = Run.open(out).config["settings"]
    for name in ("noise", "outer_weight", "compose"):
        assert settings[name] == PAPER[name]


@pytest.mark.parametrize(
    ("yaml_text", "word"),
    [("no_such_setting: 1\n", "no_such_setting"), ("steps: many\n", "steps"), ("a: [\n", "no.yaml"), (None, "no.yaml")],
)
def test_a_wrong_yaml_is_one_line(
    yaml_text: str | None, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "no.yaml"
    if yaml_text is not None:
        path.write_text(yaml_text)
    assert main(["train", "alignment", "cohort", str(tmp_path / "run"), "--config", str(path)]) == 2
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["paint", "c", "r"],
            "there is no method 'paint'; choose from: canonical-alignment, alignment, fusion-gan, mc-gan",
        ),
        (["fusion-gan", "c", "r", "--preset", "best"], "fusion-gan has no preset 'best'; choose from: default, paper"),
        (["alignment", "c", "r", "--preset", "paper"], "alignment has no preset 'paper'; choose from: default"),
        (["alignment", "no-cohort", "r"], "no-cohort"),
        (["alignment", "c"], "run"),
        (["alignment", "c", "r", "--widths", "[1,2]"], "widths"),
        (["fusion-gan", "c", "r", "--gene_code", "all"], "gene_code"),
        (["alignment", "c", "r", "--precision", "float8"], "precision"),
    ],
)
def test_refusals_are_one_line(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("radiogenesis train: ")
    assert line in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--gene_dropout", "1"], "gene_dropout must be in [0, 1), not 1.0"),
        (["--batch", "1"], "batch must be at least 2, not 1"),
        (["--test", "1"], "test 1.0 must leave patients to train on"),
        ([], "need a trained alignment"),
        (["--alignment", "nowhere"], "nowhere: there is no run here"),
    ],
)
def test_settings_that_do_not_fit_leave_nothing_behind(
    arguments: list[str], line: str, cohort: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "fusion-gan", cohort, str(tmp_path / "run"), *arguments]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_what_the_help_asks_for_is_enough_without_an_alignment(cohort: str, tmp_path: Path) -> None:
    """The description names the settings with which fusion-gan needs no alignment."""
    from radiogenesis.cli import train

    text = " ".join(train._DESCRIPTION.split())
    clause = text[text.index("--preset paper,") : text.index("says otherwise")]
    named = re.findall(r"--(\w+) (\w+)", clause)
    assert named[0] == ("preset", "paper")
    settings = METHODS["fusion-gan"].settings(
        **{name: value if name == "gene_code" else float(value) for name, value in named[1:]}
    )
    assert not settings.needs_alignment
    assert not METHODS["fusion-gan"].settings(**PRESETS["paper"]).needs_alignment


def test_an_existing_run_is_left_alone_and_resumed_only_as_it_was(
    cohort: str, alignment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (Path(alignment) / "weights.safetensors").read_bytes()
    assert main(["train", "alignment", cohort, alignment, "--steps", "2", *ALIGNMENT]) == 2
    assert "is already there; choose another name, delete it, or go on with --resume" in capsys.readouterr().err
    assert main(["train", "alignment", cohort, alignment, "--steps", "3", *ALIGNMENT, "--resume"]) == 2
    assert "was started with other settings" in capsys.readouterr().err
    assert (Path(alignment) / "weights.safetensors").read_bytes() == before
    assert json.loads((Path(alignment) / "provenance.json").read_text())["seed"] == 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--seed", "-1"], "seed"),
        (["--learning_rate", "-1"], "learning_rate"),
        pytest.param(
            ["--accelerator", "gpu"], "gpu", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
        ),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_leaves_no_run(
    arguments: list[str], word: str, cohort: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "alignment", cohort, str(tmp_path / "run"), "--steps", "1", *ALIGNMENT, *arguments]) == 2
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_processes_train_one_run(cohort: str, tmp_path: Path) -> None:
    """Lightning starts the command again for the second process, which finds the folder that the first has made."""
    command = [sys.executable, "-m", "radiogenesis.cli.main", "train", "alignment", cohort, str(tmp_path / "run")]
    done = subprocess.run(
        [*command, "--steps", "2", *ALIGNMENT, "--devices", "2"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert list(Run.open(tmp_path / "run").metrics["images_seen"]) == [8, 16]  # 4 slices in each of two processes


@pytest.mark.slow
def test_a_stopped_training_is_one_line_and_exit_code_130(cohort: str, tmp_path: Path) -> None:
    """By Ctrl-C, then by SIGTERM, in one process: most of its time is its imports."""
    runs = {by: tmp_path / by.name for by in (signal.SIGINT, signal.SIGTERM)}
    words = [["train", "alignment", cohort, str(run), "--steps", "100000", *ALIGNMENT] for run in runs.values()]
    # A shell's background job would ignore Ctrl-C, and its children with it.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"from radiogenesis.cli.main import main; sys.exit([main(one) for one in {words!r}] != [130, 130])"
    )
    training = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    try:
        for by, run in runs.items():
            while training.poll() is None and not (run / "metrics.csv").is_file():
                time.sleep(0.1)
            training.send_signal(by)
        error = training.communicate(timeout=120)[1]
    finally:
        training.kill()
    assert training.returncode == 0, error
    assert "Traceback" not in error
    for run in runs.values():
        line = rf"radiogenesis train: {run}: stopped at step \d+ of 100000; go on with --resume and the same settings"
        assert len(re.findall(f"^{line}$", error, re.MULTILINE)) == 1


def test_an_alignments_split_is_taken_over_and_another_refused(
    cohort: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = ["--split_seed", "3", "--test", "0.4"]
    alignment, out = str(tmp_path / "alignment"), tmp_path / "gan"
    assert main(["train", "canonical-alignment", cohort, alignment, *split, *SHARED]) == 0
    gan = ["train", "fusion-gan", cohort, str(out), "--alignment", alignment, "--steps", "1", *SMALL]
    for given in (["--split_seed", "0"], ["--test", "0.3"]):
        capsys.readouterr()
        assert main([*gan, *given]) == 2
        error = capsys.readouterr().err
        assert f"{given[0]} {given[1]}" in error
        assert "the split of the alignment is taken over" in error
        assert error.count("\n") == 1
        assert not out.exists()
    assert main([*gan, *split]) == 0
    training = Run.open(out).config["training"]
    assert (training["split_seed"], training["test"], training["validation"]) == (3, 0.4, 0.05)


@pytest.mark.parametrize("preset", ["paper", "default"])
def test_the_paper_preset_says_where_it_is_not_the_papers(
    preset: str, cohort: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = ["--matching", "0", "--energy", "0", "--gene_code", "mapping", "--epochs", "0", "--steps", "1"]
    assert main(["train", "fusion-gan", cohort, str(tmp_path / "run"), "--preset", preset, *alone, *SMALL]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fusion-gan: ")]
    expected = (
        "fusion-gan: the preset paper is made for another cohort, and this one has pixels 32 and not 128, "
        "middle_in_lung true and not false, min_area_mm2 10 and not 0: what is trained on it is not what the paper "
        "describes; build one with --pixels 128 --middle_in_lung false --min_area_mm2 0"
    )
    assert told == ([expected] if preset == "paper" else [])
    training = Run.open(tmp_path / "run").config["training"]
    trained = (training["sampling"], training["augment"], training["soft_masks"])
    assert trained == (("epochs", False, False) if preset == "paper" else ("patients", True, True))
