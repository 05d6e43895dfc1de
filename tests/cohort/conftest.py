"""Leaves out the pictures that nobody looks at."""

from __future__ import annotations

from pathlib import Path

import pytest

from radiogenesis.cohort import patient_parts


@pytest.fixture(autouse=True)
def _empty_previews(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty files for the previews of what a test itself builds: they are most of the time of a small build.

    The fixture `built` of test_build.py and the builds in other processes draw them.
    """

    def empty(path: Path, *_: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    monkeypatch.setattr(patient_parts, "write_preview", empty)
