"""Stacking CT series: HU, geometry, transfer syntaxes, and what is refused with which line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import example_ct, set_stored
from dicom_reading import SETTINGS, drawn, find, read, refusal
from pydicom import dcmread
from pydicom.config import IGNORE, WARN
from pydicom.encaps import encapsulate
from pydicom.uid import (
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from radiogenesis.cohort.dicom.folder import ReadSettings, read_dicom
from radiogenesis.cohort.dicom.headers import lenient
from radiogenesis.cohort.scan import AIR_HU
from radiogenesis.errors import ScanError


def test_hu_affine_and_acquisition(tmp_path: Path) -> None:
    ct = example_ct()
    ct.write(tmp_path)
    scan = read(tmp_path)
    np.testing.assert_array_equal(scan.hu, ct.hu)
    np.testing.assert_allclose(scan.affine, ct.affine, atol=1e-9)
    assert scan.patient == "P1"
    assert scan.tumor is None
    made = scan.acquisition
    assert (made.manufacturer, made.model, made.kernel, made.kvp) == ("ACME", "Ring 9", "B30f", 120)
    assert (made.slice_thickness_mm, made.study_date, made.chosen_because) == (2.0, "20200102", "")
    assert (made.series_uid, made.frame_of_reference_uid) == (ct.series_uid, ct.frame_of_reference)


@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_order_of_files_does_not_matter(tmp_path: Path, order: str) -> None:
    ct = example_ct(8)
    permutation = np.arange(8)[::-1] if order == "reversed" else np.random.default_rng(0).permutation(8)
    ct.slices = [ct.slices[index] for index in permutation]
    for number, one in enumerate(ct.slices):
        one.InstanceNumber = number + 1  # instance numbers follow the files, not the body
    ct.write(tmp_path)
    np.testing.assert_array_equal(read(tmp_path).hu, ct.hu)


@pytest.mark.parametrize(
    "orientation",
    [
        pytest.param((1, 0, 0, 0, 0, -1), id="coronal"),
        pytest.param((0, 1, 0, 0, 0, -1), id="sagittal"),
        pytest.param((-1, 0, 0, 0, -1, 0), id="prone"),
        pytest.param((np.cos(0.3), np.sin(0.3), 0, -np.sin(0.3), np.cos(0.3), 0), id="rotated in plane"),
        pytest.param((1, 0, 0, 0, np.cos(0.2), np.sin(0.2)), id="oblique"),
    ],
)
def test_any_orientation(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    ct = example_ct(orientation=orientation)
    ct.write(tmp_path)
    scan = read(tmp_path)
    np.testing.assert_array_equal(scan.hu, ct.hu)
    np.testing.assert_allclose(scan.affine, ct.affine, atol=1e-8)
    assert scan.spacing_mm == pytest.approx(ct.spacing)


def test_rescaling_is_per_slice(tmp_path: Path) -> None:
    ct = example_ct()
    for z, one in enumerate(ct.slices):
        one.RescaleSlope, one.RescaleIntercept = "0.5", 10 * z
        set_stored(one, 2 * (ct.hu[z].astype(int) - 10 * z))
    ct.write(tmp_path)
    np.testing.assert_array_equal(read(tmp_path).hu, ct.hu)


@pytest.mark.parametrize(
    ("tags", "stored", "hu"),
    [
        pytest.param({}, -2000, AIR_HU, id="-3000 HU outside the scan circle"),
        pytest.param({"PixelPaddingValue": 30000}, 30000, AIR_HU, id="padding value"),
        pytest.param({"PixelPaddingValue": 30000}, 29999, 28999, id="next to the padding value"),
        pytest.param({"PixelPaddingValue": -10, "PixelPaddingRangeLimit": 20}, 20, AIR_HU, id="padding range"),
        pytest.param({"PixelPaddingValue": 20, "PixelPaddingRangeLimit": -10}, -10, AIR_HU, id="range turned round"),
        pytest.param({"PixelPaddingValue": 20, "PixelPaddingRangeLimit": -10}, 21, -979, id="above the range"),
    ],
)
def test_padding_becomes_air(tmp_path: Path, tags: dict[str, int], stored: int, hu: int) -> None:
    ct = example_ct()
    values = ct.hu[2].astype(int) + 1000
    values[:3, :3] = stored
    for keyword, value in tags.items():
        setattr(ct.slices[2], keyword, value)
    set_stored(ct.slices[2], values)
    ct.write(tmp_path)
    assert (read(tmp_path).hu[2, :3, :3] == hu).all()


def test_padding_with_the_other_sign(tmp_path: Path) -> None:
    """Unsigned pixels, and a padding value of -1 that means 65535."""
    ct = example_ct()
    one = ct.slices[2]
    values = ct.hu[2].astype(int) + 1000
    values[:3, :3] = 65535
    one.PixelRepresentation, one.PixelData = 0, values.astype("<u2").tobytes()
    one.add_new("PixelPaddingValue", "SS", -1)
    ct.write(tmp_path)
    hu = read(tmp_path).hu[2]
    assert (hu[:3, :3] == AIR_HU).all()
    np.testing.assert_array_equal(hu[3:], ct.hu[2, 3:])


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_transfer_syntaxes(tmp_path: Path, syntax: str) -> None:
    ct = example_ct(rows=48)
    for one in ct.slices:
        if syntax == ImplicitVRLittleEndian:
            one.file_meta.TransferSyntaxUID = syntax
        else:
            one.compress(syntax, generate_instance_uid=False)
    paths = ct.write(tmp_path)
    assert dcmread(paths[0]).file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(read(tmp_path).hu, ct.hu)


def test_missing_codec_names_the_extra(tmp_path: Path) -> None:
    ct = example_ct()
    for one in ct.slices:
        one.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        one.PixelData = encapsulate([b"needs a codec before anybody looks at it"])
        one["PixelData"].VR = "OB"
    ct.write(tmp_path)
    # A fresh interpreter in which the codecs cannot be imported, as on a machine without them.
    code = f"""
