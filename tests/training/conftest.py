"""Cohorts small enough to train on in a second."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from discs import PIXELS, disc_cohort
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.sampling.whole_slices import WholeSlices
from radiogenesis.cohort.scan import Acquisition
from radiogenesis.cohort.store import Cohort, PatientData
from radiogenesis.cohort.writer import CohortWriter

sys.path.insert(0, str(Path(__file__).parent))  # helper modules: import mode `importlib` leaves sys.path alone


@pytest.fixture(scope="session")
def other_discs(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return disc_cohort(tmp_path_factory.mktemp("cohort") / "other.zarr", seed=1)


def chest_cohort(path: Path, *, patients: int = 8, side: int = 32, seed: int = 0) -> Cohort:
    """Whole slices only: dark lungs with a bright disc in every other slice; no expression."""
    rng = np.random.default_rng(seed)
    names = [f"C-{i:02d}" for i in range(patients)]
    y, x = np.mgrid[:side, :side]
    sampling = SamplingSettings(pixels=PIXELS, whole_pixels=side, whole_field_mm=6.0 * side)
    with CohortWriter(path, settings={"sampling": asdict(sampling)}, provenance={"verb": "test"}) as writer:
        for name in names:
            at = rng.integers(10, side - 10, 2)
            disc = np.hypot(y - at[0], x - at[1])[None] < np.array([0, 3, 4, 0])[:, None, None]
            image = np.where(disc, 0, -850) + rng.normal(scale=20, size=disc.shape)
            to_patient = np.zeros((4, 3, 3))
            to_patient[:, 0, 1] = to_patient[:, 1, 0] = 6.0
            to_patient[:, 2, 2] = 5.0 * np.arange(4)
            whole = WholeSlices(
                image.astype(np.int16), disc, np.ones(disc.shape, bool), np.arange(4, dtype=np.int32), to_patient
            )
            writer.add(PatientData(name, None, None, Acquisition(), (5.0, 1.0, 1.0), 4.0, whole))
        audit = pd.DataFrame({"patient": names, "status": "in", "reason": ""})
        return writer.finish(expression=AnnData(obs=pd.DataFrame(index=[])), audit=audit)


@pytest.fixture(scope="session")
def chests(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return chest_cohort(tmp_path_factory.mktemp("cohort") / "chests.zarr")
