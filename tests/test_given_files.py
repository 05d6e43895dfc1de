"""Files of others: plain values, and no more than there could be."""

from __future__ import annotations

from pathlib import Path

import pytest

from radiogenesis.given_files import read_yaml


@pytest.mark.parametrize(
    "text", ["a: !!binary //79", "a: 2020-01-01", "a: !!set {b}", "a: [!!python/object/apply:os.system ['x']]"]
)
def test_what_json_does_not_have_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(f"pixels: 64\n{text}\n")
    with pytest.raises(ValueError, match="in quotes"):
        read_yaml(tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_text("pixels: 64\na: '2020-01-01'\nb: [1, 2.5, true, null]\nc: {<<: {d: x}}\n")
    assert read_yaml(tmp_path / "c.yaml") == {
        "pixels": 64, "a": "2020-01-01", "b": [1, 2.5, True, None], "c": {"d": "x"},
    }  # fmt: skip
