"""Three real patients of the pairs of CT and RNA: a hollow couch below each, slices 6.5 mm apart."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from radiogenesis.cohort.build import BuildSettings, Tables, build_cohort
from radiogenesis.cohort.expression import TableSettings
from radiogenesis.cohort.store import Cohort

pytestmark = pytest.mark.slow

# The first and the second had backgrounds from inside the couch, the last a lesion on one slice and 15 slices in all.
PATIENTS = ("R01-026", "R01-131", "R01-066")
TABLE = "gse103584_zscore_1000genes_130patients.csv"


@pytest.fixture(scope="module")
def pairs(
    real_data: Path,
    tmp_path_factory: pytest.TempPathFactory,
    blank_pictures: Callable[[], AbstractContextManager[None]],
) -> tuple[Cohort, Path]:
    folder = tmp_path_factory.mktemp("pairs")
    script = Path(__file__).resolve().parents[3] / "shared" / "data" / "pairs" / "make_nifti.py"
    subprocess.run([sys.executable, str(script), str(folder / "raw"), *PATIENTS], check=True, stdout=subprocess.DEVNULL)
    tables = Tables(expression=real_data / "expression" / TABLE, settings=TableSettings(orientation="genes-in-rows"))
    with blank_pictures():
        cohort = build_cohort(folder / "raw", folder / "pairs.zarr", tables, build=BuildSettings(workers=1))
    return cohort, folder / "raw"


@pytest.mark.real_data
def test_every_background_lies_in_the_body_and_is_aerated(pairs: tuple[Cohort, Path]) -> None:
    """By a rule of its own: the largest piece of tissue, filled slice by slice."""
    cohort, raw = pairs
    for patient in PATIENTS:
        image = nib.load(raw / patient / "image.nii.gz")
        hu = np.asarray(image.dataobj).transpose(2, 1, 0)
        labels, _ = ndimage.label(ndimage.binary_opening(hu > -400, np.ones((1, 5, 5))))
        body = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
        mine = cohort.background_patient == patient
        (center,) = np.unique(cohort.background_center_mm[mine], axis=0)
        x, y, z = np.rint(nib.affines.apply_affine(np.linalg.inv(image.affine), center * [-1, -1, 1])).astype(int)
        assert ndimage.binary_fill_holes(body[z])[y, x]
        assert (np.median(cohort.background_image[mine][:, 28:36, 28:36], axis=(1, 2)) < -500).all()


@pytest.mark.real_data
def test_thick_slices_are_enough(pairs: tuple[Cohort, Path]) -> None:
    cohort, _ = pairs
    assert cohort.patients["n_slices"].loc[list(PATIENTS)].min() == 1
    assert (cohort.patients["n_backgrounds"].loc[list(PATIENTS)] == 20).all()
    assert cohort.patients["has_expression"].loc[list(PATIENTS)].all()
