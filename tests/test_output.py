import errno
import json
import os
import platform
import resource
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from radiogenesis.cli.main import main
from radiogenesis.errors import OutputError
from radiogenesis.output import check_place, json_text, whole_file, whole_folder, write_text, written


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
        assert partial.name.startswith("scan.")
        assert partial.name.endswith(".partial.nii.gz")
        partial.touch()
    assert (tmp_path / "scan.nii.gz").is_file()


def test_a_folder_appears_whole_and_what_a_killed_run_left_is_gone(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = tmp_path / "deep" / f"out.{platform.node()}-{ended.pid}.partial"
    left.mkdir(parents=True)
    (left / "old").touch()
    with whole_folder(out) as partial:
        (partial / "new").touch()
        assert not out.exists()
    assert [p.name for p in out.iterdir()] == ["new"]
    assert not left.exists()


def test_two_commands_with_one_output_do_not_write_into_each_other(tmp_path: Path) -> None:
    """Of two cohorts made at the same time under one name, one was damaged without a word."""
    out, other = tmp_path / "out", tmp_path / f"out.{platform.node()}-{os.getppid()}.partial"
    other.mkdir()  # of a process that lives
    with whole_folder(out) as partial:
        (partial / "mine").touch()
    assert other.is_dir()

    def write_second() -> None:
        with whole_folder(tmp_path / "again") as partial:
            (tmp_path / "again").mkdir()
            (partial / "mine").touch()

    with pytest.raises(OutputError, match="again: was written by another command in the meantime; give every command"):
        write_second()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["out", "again", other.name])


def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cases = {
        tmp_path / "file" / "out": "Not a directory",
        tmp_path / ("x" * 300): r"File name too long\); choose a shorter name",
        tmp_path / "new" / ("x" * 300): "File name too long",
        Path("/proc/radiogenesis"): "cannot be written",
    }
    for path, said in cases.items():
        with pytest.raises(OutputError, match=said):
            check_place(path)
    check_place(tmp_path / "new" / "deep" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EACCES])
def test_a_full_disk_is_one_line(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: list[str]) -> None:
        raise OSError(number, "as the system says", "/place/file")

    monkeypatch.setattr("radiogenesis.cli.cohort_describe.main", full)
    assert main(["cohort", "describe", "x"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("radiogenesis cohort describe: /place/file: cannot be ")
    assert os.strerror(number) in error
    assert error.count("\n") == 1


def test_an_error_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: list[str]) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file", "x")

    monkeypatch.setattr("radiogenesis.cli.cohort_describe.main", missing)
    with pytest.raises(FileNotFoundError):
        main(["cohort", "describe", "x"])


def test_a_disk_without_room_is_refused_before_the_work(tmp_path: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))  # as a full disk, or a quota
    try:
        with pytest.raises(OutputError, match=r"out: cannot be written \(File too large\); make room on that disk"):
            check_place(tmp_path / "out")
        check_place(tmp_path / "out", room=500)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not list(tmp_path.iterdir())


def test_what_was_made_is_not_lost_to_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()

    def write(path: Path) -> str:
        with whole_folder(path) as partial:
            (partial / "half").touch()
            if path == tmp_path / "out":
                raise OSError(errno.ENOSPC, "No space left on device")
        return "done"

    with pytest.raises(OutputError, match=r"out: cannot be written \(No space left.*; all of it lies in ") as caught:
        written(write, tmp_path / "out")
    place = Path(str(caught.value.remedy).removeprefix("all of it lies in ").removesuffix(": move it"))
    assert (place / "half").is_file()
    assert not list(tmp_path.glob("out*"))
    assert written(write, tmp_path / "there") == "done"


def test_a_link_in_the_place_of_a_partial_is_not_followed(tmp_path: Path) -> None:
    own = tmp_path / "thesis.tex"
    own.write_text("own")
    for name in ("report.html.partial", f"report.html.{platform.node()}-{os.getpid()}.partial"):
        (tmp_path / name).symlink_to(own)
    write_text(tmp_path / "report.html", "page")
    assert own.read_text() == "own"
    assert (tmp_path / "report.html").read_text() == "page"
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "own").touch()
    (tmp_path / f"out.{platform.node()}-{os.getpid()}.partial").symlink_to(folder)
    with pytest.raises(FileExistsError), whole_folder(tmp_path / "out"):
        raise AssertionError
    assert [path.name for path in folder.iterdir()] == ["own"]


def test_a_folder_of_the_users_own_that_is_called_partial_stays(tmp_path: Path) -> None:
    for name in ("out.partial", "out.notes.partial", "out.other-1.partial"):
        (tmp_path / name).mkdir()
    with whole_folder(tmp_path / "out") as partial:
        (partial / "mine").touch()
    assert len(list(tmp_path.glob("*.partial"))) == 3


def test_a_terminated_command_tidies_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(_: list[str]) -> None:
        with whole_folder(tmp_path / "out"):
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("radiogenesis.cli.cohort_describe.main", work)
    assert main(["cohort", "describe", "x"]) == 130
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_want_of_memory_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def large(_: list[str]) -> None:
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr("radiogenesis.cli.cohort_describe.main", large)
    assert main(["cohort", "describe", "x"]) == 2
    line = "radiogenesis cohort describe: not enough memory (Unable to allocate 9 TiB)\n"
    assert capsys.readouterr().err == line


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
            check_place(tmp_path / name)
        with pytest.raises(OutputError), whole_folder(tmp_path / name):
            raise AssertionError


def test_what_is_no_number_is_null() -> None:
    """Nothing in a written summary that only Python can read."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    value = {"a": [1.5, float("nan"), (np.float64("inf"), "x")], "b": {"c": np.nan}, "path": Path("y"), "n": 3}
    found = json.loads(json_text(value), parse_constant=refuse)
    assert found == {"a": [1.5, None, [None, "x"]], "b": {"c": None}, "path": "y", "n": 3}
