"""Lists on the command line: whatever people write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from radiogenesis.cli.arguments import add_settings, parser, settings_from
from radiogenesis.errors import SettingError


@dataclass(frozen=True, kw_only=True)
class Listed:
    patients: tuple[str, ...] = ()
    """Ids."""
    formats: tuple[Literal["png", "nifti"], ...] = ("png",)
    """Of files."""
    size_mm: tuple[float, float] = (1.0, 2.0)
    """Range."""
    window: tuple[float, float] | None = None
    """Range, or none."""
    name: str = "a"
    """One word."""


def listed(*words: str) -> Listed:
    verb = parser("train", "A verb.")
    verb.add_argument("run", type=str)
    verb.add_argument("--runs", type=str, nargs="+", default=[])
    add_settings(verb, Listed)
    return settings_from(verb.parse(list(words)), Listed)


@pytest.mark.parametrize(
    "words",
    ["R --patients 001 P2", "R --patients 001,P2", "--patients 001,P2 R", "R --patients 001, P2",
     "R --patients 001 , P2", "R --patients [001,P2]", "R --patients [001, P2]", "R --patients=001,P2",
     "--patients ['001',\"P2\"] R"],
)  # fmt: skip
def test_a_list_is_read_however_it_is_written(words: str) -> None:
    assert listed(*words.split()).patients == ("001", "P2")


def test_one_item_and_numbers_are_lists_too() -> None:
    assert listed("R", "--patients", "PH0013") == Listed(patients=("PH0013",))
    assert listed("R", "--size_mm", "-600", "40").size_mm == (-600.0, 40.0)
    assert listed("R", "--size_mm", "-600,40").size_mm == (-600.0, 40.0)
    for words in (["-160", "240"], ["-160,240"], ["[-160,240]"]):
        assert listed("R", "--window", *words).window == (-160.0, 240.0)
    assert listed("R", "--window", "null").window is None
    assert listed("R", "--formats", "png,nifti", "--name", "a,b") == Listed(formats=("png", "nifti"), name="a,b")
    with pytest.raises(SettingError, match="formats"):
        listed("R", "--formats", "png", "tiff")


def test_names_of_files_may_hold_commas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b").mkdir()
    verb = parser("map", "A verb.")
    verb.add_argument("--runs", type=str, nargs="+", default=[])
    assert verb.parse(["--runs", "a,b", "c"]).runs == ["a,b", "c"]
    assert verb.parse(["--runs", "a,c"]).runs == ["a", "c"]


def test_help_says_how_a_list_is_written() -> None:
    verb = parser("train", "A verb.")
    add_settings(verb, Listed)
    assert "--formats A,B,..." in verb.format_help()
    assert "--name NAME" in verb.format_help()