import sys
for name in ("pylibjpeg", "openjpeg", "libjpeg", "gdcm"):
    sys.modules[name] = None
from pathlib import Path
from radiogenesis.cohort.dicom.folder import *
try:
    read_dicom(find_dicom(Path({str(tmp_path)!r}), ReadSettings()).sources[0], ReadSettings())
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(
        r"ScanError .*JPEG Lossless.*no codec for it is installed; pip install radiogenesis\[codecs\]\n", done.stdout
    )


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_without_preamble_and_meta_header(tmp_path: Path, syntax: str) -> None:
    ct = example_ct()
    for index, one in enumerate(ct.slices):
        del one.file_meta
        with (tmp_path / f"IM{index}").open("wb") as file:
            one.save_as(file, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    np.testing.assert_array_equal(read(tmp_path).hu, ct.hu)


def test_missing_slice(tmp_path: Path) -> None:
    ct = example_ct(8)
    ct.write(tmp_path)[3].unlink()
    assert re.search(
        r"1 slice missing, first between 34.00 mm and 38.00 mm \(002.dcm, 004.dcm; slices are 2.000 mm apart\)",
        refusal(tmp_path),
    )


def test_slice_with_a_broken_header_is_a_missing_slice(tmp_path: Path) -> None:
    path = example_ct(8).write(tmp_path)[3]
    path.write_bytes(path.read_bytes()[:300])
    assert [skipped.name for skipped, _ in find(tmp_path).skipped] == ["003.dcm"]
    assert "1 slice missing" in refusal(tmp_path)


def test_slice_with_truncated_pixels(tmp_path: Path) -> None:
    path = example_ct(8).write(tmp_path)[3]
    path.write_bytes(path.read_bytes()[:-100])
    assert re.search(r"003.dcm: the slice .*truncated|003.dcm: the slice cannot be read", refusal(tmp_path))


def test_file_that_vanished(tmp_path: Path) -> None:
    paths = example_ct().write(tmp_path)
    (source,) = find(tmp_path).sources
    paths[2].unlink()
    with pytest.raises(ScanError, match=r"002.dcm: the slice is no longer there"):
        read_dicom(source, SETTINGS)


def test_duplicate_slice(tmp_path: Path) -> None:
    ct = example_ct(6)
    twin = example_ct(6, series_uid=ct.series_uid, frame_of_reference=ct.frame_of_reference).slices[2]
    ct.slices.append(twin)
    ct.write(tmp_path)
    assert re.search(r"duplicate slices: 00[26].dcm and 00[26].dcm both lie at 34.00 mm", refusal(tmp_path))


@pytest.mark.parametrize(("shift", "refused"), [(0.05, False), (0.6, True)])
def test_uneven_spacing(tmp_path: Path, shift: float, refused: bool) -> None:
    ct = example_ct(8)
    x, y, z = ct.slices[4].ImagePositionPatient
    ct.slices[4].ImagePositionPatient = [x, y, z + shift]
    ct.write(tmp_path)
    if refused:
        assert re.search(r"uneven slice spacing: 1.400 to 2.600 mm, a slice lies 0.600 mm off", refusal(tmp_path))
    else:
        np.testing.assert_array_equal(read(tmp_path).hu, ct.hu)


def test_gantry_tilt(tmp_path: Path) -> None:
    ct = example_ct(8)
    for z, one in enumerate(ct.slices):
        one.GantryDetectorTilt = 15
        one.ImagePositionPatient = [-10, round(-20 + 2 * z * float(np.tan(np.radians(15))), 6), 30 + 2 * z]
    ct.write(tmp_path)
    line = r"gantry tilt: slices are stacked 15.0 degrees off their normal, 3.8 mm .*header: 15"
    assert re.search(line, refusal(tmp_path))


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        ({"ImageOrientationPatient": [0, 1, 0, -1, 0, 0]}, "mixed orientation"),
        ({"PixelSpacing": [0.8, 0.8]}, "mixed pixel spacing"),
        ({"Rows": 12, "Columns": 40}, "mixed size"),
        ({"RescaleSlope": None}, "HU are not defined"),
        ({"ImagePositionPatient": None}, "no ImagePositionPatient"),
        ({"PixelSpacing": None}, "no PixelSpacing"),
        ({"PixelSpacing": [0, 0]}, "geometry is impossible"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "geometry is impossible"),
        ({"ImagePositionPatient": [1, 2]}, "geometry is not in numbers"),
        ({"SOPClassUID": EnhancedCTImageStorage}, "enhanced multi-frame CT is not read"),
        ({"NumberOfFrames": 2}, "enhanced multi-frame CT is not read"),
    ],
)
def test_refused_slices(tmp_path: Path, edit: dict[str, object], line: str) -> None:
    ct = example_ct()
    for keyword, value in edit.items():
        setattr(ct.slices[3], keyword, value)
    ct.write(tmp_path)
    assert line in refusal(tmp_path)


