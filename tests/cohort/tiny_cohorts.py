"""Small cohorts and small chests for the tests of the store, the split, the build and their verbs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from radiogenesis import testing
from radiogenesis.cohort.nifti import write_nifti
from radiogenesis.cohort.sampling.slices import Backgrounds, NoduleSlices, SamplingSettings
from radiogenesis.cohort.sampling.whole_slices import WholeSlices
from radiogenesis.cohort.scan import Acquisition
from radiogenesis.cohort.store import Cohort, PatientData, Truth

PIXELS = 16
PATIENTS_OF_CHESTS = ["R01-001", "R01-002"]
SETTINGS = {"sampling": asdict(SamplingSettings(pixels=PIXELS))}


def patient_data(patient: str, *, slices: int = 3, backgrounds: int = 2, seed: int = 0) -> PatientData:
    """Random images that depend on the patient's name and the seed only."""
    rng = np.random.default_rng([seed, *patient.encode()])

    def images(count: int) -> np.ndarray:
        return rng.integers(-1000, 500, (count, PIXELS, PIXELS)).astype(np.int16)

    nodule = NoduleSlices(
        images(slices),
        rng.random((slices, PIXELS, PIXELS)) > 0.5,
        np.arange(slices, dtype=np.float32),
        np.array([1.0, 2.0, 3.0]),
    )
    lung = Backgrounds(images(backgrounds), np.ones((backgrounds, 3)), np.full(backgrounds, 7, np.float32))
    return PatientData(
        patient,
        nodule if slices else None,
        lung if backgrounds else None,
        Acquisition(kernel="B30f", slice_thickness_mm=1.25),
        (1.25, 0.7, 0.7),
        4.2 if slices else float("nan"),
    )


def whole_of(patient: str, *, seed: int = 0, pixels: int = 32) -> WholeSlices:
    """Three whole slices, random, 5 mm apart along z."""
    rng = np.random.default_rng([seed, *patient.encode()])
    shape = (3, pixels, pixels)
    image = rng.integers(-1000, 500, shape)
    return testing.toy_scan(image, rng.random(shape) > 0.9, rng.random(shape) > 0.5, pixel_mm=384 / pixels)


def expression(patients: list[str], genes: int = 4) -> AnnData:
    """Random raw values with one missing."""
    values = np.random.default_rng(1).random((len(patients), genes), dtype=np.float32)
    values[0, 0] = np.nan
    names = pd.Index([f"G{gene}" for gene in range(genes)], name="gene")
    return AnnData(values, obs=pd.DataFrame(index=pd.Index(patients, name="patient")), var=pd.DataFrame(index=names))


def audit(patients: list[str]) -> pd.DataFrame:
    """Everybody is in."""
    return pd.DataFrame({"patient": patients, "status": "in", "reason": ""})


def write_cohort(path: Path, patients: list[str], *, with_truth: bool = False, seed: int = 0) -> Cohort:
    """A whole cohort with every kind of table."""
    truth = Truth(
        pd.DataFrame({"size": np.arange(len(patients), dtype=float)}, index=pd.Index(patients, name="patient")),
        pd.DataFrame({"gene": ["G1"], "factor": ["size"], "weight": [0.5]}),
        pd.DataFrame({"gene": ["G0", "G1"], "module": [0, -1]}),
        {"strength": 0.8},
    )
    return testing.write_cohort(
        path,
        (patient_data(patient, seed=seed) for patient in patients),
        expression(patients).to_df(),
        sampling=SamplingSettings(pixels=PIXELS),
        annotations=pd.DataFrame({"Margins": ["smooth", None], "a/b": ["1", "2"]}, index=patients[:2]),
        annotation_codes=pd.DataFrame({"feature": ["Margins"], "label": ["smooth"], "code": ["RID5800"]}),
        clinical=pd.DataFrame({"age": [60.0, np.nan], "sex": ["F", "M"]}, index=patients[:2]),
        truth=truth if with_truth else None,
    )


def write_chest(folder: Path, patient: str, *, outlined: bool = True) -> None:
    """A NIfTI pair: a body with two ellipsoid lungs, a ball of 18 mm as tumor; 3 mm voxels."""
    spacing = 3.0
    z, y, x = np.mgrid[:40, :80, :100] * spacing
    rng = np.random.default_rng(list(patient.encode()))

    def ellipsoid(center: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
        return sum(((at - c) / r) ** 2 for at, c, r in zip((z, y, x), center, radii, strict=True)) < 1

    body = ((y - 120) / 105) ** 2 + ((x - 150) / 140) ** 2 < 1
    lungs = ellipsoid((60, 120, 85), (55, 75, 45)) | ellipsoid((60, 120, 215), (55, 75, 45))
    tumor = ellipsoid((60, 120 + rng.integers(-20, 20), 85), (9, 9, 9))
    hu = np.full(body.shape, -1000.0)
    hu[body], hu[lungs], hu[tumor] = 40, -860, 30
    hu += rng.normal(0, 15, hu.shape)
    affine = np.array([[0, 0, spacing, -150], [0, spacing, 0, -120], [spacing, 0, 0, 0], [0, 0, 0, 1]], float)
    folder.mkdir(parents=True, exist_ok=True)
    write_nifti(folder / f"{patient}_image.nii.gz", hu.round().astype(np.int16), affine)
    if outlined:
        write_nifti(folder / f"{patient}_mask.nii.gz", tumor, affine)


def write_ball(folder: Path, patient: str, *, radii_mm: Sequence[float] = (9,)) -> None:
    """A NIfTI pair without lungs, for builds without backgrounds: balls of tissue in air as tumor, 60 mm apart along x;
    3 mm voxels."""
    z, y, x = np.mgrid[:14, :24, : 20 * len(radii_mm)] * 3.0
    hu = np.random.default_rng(list(patient.encode())).normal(-860, 15, z.shape)
    balls = [(z - 20) ** 2 + (y - 35) ** 2 + (x - 60 * k - 30) ** 2 < r**2 for k, r in enumerate(radii_mm)]
    tumor = np.logical_or.reduce(balls)
    hu[tumor] += 890
    affine = np.array([[0, 0, 3, -150], [0, 3, 0, -120], [3, 0, 0, 0], [0, 0, 0, 1]], float)
    folder.mkdir(parents=True, exist_ok=True)
    write_nifti(folder / f"{patient}_image.nii.gz", hu.round().astype(np.int16), affine)
    write_nifti(folder / f"{patient}_mask.nii.gz", tumor, affine)


def write_table(path: Path, patients: list[str], genes: int = 5) -> Path:
    """An expression table with patients in rows."""
    values = np.random.default_rng(2).random((len(patients), genes)).round(4)
    names = pd.Index(patients, name="patient")
    pd.DataFrame(values, index=names, columns=[f"G{gene}" for gene in range(genes)]).to_csv(path)
    return path
