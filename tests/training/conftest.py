"""Cohorts small enough to train on in a second, and runs that several files of tests read; more are in the conftest
above, which the tests of other rooms read too."""

from __future__ import annotations

import pytest

from radiogenesis.cohort.store import Cohort
from radiogenesis.testing import toy_cohort, train_toy
from radiogenesis.training.run import Run


@pytest.fixture(scope="session")
def other_discs(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return toy_cohort(tmp_path_factory.mktemp("cohort") / "other.zarr", seed=1)


@pytest.fixture(scope="session")
def critic(discs: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_toy("canonical-alignment", discs, tmp_path_factory.mktemp("runs") / "canonical")


@pytest.fixture(scope="session")
def gan(discs: Cohort, alignment: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_toy("fusion-gan", discs, tmp_path_factory.mktemp("runs") / "gan", alignment=alignment)


@pytest.fixture(scope="session")
def critics_gan(discs: Cohort, critic: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_toy("fusion-gan", discs, tmp_path_factory.mktemp("runs") / "gan", alignment=critic)


@pytest.fixture(scope="session")
def reseeded(discs: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`alignment` from another seed."""
    return train_toy("alignment", discs, tmp_path_factory.mktemp("runs") / "reseeded", seed=5)


@pytest.fixture(scope="session")
def resplit(discs: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`alignment` with another split."""
    return train_toy("alignment", discs, tmp_path_factory.mktemp("runs") / "resplit", split_seed=5)
