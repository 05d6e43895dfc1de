"""Values that no CT has: an intercept that was lost or applied twice, a lost sign, padding without its tag."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_files import Ct
from dicom_reading import read, refusal
from numpy.typing import NDArray

from radiogenesis.cohort.hounsfield import checked_hu
from radiogenesis.cohort.scan import AIR_HU
from radiogenesis.errors import ScanError

HERE = Path("scan.nii")
OUTSIDE = np.s_[:, :6]  # outside the scan circle


def chest(noise: float = 12) -> NDArray[np.int16]:
    """Air, a body of tissue, lungs, and some bone in every plane."""
    hu = np.full((6, 40, 40), -1000.0)
    hu[:, 8:34, 4:36], hu[:, 14:28, 8:18], hu[:, 14:28, 22:32], hu[:, 30:32, 19:21] = 40, -850, -850, 1200
    return np.rint(hu + np.random.default_rng(0).normal(0, noise, hu.shape)).astype(np.int16)


def padded(value: int, moved: int = 0, noise: float = 12) -> NDArray[np.int16]:
    hu = chest(noise) + np.int16(moved)
    hu[OUTSIDE] = value
    return hu


@pytest.mark.parametrize(
    "hu",
    [
        pytest.param(chest(), id="chest"),
        pytest.param(padded(-2000), id="padded"),
        pytest.param(padded(-3024, noise=80), id="sharp kernel, not clipped at air"),
        pytest.param(chest().clip(-1024, 3071), id="clipped"),
        pytest.param(np.where(chest() > 1000, 3071, chest()), id="metal"),
        pytest.param(np.where(np.arange(9600).reshape(6, 40, 40) < 90, 30000, chest()).astype(np.int16), id="a staple"),
        pytest.param(np.full((4, 5, 6), -1000, np.int16), id="nothing but air"),
        pytest.param(np.where(chest() < -500, -850, 30).astype(np.int16), id="without noise"),
        pytest.param(chest()[:, 12:30, 6:20], id="a piece of lung"),
    ],
)
def test_hu_stay_as_they_are(hu: NDArray[np.int16]) -> None:
    read_hu, remarks = checked_hu(hu, HERE)
    np.testing.assert_array_equal(read_hu, np.maximum(hu, AIR_HU))
    assert remarks == ()


@pytest.mark.parametrize(
    ("values", "why"),
    [
        pytest.param(chest() + 1024, "there is no air", id="intercept lost"),
        pytest.param(padded(-2000, 1024), "there is no air", id="lost and padded"),
        pytest.param(padded(-1024, 1024), "there is no air, and .* above 900", id="lost and padded with air"),
        pytest.param(padded(-1000, 1000), "there is no air, and .* above 900", id="lost, 1000"),
        pytest.param(chest() + 8192, "there is no air", id="another offset"),
        pytest.param(chest() - 1024, "lie below air", id="applied twice"),
        pytest.param(padded(-3024, -1000), "lie below air", id="applied twice, padded"),
        pytest.param(np.where(chest() > 0, 9000 + chest(), chest()).astype(np.int16), "bone and metal", id="above"),
        pytest.param(np.abs(chest()) // 100, "there is no air", id="effective atomic number"),
    ],
)
def test_other_values_are_refused(values: NDArray[np.int16], why: str) -> None:
    with pytest.raises(
        ScanError, match=rf"scan.nii: values from .* are not HU of a chest CT: .*{why}.*; save the scan"
    ):
        checked_hu(values, HERE)


def test_one_plane_whose_intercept_was_lost() -> None:
    hu = chest()
    hu[3] += 1024
    with pytest.raises(ScanError, match=r"there is no air, and .* above 900 \(plane 4 of 6\)"):
        checked_hu(hu, HERE)


def test_a_value_that_no_ct_has_is_padding() -> None:
    hu, remarks = checked_hu(padded(31743), HERE)
    np.testing.assert_array_equal(hu, padded(AIR_HU).clip(AIR_HU))
    assert remarks == ("31743 HU fills 15% of the scan, which is no CT value: taken for padding",)


def write_unsigned(folder: Path, edit: Callable[[NDArray[np.int64]], NDArray[np.int64]], intercept: int) -> Ct:
    ct = Ct(hu=chest())
    for z, one in enumerate(ct.slices):
        one.PixelRepresentation, one.RescaleIntercept = 0, intercept
        one.PixelData = (edit(ct.hu[z].astype(np.int64) - intercept) % 2**16).astype("<u2").tobytes()
    ct.write(folder)
    return ct


def test_padding_below_zero_in_unsigned_pixels(tmp_path: Path) -> None:
    """63536 is -2000, and there is no PixelPaddingValue."""

    def pad(stored: NDArray[np.int64]) -> NDArray[np.int64]:
        stored[:6] = 63536
        return stored

    ct = write_unsigned(tmp_path, pad, -1024)
    scan = read(tmp_path)
    assert (scan.hu[OUTSIDE] == AIR_HU).all()
    np.testing.assert_array_equal(scan.hu[:, 6:], ct.hu[:, 6:].clip(AIR_HU))
    assert scan.remarks == ("stored values that would be above 30710 HU are read as negative",)


def test_a_sign_that_was_lost(tmp_path: Path) -> None:
    """HU stored as they are, and the header says unsigned: the lungs keep their values, too."""
    ct = write_unsigned(tmp_path, lambda stored: stored, 0)
    np.testing.assert_array_equal(read(tmp_path).hu, ct.hu.clip(AIR_HU))


@pytest.mark.parametrize("kind", ["Z_EFF", "EDW", "MGML", "Iodine no water"])
def test_values_that_say_they_are_no_hu(tmp_path: Path, kind: str) -> None:
    ct = Ct(hu=chest())
    for one in ct.slices:
        one.RescaleType = kind
    ct.write(tmp_path)
    line = f"the slice's values are {kind} (RescaleType), not HU; give the series in HU"
    assert refusal(tmp_path).endswith(line)
    better = Ct(hu=chest()[:4])
    better.write(tmp_path / "hu")
    np.testing.assert_array_equal(read(tmp_path).hu, better.hu.clip(AIR_HU))


@pytest.mark.parametrize("kind", ["HU", "hu", "US", "", "HU_MOD", "HOUNSFIELD"])
def test_values_that_may_be_hu(tmp_path: Path, kind: str) -> None:
    ct = Ct(hu=chest())
    for one in ct.slices:
        one.RescaleType = kind
    ct.write(tmp_path)
    np.testing.assert_array_equal(read(tmp_path).hu, ct.hu.clip(AIR_HU))
