"""Finding: which files are a patient, which series and which outline are chosen, and why."""

from __future__ import annotations

import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from dicom_files import Ct, circle, example_ct, rtstruct, save, seg, segment
from dicom_reading import SETTINGS, find, refusal
from pydicom.dataset import Dataset
from pydicom.uid import (
    generate_uid,
)

from radiogenesis.cohort.dicom.folder import ReadSettings, Source, read_dicom
from radiogenesis.errors import ScanError


def test_a_flat_folder_with_everything_mixed(tmp_path: Path) -> None:
    """Two patients, several series and modalities, and rubbish, in one folder with meaningless names."""
    names = iter(np.random.default_rng(1).permutation(1000))
    folder = tmp_path / "flat"

    def scatter(ct: Ct) -> None:
        ct.write(folder, lambda _: f"{next(names)}.dcm")

    outlined, thick, other = example_ct(6), example_ct(5), example_ct(7, patient="P2")
    thick.slices[0].SliceThickness = 5
    scatter(outlined)
    scatter(thick)
    scatter(other)
    pet = example_ct(4)
    for one in pet.slices:
        one.SOPClassUID, one.Modality = "1.2.840.10008.5.1.4.1.1.128", "PT"
    scatter(pet)
    localizer = example_ct(2)
    for one in localizer.slices:
        one.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scatter(localizer)
    tumor = [circle(outlined, z, (10, 9), 4) for z in (2, 3)]
    save(rtstruct(outlined, {"Lung": tumor, "gtv-1": tumor}), folder / f"{next(names)}.dcm")
    (folder / "notes.txt").write_text("left lung")
    (folder / "empty.dcm").touch()
    (folder / "cut.dcm").write_bytes(min(folder.glob("[0-9]*.dcm")).read_bytes()[:200])

    findings = find(folder)
    assert findings.modalities == {"CT": 6 + 5 + 7 + 2, "PT": 4, "RTSTRUCT": 1}
    assert {path.name for path, _ in findings.skipped} == {"notes.txt", "empty.dcm", "cut.dcm"}
    assert not findings.refused
    first, second = findings.sources
    assert (first.patient, second.patient) == ("P1", "P2")
    assert re.fullmatch(r"series that RTSTRUCT \d+.dcm refers to, of 2 CT series", first.chosen_because)
    assert second.outline_files == ()
    assert second.chosen_because == ""
    assert pickle.loads(pickle.dumps(findings.sources)) == findings.sources
    scan = read_dicom(first, SETTINGS)
    np.testing.assert_array_equal(scan.hu, outlined.hu)
    assert scan.tumor == "gtv-1"
    assert scan.tumor_mask[2:4].sum() == scan.tumor_mask.sum() > 0
    assert scan.acquisition.chosen_because == first.chosen_because


def test_an_outline_finds_its_series_whatever_its_patient_id(tmp_path: Path) -> None:
    ct, more = example_ct(6), example_ct(9)
    ct.write(tmp_path / "a" / "b")
    more.write(tmp_path / "c")
    outline = rtstruct(ct, {"GTV-1": [circle(ct, 1, (10, 9), 4)]})
    outline.PatientID = "pseudonym of somebody careless"
    save(outline, tmp_path / "d" / "e" / "f" / "rt.dcm")
    findings = find(tmp_path)
    assert [source.patient for source in findings.sources] == ["P1"]
    assert len(findings.sources[0].image_files) == 6
    assert not findings.refused


def test_rule_for_several_series_without_an_outline(tmp_path: Path) -> None:
    """Axial before reformatted, original before derived, most slices, thinnest, UID."""
    series = {name: example_ct(count) for name, count in (("best", 6), ("few", 5), ("thick", 6), ("derived", 8))}
    series["coronal"] = example_ct(9, orientation=(1, 0, 0, 0, 0, -1))
    for one in series["derived"].slices:
        one.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    for one in series["thick"].slices:
        one.SliceThickness = 3
    for name, ct in series.items():
        ct.write(tmp_path / name)
    for expected in ("best", "thick", "few", "derived", "coronal"):
        (source,) = find(tmp_path).sources
        assert {path.parent.name for path in source.image_files} == {expected}
        assert ("best of" in source.chosen_because) == (expected != "coronal")
        shutil.rmtree(tmp_path / expected)


