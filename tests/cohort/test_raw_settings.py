"""What a folder of scans says about itself: damaged is not the same as absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from radiogenesis.cohort.raw_settings import raw_settings, scans_in
from radiogenesis.errors import InputError


def test_settings_that_cannot_be_read_are_not_passed_over(tmp_path: Path) -> None:
    assert raw_settings(tmp_path) == {}
    (tmp_path / "cohort.yaml").symlink_to("cohort.yaml")
    with pytest.raises(InputError, match=r"cohort\.yaml: cannot be read .*; mend or delete it"):
        raw_settings(tmp_path)
    (tmp_path / "cohort.yaml").unlink()
    (tmp_path / "cohort.yaml").mkdir()
    with pytest.raises(InputError, match=r"cohort\.yaml: cannot be read"):
        raw_settings(tmp_path)


@pytest.mark.parametrize("text", ['{"cohort": "lung3", "compl', "", "[" * 50_000])
def test_a_damaged_record_of_a_fetch_is_not_taken_for_a_whole_cohort(tmp_path: Path, text: str) -> None:
    (tmp_path / "fetch.json").write_text(text)
    with pytest.raises(InputError, match=r"fetch\.json: cannot be read .*fetched completely is unknown"):
        scans_in(tmp_path)
    (tmp_path / "fetch.json").write_text('{"of": "another program"}')
    assert scans_in(tmp_path) == tmp_path
    (tmp_path / "fetch.json").write_text('{"cohort": "lung3", "complete": false}')
    with pytest.raises(InputError, match="lung3 is not fetched completely"):
        scans_in(tmp_path)
