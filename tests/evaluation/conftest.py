"""The cohort of these tests."""

from __future__ import annotations

import pytest

from radiogenesis.cohort.store import Cohort


@pytest.fixture(scope="session")
def cohort(known: Cohort) -> Cohort:
    return known