def test_rule_for_several_outlines(tmp_path: Path) -> None:
    """Tumor named, RTSTRUCT, person before algorithm, latest; and automatic ones can be left out."""
    ct = example_ct(6)
    ct.write(tmp_path / "ct")
    mask = np.zeros(ct.hu.shape, bool)
    mask[2:4, 5:9, 5:9] = True
    tumor = [circle(ct, z, (10, 9), 4) for z in (2, 3)]
    save(rtstruct(ct, {"GTV-1": tumor}), tmp_path / "rt.dcm")
    save(seg(ct, mask), tmp_path / "old.dcm")
    save(seg(ct, mask, date="20210101"), tmp_path / "new.dcm")
    save(seg(ct, mask, [segment(by="AUTOMATIC")], date="20220101"), tmp_path / "ai.dcm")
    save(rtstruct(ct, {"Heart": tumor}), tmp_path / "heart.dcm")
    for expected in ("rt", "new", "old", "ai"):
        (source,) = find(tmp_path).sources
        assert [path.stem for path in source.outline_files] == [expected]
        assert f"{expected}.dcm of" in source.chosen_because
        assert ("algorithm" in source.chosen_because) == (expected == "ai")
        if expected == "ai":
            (source,) = find(tmp_path, ReadSettings(automatic_outlines=False)).sources
            assert [path.stem for path in source.outline_files] == ["heart"]
            ((path, reason),) = find(tmp_path, ReadSettings(automatic_outlines=False)).skipped
            assert (path.stem, "by an algorithm alone" in reason) == ("ai", True)
        (tmp_path / f"{expected}.dcm").unlink()
    assert refusal(tmp_path).endswith("no ROI 'GTV-1' in the RTSTRUCT; it has 'Heart'; set --roi")


def test_identical_copies_count_once(tmp_path: Path) -> None:
    ct = example_ct()
    ct.write(tmp_path / "a")
    ct.write(tmp_path / "b")
    findings = find(tmp_path)
    assert len(findings.skipped) == 6
    assert {reason for _, reason in findings.skipped} == {"a copy of another file"}
    np.testing.assert_array_equal(read_dicom(findings.sources[0], SETTINGS).hu, ct.hu)


def test_one_slice_and_no_slice(tmp_path: Path) -> None:
    example_ct(1).write(tmp_path / "one")
    assert "one slice" in refusal(tmp_path / "one")
    pet = example_ct(3)
    for one in pet.slices:
        one.SOPClassUID, one.Modality = "1.2.840.10008.5.1.4.1.1.128", "PT"
    pet.write(tmp_path / "pet")
    assert refusal(tmp_path / "pet") == "no CT series, only 3 PT"
    with pytest.raises(ScanError, match=r"there is no such folder"):
        find(tmp_path / "none")


def test_outline_in_another_frame_of_reference(tmp_path: Path) -> None:
    ct, elsewhere = example_ct(), example_ct()
    ct.write(tmp_path)
    save(rtstruct(elsewhere, {"GTV-1": [circle(ct, 2, (10, 9), 4)]}), tmp_path / "rt.dcm")
    assert "rt.dcm: the outline refers to another frame of reference" in refusal(tmp_path)
    # The same, where the header names the right series and the ROI lies in another frame.
    outline = rtstruct(ct, {"GTV-1": [circle(ct, 2, (10, 9), 4)]})
    outline.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = generate_uid()
    save(outline, tmp_path / "rt.dcm")
    assert "rt.dcm: the outline refers to another frame of reference" in refusal(tmp_path)


@pytest.mark.parametrize("link", ["images", "frame"])
def test_weaker_links(tmp_path: Path, link: str) -> None:
    """An outline that names no series that is here is linked by its images, then by its frame of reference."""
    ct, twin = example_ct(6), example_ct(9)
    ct.write(tmp_path / "ct")
    twin.write(tmp_path / "twin")
    outline = rtstruct(ct, {"GTV-1": [circle(ct, 2, (10, 9), 4)]}, images=link == "images")
    if link == "images":
        frame = outline.ReferencedFrameOfReferenceSequence[0]
        frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID = generate_uid()
    save(outline, tmp_path / "rt.dcm")
    (source,) = find(tmp_path).sources
    assert {path.parent.name for path in source.image_files} == {"ct"}
    expected = "rt.dcm refers to, of 2 CT" if link == "images" else "in the frame of reference of rt.dcm"
    assert expected in source.chosen_because


