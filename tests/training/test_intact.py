"""A run that is not what training wrote is refused when it is opened, whatever was changed in it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from older_runs import forget_digests
from safetensors.torch import load_file, save_file

from radiogenesis.cohort.split import Split
from radiogenesis.errors import RunError
from radiogenesis.training.run import Run, save_weights

LAUGHS = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else '1'] * 9)}]" for n in range(30))
"""30 lists, each of nine times the one before."""


@pytest.fixture
def copy(alignment: Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(alignment.path, tmp_path / "copy"))


def change(path: Path, how: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(path)
    how(tensors)
    save_file(tensors, path)


def filled(name: str, value: float) -> Callable[[dict[str, torch.Tensor]], None]:
    def fill(tensors: dict[str, torch.Tensor]) -> None:
        numbers = [one for one in tensors if tensors[one].is_floating_point()]
        for one in {"*": numbers, "first": numbers[:1]}.get(name, [name]):
            tensors[one].fill_(value)

    return fill


def use(path: Path) -> tuple[object, ...]:
    run = Run.open(path)
    return run.split, run.scaler, run.method


@pytest.mark.parametrize("name", ["weights.safetensors", "scaler.safetensors", "genes.json", "split.json"])
def test_a_file_that_was_changed_or_lost_is_refused_on_opening(copy: Path, name: str) -> None:
    whole = (copy / name).read_bytes()
    middle = len(whole) // 2
    (copy / name).write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])  # one bit
    with pytest.raises(RunError, match=f"copy: {name} is not as it was written; copy the run again"):
        Run.open(copy)
    (copy / name).unlink()
    with pytest.raises(RunError, match=r"copy: .*(is missing; copy the run again|has not finished)"):
        Run.open(copy)
    (copy / name).write_bytes(whole)
    Run.open(copy)


def test_a_split_or_settings_of_another_run_are_refused(copy: Path) -> None:
    split = Run.open(copy).split
    Split(split.test, split.validation, split.train).save(copy / "split.json")
    with pytest.raises(RunError, match=r"split\.json is not as it was written"):
        Run.open(copy)
    split.save(copy / "split.json")
    config = yaml.safe_load((copy / "config.yaml").read_text())
    (copy / "config.yaml").write_text(yaml.safe_dump(config | {"cohort": "/elsewhere"}))  # a cohort may be moved
    Run.open(copy)
    config["settings"]["embedding"] = 7
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(RunError, match=r"config\.yaml is not as it was written"):
        Run.open(copy)


def test_what_no_training_ends_in_is_refused_without_digests_too(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forget_digests(copy)
    weights, scaler = copy / "weights.safetensors", copy / "scaler.safetensors"
    sound = {path: path.read_bytes() for path in (weights, scaler)}
    for path, how, what in (
        (weights, filled("*", 0.0), "all of its weights are zero"),
        (weights, filled("first", float("nan")), "weights hold values that are not finite"),
        (weights, filled("first", float("inf")), "weights hold values that are not finite"),
        (scaler, filled("scale", 0.0), "the spread of .* is not above 0"),
        (scaler, filled("mean", float("nan")), "values that are not finite"),
    ):
        change(path, how)
        run = Run.open(copy)
        with pytest.raises(RunError, match=what):
            _ = run.method, run.scaler
        path.write_bytes(sound[path])
    _ = Run.open(copy).method, Run.open(copy).scaler
    assert "trained before digests of a run's files were recorded" in capsys.readouterr().err


def test_a_training_that_diverged_ends_in_an_error(alignment: Run, tmp_path: Path) -> None:
    method = torch.nn.Linear(2, 2)
    method.weight.data.fill_(float("nan"))
    with pytest.raises(RunError, match=r"not finite .weight.*lower learning rate or another seed"):
        save_weights(alignment.path, method)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("config.yaml", "[1, 2", "config.yaml cannot be read"),
        ("config.yaml", "a: &a [*a]", "stands for itself"),
        ("config.yaml", LAUGHS, "aliases stand for more than 100,000 values"),
        ("config.yaml", "a: " + "[" * 20_000, "nested too deeply"),
        ("config.yaml", "5", "lacks the method"),
        ("config.yaml", {"method": 5}, "method '5' is of another kind"),
        ("config.yaml", {"method": ["fusion-gan"]}, "is of another kind"),
        ("config.yaml", {"method": "none"}, "there is no method 'none'"),
        ("config.yaml", {"settings": [1]}, "settings '.1.' is of another kind"),
        ("config.yaml", {"settings": None}, "settings 'None' is of another kind"),
        ("config.yaml", {"cohort": {"a": 1}}, "is of another kind"),
        ("config.yaml", {"genes": "many"}, "genes 'many' is of another kind"),
        ("config.yaml", {"genes": None}, "genes 'None' is of another kind"),
        ("provenance.json", "[" * 100_000, "nested too deeply"),
        ("provenance.json", "5", "provenance.json cannot be read"),
        ("provenance.json", '{"cohort_digest": 1, "files": [1]}', "holds no digests"),
        ("split.json", "[" * 100_000, "is not a split .its values are nested too deeply"),
        ("split.json", "5", "is not a split"),
        ("split.json", '{"train": 5, "validation": null, "test": "abc"}', "is not a split"),
        ("genes.json", "[" * 100_000, "scaler cannot be read .its values are nested too deeply"),
        ("genes.json", "[5]", "scaler cannot be read"),
        ("genes.json", '{"genes": {"a": 1}}', "scaler cannot be read"),
        ("weights.safetensors", "x" * 100, "weights do not fit its settings"),
    ],
)  # fmt: skip
def test_run_folders_of_others_are_refused_in_one_line(
    copy: Path, name: str, content: str | dict[str, Any], what: str
) -> None:
    forget_digests(copy)
    if isinstance(content, dict):
        content = yaml.safe_dump(yaml.safe_load((copy / name).read_text()) | content)
    (copy / name).write_text(content)
    with pytest.raises(RunError, match=what) as error:
        use(copy)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["config.yaml", "provenance.json", "split.json", "genes.json", "weights.safetensors"])
def test_a_pipe_in_a_run_folder_is_not_waited_for(copy: Path, name: str) -> None:
    (copy / name).unlink()
    os.mkfifo(copy / name)
    with pytest.raises(RunError):
        Run.open(copy)


def test_settings_of_another_size_than_the_weights(copy: Path) -> None:
    forget_digests(copy)
    config = yaml.safe_load((copy / "config.yaml").read_text())
    for changed in ({"width": "wide"}, {"nothing": 1}, {"embedding": -3}, {"embedding": [1]}):
        (copy / "config.yaml").write_text(yaml.safe_dump(config | {"settings": config["settings"] | changed}))
        with pytest.raises(RunError, match="do not fit its settings"):
            _ = Run.open(copy).method


def test_what_a_record_names_elsewhere_is_not_read(copy: Path) -> None:
    record = json.loads((copy / "provenance.json").read_text())
    record["files"]["../../../etc/passwd"] = "0"
    (copy / "provenance.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match="passwd is missing"):
        Run.open(copy)
