"""The known cohort, written once: nobody changes it."""

from __future__ import annotations

import pytest
from painted_cohorts import tiny_cohort

from radiogenesis.cohort.store import Cohort


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return tiny_cohort(tmp_path_factory.mktemp("map") / "tiny.zarr")