def test_images_name_the_series_where_the_header_names_two(tmp_path: Path) -> None:
    """As in the SEG of R01-003: the same images under a second series, which is here and has more slices."""
    ct, more = example_ct(6), example_ct(9)
    ct.write(tmp_path / "ct")
    more.write(tmp_path / "more")
    mask = np.zeros(ct.hu.shape, bool)
    mask[2, 5:9, 5:9] = True
    data = seg(ct, mask)
    again = Dataset()
    again.SeriesInstanceUID = more.series_uid
    again.ReferencedInstanceSequence = data.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    data.ReferencedSeriesSequence.append(again)
    save(data, tmp_path / "seg.dcm")
    (source,) = find(tmp_path).sources
    assert {path.parent.name for path in source.image_files} == {"ct"}
    np.testing.assert_array_equal(read_dicom(source, SETTINGS).tumor_mask, mask)


def test_outline_without_its_points(tmp_path: Path) -> None:
    ct = example_ct()
    ct.write(tmp_path)
    outline = rtstruct(ct, {"GTV-1": [circle(ct, 2, (10, 9), 4)]})
    del outline.ROIContourSequence[0].ContourSequence[0].ContourData
    save(outline, tmp_path / "rt.dcm")
    assert "rt.dcm: the outline cannot be read" in refusal(tmp_path)


def test_damaged_outline(tmp_path: Path) -> None:
    ct = example_ct()
    ct.write(tmp_path)
    path = save(rtstruct(ct, {"GTV-1": [circle(ct, 2, (10, 9), 4)]}), tmp_path / "rt.dcm")
    source = Source(
        patient="P1", kind="dicom", image_files=(tmp_path / "000.dcm", tmp_path / "001.dcm"), outline_files=(path,)
    )
    path.write_text("gone")
    with pytest.raises(ScanError, match=r"rt.dcm: the outline cannot be read"):
        read_dicom(source, SETTINGS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"roi": ""},
        {"fraction": 0.0},
        {"spacing_tolerance_mm": -1.0},
        {"tilt_tolerance_mm": 0.0},
        {"plane_tolerance": 0.5},
    ],
)
def test_settings_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ReadSettings(**wrong)  # type: ignore[arg-type]


def test_two_patients_under_one_series_uid_are_refused(tmp_path: Path) -> None:
    """As a careless pseudonymization leaves them: one volume of two people, if series were told by UID alone."""
    first = example_ct(4)
    second = example_ct(4, patient="P2", series_uid=first.series_uid, origin=(-10.0, -20.0, 38.0))
    first.write(tmp_path / "1")
    second.write(tmp_path / "2")
    example_ct(4, patient="P3").write(tmp_path / "3")
    findings = find(tmp_path)
    assert [source.patient for source in findings.sources] == ["P3"]
    line = f"CT series {first.series_uid} holds slices of several patients: 'P1', 'P2'; correct PatientID"
    assert [(patient, reason[: len(line)]) for patient, reason in findings.refused] == [("P1", line), ("P2", line)]


@pytest.mark.parametrize("how", ["cut off", "short pixels"])
def test_a_truncated_copy_beside_the_whole_slice_is_dropped(tmp_path: Path, how: str) -> None:
    ct = example_ct()
    paths = ct.write(tmp_path / "a")
    copy = tmp_path / "b" / "000.dcm"
    copy.parent.mkdir()
    if how == "cut off":
        copy.write_bytes(paths[2].read_bytes()[:-100])
    else:
        ct.slices[2].PixelData = ct.slices[2].PixelData[:100]
        save(ct.slices[2], copy)
    findings = find(tmp_path)
    assert findings.skipped == [(copy, "a truncated copy of another file")]
    np.testing.assert_array_equal(read_dicom(findings.sources[0], SETTINGS).hu, ct.hu)
    paths[2].unlink()
    assert "truncated" in refusal(tmp_path)
