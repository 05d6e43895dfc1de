"""Turning scans: SimpleITK turns the same volumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import Ct, example_ct, save, seg

from radiogenesis.cohort.dicom.folder import ReadSettings, find_dicom, read_dicom
from radiogenesis.cohort.patient_parts import read_scan
from radiogenesis.cohort.sampling.upright import turned_back, upright
from radiogenesis.cohort.scan import Scan


def scan_of(ct: Ct) -> Scan:
    mask = ct.hu > 1000
    return Scan(patient="P1", hu=ct.hu, affine=ct.affine, masks={"tumor": mask}, tumor="tumor")


def by_simpleitk(ct: Ct) -> tuple[np.ndarray, np.ndarray]:
    image = sitk.GetImageFromArray(ct.hu)
    image.SetSpacing(ct.spacing[::-1])
    image.SetOrigin(ct.origin)
    image.SetDirection((ct.affine[:3, [2, 1, 0]] / np.array(ct.spacing)[::-1]).ravel())
    turned = sitk.DICOMOrient(image, "LPS")
    last = turned.TransformIndexToPhysicalPoint([size - 1 for size in turned.GetSize()])
    return sitk.GetArrayFromImage(turned), np.array([turned.GetOrigin(), last])


@pytest.mark.parametrize(
    ("orientation", "planes"),
    [
        pytest.param((0, 1, 0, 0, 0, -1), "sagittal", id="sagittal"),
        pytest.param((1, 0, 0, 0, 0, -1), "coronal", id="coronal"),
        pytest.param((1, 0, 0, 0, -1, 0), "", id="rows from back to front"),
        pytest.param((-1, 0, 0, 0, 1, 0), "", id="mirrored"),
        pytest.param((0, 1, 0, 1, 0, 0), "", id="rows and columns exchanged"),
        pytest.param((0, np.cos(0.3), np.sin(0.3), 0, np.sin(0.3), -np.cos(0.3)), "sagittal", id="oblique"),
    ],
)
def test_turned_as_simpleitk_turns(orientation: tuple[float, ...], planes: str) -> None:
    ct = example_ct(orientation=orientation)
    scan = scan_of(ct)
    scan = replace(scan, organ=scan.tumor_mask, parts=scan.tumor_mask.astype(np.int16), part_names=("GTV-1",))
    turned = upright(scan)
    hu, ends = by_simpleitk(ct)
    np.testing.assert_array_equal(turned.hu, hu)
    corners = turned.to_patient(np.array([[0, 0, 0], np.array(hu.shape) - 1], float))
    np.testing.assert_allclose(corners, ends, atol=1e-6)
    for mask in (turned.tumor_mask, turned.organ, turned.parts):
        np.testing.assert_array_equal(mask, turned.hu > 1000)
    np.testing.assert_array_equal(turned_back(turned.tumor_mask, scan), scan.tumor_mask)
    told = (f"the CT is {planes}: turned to axial planes, planes were 2 mm apart",) if planes else ()
    assert turned.remarks == told


def test_an_axial_scan_is_left_alone() -> None:
    scan = scan_of(example_ct(orientation=(1, 0, 0, 0, np.cos(0.2), np.sin(0.2))))
    assert upright(scan) is scan


def test_the_outline_of_a_sagittal_series_turns_with_it(tmp_path: Path) -> None:
    ct = example_ct(orientation=(0, 1, 0, 0, 0, -1))
    ct.write(tmp_path)
    mask = np.zeros(ct.hu.shape, bool)
    mask[2:4, 5:9, 5:8] = True
    save(seg(ct, mask), tmp_path / "seg.dcm")
    (source,) = find_dicom(tmp_path, ReadSettings()).sources
    as_read, turned = read_dicom(source, ReadSettings()), read_scan(source, ReadSettings())
    assert turned.hu.shape == (24, 20, 6)
    np.testing.assert_array_equal(np.sort(turned.hu[turned.tumor_mask]), np.sort(as_read.hu[mask]))
    assert turned.tumor_mask.any(axis=(1, 2)).sum() == 4
