"""find-tumor from DICOM to SEG, NIfTI and tables, with a network whose finding is known: what is brighter than lung.

The network itself is exact here (one convolution passes the image through), so that boxes can be computed by hand.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from numpy.typing import NDArray

from radiogenesis.cli import main as command
from radiogenesis.cohort.build import find_scans
from radiogenesis.cohort.dicom.folder import read_dicom
from radiogenesis.cohort.dicom.writer import write_scan, write_segmentation
from radiogenesis.cohort.scan import Scan
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import OutputError, ScanError
from radiogenesis.inference import finding
from radiogenesis.methods.tumor_unet import FindSettings, TumorUNet, TumorUNetSettings
from radiogenesis.training.run import Run, save_weights, write_config, write_text

SETTINGS = TumorUNetSettings(widths=(1, 1, 1, 1, 1), decoder_norm=False)
SPACING = (4.0, 3.0, 3.0)
BALL = (16, 40, 30)  # plane, row, column of its center


def brightness_network(pixels: int) -> TumorUNet:
    """Logit = 20 * (image + 0.5): tumor from -625 HU on, half way between lung (-850) and the ball (-400)."""
    method = TumorUNet(SETTINGS, pixels=pixels)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.zero_()
        first, last = method.unet.encoder[0], method.unet.decoder[-1]
        for layer, channel in ((first[0], 0), (first[2], 0), (last[1], 1), (last[3], 0)):  # the skip is the second
            layer.weight[0, channel, 1, 1] = 1
        first[0].bias.fill_(1.0)  # above zero, so that no ReLU cuts
        first[4].weight.fill_(1.0)
        first[4].running_var.fill_(1.0 - first[4].eps)
        method.unet.to_logit.weight.fill_(20.0)
        method.unet.to_logit.bias.fill_(-10.0)
    return method


@pytest.fixture(scope="module")
def scan() -> Scan:
    """Two lungs in a body of lung's own density (nothing else is bright), a ball of 15 mm radius at -400 HU."""
    z, y, x = np.mgrid[:30, :70, :90] * np.array(SPACING)[:, None, None, None]
    center = np.array(BALL) * SPACING

    def ellipsoid(middle: tuple[float, float, float], radii: tuple[float, float, float]) -> NDArray[np.bool_]:
        return sum(((at - c) / r) ** 2 for at, c, r in zip((z, y, x), middle, radii, strict=True)) < 1

    body = ((y - 105) / 95) ** 2 + ((x - 135) / 125) ** 2 < 1
    lungs = ellipsoid((60, 105, 80), (56, 65, 42)) | ellipsoid((60, 105, 190), (56, 65, 42))
    hu = np.where(body, -390, -1000)
    hu[lungs] = -850
    hu[(z - center[0]) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2 < 15**2] = -380
    affine = np.array([[0, 0, 3.0, -50], [0, 3.0, 0, -60], [4.0, 0, 0, -700], [0, 0, 0, 1]])
    return Scan(patient="X-1", hu=hu.astype(np.int16), affine=affine)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("runs") / "unet"
    path.mkdir()
    config = {
        "method": "tumor-unet", "settings": vars(SETTINGS), "training": {}, "expression": {}, "alignment": None,
        "cohort": "-", "pixels": 96, "pixel_mm": 3.0, "genes": 0,
    }  # fmt: skip
    write_config(path, config)
    write_text(path / "provenance.json", '{"cohort_digest": "none"}')
    Split(("a",), (), ("b",)).save(path / "split.json")
    save_weights(path, brightness_network(96))
    return Run.open(path)


def test_the_network_of_this_test_is_the_brightness() -> None:
    images = np.array([-1000, -850, -626, -624, -380, 40]).repeat(32 * 32).reshape(6, 32, 32)
    inside = brightness_network(32).probability(images)[:, 8:24, 8:24] > 0.5
    assert inside.all(axis=(1, 2)).tolist() == [False, False, False, True, True, True]
    assert inside.any(axis=(1, 2)).tolist() == [False, False, False, True, True, True]


def ball_of(found: finding.FoundTumors) -> pd.Series:
    """The row of the tumor whose center is the ball's; the chest wall is bright too."""
    place = np.array([-50 + 3 * BALL[2], -60 + 3 * BALL[1], -700 + 4 * BALL[0]])
    centers = found.tumors[["center_x_mm", "center_y_mm", "center_z_mm"]].to_numpy()
    away = np.linalg.norm(centers - place, axis=1)
    assert away.min() < 0.5
    return found.tumors.iloc[int(away.argmin())]


