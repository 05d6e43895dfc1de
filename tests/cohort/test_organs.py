"""Other organs and other scales than CT of the lung, which must stay as it was."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from dicom_files import Ct
from pydicom.uid import MRImageStorage
from scipy.stats import zscore

from radiogenesis.cohort.build import BuildSettings, build_cohort
from radiogenesis.cohort.dicom import beside
from radiogenesis.cohort.nifti import write_nifti
from radiogenesis.cohort.patient_parts import read_scan
from radiogenesis.cohort.sampling.organ_mask import organ_mask, remark_on
from radiogenesis.cohort.sampling.scale import on_scale
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.scan import Scan
from radiogenesis.cohort.sources import ReadSettings, Source
from radiogenesis.cohort.store import Cohort
from radiogenesis.cohort.volume_table import volume_table
from radiogenesis.errors import CohortError, InputError, SettingError
from radiogenesis.imaging import LUNG_CT, ORGANS, Imaging
from radiogenesis.phantom.phantom import _told, plan_cohort
from radiogenesis.phantom.settings import PhantomSettings
from radiogenesis.phenotypes.lesion import FEATURES, UNITS, in_units, labels, names
from radiogenesis.testing import toy_patient, write_cohort

MR = Imaging.of("brain", "zscore", None)
LIVER = Imaging.of("liver", "none", None)
SIDE = 48


def head(*, skull: bool, gain: float = 1.0, tumor: bool = True) -> Scan:
    """A ball of 40 mm radius in voxels of 2 mm, with a bright tumor of 8 mm; around it noise, or nothing."""
    rng = np.random.default_rng(3)
    z, y, x = np.mgrid[:SIDE, :SIDE, :SIDE] * 2.0 - (SIDE - 1)
    ball = z**2 + y**2 + x**2 < 40**2
    lesion = z**2 + y**2 + (x - 12) ** 2 < 8**2
    signal = np.where(ball, 100 + 10 * rng.standard_normal(ball.shape), np.abs(2 * rng.standard_normal(ball.shape)))
    signal = np.where(lesion, 160, signal if skull else np.where(ball, signal, 0))
    scan = Scan(patient="P", hu=(gain * signal).astype(np.float32), affine=np.diag([2.0, 2, 2, 1])[:, [2, 1, 0, 3]])
    return scan.with_mask("tumor", lesion, tumor=True) if tumor else scan


def test_ct_of_the_lung_is_what_it_was() -> None:
    scan = Scan(patient="P", hu=np.zeros((2, 3, 3), np.int16), affine=np.eye(4))
    assert on_scale(scan, Imaging.of("lung", "none", None), None) is scan
    assert SamplingSettings().field_of_view_mm == 60.0  # as before there were organs
    assert SamplingSettings().boundary_mm == (5.0, 25.0)
    assert labels(LUNG_CT) == (
        "size (mm)", "attenuation (HU)", "spiculation", "margin (mm)", "heterogeneity (HU)", "cavitation"
    )  # fmt: skip
    values = np.random.default_rng(0).normal(size=(4, 6))
    assert in_units(values, LUNG_CT) is values
    assert not {"organ", "window"} & set(_told(PhantomSettings()))  # the truth of a phantom is under its digest


def test_only_other_cohorts_have_it_in_their_digest(tmp_path: Path) -> None:
    def written(name: str, imaging: Imaging) -> Cohort:
        one = toy_patient("P", np.zeros((1, 32, 32)), np.ones((1, 32, 32), bool))
        return write_cohort(tmp_path / name, [one], imaging=imaging)

    lung, brain = written("a", LUNG_CT), written("b", MR)
    assert "imaging" not in json.loads((lung.path / "zarr.json").read_text())["attributes"]
    assert lung.digest != brain.digest
    assert lung.imaging == LUNG_CT
    assert Cohort.open(brain.path).imaging == MR
    attributes = brain.path / "zarr.json"
    attributes.write_text(re.sub(r'"organ":\s*"brain"', '"organ":"liver"', attributes.read_text()))
    with pytest.raises(CohortError, match="not those it was written with"):
        Cohort.open(brain.path)


@pytest.mark.parametrize("imaging", [MR, LIVER])
def test_the_window_lies_where_networks_look_and_goes_back(imaging: Imaging) -> None:
    low, high = imaging.window
    assert imaging.stored(low) == -1000
    assert imaging.stored(high) == pytest.approx(500)
    ends = np.linspace(low, high, 7)
    np.testing.assert_allclose(imaging.level(imaging.stored(ends)), ends, atol=1e-12)
    assert imaging.spread(150.0) == pytest.approx((high - low) / 10)
    found = in_units(np.array([[10.0, -1000.0, 0.1, 3.0, 150.0, 0.5]]), imaging)[0]
    np.testing.assert_allclose(found, [10, low, 0.1, 3, (high - low) / 10, 0.5], atol=1e-12)


def test_names_follow_what_is_shown() -> None:
    assert names(MR)[FEATURES.index("attenuation")] == "mean intensity"
    assert labels(MR)[FEATURES.index("heterogeneity")] == "heterogeneity (z)"
    assert names(LIVER) == (*FEATURES[:-1], "dark part")
    assert not [name for name in labels(MR) if "HU" in name]
    assert set(UNITS) == set(FEATURES)


def test_z_scores_are_those_of_the_healthy_brain_whatever_the_scanner() -> None:
    one, louder = head(skull=False), head(skull=False, gain=7.5)
    brain = organ_mask(one, MR)
    np.testing.assert_array_equal(brain, one.hu > 0)
    healthy = brain & ~one.tumor_mask
    expected = zscore(one.hu[healthy].astype(float))
    found = on_scale(one, MR, brain)
    assert found.hu.dtype == np.int16
    np.testing.assert_allclose(MR.level(found.hu[healthy].astype(float)), expected.clip(-3.13, None), atol=0.003)
    again = on_scale(louder, MR, organ_mask(louder, MR))
    assert np.abs(again.hu.astype(int) - found.hu).max() <= 1


def test_a_head_is_told_from_a_brain_and_loses_scalp_and_skull() -> None:
    brain = organ_mask(head(skull=True), MR)
    assert brain.sum() * 8 == pytest.approx(4 / 3 * np.pi * 28**3, rel=0.06)  # 40 mm less 12 mm
    assert remark_on(MR) == ""


def test_what_is_not_found_is_the_body_and_said() -> None:
    hu = np.full((4, 40, 40), -1000, np.int16)
    hu[:, 5:35, 8:30] = 60
    liver = organ_mask(Scan(patient="P", hu=hu, affine=np.eye(4)), LIVER)
    np.testing.assert_array_equal(liver, hu > 0)
    assert "whole body" in remark_on(LIVER)
    given = np.zeros(hu.shape, bool)
    assert organ_mask(Scan(patient="P", hu=hu, affine=np.eye(4)), LIVER, given) is given
    assert remark_on(LIVER, given) == ""


def test_a_scan_of_mr_becomes_a_cohort_and_is_refused_as_ct(tmp_path: Path) -> None:
    scan, raw = head(skull=False, gain=0.01), tmp_path / "raw"
    (raw / "P").mkdir(parents=True)
    write_nifti(raw / "P" / "image.nii.gz", scan.hu, scan.affine)
    write_nifti(raw / "P" / "mask.nii.gz", scan.tumor_mask, scan.affine)
    how = {"build": BuildSettings(workers=1)}
    brain = SamplingSettings(organ="brain", pixels=16, boundary_mm=(5, 30), slices_per_center=3)
    cohort = build_cohort(raw, tmp_path / "c.zarr", read=ReadSettings(normalize="zscore"), sampling=brain, **how)
    assert cohort.imaging == MR
    assert cohort.field_of_view_mm == ORGANS["brain"].field_of_view_mm
    inside = cohort.imaging.level(cohort.slice_image[cohort.slice_mask].astype(float))
    assert np.median(inside) == pytest.approx((160 - 100) / 10, rel=0.05) or np.median(inside) > 5  # beyond the window
    assert len(cohort.background_image) == 3
    assert "brain, window z = −3 to 5" in cohort.describe()
    with pytest.raises(InputError) as refused:
        build_cohort(raw, tmp_path / "d.zarr", **how)
    assert "--normalize zscore" in str(refused.value)


def test_dicom_of_mr_is_read_where_it_is_asked_for(tmp_path: Path) -> None:
    signal = np.random.default_rng(0).integers(0, 900, (3, 6, 6)).astype(np.int16)
    series = Ct(signal)
    for data in series.slices:
        data.SOPClassUID, data.Modality = MRImageStorage, "MR"
        data.file_meta.MediaStorageSOPClassUID = MRImageStorage
        for keyword in ("RescaleSlope", "RescaleIntercept"):
            delattr(data, keyword)
    series.write(tmp_path)
    from radiogenesis.cohort.dicom.folder import find_dicom

    read = ReadSettings(normalize="zscore")
    (source,) = find_dicom(tmp_path, read).sources
    scan = read_scan(source, read)
    np.testing.assert_array_equal(scan.hu, signal + 1000.0)  # as stored: MR need not say how it is rescaled
    assert scan.hu.dtype == np.float32
    found = find_dicom(tmp_path, ReadSettings())
    assert found.sources == []
    assert found.refused == [("P1", "no CT series, only 3 MR")]


def test_what_is_for_lungs_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="whole slices are of lungs only, not of brain"):
        SamplingSettings(organ="brain", whole_pixels=32)
    with pytest.raises(SettingError, match="cohort radiomics reads CT in HU alone"):
        volume_table(tmp_path, tmp_path / "t.csv", read=ReadSettings(normalize="zscore"))
    with pytest.raises(ValueError, match="the lower end first"):
        SamplingSettings(window=(5.0, -3.0))
    with pytest.raises(ValueError, match="unlisted True: of phantoms of the lung only"):
        PhantomSettings(organ="brain", unlisted=True)
    with pytest.raises(ValueError, match="phantoms are of lung or brain"):
        PhantomSettings(organ="liver")


def test_tumors_of_phantom_brains_follow_seven_factors() -> None:
    plan = plan_cohort(PhantomSettings(organ="brain", patients=12, genes=80, modules=8))
    assert list(plan.truth.factors)[-1] == "edema"
    assert set(plan.truth.gene_effects["factor"]) == set(plan.truth.factors)
    assert plan.truth.settings["organ"] == "brain"


def test_an_outline_of_the_organ_around_the_tumor_leaves_it_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """RTSTRUCT nearly always have BODY or the organ: nothing of it would be left for backgrounds and z-scores."""
    scan = head(skull=False)
    body, node = scan.hu != scan.hu[0, 0, 0], np.zeros(scan.hu.shape, bool)
    node[20:24, 20:24, 14:18] = True
    monkeypatch.setattr(beside, "_others", lambda *_, **__: iter([("BODY", body), ("NODE", node)]))
    source = Source(patient="P", kind="dicom", image_files=(), outline_files=(Path("outlines.dcm"),))
    marked = {
        of_lungs: beside.with_others(scan, source, None, ReadSettings(), of_lungs=of_lungs)  # type: ignore[arg-type]
        for of_lungs in (True, False)
    }
    np.testing.assert_array_equal(marked[False].outlined_mask, scan.tumor_mask | node)
    np.testing.assert_array_equal(marked[True].outlined_mask, body | scan.tumor_mask | node)
