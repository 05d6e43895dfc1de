"""Whatever is outlined beside the tumor may be another lesion: no background is cut from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_files import Ct, circle, example_ct, rtstruct, save, seg, segment
from dicom_reading import find
from numpy.typing import NDArray

from radiogenesis.cohort.dicom.folder import ReadSettings, find_dicom, read_dicom
from radiogenesis.cohort.patient_parts import make_part, read_part
from radiogenesis.cohort.sampling.slices import SamplingSettings, background_slices
from radiogenesis.cohort.scan import Scan

SPACING = (4.0, 4.0, 4.0)
FIRST, SECOND = (80, 130, 70), (80, 130, 190)  # mm from the first voxel, (z, y, x)


def ball(center: tuple[float, ...], radius: float) -> NDArray[np.bool_]:
    z, y, x = np.mgrid[:40, :64, :64] * np.array(SPACING)[:, None, None, None]
    return (z - center[0]) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2 < radius**2


@pytest.fixture
def ct() -> Ct:
    """A body with two lungs of 1.1 litres each, and a tumor in each."""
    y, x = np.mgrid[:64, :64] * 4.0
    hu = np.full((40, 64, 64), -1000, np.int16)
    hu[:, ((y - 128) / 110) ** 2 + ((x - 128) / 120) ** 2 < 1] = 40
    for middle in (70, 190):
        hu[4:-4, ((y - 128) / 70) ** 2 + ((x - middle) / 42) ** 2 < 1] = -850
    hu[ball(FIRST, 15) | ball(SECOND, 12)] = 30
    return Ct(hu=hu, spacing=SPACING)


def contours(ct: Ct, center: tuple[float, ...], radius: float) -> list[NDArray[np.float64]]:
    planes = [z for z in range(40) if abs(4 * z - center[0]) < radius]
    cuts = [np.sqrt(radius**2 - (4 * z - center[0]) ** 2) / 4 for z in planes]
    return [circle(ct, z, (center[1] / 4, center[2] / 4), cut) for z, cut in zip(planes, cuts, strict=True)]


def outlines(ct: Ct, how: str, folder: Path) -> None:
    first, second = contours(ct, FIRST, 15), contours(ct, SECOND, 12)
    if how == "GTV-2":
        lung = [circle(ct, z, (32, 47.5), 14) for z in range(5, 35)]
        save(rtstruct(ct, {"GTV-1": first, "Lung R": lung, "GTV-2": second}), folder / "rt.dcm")
    elif how == "another name":
        save(rtstruct(ct, {"GTV-1": first, "Rundherd links": second}), folder / "rt.dcm")
    elif how == "SEG beside RTSTRUCT":
        save(rtstruct(ct, {"GTV-1": first}), folder / "rt.dcm")
        save(seg(ct, ball(SECOND, 12)), folder / "seg.dcm")
    elif how == "two SEG":
        save(seg(ct, ball(FIRST, 15), date="20210101"), folder / "1.dcm")
        save(seg(ct, ball(SECOND, 12)), folder / "2.dcm")
    elif how == "another segment":
        both = np.stack([ball(FIRST, 15), ball(SECOND, 12)], axis=-1)
        save(seg(ct, both, [segment(1, "Tumor"), segment(2, "Second")]), folder / "seg.dcm")


@pytest.mark.parametrize("how", ["GTV-2", "another name", "SEG beside RTSTRUCT", "two SEG", "another segment"])
def test_no_background_lies_in_another_lesion(tmp_path: Path, ct: Ct, how: str) -> None:
    ct.write(tmp_path)
    outlines(ct, how, tmp_path)
    settings = ReadSettings(segment="Tumor" if how == "another segment" else "*")
    (source,) = find_dicom(tmp_path, settings).sources
    scan = read_dicom(source, settings)
    assert not (scan.tumor_mask & ball(SECOND, 12)).any()
    assert (ball(SECOND, 10) & ~scan.outlined_mask).sum() == 0
    assert (scan.outlined_mask & ~ball(FIRST, 17) & ~ball(SECOND, 14)).sum() == 0  # the lung is no lesion
    cut = background_slices(scan, ct.hu < 100, SamplingSettings(background_centers=300, slices_per_center=1), rng())
    away = np.linalg.norm(cut.center_mm - ct.points(np.array(SECOND) / 4), axis=1)
    assert away.min() >= 12
    part = tmp_path / "part.npz"
    outcome = make_part(source, settings, SamplingSettings(pixels=16), part)
    assert "backgrounds keep away from what is outlined beside the tumor: " in outcome.reason
    assert read_part(part).backgrounds is not None


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_an_outline_by_an_algorithm_is_kept_away_from_where_it_is_left_out(tmp_path: Path, ct: Ct) -> None:
    ct.write(tmp_path)
    save(seg(ct, ball(FIRST, 15), [segment(by="AUTOMATIC")]), tmp_path / "ai.dcm")
    settings = ReadSettings(automatic_outlines=False)
    (source,) = find(tmp_path, settings).sources
    assert (source.outline_files, source.other_outlines) == ((), (tmp_path / "ai.dcm",))
    scan = read_dicom(source, settings)
    assert scan.tumor is None
    np.testing.assert_array_equal(scan.outlined_mask, ball(FIRST, 15))


def test_an_outline_that_has_no_place_on_the_ct_takes_the_backgrounds(tmp_path: Path, ct: Ct) -> None:
    """A SEG of another series in the same frame of reference, its voxels between those of the CT."""
    ct.write(tmp_path)
    outlines(ct, "another name", tmp_path)
    other = example_ct(6, frame_of_reference=ct.frame_of_reference, origin=(-9.0, -19.0, 31.0))
    mask = np.zeros(other.hu.shape, bool)
    mask[2:4, 5:9, 5:9] = True
    path = save(seg(other, mask), tmp_path / "seg.dcm")
    (source,) = find(tmp_path).sources
    outcome = make_part(source, ReadSettings(), SamplingSettings(pixels=16), tmp_path / "part.npz")
    assert outcome.status == "in"
    line = f"no backgrounds: what is outlined beside the tumor cannot be placed on the CT: {path}"
    assert outcome.reason == line
    assert read_part(tmp_path / "part.npz").backgrounds is None


def test_anatomy_by_its_code_is_no_lesion(tmp_path: Path, ct: Ct) -> None:
    ct.write(tmp_path)
    save(seg(ct, ball(FIRST, 15)), tmp_path / "1.dcm")
    small = ball(SECOND, 12)
    save(seg(ct, small, [segment(1, "bronchus", tumor=False)], date="20190101"), tmp_path / "2.dcm")
    (source,) = find(tmp_path).sources
    scan: Scan = read_dicom(source, ReadSettings())
    np.testing.assert_array_equal(scan.outlined_mask, ball(FIRST, 15))
