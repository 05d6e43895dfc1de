"""The known cohort, written once: nobody changes it."""

from __future__ import annotations

import pytest
from known_cohort import write

from radiogenesis.cohort.store import Cohort


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return write(tmp_path_factory.mktemp("known") / "cohort")


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """14 patients: some to train on, and some to hold out."""
    return write(tmp_path_factory.mktemp("known") / "few", patients=14)
