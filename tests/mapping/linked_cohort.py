"""A cohort whose map fits in one line: genes 0 to 9 go with the diameter, genes 10 to 19 with the scanner, which makes
the noise. Nothing else goes with anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.scan import Acquisition
from radiogenesis.cohort.store import Cohort, Truth
from radiogenesis.testing import toy_patient, write_cohort

PATIENTS, GENES, PIXELS = 40, 40, 64


def write(path: Path, *, seed: int = 0, prefix: str = "P", sign: float = 1.0) -> Cohort:
    """The cohort, or another of other patients, whose genes go the other way with the diameter for a sign of -1."""
    rng = np.random.default_rng(seed)
    names = [f"{prefix}-{number:02d}" for number in range(PATIENTS)]
    sharp = rng.permutation(np.arange(PATIENTS) % 2).astype(bool)
    size = rng.standard_normal(PATIENTS)
    genes = 0.6 * rng.standard_normal((PATIENTS, GENES))
    genes[:, :10] += sign * size[:, None]
    genes[:, 10:20] += 2.0 * sharp[:, None]
    y, x = np.mgrid[:PIXELS, :PIXELS] - PIXELS / 2
    patients = []
    for number, name in enumerate(names):
        mask = np.hypot(y, x)[None] < 10 + 2.5 * np.clip(size[number], -2, 2)
        noise = (60.0 if sharp[number] else 15.0) * rng.standard_normal(mask.shape)
        made = Acquisition(kernel="sharp" if sharp[number] else "smooth", manufacturer="Painted")
        patients.append(toy_patient(name, np.rint(np.where(mask, 0, -850) + noise), mask, acquisition=made))
    clinical = pd.DataFrame(
        {"Gender": rng.choice(["Male", "Female"], PATIENTS), "Grade": rng.choice(["G1", "G2"], PATIENTS)},
        index=pd.Index(names, name="patient"),
    )
    gene_names = [f"G{gene:02d}" for gene in range(GENES)]
    factors = pd.DataFrame({"size": size}, index=pd.Index(names, name="patient"))
    effects = pd.DataFrame({"gene": gene_names[:8], "factor": "size", "weight": 1.0})
    modules = pd.DataFrame({"gene": gene_names, "module": [0] * 10 + [1] * 10 + [-1] * 20})
    return write_cohort(
        path, patients, pd.DataFrame(genes, names, gene_names),
        sampling=SamplingSettings(pixels=PIXELS), clinical=clinical, truth=Truth(factors, effects, modules, {}),
    )  # fmt: skip