def test_sloppy_headers_are_read_without_complaint(tmp_path: Path) -> None:
    """Values that break their VR, as archives hold them; pydicom would warn, and warnings are errors here."""
    ct = example_ct()
    for one in ct.slices:
        one.StudyDate = "20200102"
        one.KVP = "120"
        one.SliceThickness = "2.0"
        one.PatientID = "P1"
    paths = ct.write(tmp_path)
    for path in paths:
        data = path.read_bytes()
        path.write_bytes(data.replace(b"20200102", b"2020/1/2").replace(b"B30f", b"b~\xf0\x01"))
    assert read(tmp_path).acquisition.study_date == "2020/1/2"
    assert settings_of_pydicom() == WARN


def settings_of_pydicom() -> int:
    return pydicom.config.settings.reading_validation_mode


def test_lenient_reading_in_several_threads_ends_with_the_last() -> None:
    outer, inner = lenient(), lenient()
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert settings_of_pydicom() == IGNORE
    inner.__exit__(None, None, None)
    assert settings_of_pydicom() == WARN


@pytest.mark.slow
@pytest.mark.real_data
def test_lung1_and_amc(real_data: Path) -> None:
    """The archives of `shared/data`: RTSTRUCT, RTPLAN and RTDOSE lie beside the CT; AMC-001 has padding of -3024 HU."""
    findings = find(real_data / "ct")
    assert findings.modalities == {"CT": 400, "RTSTRUCT": 2, "RTPLAN": 2, "RTDOSE": 2}
    assert not findings.refused
    amc, first, second = findings.sources
    assert (amc.patient, first.patient, second.patient) == ("AMC-001", "LUNG1-001", "LUNG1-002")

    scan = read_dicom(amc, SETTINGS)
    assert scan.hu.shape == (155, 512, 512)
    assert scan.spacing_mm == pytest.approx((1.25, 0.742188, 0.742188))
    assert (scan.hu.min(), scan.hu.max(), scan.tumor) == (AIR_HU, 3071, None)
    assert (scan.hu[:, :20, :20] == AIR_HU).all()  # outside the scan circle

    # The outlines' own volumes (shoelace area of the contours times 3 mm) are 155.88 and 358.66 ml. The 163 and 368 ml
    # that are quoted for these patients were painted with the voxels on the edge.
    for source, slices, own_ml, painted_ml in ((first, 134, 155.88, 163.0), (second, 111, 358.66, 368.0)):
        scan = read_dicom(source, SETTINGS)
        assert scan.hu.shape == (slices, 512, 512)
        assert scan.volume_ml("GTV-1") == pytest.approx(own_ml, rel=0.002)
        inside = scan.hu[scan.tumor_mask]
        assert np.median(inside) > 0  # soft tissue: the mask is neither shifted nor flipped
        painted = drawn(source, ReadSettings(contour_edge="touched"))
        assert painted.sum() * np.prod(scan.spacing_mm) / 1000 == pytest.approx(painted_ml, rel=0.02)

    # Contours that the planning system wrote twice: each plane of the left lung is filled, and the uptake is not empty.
    assert (drawn(second, ReadSettings(roi="Lung L"))[29:31].sum(axis=(1, 2)) == [9443, 9191]).all()
    assert drawn(first, ReadSettings(roi="1,SUV_primair")).any(axis=(1, 2)).sum() == 46
