"""Scans written as DICOM: read back exactly, the same bytes for the same seed, synthetic data marked in every file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import dcmread

from radiogenesis.cohort.dicom.folder import ReadSettings, find_dicom, read_dicom
from radiogenesis.cohort.dicom.writer import write_scan
from radiogenesis.cohort.scan import Acquisition, Scan
from radiogenesis.errors import OutputError, ScanError


def turned(a: float, b: float, spacing: tuple[float, float, float], corner: tuple[float, ...]) -> NDArray[np.float64]:
    """Index (z, y, x) -> LPS for axes turned by `a` round x, then by `b` round z."""
    round_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    round_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = (round_z @ round_x)[:, [2, 1, 0]] * spacing
    affine[:3, 3] = corner
    return affine


def example(**changes: object) -> Scan:
    hu = np.random.default_rng(0).integers(-1024, 3000, (6, 20, 24)).astype(np.int16)
    hu[0, 0, :2] = -1024, 32767
    mask = np.zeros(hu.shape, bool)
    mask[2:4, 5:9, 6:12] = True
    acquisition = Acquisition(manufacturer="ACME", model="Ring 9", kernel="B30f", kvp=120.0, study_date="20200102")
    scan = Scan(
        patient="R01-001",
        hu=hu,
        affine=turned(0, 0, (1.25, 0.7, 0.7), (-10.1, -20.2, 30.3)),
        masks={"Nodule": mask},
        tumor="Nodule",
        acquisition=acquisition,
    )
    return replace(scan, **changes)  # type: ignore[arg-type]


def write(scan: Scan, folder: Path, *, synthetic: bool = True, uid_seed: str = "0") -> None:
    write_scan(scan, folder, synthetic=synthetic, description="phantom", uid_seed=uid_seed)


def read(folder: Path) -> Scan:
    findings = find_dicom(folder, ReadSettings())
    assert not findings.refused
    assert not findings.skipped
    (source,) = findings.sources
    return read_dicom(source, ReadSettings())


@pytest.mark.parametrize("synthetic", [True, False])
def test_round_trip(tmp_path: Path, synthetic: bool) -> None:
    scan = example()
    write(scan, tmp_path / "out", synthetic=synthetic)
    back = read(tmp_path / "out")
    np.testing.assert_array_equal(back.hu, scan.hu)
    np.testing.assert_array_equal(back.tumor_mask, scan.tumor_mask)
    np.testing.assert_allclose(back.affine, scan.affine, atol=1e-9)
    assert (back.patient, back.tumor) == ("R01-001", "Nodule")
    made = back.acquisition
    assert (made.manufacturer, made.model, made.kernel, made.kvp) == ("ACME", "Ring 9", "B30f", 120)
    assert (made.study_date, made.slice_thickness_mm) == ("20200102", 1.25)


@settings(max_examples=20, deadline=None)
@given(
    st.floats(-0.6, 0.6),
    st.floats(-3.1, 3.1),
    st.tuples(*[st.floats(0.3, 5.0)] * 3),
    st.tuples(*[st.floats(-900, 900)] * 3),
)
def test_any_grid_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    a: float,
    b: float,
    spacing: tuple[float, float, float],
    corner: tuple[float, float, float],
) -> None:
    scan = example(affine=turned(a, b, spacing, corner))
    folder = tmp_path_factory.mktemp("grid") / "out"
    write(scan, folder)
    back = read(folder)
    np.testing.assert_array_equal(back.hu, scan.hu)
    np.testing.assert_array_equal(back.tumor_mask, scan.tumor_mask)
    np.testing.assert_allclose(back.affine, scan.affine, atol=1e-6)


def test_without_a_tumor_there_is_no_seg(tmp_path: Path) -> None:
    write(example(masks={}, tumor=None), tmp_path / "out")
    assert not (tmp_path / "out" / "seg.dcm").exists()
    assert read(tmp_path / "out").tumor is None


def test_unknown_acquisition(tmp_path: Path) -> None:
    write(example(acquisition=Acquisition()), tmp_path / "out")
    made = read(tmp_path / "out").acquisition
    assert np.isnan(made.kvp)
    assert (made.kernel, made.study_date, made.manufacturer) == ("", "", "radiogenesis")


def test_synthetic_data_says_so_in_every_file(tmp_path: Path) -> None:
    write(example(), tmp_path / "synthetic")
    write(example(), tmp_path / "real", synthetic=False)
    files = sorted((tmp_path / "synthetic").iterdir())
    assert [path.name for path in files] == [*(f"ct-000{n}.dcm" for n in range(1, 7)), "seg.dcm"]
    for path in files:
        data = dcmread(path)
        assert data.SyntheticData == "YES"
        assert data.SeriesDescription == "SYNTHETIC phantom"
        assert data.ContentQualification == "RESEARCH"
        assert data.PatientIdentityRemoved == "YES"
        assert "SYNTHETIC IMAGE" in data.ImageComments
        assert "not for diagnosis" in data.ImageComments
    slice_ = dcmread(files[0])
    assert list(slice_.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
    assert slice_.BurnedInAnnotation == "NO"
    for path in (tmp_path / "real").iterdir():
        data = dcmread(path)
        assert "SyntheticData" not in data
        assert "SYNTHETIC" not in data.SeriesDescription


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        write(example(), tmp_path / name, uid_seed=seed)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    uids = [{dcmread(path).SOPInstanceUID for path in (tmp_path / name).iterdir()} for name in ("a", "c")]
    assert len(uids[0]) == 7
    assert not uids[0] & uids[1]
    write(example(patient="R01-002"), tmp_path / "d")
    assert (
        dcmread(tmp_path / "d" / "seg.dcm").SeriesInstanceUID != dcmread(tmp_path / "a" / "seg.dcm").SeriesInstanceUID
    )


def test_highdicom_reads_the_series_and_the_seg(tmp_path: Path) -> None:
    """An independent reader puts every voxel at the same place of the body."""
    scan = example(affine=turned(0.2, 0.1, (1.25, 0.7, 0.8), (-10.1, -20.2, 30.3)))
    write(scan, tmp_path / "out")
    slices = [dcmread(path) for path in (tmp_path / "out").glob("ct-*.dcm")]
    volume = highdicom.get_volume_from_series(slices)
    seg = highdicom.seg.segread(tmp_path / "out" / "seg.dcm").get_volume(combine_segments=True)
    ours = highdicom.VolumeGeometry(
        affine=scan.affine,
        spatial_shape=scan.hu.shape,
        coordinate_system="PATIENT",
        frame_of_reference_uid=slices[0].FrameOfReferenceUID,
    )
    np.testing.assert_array_equal(volume.match_geometry(ours).array, scan.hu)
    np.testing.assert_array_equal(seg.match_geometry(ours).array, scan.tumor_mask)


def test_refusals(tmp_path: Path) -> None:
    write(example(), tmp_path / "out")
    with pytest.raises(OutputError, match=r"out: already exists; choose another name, or delete it first"):
        write(example(), tmp_path / "out")
    low = example()
    low.hu[0, 0, 0] = -1025
    with pytest.raises(ScanError, match=r"-1025 HU is below air"):
        write(low, tmp_path / "low")
    left_handed = example().affine
    left_handed[:3, 0] *= -1
    with pytest.raises(ScanError, match=r"no right-handed orthogonal grid"):
        write(example(affine=left_handed), tmp_path / "left")
    with pytest.raises(ScanError, match=r"longer than 64 characters"):
        write_scan(example(), tmp_path / "long", synthetic=True, description="x" * 60, uid_seed="0")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
