"""What anonymizers and converters leave of a header: blank identifiers, another class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_files import Ct, circle, example_ct, rtstruct, save, seg
from dicom_reading import SETTINGS, find, read, refusal
from pydicom.dataset import Dataset

from radiogenesis.cohort.dicom.folder import read_dicom
from radiogenesis.cohort.dicom.headers import SECONDARY_CAPTURE


def blank(ct: Ct, *keywords: str) -> Ct:
    for one in ct.slices:
        for keyword in keywords:
            setattr(one, keyword, "")
    return ct


def outline(ct: Ct) -> Dataset:
    return rtstruct(ct, {"GTV-1": [circle(ct, z, (10, 9), 4) for z in (2, 3)]})


def without_references(data: Dataset) -> Dataset:
    data.ReferencedFrameOfReferenceSequence = []
    for roi in data.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = ""
    return data


def mask_of(ct: Ct) -> np.ndarray:
    mask = np.zeros(ct.hu.shape, bool)
    mask[1:4, 5:9, 5:9] = True
    return mask


def test_a_blank_patient_id_does_not_hide_a_damaged_outline(tmp_path: Path) -> None:
    example_ct(patient="A").write(tmp_path / "A")
    example_ct(patient="C").write(tmp_path / "C")
    blank(example_ct(patient=""), "PatientName").write(tmp_path / "B")
    damaged = tmp_path / "A" / "rtstruct.dcm"
    damaged.write_bytes(bytes(3000))
    findings = find(tmp_path)
    assert {one.patient: one.unread_outlines for one in findings.sources} == {"A": (damaged,), "C": ()}
    assert [patient for patient, _ in findings.refused] == [""]


def test_a_whole_outline_that_names_nobody_is_everybodys_in_its_folder(tmp_path: Path) -> None:
    ct = example_ct(patient="A")
    ct.write(tmp_path / "A")
    example_ct(patient="C").write(tmp_path / "C")
    data = outline(example_ct(patient=""))
    data.PatientName = ""
    path = save(data, tmp_path / "A" / "rt.dcm")
    findings = find(tmp_path)
    assert [one.patient for one in findings.sources] == ["C"]
    line = (
        f"{path}: may be the patient of an outline that names no patient, and no image that is here; set its PatientID"
    )
    assert findings.refused == [("", "files without PatientID and PatientName; set PatientID"), ("A", line)]
    # Whoever has an outline of their own keeps it, and lends no backgrounds.
    save(outline(ct), tmp_path / "A" / "own.dcm")
    first, _ = find(tmp_path).sources
    assert (first.outline_files, first.unread_outlines) == ((tmp_path / "A" / "own.dcm",), (path,))


@pytest.mark.parametrize("kind", ["RTSTRUCT", "SEG"])
def test_blank_uids(tmp_path: Path, kind: str) -> None:
    """Series and instances without UIDs: a folder is a series, and its patient's outline belongs to it."""
    for name in ("P1", "P2"):
        ct = example_ct(patient=name)
        data = outline(ct) if kind == "RTSTRUCT" else seg(ct, mask_of(ct))
        blank(ct, "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID").write(tmp_path / name)
        save(without_references(data) if kind == "RTSTRUCT" else data, tmp_path / name / "outline.dcm")
    findings = find(tmp_path)
    assert (findings.refused, findings.skipped) == ([], [])
    for source in findings.sources:
        assert source.outline_files == (tmp_path / source.patient / "outline.dcm",)
        scan = read_dicom(source, SETTINGS)
        assert scan.tumor_mask[2].any()
        assert "those of one folder are taken for a series" in source.chosen_because
        assert "only series of the patient that outline.dcm names" in source.chosen_because


def test_blank_uids_and_two_series(tmp_path: Path) -> None:
    for name, slices in (("a", 6), ("b", 7)):
        ct = blank(example_ct(slices), "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
        ct.write(tmp_path / name)
    save(without_references(outline(ct)), tmp_path / "rt.dcm")
    assert "the outline refers to another frame of reference (none)" in refusal(tmp_path)


def test_blank_class_with_a_file_header(tmp_path: Path) -> None:
    ct = example_ct()
    data = outline(ct)
    data.SOPClassUID, data.file_meta.MediaStorageSOPClassUID = "", data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    blank(ct, "SOPClassUID")
    (tmp_path / "ct").mkdir()
    for index, one in enumerate(ct.slices):
        one.save_as(tmp_path / "ct" / f"{index}.dcm")
    data.save_as(tmp_path / "rt.dcm")
    assert read(tmp_path).tumor == "GTV-1"


def captured(ct: Ct) -> Ct:
    for one in ct.slices:
        one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = SECONDARY_CAPTURE
    return ct


def test_ct_as_secondary_capture(tmp_path: Path) -> None:
    ct = captured(example_ct())
    ct.write(tmp_path)
    save(outline(ct), tmp_path / "rt.dcm")
    scan = read(tmp_path)
    np.testing.assert_array_equal(scan.hu, ct.hu)
    assert scan.tumor == "GTV-1"


def test_a_captured_screen_is_no_ct_and_a_capture_stands_behind_ct(tmp_path: Path) -> None:
    screen = captured(example_ct(9))
    for one in screen.slices:
        del one.ImageOrientationPatient
    screen.write(tmp_path / "screen")
    assert refusal(tmp_path) == "no CT series, only 9 CT"
    captured(example_ct(8)).write(tmp_path / "capture")
    ct = example_ct(6)
    ct.write(tmp_path / "ct")
    np.testing.assert_array_equal(read(tmp_path).hu, ct.hu)