def test_the_ball_is_found_where_it_is_in_voxels_and_in_millimeters(run: Run, scan: Scan) -> None:
    found = finding.find_tumors(run, scan, FindSettings())
    row = ball_of(found)
    assert (row["first_plane"], row["last_plane"]) == (13, 19)  # 4 mm planes within 15 mm, the last at 12 mm
    assert row["first_row"] == pytest.approx(36, abs=1)
    assert row["last_row"] == pytest.approx(44, abs=1)
    assert row["volume_ml"] == pytest.approx(4 / 3 * np.pi * 15**3 / 1000, rel=0.15)
    assert row["low_z_mm"] == -700 + 4 * 12.5
    assert row["high_z_mm"] == -700 + 4 * 19.5
    assert row["low_x_mm"] == -50 + 3 * (row["first_column"] - 0.5)
    assert row["high_y_mm"] == -60 + 3 * (row["last_row"] + 0.5)
    slices = found.slices[found.slices["tumor"] == row["tumor"]]
    assert slices["first_plane"].tolist() == list(range(13, 20))
    assert (slices["last_plane"] == slices["first_plane"]).all()
    widths = slices["last_column"] - slices["first_column"]
    assert widths.iloc[3] > widths.iloc[0]
    outlined = scan.with_mask("drawn", np.ones(scan.hu.shape, bool), tumor=True)
    pd.testing.assert_frame_equal(finding.find_tumors(run, outlined, FindSettings()).tumors, found.tumors)


@pytest.mark.pictures
def test_the_verb_writes_seg_nifti_and_tables(
    run: Run, scan: Scan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_scan(scan, raw / "X-1", synthetic=True, description="test", uid_seed="x")
    before = {path: path.stat().st_mtime_ns for path in raw.rglob("*")}
    assert command.main(["find-tumor", str(run.path), str(raw), str(out)]) == 0
    assert "X-1:" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in raw.rglob("*")} == before
    assert {path.name for path in out.iterdir()} == {"tumors.csv", "slices.csv", "scans.csv", "finding.json", "X-1"}
    assert {path.name for path in (out / "X-1").iterdir()} == {"mask.nii.gz", "seg.dcm", "overlay.png"}

    expected = finding.find_tumors(run, scan, FindSettings())
    written = pd.read_csv(out / "tumors.csv")
    pd.testing.assert_frame_equal(written, expected.tumors, check_dtype=False)
    image = nib.load(out / "X-1" / "mask.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj).transpose(2, 1, 0) > 0, expected.scan.tumor_mask)
    corner = image.affine @ [0, 0, 0, 1]
    np.testing.assert_allclose(corner[:3], [50, 60, -700])  # RAS
    seg = pydicom.dcmread(out / "X-1" / "seg.dcm")
    assert seg.SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"
    series = pydicom.dcmread(next((raw / "X-1").glob("ct-*.dcm"))).SeriesInstanceUID
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == series
    # read back beside its CT by the reader of every cohort, it is the mask
    (out / "X-1" / "seg.dcm").rename(raw / "X-1" / "seg.dcm")
    (source,) = find_scans(raw, ReadSettings()).sources
    np.testing.assert_array_equal(read_dicom(source, ReadSettings()).tumor_mask, expected.scan.tumor_mask)


def test_a_cohort_is_built_from_what_was_found(run: Run, scan: Scan, tmp_path: Path) -> None:
    write_scan(
        replace(scan, masks={}, tumor=None), tmp_path / "raw" / "X-1", synthetic=True, description="t", uid_seed="x"
    )
    both = tmp_path / "raw"
    assert command.main(["find-tumor", str(run.path), str(both), str(both / "found")]) == 0
    (source,) = find_scans(both, ReadSettings()).sources
    expected = finding.find_tumors(run, scan, FindSettings())
    np.testing.assert_array_equal(read_dicom(source, ReadSettings()).tumor_mask, expected.scan.tumor_mask)
    assert command.main(["cohort", "build", str(both), str(tmp_path / "cohort.zarr"), "--workers", "1"]) == 0
    assert Cohort.open(tmp_path / "cohort.zarr").patients.loc["X-1", "n_slices"] > 0


def test_as_much_lung_is_asked_for_as_in_the_cohort_trained_on(run: Run, scan: Scan, chests: Cohort) -> None:
    assert finding.least_lung_mm2(run, FindSettings()) == 1000.0  # nothing is known of its cohort any more
    assert finding.least_lung_mm2(run, FindSettings(whole_lung_mm2=7.0)) == 7.0
    asked = replace(run, config={**run.config, "whole_lung_mm2": 250.0})
    assert finding.least_lung_mm2(asked, FindSettings()) == 250.0
    settings = {"sampling": {**chests.settings["sampling"], "whole_lung_mm2": 33.0}}
    moved = replace(run, config={**run.config, "cohort": str(chests.path)}, provenance={"cohort_digest": chests.digest})
    assert finding.least_lung_mm2(moved, FindSettings()) == 1000.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cohort, "settings", settings)
        assert finding.least_lung_mm2(moved, FindSettings()) == 33.0
    with pytest.raises(ScanError, match=r"no slice shows 1e\+06 mm2 of lung.*lower --whole_lung_mm2"):
        finding.find_tumors(run, scan, FindSettings(whole_lung_mm2=1e6))


