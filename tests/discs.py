"""A cohort small enough to train on in a second: discs whose size follows the first gene."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from radiogenesis.cohort.sampling.slices import Backgrounds, NoduleSlices, SamplingSettings
from radiogenesis.cohort.scan import Acquisition
from radiogenesis.cohort.store import Cohort, PatientData
from radiogenesis.cohort.writer import CohortWriter

PIXELS = 32


def disc_cohort(path: Path, *, patients: int = 12, genes: int = 20, slices: int = 4, seed: int = 0) -> Cohort:
    rng = np.random.default_rng(seed)
    names = [f"P-{i:02d}" for i in range(patients)]
    expression = rng.normal(size=(patients, genes)).astype(np.float32)
    y, x = np.mgrid[:PIXELS, :PIXELS] - PIXELS / 2
    sampling = SamplingSettings(pixels=PIXELS)
    with CohortWriter(path, settings={"sampling": asdict(sampling)}, provenance={"verb": "test"}) as writer:
        for name, values in zip(names, expression, strict=True):
            radius = 6 + 2 * np.tanh(values[0]) + rng.normal(scale=0.3, size=slices)
            mask = np.hypot(y, x)[None] < radius[:, None, None]
            noise = rng.normal(scale=20, size=(2, slices, PIXELS, PIXELS))
            lesion = np.where(mask, 0, -850) + noise[0]
            nodules = NoduleSlices(lesion.astype(np.int16), mask, np.arange(slices, dtype=np.float32), np.zeros(3))
            backgrounds = Backgrounds(
                (noise[1] - 850).astype(np.int16), np.zeros((slices, 3)), np.full(slices, 10, np.float32)
            )
            writer.add(PatientData(name, nodules, backgrounds, Acquisition(), (1.0, 1.0, 1.0), 4.0))
        obs = pd.DataFrame(index=pd.Index(names))
        var = pd.DataFrame(index=pd.Index([f"G{i}" for i in range(genes)]))
        audit = pd.DataFrame({"patient": names, "status": "in", "reason": ""})
        return writer.finish(expression=AnnData(expression, obs=obs, var=var), audit=audit)
