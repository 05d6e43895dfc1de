"""Planes that were forgotten, against the volume of a ball; and several lesions, against their places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from radiogenesis.cohort.sampling.pieces import main_lesion, whole_planes
from radiogenesis.cohort.sampling.slices import SamplingSettings, nodule_slices
from radiogenesis.cohort.scan import Scan
from radiogenesis.errors import ScanError

SPACING = (3.0, 1.0, 1.0)
HERE = Path("rt.dcm")
BALL_ML = 4 / 3 * np.pi * 15**3 / 1000


def ball(*center: float, radius: float = 15.0, spacing: tuple[float, float, float] = SPACING) -> NDArray[np.bool_]:
    """Center in mm, (z, y, x)."""
    z, y, x = np.mgrid[:40, :90, :90] * np.array(spacing)[:, None, None, None]
    return (z - center[0]) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2 < radius**2


def ml(mask: NDArray[np.bool_]) -> float:
    return float(mask.sum() * np.prod(SPACING) / 1000)


def without(mask: NDArray[np.bool_], *planes: int) -> NDArray[np.bool_]:
    left = mask.copy()
    left[list(planes)] = False
    return left


@pytest.mark.parametrize("planes", [(20,), (17,), (20, 21), (18, 22), (16,), (18, 21)])
def test_forgotten_planes_are_interpolated(planes: tuple[int, ...]) -> None:
    """Planes 15 to 24 hold the ball; without one of its middle planes a tenth of it would be gone."""
    drawn = without(ball(58.5, 45, 45), *planes)
    filled, remark = whole_planes(drawn, SPACING, HERE)
    assert ml(filled) == pytest.approx(BALL_ML, rel=0.03)
    assert remark == f"{len(planes)} plane{'s' * (len(planes) > 1)} without contour inside the lesion interpolated"
    assert not (drawn & ~filled).any()


def test_a_whole_outline_stays_as_it_is() -> None:
    mask = ball(58.5, 45, 45)
    mask[10, 45, 45] = True  # a crumb, some planes below
    filled, remark = whole_planes(mask, SPACING, HERE)
    np.testing.assert_array_equal(filled, mask)
    assert remark == ""


@pytest.mark.parametrize(
    ("planes", "line"),
    [
        (range(16, 25, 2), "every second plane of the CT only"),
        ([16, 18, 20, 22], "6 of the 10 planes between its first and its last"),
        ([16, 17, 18, 20, 21, 22], "4 of the 10 planes"),
    ],
)
def test_an_outline_on_some_planes_only_is_refused(planes: list[int], line: str) -> None:
    with pytest.raises(ScanError, match=rf"rt.dcm: the outline lies on {line}.*; interpolate it to all planes"):
        whole_planes(without(ball(58.5, 45, 45), *planes), SPACING, HERE)


def test_beside_a_whole_lesion_another_is_seen_to_be_sparse() -> None:
    """No plane of the scan is without contour, and yet one of two lesions has half of its planes."""
    sparse = without(ball(58.5, 45, 20, radius=14), *range(16, 25, 2))
    with pytest.raises(ScanError, match="interpolate it to all planes"):
        whole_planes(sparse | ball(58.5, 45, 70, radius=14), SPACING, HERE)


def test_one_long_gap_may_lie_between_two_lesions() -> None:
    mask = ball(30, 45, 45, radius=10) | ball(58, 45, 45, radius=10)
    filled, remark = whole_planes(mask, SPACING, HERE)
    np.testing.assert_array_equal(filled, mask)
    assert remark in ("", "3 planes without contour between two pieces left empty")


def scan_with(mask: NDArray[np.bool_]) -> Scan:
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *SPACING, 1
    hu = np.where(mask, 30, -850).astype(np.int16)
    return Scan(patient="P1", hu=hu, affine=affine, masks={"GTV": mask}, tumor="GTV")


def test_images_show_the_largest_of_two_lesions() -> None:
    """They would be centered between the two, where there is none."""
    large, small = ball(60, 20, 20, radius=12), ball(60, 20, 70, radius=8)
    scan = scan_with(large | small)
    shown, remark = main_lesion(scan)
    np.testing.assert_array_equal(shown.tumor_mask, large)
    assert remark == "outlined in 2 pieces 50 mm apart (7.04, 2.18 ml): slices and volume are of the largest one"
    assert (ml(large), ml(small)) == pytest.approx((7.24, 2.14), rel=0.03)  # 4 / 3 pi r3
    slices = nodule_slices(shown, SamplingSettings())
    np.testing.assert_allclose(slices.center_mm, [20, 20, 60], atol=0.5)
    np.testing.assert_array_equal(scan.tumor_mask, large | small)


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(ball(60, 45, 45), id="one"),
        pytest.param(ball(60, 20, 30, radius=9) | ball(60, 20, 51, radius=9), id="5 mm apart"),
        pytest.param(ball(60, 20, 20) | (np.indices((40, 90, 90)).sum(axis=0) == 217), id="a crumb far away"),
        pytest.param(np.zeros((40, 90, 90), bool), id="nothing"),
    ],
)
def test_what_is_one_lesion(mask: NDArray[np.bool_]) -> None:
    scan = scan_with(mask)
    shown, remark = main_lesion(scan)
    assert (shown is scan, remark) == (True, "")