def test_refusals_leave_nothing_behind(run: Run, scan: Scan, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ScanError, match="no such folder"):
        finding.find_in_folder(run, tmp_path / "nothing", out, FindSettings())
    no_lung = replace(scan, hu=np.full_like(scan.hu, 40))
    write_scan(no_lung, tmp_path / "raw" / "X-1", synthetic=True, description="test", uid_seed="x")
    with pytest.raises(ScanError, match="no scan shows lung"):
        finding.find_in_folder(run, tmp_path / "raw", out, FindSettings())
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
    out.mkdir()
    with pytest.raises(OutputError, match="already exists"):
        finding.find_in_folder(run, tmp_path / "raw", out, FindSettings())
    files = sorted((tmp_path / "raw" / "X-1").glob("ct-*.dcm"))
    with pytest.raises(ScanError, match="are not those of the scan"):
        write_segmentation(scan, files[1:], tmp_path / "seg.dcm", description="x", uid_seed="x")


@pytest.mark.parametrize(
    ("gone", "seg"),
    [
        (["PatientBirthDate", "StudyID", "AccessionNumber", "StudyDate", "StudyTime", "ReferringPhysicianName"], True),
        (["FrameOfReferenceUID"], False),
    ],
)
def test_headers_that_an_anonymizer_stripped_cost_at_most_the_seg(
    run: Run, scan: Scan, tmp_path: Path, gone: list[str], seg: bool
) -> None:
    for name in ("X-1", "X-2"):
        write_scan(replace(scan, patient=name), tmp_path / "raw" / name, synthetic=True, description="t", uid_seed=name)
    for path in (tmp_path / "raw" / "X-2").glob("*.dcm"):
        data = pydicom.dcmread(path)
        for keyword in gone:
            delattr(data, keyword)
        data.save_as(path)
    table = finding.find_in_folder(run, tmp_path / "raw", tmp_path / "out", FindSettings()).set_index("patient")
    assert (table["tumors"] > 0).all()
    assert (tmp_path / "out" / "X-2" / "mask.nii.gz").is_file()
    assert (tmp_path / "out" / "X-1" / "seg.dcm").is_file()
    assert (tmp_path / "out" / "X-2" / "seg.dcm").is_file() == seg
    expected = (
        "" if seg else "no seg.dcm: .*a SEG cannot belong to a slice without FrameOfReferenceUID; use mask.nii.gz"
    )
    assert re.fullmatch(expected, table.loc["X-2", "note"])


@pytest.mark.parametrize("patient", ["..", "."])
def test_a_patient_whose_id_is_a_folder_above(run: Run, scan: Scan, tmp_path: Path, patient: str) -> None:
    """Its folder is OUT's own: before, what was there failed, and the folder above was cleared."""
    write_scan(replace(scan, patient=patient), tmp_path / "raw", synthetic=True, description="t", uid_seed="x")
    table = finding.find_in_folder(run, tmp_path / "raw", tmp_path / "out", FindSettings()).set_index("patient")
    assert table.loc[patient, "tumors"] > 0
    assert (tmp_path / "out" / ("%2E" * len(patient)) / "mask.nii.gz").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


def test_one_scan_that_provokes_a_library_costs_itself(
    run: Run, scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("X-1", "X-2"):
        write_scan(replace(scan, patient=name), tmp_path / "raw" / name, synthetic=True, description="t", uid_seed=name)
    written = finding.write_segmentation

    def provoked(scan: Scan, *args: object, **kwargs: object) -> None:
        if scan.patient == "X-1":
            raise AttributeError("odd header")
        written(scan, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(finding, "write_segmentation", provoked)
    table = finding.find_in_folder(run, tmp_path / "raw", tmp_path / "out", FindSettings()).set_index("patient")
    assert table.loc["X-1", "note"] == "unexpected AttributeError: odd header"
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {"X-2"}
    assert set(pd.read_csv(tmp_path / "out" / "tumors.csv")["patient"]) == {"X-2"}


def test_a_sagittal_series_is_looked_at_in_axial_planes(run: Run, scan: Scan, tmp_path: Path) -> None:
    """Its SEG lies on the sagittal planes again."""
    sagittal = replace(
        scan,
        hu=np.ascontiguousarray(scan.hu.transpose(2, 0, 1)[::-1, ::-1]),
        affine=np.array([[-3.0, 0, 0, -50 + 89 * 3.0], [0, 0, 3.0, -60], [0, -4.0, 0, -700 + 29 * 4.0], [0, 0, 0, 1]]),
    )
    write_scan(sagittal, tmp_path / "raw" / "X-1", synthetic=True, description="t", uid_seed="x")
    expected = finding.find_tumors(run, scan, FindSettings())
    table = finding.find_in_folder(run, tmp_path / "raw", tmp_path / "out", FindSettings())
    written = pd.read_csv(tmp_path / "out" / "tumors.csv")
    pd.testing.assert_frame_equal(written, expected.tumors, check_dtype=False)
    assert table["note"].tolist() == ["the CT is sagittal: turned to axial planes, planes were 3 mm apart"]
    (tmp_path / "out" / "X-1" / "seg.dcm").rename(tmp_path / "raw" / "X-1" / "seg.dcm")
    (source,) = find_scans(tmp_path / "raw", ReadSettings()).sources
    mask = read_dicom(source, ReadSettings()).tumor_mask  # (-x, -z, y)
    np.testing.assert_array_equal(mask[::-1, ::-1].transpose(1, 2, 0), expected.scan.tumor_mask)
