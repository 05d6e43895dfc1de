"""A damaged outline never turns into "nothing is outlined": its patient lends no backgrounds, and the file is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_files import Ct, circle, example_ct, rtstruct, save, seg
from dicom_reading import SETTINGS, find, refusal
from pydicom.dataset import Dataset
from tiny_cohorts import write_chest

from radiogenesis.cohort.dicom.folder import read_dicom
from radiogenesis.cohort.folders.find import find_volumes
from radiogenesis.cohort.nifti import read_nifti
from radiogenesis.cohort.patient_parts import make_part, read_part
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.sources import ReadSettings, Source


def outline(ct: Ct, kind: str = "RTSTRUCT") -> Dataset:
    if kind == "RTSTRUCT":
        return rtstruct(ct, {"Lung": [circle(ct, 2, (10, 9), 8)], "GTV-1": [circle(ct, z, (10, 9), 4) for z in (2, 3)]})
    mask = np.zeros(ct.hu.shape, bool)
    mask[1:4, 5:9, 5:9] = True
    return seg(ct, mask)


def cut(path: Path, share: float) -> Path:
    whole = path.read_bytes()
    path.write_bytes(whole[: round(share * len(whole))])
    return path


def with_undefined_lengths(data: Dataset) -> Dataset:
    """As many writers have it: a sequence ends with a delimiter instead of stating its length."""
    for element in data:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                with_undefined_lengths(item)
    return data


@pytest.mark.parametrize("share", [0.0, 0.006, 0.05, 0.3, 0.6, 0.99, 0.9995])
@pytest.mark.parametrize("kind", ["RTSTRUCT", "delimited", "SEG"])
def test_wherever_an_outline_is_cut_off_its_patient_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    """Also where pydicom reads on in silence: between two elements, or inside the last one."""
    ct = example_ct()
    ct.write(tmp_path / "P1" / "ct")
    data = with_undefined_lengths(outline(ct)) if kind == "delimited" else outline(ct, kind)
    path = cut(save(data, tmp_path / "P1" / "SEG_1" / "1-1.dcm"), share)
    assert refusal(tmp_path) == f"an outline could not be read: {path}; copy it again"
    ((skipped, reason),) = find(tmp_path).skipped
    assert (skipped, str(tmp_path) in reason) == (path, False)
    assert reason.startswith("an outline that cannot be read: ")


def test_an_outline_without_its_last_sequence(tmp_path: Path) -> None:
    ct = example_ct()
    ct.write(tmp_path)
    data = outline(ct)
    del data.ROIContourSequence
    save(data, tmp_path / "rt.dcm")
    assert "an outline could not be read" in refusal(tmp_path)


def test_an_outline_that_cannot_be_opened(tmp_path: Path) -> None:
    ct = example_ct()
    ct.write(tmp_path / "300.0-Segmentation-64937")
    (tmp_path / "300.0-Segmentation-64937" / "1-1.dcm").symlink_to(tmp_path / "nowhere.dcm")
    assert "an outline could not be read" in refusal(tmp_path)
    assert find(tmp_path).skipped[0][1] == (
        "an outline that cannot be read: cannot be opened (No such file or directory)"
    )


def test_the_patient_it_names_the_nearest_folder_or_nobody(tmp_path: Path) -> None:
    """By PatientID; where that is cut off too or is a stranger's, everybody in the nearest folder with a CT."""
    scans = {name: example_ct(patient=name) for name in ("A", "B", "C")}
    for name, ct in scans.items():
        ct.write(tmp_path / ("ab" if name in "AB" else "c") / name)
    (tmp_path / "ab" / "cut.dcm").write_bytes((tmp_path / "ab" / "A" / "000.dcm").read_bytes()[:200])  # a CT slice

    def kept_out() -> list[str]:
        return [source.patient for source in find(tmp_path).sources if source.unread_outlines]

    assert kept_out() == []
    path = save(outline(scans["C"]), tmp_path / "ab" / "rt.dcm")
    whole = path.read_bytes()
    cut(path, 0.9)
    assert kept_out() == ["C"]
    path.write_bytes(whole[:300])
    assert kept_out() == ["A", "B"]
    path.write_bytes(whole.replace(b"\x10\x00\x20\x00LO\x02\x00C ", b"\x10\x00\x20\x00LO\x02\x00X ")[:-100])
    assert kept_out() == ["A", "B"]
    path.rename(tmp_path / "rt.dcm")
    assert kept_out() == ["A", "B", "C"]


def test_beside_a_whole_outline_the_tumor_is_read_and_nothing_else_is_cut(tmp_path: Path) -> None:
    ct = example_ct()
    ct.write(tmp_path)
    save(outline(ct), tmp_path / "rt.dcm")
    lost = cut(save(outline(ct, "SEG"), tmp_path / "seg.dcm"), 0.9)
    (source,) = find(tmp_path).sources
    assert [path.name for path in source.outline_files] == ["rt.dcm"]
    assert source.unread_outlines == (lost,)
    assert read_dicom(source, SETTINGS).tumor == "GTV-1"
    # A whole outline without the tumor's name does not excuse the one that may have it.
    save(rtstruct(ct, {"Heart": [circle(ct, 2, (10, 9), 4)]}), tmp_path / "rt.dcm")
    assert refusal(tmp_path) == f"an outline could not be read: {lost}; copy it again"


@pytest.mark.parametrize("length", [600, 2000])
def test_a_truncated_copy_beside_the_whole_outline_is_dropped(tmp_path: Path, length: int) -> None:
    ct = example_ct()
    ct.write(tmp_path)
    whole = save(outline(ct), tmp_path / "rt.dcm").read_bytes()
    (tmp_path / "copy.dcm").write_bytes(whole[:length])
    findings = find(tmp_path)
    (source,) = findings.sources
    assert (source.outline_files, source.unread_outlines) == ((tmp_path / "rt.dcm",), ())
    assert findings.skipped == [(tmp_path / "copy.dcm", "a truncated copy of another file")]


def test_a_part_of_such_a_patient_has_slices_only(tmp_path: Path) -> None:
    write_chest(tmp_path / "raw", "P1")
    (whole,) = find_volumes(tmp_path / "raw", ReadSettings()).sources
    assert read_nifti(whole, ReadSettings()).tumor == "tumor"
    source = Source(**{**vars(whole), "unread_outlines": (tmp_path / "raw" / "rt.dcm",)})
    sampling = SamplingSettings(pixels=16, slices_per_center=2, whole_pixels=32)
    outcome = make_part(source, ReadSettings(), sampling, tmp_path / "part.npz")
    assert outcome.status == "in"
    assert outcome.reason == f"no backgrounds: an outline could not be read: {tmp_path / 'raw' / 'rt.dcm'}"
    part = read_part(tmp_path / "part.npz")
    assert part.slices is not None
    assert (part.backgrounds, part.whole) == (None, None)
