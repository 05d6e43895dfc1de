"""Folders that a stopped command goes on in."""

from __future__ import annotations

from pathlib import Path

import pytest

from radiogenesis.errors import OutputError
from radiogenesis.work_folder import alone_in, parts_folder, remove_parts


def test_one_command_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "c.parts"
    with parts_folder(folder):
        with pytest.raises(OutputError, match=r"c\.parts: another command works in it; wait for it"), alone_in(folder):
            raise AssertionError
        (folder / "P1-0123456789abcdef.npz").touch()
    with parts_folder(folder):  # as our own, with what was left in it
        assert (folder / "P1-0123456789abcdef.npz").is_file()


def test_only_parts_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "c.parts"
    with parts_folder(folder):
        for name in ("P/1-0123456789abcdef.npz", "P1-0123456789abcdef.json.host-12.partial", "notes-2.npz"):
            (folder / name.replace("/", "%2F")).touch()
        assert remove_parts(folder) == ["notes-2.npz"]
    (folder / "notes-2.npz").unlink()
    with parts_folder(folder):
        assert remove_parts(folder) == []
    assert not list(tmp_path.iterdir())
