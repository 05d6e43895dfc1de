"""Whole slices: where they lie, which are kept, and that what is found on them goes back into the scan's own frame."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_cohorts import PATIENTS_OF_CHESTS, audit, expression, patient_data, whole_of, write_chest, write_cohort

from radiogenesis.cohort.build import BuildSettings, build_cohort
from radiogenesis.cohort.folders.find import find_volumes
from radiogenesis.cohort.nifti import read_nifti
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.sampling.whole_slices import Frame, blind_lungs, whole_slices
from radiogenesis.cohort.scan import AIR_HU, Scan
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.cohort.store import Cohort
from radiogenesis.cohort.writer import CohortWriter
from radiogenesis.errors import CohortError, ScanError

WHOLE = SamplingSettings(pixels=16, slices_per_center=2, whole_pixels=64, whole_every_mm=6.0)


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    folder = tmp_path_factory.mktemp("chest")
    write_chest(folder, "C1")
    return read_nifti(find_volumes(folder, ReadSettings()).sources[0], ReadSettings())


@pytest.fixture(scope="module")
def lungs(chest: Scan) -> NDArray[np.bool_]:
    return blind_lungs(chest)


def test_the_slices_with_lung_are_kept_every_few_millimeters(chest: Scan, lungs: NDArray[np.bool_]) -> None:
    found = whole_slices(chest, lungs, WHOLE)
    area = lungs.sum(axis=(1, 2)) * 9.0
    assert found.plane.tolist() == np.flatnonzero(area >= WHOLE.whole_lung_mm2)[::2].tolist()
    assert found.image.shape == found.tumor.shape == found.lungs.shape == (len(found.plane), 64, 64)
    every = whole_slices(chest, lungs, replace(WHOLE, whole_every_mm=0))
    assert every.plane.tolist() == np.flatnonzero(area >= WHOLE.whole_lung_mm2).tolist()


def test_a_pixel_knows_its_place_in_the_patient(chest: Scan, lungs: NDArray[np.bool_]) -> None:
    found = whole_slices(chest, lungs, WHOLE)  # 6 mm pixels, the scan's are 3 mm
    inverse = np.linalg.inv(chest.affine)
    for at in (0, len(found.plane) - 1):
        for row, column in ((20, 30), (31, 31), (40, 12)):
            place = found.to_patient[at] @ [row, column, 1]
            z, y, x, _ = inverse @ [*place, 1]
            assert z == pytest.approx(found.plane[at], abs=1e-6)
            near = chest.hu[round(z), int(y - 1) : int(y + 3), int(x - 1) : int(x + 3)]
            assert near.min() - 1 <= found.image[at, row, column] <= near.max() + 1
    steps = np.linalg.norm(found.to_patient[:, :, :2], axis=1)
    np.testing.assert_allclose(steps, WHOLE.whole_field_mm / 64)


def test_a_mask_of_the_scan_comes_back_as_it_was(chest: Scan, lungs: NDArray[np.bool_]) -> None:
    fine = replace(WHOLE, whole_pixels=256, whole_every_mm=0)  # 1.5 mm pixels, two to a voxel of the scan
    frame = Frame.around(lungs, chest, fine)
    back = frame.back(frame.masks(chest.tumor_mask).astype(np.float32), chest.hu.shape) > 0.5
    both = (back & chest.tumor_mask).sum()
    assert 2 * both / (back.sum() + chest.tumor_mask.sum()) > 0.85
    centers = [np.argwhere(mask).mean(axis=0) for mask in (back, chest.tumor_mask)]
    np.testing.assert_allclose(*centers, atol=0.5)
    assert not back[np.setdiff1d(np.arange(len(back)), frame.planes)].any()


def test_the_way_back_of_a_ramp_is_the_ramp(chest: Scan, lungs: NDArray[np.bool_]) -> None:
    frame = Frame.around(lungs, chest, WHOLE)
    to_patient = frame.to_patient(chest)
    row, column = np.mgrid[:64, :64]
    at = np.stack([row, column, np.ones_like(row)]).reshape(3, -1)
    x_mm = (to_patient[:, 0] @ at).reshape(-1, 64, 64)
    back = frame.back(x_mm, chest.hu.shape)
    plane = frame.planes[3]
    index = np.stack(np.meshgrid(plane, [30, 40], np.arange(10, 90), indexing="ij"), axis=-1)
    expected = chest.to_patient(index.astype(float))
    np.testing.assert_allclose(back[plane, [30, 40], 10:90], expected[0, ..., 0], atol=1e-3)


def test_the_lungs_are_found_without_the_outline(chest: Scan) -> None:
    outlined = chest.with_mask("all", np.ones(chest.hu.shape, bool), tumor=True)
    np.testing.assert_array_equal(blind_lungs(outlined), blind_lungs(replace(chest, masks={}, tumor=None)))


def test_beyond_the_scan_is_air(chest: Scan, lungs: NDArray[np.bool_]) -> None:
    wide = whole_slices(chest, lungs, replace(WHOLE, whole_field_mm=640.0))
    assert (wide.image[:, :, :5] == AIR_HU).all()
    assert not wide.lungs[:, :, :5].any()


def test_too_little_lung_is_said(chest: Scan, lungs: NDArray[np.bool_]) -> None:
    with pytest.raises(ScanError, match="no slice shows 1e\\+06 mm2 of lung"):
        whole_slices(chest, lungs, replace(WHOLE, whole_lung_mm2=1e6))


@pytest.mark.parametrize("wrong", [{"whole_pixels": 50}, {"whole_field_mm": 0}, {"whole_every_mm": -1}])
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SamplingSettings(**wrong)  # type: ignore[arg-type]


def test_a_cohort_keeps_whole_slices_and_its_digest_covers_them(tmp_path: Path) -> None:
    settings = {"sampling": asdict(SamplingSettings(pixels=16, whole_pixels=32))}

    def written(name: str, seed: int) -> Cohort:
        with CohortWriter(tmp_path / name, settings=settings) as writer:
            for patient in PATIENTS_OF_CHESTS:
                writer.add(replace(patient_data(patient), whole=whole_of(patient, seed=seed)))
            writer.add(patient_data("without lungs"))
            return writer.finish(expression=expression(PATIENTS_OF_CHESTS), audit=audit(PATIENTS_OF_CHESTS))

    cohort = written("a", 0)
    assert cohort.whole is not None
    expected = np.concatenate([whole_of(patient, seed=0).tumor for patient in PATIENTS_OF_CHESTS])
    np.testing.assert_array_equal(cohort.whole.slices.tumor, expected)
    assert list(cohort.whole.patient) == list(np.repeat(PATIENTS_OF_CHESTS, 3))
    assert cohort.whole.pixel_mm == 12.0
    assert Cohort.open(tmp_path / "a", verify=True).digest == cohort.digest == written("b", 0).digest
    assert written("c", 1).digest != cohort.digest
    assert "whole slices 6 of 32 x 32 pixels, 12 mm per pixel, from 2 patients" in cohort.describe()
    chunk = tmp_path / "c" / "scans" / "lungs" / "c" / "0" / "0" / "0"
    shutil.copy(tmp_path / "c" / "scans" / "tumour" / "c" / "0" / "0" / "0", chunk)
    with pytest.raises(CohortError, match="scans/lungs"):
        Cohort.open(tmp_path / "c", verify=True)


def test_a_cohort_without_whole_slices_says_nothing_of_them(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "c", PATIENTS_OF_CHESTS)
    attributes = json.loads((tmp_path / "c" / "zarr.json").read_text())["attributes"]
    assert not {"whole_pixels", "whole_field_mm"} & set(attributes)
    assert cohort.whole is None


def test_a_build_keeps_them_too(tmp_path: Path) -> None:
    write_chest(tmp_path / "raw", "C1")
    write_chest(tmp_path / "raw", "C2", outlined=False)
    cohort = build_cohort(tmp_path / "raw", tmp_path / "cohort", sampling=WHOLE, build=BuildSettings(workers=1))
    assert cohort.whole is not None
    tumor = {name: cohort.whole.slices.tumor[cohort.whole.patient == name].any() for name in ("C1", "C2")}
    assert tumor == {"C1": True, "C2": False}
