import json
from pathlib import Path

import numpy as np
import pytest

from radiogenesis.errors import OutputError
from radiogenesis.output import json_text, refuse_existing, whole_file, whole_folder, write_text


def test_a_file_takes_its_place_at_the_end_and_replaces_an_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with whole_file(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    write_text(path, "ä\n")
    assert path.read_bytes() == "ä\n".encode()
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_a_file_that_fails_leaves_the_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def write_half() -> None:
        with whole_file(path) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_a_suffix_that_a_library_asks_for_is_kept_while_writing(tmp_path: Path) -> None:
    with whole_file(tmp_path / "scan.nii.gz", suffix=".nii.gz") as partial:
        assert partial.name == "scan.partial.nii.gz"
        partial.touch()
    assert (tmp_path / "scan.nii.gz").is_file()


def test_a_folder_appears_whole_and_what_a_killed_run_left_is_gone(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    left = tmp_path / "deep" / "out.partial"
    left.mkdir(parents=True)
    (left / "old").touch()
    with whole_folder(out) as partial:
        (partial / "new").touch()
        assert not out.exists()
    assert [p.name for p in out.iterdir()] == ["new"]
    assert not left.exists()


def test_a_folder_that_fails_is_gone(tmp_path: Path) -> None:
    def write_half() -> None:
        with whole_folder(tmp_path / "out") as partial:
            (partial / "new").touch()
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        write_half()
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("out", "link"):
        with pytest.raises(OutputError, match=f"{name}: already exists; choose another name, or delete it first"):
            refuse_existing(tmp_path / name)
        with pytest.raises(OutputError), whole_folder(tmp_path / name):
            raise AssertionError


def test_what_is_no_number_is_null() -> None:
    """Nothing in a written summary that only Python can read."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    value = {"a": [1.5, float("nan"), (np.float64("inf"), "x")], "b": {"c": np.nan}, "path": Path("y"), "n": 3}
    found = json.loads(json_text(value), parse_constant=refuse)
    assert found == {"a": [1.5, None, [None, "x"]], "b": {"c": None}, "path": "y", "n": 3}
