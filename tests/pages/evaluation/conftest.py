"""The cohort of these tests, which the tests of the evaluation share."""

from __future__ import annotations

import pytest

from radiogenesis.cohort.store import Cohort


@pytest.fixture(scope="session")
def cohort(known: Cohort) -> Cohort:
    return known
