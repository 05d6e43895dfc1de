"""Scans and outlines that no person has are refused in one line with file and value, and cost one patient only."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_files import Ct, example_ct, save, seg, set_stored
from dicom_reading import find, read, refusal
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, generate_uid

from radiogenesis.cohort import plausible
from radiogenesis.cohort.dicom import headers
from radiogenesis.cohort.patient_parts import file_name
from radiogenesis.cohort.plausible import refuse_outline
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.cohort.volumes import load_volume
from radiogenesis.errors import ScanError


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("RescaleSlope", 0), ("RescaleSlope", -1), ("RescaleSlope", "1e300"), ("RescaleSlope", "1e-300"),
        ("RescaleIntercept", "1e300"), ("RescaleIntercept", "-1e300"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["one slice", "all slices"])
def test_a_rescaling_that_no_scanner_writes(tmp_path: Path, keyword: str, value: float | str, where: str) -> None:
    ct = example_ct()
    for one in ct.slices[3:4] if where == "one slice" else ct.slices:
        setattr(one, keyword, value)
    ct.write(tmp_path)
    line = refusal(tmp_path)
    assert f"00{3 if where == 'one slice' else 0}.dcm: the slice's {keyword} is {float(value):g}" in line


@pytest.mark.parametrize("edit", [{"RescaleSlope": "0.01"}, {"RescaleSlope": 50}, {"RescaleIntercept": -3000}])
def test_one_slice_that_is_rescaled_otherwise_than_its_neighbors(tmp_path: Path, edit: dict[str, object]) -> None:
    """Its values are no longer those of the slices beside it: the tumor on it would be gone."""
    ct = example_ct()
    for keyword, value in edit.items():
        setattr(ct.slices[4], keyword, value)
    ct.write(tmp_path)
    assert "004.dcm: the slice's RescaleSlope" in refusal(tmp_path)
    assert "those of the slices beside it lie from" in refusal(tmp_path)


def test_slopes_that_differ_from_slice_to_slice_are_applied(tmp_path: Path) -> None:
    """As PET has them, and some CT: stored numbers differ, HU do not."""
    ct = example_ct()
    for z, one in enumerate(ct.slices):
        slope = [0.5, 1, 2, 0.25, 1, 0.5][z]
        ct.hu[z] = np.round(ct.hu[z] / slope).astype(int) * slope
        one.RescaleSlope, one.RescaleIntercept = slope, -1000 if z % 2 else 0
        set_stored(one, ((ct.hu[z].astype(int) - float(one.RescaleIntercept)) / slope).round().astype(int))
    ct.write(tmp_path)
    np.testing.assert_allclose(read(tmp_path).hu, ct.hu, atol=1)


@pytest.mark.parametrize(("value", "line"), [(-1, "RescaleSlope is -1"), ("1e300", "RescaleSlope is 1e"), ("1e-5", "")])
def test_mr_whose_slope_is_absurd(tmp_path: Path, value: float | str, line: str) -> None:
    ct = example_ct()
    for one in ct.slices:
        one.SOPClassUID, one.Modality, one.RescaleSlope, one.RescaleIntercept = headers.MR_IMAGE, "MR", "0.5", 0
    ct.slices[2].RescaleSlope = value
    ct.write(tmp_path)
    told = refusal(tmp_path, ReadSettings(normalize="zscore"))
    assert (line or "those of the slices beside it lie from") in told


@pytest.mark.parametrize("edit", [{"MaximumFractionalValue": 0}, {"MaximumFractionalValue": None}])
def test_a_fractional_seg_whose_whole_is_nothing(tmp_path: Path, edit: dict[str, object]) -> None:
    data, path = fractional(tmp_path)
    for keyword, value in edit.items():
        setattr(data, keyword, value)
    save(data, path)
    assert "the SEG's MaximumFractionalValue is" in refusal(tmp_path)
    assert "nothing says which voxels are inside" in refusal(tmp_path)


def test_a_fractional_seg_with_more_than_the_whole(tmp_path: Path) -> None:
    data, path = fractional(tmp_path)
    data.MaximumFractionalValue = 2
    save(data, path)
    assert "times its MaximumFractionalValue" in refusal(tmp_path)


def fractional(folder: Path) -> tuple[Dataset, Path]:
    """A CT on disk, and a fractional SEG on it that is yet to be saved."""
    ct = example_ct()
    ct.write(folder / "ct")
    mask = np.zeros(ct.hu.shape, bool)
    mask[1:4, 4:9, 5:10] = True
    return seg(ct, mask.astype(float), kind="FRACTIONAL"), folder / "seg.dcm"


def test_masks_of_the_whole_scan_and_of_liters() -> None:
    mask = np.ones((10, 10, 10), bool)
    with pytest.raises(ScanError, match=r"mask\.nii: the outline fills 100% of the scan, 1 ml: it is no tumor's"):
        refuse_outline(mask, (1, 1, 1), Path("mask.nii"))
    mask[5:] = False
    refuse_outline(mask, (1, 1, 1), Path("mask.nii"))
    with pytest.raises(ScanError, match="500,000 ml"):
        refuse_outline(mask, (100, 100, 100), Path("mask.nii"))


def nifti(path: Path, *, zoom: float = 1.0, shape: tuple[int, ...] = (4, 5, 6)) -> Path:
    values = np.arange(int(np.prod(shape)), dtype=np.int16).reshape(shape)
    nib.save(nib.Nifti1Image(values, np.diag([zoom, zoom, zoom, 1.0])), path)
    return path


@pytest.mark.parametrize("zoom", [10_000.0, 1e-5, 60.0])
def test_voxels_of_meters(tmp_path: Path, zoom: float) -> None:
    with pytest.raises(ScanError, match=r"scan\.nii: voxels of .* mm are of no scan of a person"):
        load_volume(nifti(tmp_path / "scan.nii", zoom=zoom))


def test_a_scan_longer_than_a_person(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="longer than a person"):
        load_volume(nifti(tmp_path / "scan.nii", zoom=45, shape=(2, 2, 100)))


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "named_wrongly.nii"])
@pytest.mark.parametrize("offset", [0.0, 16.0, 351.0, -8.0, float("nan"), 1e12])
def test_voxels_inside_the_header(tmp_path: Path, name: str, offset: float) -> None:
    path = nifti(tmp_path / "scan.nii")
    content = bytearray(path.read_bytes())
    content[108:112] = np.array(offset, "<f4").tobytes()
    path.unlink()
    (tmp_path / name).write_bytes(bytes(content) if name == "scan.nii" else gzip.compress(bytes(content)))
    with pytest.raises(ScanError, match=r"\.nii.*: its voxels would begin at byte .* and its header ends at 352"):
        load_volume(tmp_path / name)


@pytest.mark.parametrize("name", ["scan.nii.gz", "named_wrongly.nii"])
def test_a_compressed_scan_is_not_unpacked_further_than_its_header_says(tmp_path: Path, name: str) -> None:
    path = nifti(tmp_path / "scan.nii")
    plain = load_volume(path)[0]
    content = path.read_bytes()
    path.unlink()
    with gzip.open(tmp_path / name, "wb") as file:
        file.write(content)
        for _ in range(64):
            file.write(bytes(2**20))
    np.testing.assert_array_equal(load_volume(tmp_path / name)[0], plain)


@pytest.mark.parametrize("packed", [True, False])
def test_a_header_that_promises_more_than_memory_holds(tmp_path: Path, packed: bool) -> None:
    path = nifti(tmp_path / "scan.nii")
    content = bytearray(path.read_bytes())
    content[42:48] = np.array([30_000] * 3, "<i2").tobytes()
    path.unlink()
    path = tmp_path / ("scan.nii.gz" if packed else "scan.nii")
    path.write_bytes(gzip.compress(bytes(content)) if packed else bytes(content))
    with pytest.raises(ScanError, match=r"its header promises 30000 x 30000 x 30000 values, more than"):
        load_volume(path)


def test_a_slice_or_a_series_that_promises_more_than_memory_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ct = example_ct()
    ct.slices[0].Rows = ct.slices[0].Columns = 60_000
    ct.write(tmp_path)
    assert "its header promises 60000 x 60000 pixels" in refusal(tmp_path)
    example_ct().write(tmp_path)
    monkeypatch.setattr(plausible, "MOST_VOXELS", 6 * 24 * 20 - 1)
    assert "its header promises 6 x 24 x 20 values" in refusal(tmp_path)


def neighbor(folder: Path) -> None:
    """A patient with whom nothing is wrong."""
    example_ct(patient="P9").write(folder / "P9")


def test_two_files_of_one_instance_of_which_one_has_two_values_in_rows(tmp_path: Path) -> None:
    neighbor(tmp_path)
    ct = example_ct()
    ct.write(tmp_path / "P1")
    twice = ct.slices[2]
    twice.Rows = [24, 24]
    save(twice, tmp_path / "again.dcm")
    assert [source.patient for source in find(tmp_path).sources] == ["P1", "P9"]


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "NumberOfFrames"])
def test_two_values_where_one_is_expected_cost_one_patient(tmp_path: Path, keyword: str) -> None:
    ct = example_ct()
    setattr(ct.slices[2], keyword, ["24", "24"] if keyword == "NumberOfFrames" else [24, 24])
    ct.write(tmp_path)
    assert "002.dcm: the slice cannot be read" in refusal(tmp_path) or "002.dcm" in refusal(tmp_path)


def nested(depth: int) -> bytes:
    """A DICOM element (0008,1140) of sequences in sequences, of undefined lengths."""
    begin = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    return begin * depth + end * depth


@pytest.mark.parametrize("what", ["slice", "RTSTRUCT"])
def test_sequences_in_sequences_without_end_cost_one_file(tmp_path: Path, what: str) -> None:
    neighbor(tmp_path)
    ct = example_ct()
    paths = ct.write(tmp_path / "P1")
    data = ct.slices[0] if what == "slice" else Dataset()
    if what == "RTSTRUCT":
        data.file_meta = ct.slices[0].file_meta
        data.SOPClassUID, data.SOPInstanceUID, data.PatientID = headers.RTSTRUCT, generate_uid(), "P1"
        path = save(data, tmp_path / "P1" / "rt.dcm")
    else:
        path = paths[0]
    content = path.read_bytes()
    at = (
        content.index(b"\x10\x00\x10\x00PN")
        if b"\x10\x00\x10\x00PN" in content
        else content.index(b"\x10\x00\x20\x00LO")
    )
    path.write_bytes(content[:at] + nested(5000) + content[at:])
    findings = find(tmp_path)
    assert "P9" in [source.patient for source in findings.sources]
    assert any(file == path and "damaged (RecursionError)" in why for file, why in findings.skipped)


@pytest.mark.parametrize(
    "patient", ["..", ".", "...", "患者" * 20, "あ" * 200, "a" * 300, "a/b", "../../x", "", "~", "nul\0byte"]
)
def test_every_patient_id_is_a_file_name_of_its_own_folder(tmp_path: Path, patient: str) -> None:
    name = file_name(patient)
    assert len(name.encode()) <= 170
    if patient:
        (tmp_path / name).mkdir()
        assert [path.name for path in tmp_path.iterdir()] == [name]
        assert (tmp_path / name).resolve().parent == tmp_path.resolve()


def test_the_ids_of_this_test_have_names_that_differ() -> None:
    ids = ["..", ".", "%2E", "%2E%2E", "...", "a", "A/..", "患者" * 20, "患者" * 21]
    assert len({file_name(one) for one in ids}) == len(ids)


def test_an_example_of_a_ct_is_read(tmp_path: Path) -> None:
    ct = Ct(hu=example_ct().hu)
    ct.write(tmp_path)
    np.testing.assert_array_equal(read(tmp_path).hu, ct.hu)


def test_a_deflated_file_that_unpacks_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    neighbor(tmp_path)
    ct = example_ct()
    for one in ct.slices:
        one.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    paths = ct.write(tmp_path / "P1")
    assert [source.patient for source in find(tmp_path).sources] == ["P1", "P9"]
    monkeypatch.setattr(headers, "MOST_DEFLATED", 1000)
    findings = find(tmp_path)
    assert [source.patient for source in findings.sources] == ["P9"]
    assert (paths[0], "deflated, and unpacks to more than 1,000 bytes") in findings.skipped
