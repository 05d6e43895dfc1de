"""All lesions of a patient: each cut by itself, and all of them on the same side of every split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_files import circle, example_ct, rtstruct, save
from tiny_cohorts import write_ball, write_table

from radiogenesis.cohort import layout
from radiogenesis.cohort.build import BuildSettings, Tables, build_cohort, find_scans
from radiogenesis.cohort.patient_parts import read_scan
from radiogenesis.cohort.sampling.lesions import cut_lesions
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.scan import Scan
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.cohort.split import split_patients
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import ScanError
from radiogenesis.evaluation.descriptions.properties import own_features

ALL = SamplingSettings(pixels=16, background_centers=0, lesions="all")
PATIENTS = ["P1", "P2", "P3", "P4"]


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """P1 has a ball of 9 mm between one of 6 and one of 2.5, which is below 0.1 ml; the others have one each."""
    folder = tmp_path_factory.mktemp("several")
    for patient in PATIENTS:
        write_ball(folder / "raw", patient, radii_mm=(6, 9, 2.5) if patient == "P1" else (8,))
    tables = Tables(expression=write_table(folder / "e.csv", PATIENTS))
    return build_cohort(folder / "raw", folder / "c", tables, sampling=ALL, build=BuildSettings(workers=1))


def test_each_lesion_is_a_row_with_its_patients_genes(several: Cohort) -> None:
    table = several.lesion_table
    assert table[["patient", "lesion"]].to_numpy().tolist() == [["P1", 1], ["P1", 2], ["P2", 1], ["P3", 1], ["P4", 1]]
    np.testing.assert_allclose(table["volume_ml"][:2], [4 / 3 * np.pi * r**3 for r in (0.9, 0.6)], rtol=0.1)
    np.testing.assert_allclose(table["x_mm"][:2], [-150 + 90, -150 + 30], atol=0.5)  # where the balls were put
    assert table["n_slices"].sum() == len(several.slice_image)
    assert several.expression[table["patient"]].shape == (5, 5)
    assert "1 of 3 lesions below 0.1 ml left out" in several.audit.set_index("patient").loc["P1", "reason"]
    assert "lesions      5 from 4 patients, 1 of them with several" in several.describe()


def test_the_second_lesion_lies_in_the_middle_of_its_slices(several: Cohort) -> None:
    for lesion in (1, 2):
        own = (several.slice_patient == "P1") & (several.slice_lesion == lesion)
        rows, columns = np.nonzero(several.slice_mask[own].any(axis=0))
        assert (rows.mean(), columns.mean()) == pytest.approx((7.5, 7.5), abs=0.6)


def test_slices_are_judged_by_the_largest_of_their_own_lesion(several: Cohort) -> None:
    """At half the area of the patient's largest slice, the small lesion would keep none: 6 and 9 mm are 0.44 apart."""
    own = several.lesions(["P1"], least_area=0.5)
    area = own.mask.sum((1, 2))
    assert set(own.lesion) == {1, 2}
    assert area[own.lesion == 2].max() < 0.5 * area.max()


def test_statistics_are_by_patient(several: Cohort) -> None:
    """A patient is on one side of every split, and one row of every table of features, however many the lesions."""
    for seed in range(3):
        split = split_patients(several, seed=seed, fractions=(0.5, 0.0, 0.5))
        parts = [several.lesions(part) for part in (split.train, split.test)]
        assert not {*parts[0].patient} & {*parts[1].patient}
        assert sum(map(len, parts)) == len(several.slice_image)
    assert own_features(several, PATIENTS).shape[0] == len(PATIENTS)
    assert several.patients.loc["P1", "tumour_volume_ml"] == several.lesion_table["volume_ml"].max()


def test_the_store_says_that_it_holds_every_lesion(several: Cohort, discs: Cohort) -> None:
    """An older radiogenesis refuses it; the digest covers whose lesion a slice is. Other cohorts stay as they were."""
    several.verify()
    assert several._attributes["schema_version"] == layout.WITH_LESIONS == 4
    assert discs._attributes["schema_version"] == layout.SCHEMA_VERSION == 3
    assert not {"slices/lesion", "lesions"} & set(discs._attributes["parts"])
    assert (discs.slice_lesion == 1).all()
    assert len(discs.lesion_table) == (discs.patients["n_slices"] > 0).sum()


def test_labels_and_rois_are_lesions_of_their_own_where_they_touch(tmp_path: Path) -> None:
    ct = example_ct()
    ct.write(tmp_path)
    rois = {
        name: [circle(ct, z, center, 3) for z in (1, 2, 3)] for name, center in (("GTV-1", (6, 6)), ("GTV-2", (11, 6)))
    }
    save(rtstruct(ct, rois), tmp_path / "rt.dcm")
    settings = ReadSettings(roi="GTV-*")
    (source,) = find_scans(tmp_path, settings).sources
    scan = read_scan(source, settings)
    assert scan.part_names == ("GTV-1", "GTV-2")
    small = SamplingSettings(pixels=64, lesions="all", least_lesion_ml=0, min_area_mm2=0)
    rows = cut_lesions(scan, small).rows
    assert rows is not None
    assert sorted(rows.name) == ["GTV-1", "GTV-2"]
    assert rows.volume_ml.sum() == pytest.approx(scan.volume_ml(str(scan.tumor)), rel=0.05)


def test_crumbs_are_no_lesions_and_the_largest_always_counts() -> None:
    mask = np.zeros((8, 30, 30), bool)
    mask[2:4, 4:6, 4:6] = mask[5, 25, 25] = True  # 8 voxels of 1 mm3, and one
    scan = Scan(patient="P", hu=np.where(mask, 0, -900).astype(np.int16), affine=np.eye(4)[:, [2, 1, 0, 3]],
                masks={"t": mask}, tumor="t")  # fmt: skip
    settings = SamplingSettings(pixels=64, lesions="all", min_area_mm2=0)
    rows = cut_lesions(scan, settings).rows
    assert rows is not None
    assert rows.volume_ml.tolist() == pytest.approx([0.008])
    with pytest.raises(ScanError, match="shows 50 mm2 of tumor"):
        cut_lesions(scan, SamplingSettings(pixels=16, lesions="all", min_area_mm2=50))
