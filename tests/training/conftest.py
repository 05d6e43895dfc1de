"""Cohorts small enough to train on in a second, and runs that several files of tests read."""

from __future__ import annotations

import numpy as np
import pytest

from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.store import Cohort
from radiogenesis.testing import toy_cohort, toy_patient, toy_scan, train_toy, write_cohort
from radiogenesis.training.run import Run


@pytest.fixture(scope="session")
def other_discs(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return toy_cohort(tmp_path_factory.mktemp("cohort") / "other.zarr", seed=1)


@pytest.fixture(scope="session")
def chests(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Whole slices only: dark lungs with a bright disc in every other slice; no expression."""
    side, rng = 32, np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    patients = []
    for number in range(8):
        at = rng.integers(10, side - 10, 2)
        disc = np.hypot(y - at[0], x - at[1])[None] < np.array([0, 3, 4, 0])[:, None, None]
        image = np.where(disc, 0, -850) + rng.normal(scale=20, size=disc.shape)
        patients.append(toy_patient(f"C-{number:02d}", whole=toy_scan(image, disc)))
    sampling = SamplingSettings(pixels=32, whole_pixels=side, whole_field_mm=6.0 * side)
    return write_cohort(tmp_path_factory.mktemp("cohort") / "chests.zarr", patients, sampling=sampling)


@pytest.fixture(scope="session")
def alignment(discs: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_toy("alignment", discs, tmp_path_factory.mktemp("runs") / "alignment")


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
