"""Sampling against closed forms, against scipy's resampling, and against distances computed by brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage, stats

from radiogenesis.cohort.sampling.slices import SamplingSettings, background_slices, draw_centers, nodule_slices
from radiogenesis.cohort.scan import AIR_HU, Scan
from radiogenesis.errors import ScanError

Spacing = tuple[float, float, float]


def affine(spacing: Spacing, origin: tuple[float, float, float] = (-30.0, 20.0, 700.0)) -> NDArray[np.float64]:
    """An axial scan whose first voxel lies at `origin` (x, y, z)."""
    matrix = np.zeros((4, 4))
    matrix[2, 0], matrix[1, 1], matrix[0, 2] = spacing
    matrix[:, 3] = (*origin, 1)
    return matrix


def ball(shape: tuple[int, ...], spacing: Spacing, center: tuple[float, ...], radius_mm: float) -> NDArray[np.bool_]:
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    return sum(((x - c) * step) ** 2 for x, c, step in zip(axes, center, spacing, strict=True)) <= radius_mm**2


def scan_with_ball(spacing: Spacing = (2.5, 0.8, 0.7), radius_mm: float = 11.0) -> Scan:
    shape = (30, 100, 110)
    center = (14.3, 51.6, 55.2)
    hu = np.full(shape, -850, np.int16)
    scan = Scan(patient="P", hu=hu, affine=affine(spacing))
    return scan.with_mask("GTV", ball(shape, spacing, center, radius_mm), tumor=True)


def test_slices_of_a_ball_have_the_areas_of_its_circles() -> None:
    scan, chosen = scan_with_ball(), SamplingSettings(pixels=128, min_area_mm2=0)
    found = nodule_slices(scan, chosen)
    center_z = (found.center_mm[2] - 700) / 2.5
    planes = found.offset_mm / 2.5 + center_z
    np.testing.assert_allclose(planes, np.rint(planes), atol=1e-4)
    circles = np.pi * np.clip(11.0**2 - ((planes - 14.3) * 2.5) ** 2, 0, None)
    areas = found.mask.sum(axis=(1, 2)) * chosen.pixel_mm**2
    np.testing.assert_allclose(areas, circles, atol=12)  # voxels of 0.56 mm2 along a circle of 69 mm
    assert areas.sum() == pytest.approx(circles.sum(), rel=0.01)
    np.testing.assert_allclose(found.center_mm, [-30 + 55.2 * 0.7, 20 + 51.6 * 0.8, 700 + 14.3 * 2.5], atol=0.1)


def test_the_tumor_lies_in_the_middle_of_its_images() -> None:
    found = nodule_slices(scan_with_ball(), SamplingSettings())
    middle = ndimage.center_of_mass(found.mask.sum(axis=0))
    np.testing.assert_allclose(middle, [31.5, 31.5], atol=0.3)


@given(
    spacing=st.tuples(*[st.floats(0.4, 2.5)] * 3),
    pixels=st.sampled_from([16, 33, 64, 128]),
    slope=st.tuples(st.floats(-8, 8), st.floats(-8, 8)),
)
@settings(max_examples=40, deadline=None)
def test_a_ramp_stays_the_same_ramp_at_any_spacing_and_size(
    spacing: Spacing, pixels: int, slope: tuple[float, float]
) -> None:
    chosen = SamplingSettings(pixels=pixels, min_area_mm2=0)
    size = tuple(int(90 / step) + 2 for step in spacing[1:])
    y, x = np.ogrid[: size[0], : size[1]]
    ramp = slope[0] * y * spacing[1] + slope[1] * x * spacing[2]
    scan = Scan(patient="P", hu=np.rint(ramp)[None].astype(np.int16), affine=affine(spacing))
    center = (size[0] // 2, size[1] // 2)
    tumor = np.zeros(scan.hu.shape, bool)
    width = int(np.ceil(chosen.pixel_mm / min(spacing[1:]))) + 1
    tumor[0, center[0] - width : center[0] + width + 1, center[1] - width : center[1] + width + 1] = True
    image = nodule_slices(scan.with_mask("GTV", tumor, tumor=True), chosen).image[0]
    position = (np.arange(pixels) - (pixels - 1) / 2) * chosen.pixel_mm
    expected = slope[0] * (center[0] * spacing[1] + position[:, None]) + slope[1] * (center[1] * spacing[2] + position)
    np.testing.assert_allclose(image, expected, atol=1.01)  # the scan and the image are rounded to whole HU


def test_pixels_smaller_than_voxels_are_interpolated_as_scipy_does() -> None:
    scan = scan_with_ball(spacing=(3.0, 0.98, 0.98))
    rng = np.random.default_rng(3)
    scan = replace(scan, hu=rng.integers(-1000, 200, scan.hu.shape).astype(np.int16))
    chosen = SamplingSettings(pixels=80)
    found = nodule_slices(scan, chosen)
    z, y, x = np.argwhere(scan.tumor_mask).mean(axis=0)
    steps = (np.arange(80) - 39.5) * 0.75 / 0.98
    grid = np.meshgrid(y + steps, x + steps, indexing="ij")
    for image, offset in zip(found.image, found.offset_mm, strict=True):
        plane = scan.hu[round(z + offset / 3)].astype(float)
        np.testing.assert_allclose(image, ndimage.map_coordinates(plane, grid, order=1), atol=0.51)


def test_details_finer_than_a_pixel_do_not_alias() -> None:
    scan = scan_with_ball(spacing=(2.0, 0.4, 0.4), radius_mm=9)
    stripes = np.where(np.arange(scan.hu.shape[2]) % 2, -600, -1000).astype(np.int16)
    scan = replace(scan, hu=np.broadcast_to(stripes, scan.hu.shape).copy())
    image = nodule_slices(scan, SamplingSettings(pixels=24, field_of_view_mm=30)).image  # pixels of 1.25 mm
    assert np.abs(image[:, 4:-4, 4:-4] + 800).max() < 25


def test_outside_the_scan_is_air_and_no_tumor() -> None:
    scan = scan_with_ball()
    cut = 49  # the ball's center lies 2.6 rows from the new edge
    cropped = Scan(patient="P", hu=scan.hu[:, cut:], affine=scan.affine)
    found = nodule_slices(cropped.with_mask("GTV", scan.tumor_mask[:, cut:], tumor=True), SamplingSettings())
    assert (found.image[:, :20] == AIR_HU).all()
    assert not found.mask[:, :20].any()
    assert (found.image[:, 32:] == -850).all()


def test_slices_beyond_the_volume_and_slices_with_little_tumor_are_left_out() -> None:
    scan = scan_with_ball(spacing=(2.5, 0.8, 0.7), radius_mm=25)
    every = nodule_slices(scan, SamplingSettings(min_area_mm2=0))
    narrow = nodule_slices(scan, SamplingSettings(field_of_view_mm=30, min_area_mm2=0))
    large = nodule_slices(scan, SamplingSettings(min_area_mm2=1500))
    assert np.abs(narrow.offset_mm).max() <= 15 < np.abs(every.offset_mm).max()
    areas = every.mask.sum(axis=(1, 2)) * SamplingSettings().pixel_mm ** 2
    assert len(large.image) == pytest.approx((areas >= 1500).sum(), abs=1)


def test_without_an_outline_or_with_a_speck_there_is_one_precise_line() -> None:
    scan = scan_with_ball()
    bare = Scan(patient="P7", hu=scan.hu, affine=scan.affine)
    with pytest.raises(ScanError, match="scan of P7: no voxel is outlined"):
        nodule_slices(bare, SamplingSettings())
    speck = np.zeros(scan.hu.shape, bool)
    speck[10, 50, 50] = True
    with pytest.raises(ScanError, match=r"none of the 1 slices shows 10 mm2 .* the largest 0.6 mm2"):
        nodule_slices(bare.with_mask("GTV", speck, tumor=True), SamplingSettings())


def brute_force_distance(mask: NDArray[np.bool_], spacing: Spacing, index: NDArray[np.intp]) -> float:
    return float(np.sqrt((((np.argwhere(~mask) - index) * spacing) ** 2).sum(axis=1)).min())


@given(
    spacing=st.tuples(st.floats(0.8, 5), st.floats(0.8, 3), st.floats(0.8, 3)),
    boundary=st.tuples(st.floats(0, 8), st.floats(9, 30)),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_drawn_centers_lie_between_the_two_distances(
    spacing: Spacing, boundary: tuple[float, float], seed: int
) -> None:
    shape = (20, 40, 36)
    mask = ball(shape, spacing, (4, 20, 18), 22) & ~ball(shape, spacing, (4, 20, 30), 8)  # the stack cuts it
    centers, distances = draw_centers(mask, spacing, boundary, 5, np.random.default_rng(seed))
    transform = ndimage.distance_transform_edt(mask, sampling=spacing)
    exists = ((transform >= boundary[0]) & (transform <= boundary[1]) & mask).any()
    assert len(centers) == (5 if exists else 0)
    for index, distance in zip(centers, distances, strict=True):
        assert mask[tuple(index)]
        assert boundary[0] <= distance <= boundary[1]
        assert distance == pytest.approx(brute_force_distance(mask, spacing, index))


def test_every_voxel_at_such_a_distance_is_drawn_equally_often() -> None:
    spacing, boundary = (3.0, 2.0, 2.0), (5.0, 8.0)
    mask = ball((14, 18, 18), spacing, (6.5, 8.5, 8.5), 15)
    transform = ndimage.distance_transform_edt(mask, sampling=spacing)
    eligible = (transform >= boundary[0]) & (transform <= boundary[1])
    centers, _ = draw_centers(mask, spacing, boundary, 4000, np.random.default_rng(0))
    drawn = np.zeros(mask.shape)
    np.add.at(drawn, tuple(centers.T), 1)
    assert drawn[~eligible].sum() == 0
    assert stats.chisquare(drawn[eligible]).pvalue > 0.001


def test_a_rare_voxel_is_found() -> None:
    mask = np.zeros((40, 80, 80), bool)
    mask[1:-1, 1:-1, 1:5] = True  # a sheet too thin, and a lump with one voxel deep enough
    mask[20:31, 20:31, 30:41] = True
    centers, distances = draw_centers(mask, (1.0, 1.0, 1.0), (6.0, 25.0), 2, np.random.default_rng(0))
    assert centers.tolist() == [[25, 25, 35]] * 2
    assert distances.tolist() == [6.0, 6.0]


@pytest.fixture(scope="module")
def chest() -> tuple[Scan, NDArray[np.bool_]]:
    spacing = (2.5, 1.0, 1.0)
    shape = (40, 90, 90)
    hu = np.random.default_rng(5).normal(-850, 40, shape).astype(np.int16)
    scan = Scan(patient="P", hu=hu, affine=affine(spacing))
    lungs = ball(shape, spacing, (20, 45, 45), 42)
    return scan.with_mask("GTV", ball(shape, spacing, (20, 45, 60), 9), tumor=True), lungs


def test_backgrounds_come_from_healthy_lung_slice_by_slice(chest: tuple[Scan, NDArray[np.bool_]]) -> None:
    scan, lungs = chest
    planes = np.arange(len(scan.hu))
    scan = replace(scan, hu=np.broadcast_to((planes - 900)[:, None, None], scan.hu.shape).astype(np.int16))
    chosen = SamplingSettings(background_centers=3, slices_per_center=6)
    found = background_slices(scan, lungs, chosen, np.random.default_rng(1))
    assert found.image.shape == (18, 64, 64)
    assert found.image.dtype == np.int16
    left_out = 0
    for block in range(0, 18, 6):
        center = found.center_mm[block]
        assert (found.center_mm[block : block + 6] == center).all()
        z, y, x = np.rint((center - scan.affine[:3, 3])[::-1] / scan.spacing_mm).astype(int)
        distance = {
            plane: brute_force_distance(lungs & ~scan.tumor_mask, scan.spacing_mm, np.array([plane, y, x]))
            for plane in planes[np.abs(planes - z) * 2.5 <= 30]
        }
        assert 5 <= distance[z] <= 25
        shown = found.image[block : block + 6, 32, 32] + 900  # each plane holds its own number
        assert len(set(shown)) == 6
        np.testing.assert_allclose(
            found.boundary_mm[block : block + 6], [min(distance[plane], 25.0) for plane in shown], rtol=1e-6
        )
        assert found.boundary_mm[block : block + 6].min() >= 5
        left_out += sum(value < 5 for value in distance.values())
    assert left_out > 0  # some planes of these volumes have chest wall or tumor in the middle
    assert len(np.unique(found.center_mm, axis=0)) == 3


def test_the_papers_backgrounds_are_any_slices_of_the_volume(chest: tuple[Scan, NDArray[np.bool_]]) -> None:
    """Only the center keeps its distance (Xu et al. 2020, section 3): the middle of a slice may be tumor or wall."""
    scan, lungs = chest
    planes = np.arange(len(scan.hu))
    scan = replace(scan, hu=np.broadcast_to((planes - 900)[:, None, None], scan.hu.shape).astype(np.int16))
    chosen = SamplingSettings(background_centers=1, slices_per_center=12, middle_in_lung=False)
    healthy = lungs & ~scan.tumor_mask
    outside = 0
    for seed in range(4):
        found = background_slices(scan, lungs, chosen, np.random.default_rng(seed))
        z, y, x = np.rint((found.center_mm[0] - scan.affine[:3, 3])[::-1] / scan.spacing_mm).astype(int)
        volume = planes[np.abs(planes - z) * 2.5 <= 30]
        shown = found.image[:, 32, 32] + 900  # each plane holds its own number
        assert set(shown) <= set(volume)
        assert len(set(shown)) == 12
        distance = [brute_force_distance(healthy, scan.spacing_mm, np.array([plane, y, x])) for plane in shown]
        np.testing.assert_allclose(found.boundary_mm, np.minimum(distance, 25), rtol=1e-6)
        outside += sum(value < 5 for value in distance)
        assert 5 <= brute_force_distance(healthy, scan.spacing_mm, np.array([z, y, x])) <= 25
    assert outside > 0


def test_a_slice_repeats_only_where_the_volume_has_fewer(chest: tuple[Scan, NDArray[np.bool_]]) -> None:
    scan, lungs = chest
    found = background_slices(scan, lungs, SamplingSettings(slices_per_center=60), np.random.default_rng(1))
    assert len(found.image) == 60
    assert len(np.unique(found.image, axis=0)) <= 25  # 60 mm of planes 2.5 mm apart


def test_the_generator_decides(chest: tuple[Scan, NDArray[np.bool_]]) -> None:
    scan, lungs = chest
    first, again, other = (
        background_slices(scan, lungs, SamplingSettings(), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.center_mm, again.center_mm)
    assert not np.array_equal(first.center_mm, other.center_mm)


def test_no_backgrounds_can_be_asked_for(chest: tuple[Scan, NDArray[np.bool_]]) -> None:
    scan, lungs = chest
    found = background_slices(scan, lungs, SamplingSettings(background_centers=0), np.random.default_rng(1))
    assert found.image.shape == (0, 64, 64)
    assert found.center_mm.shape == (0, 3)


def test_the_middle_of_a_background_is_air_whatever_the_mask_says(chest: tuple[Scan, NDArray[np.bool_]]) -> None:
    """Half of the mask holds a dome of the diaphragm, as where slices are thick."""
    scan, lungs = chest
    hu = scan.hu.copy()
    hu[:20] = 20
    hu[20:, 45, 30:60] = 50  # a vessel: it may cross the middle
    scan = replace(scan, hu=hu)
    settings = SamplingSettings(background_centers=8, slices_per_center=4)
    found = background_slices(scan, lungs, settings, np.random.default_rng(0))
    assert (np.median(found.image[:, 28:36, 28:36], axis=(1, 2)) < -800).all()
    with pytest.raises(ScanError, match="around 50 centers in the lung no slice is aerated"):
        background_slices(replace(scan, hu=np.full_like(hu, 20)), lungs, settings, np.random.default_rng(0))


@pytest.mark.parametrize("radius_mm", [0.0, 4.0])
def test_a_lung_without_such_a_voxel_is_refused(chest: tuple[Scan, NDArray[np.bool_]], radius_mm: float) -> None:
    scan, _ = chest
    lungs = ball(scan.hu.shape, scan.spacing_mm, (5, 20, 20), radius_mm) & (radius_mm > 0)
    with pytest.raises(ScanError, match="no voxel of lung minus tumor lies 5 to 25 mm inside"):
        background_slices(scan, lungs, SamplingSettings(), np.random.default_rng(0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"pixels": 4},
        {"field_of_view_mm": 0.0},
        {"boundary_mm": (25.0, 5.0)},
        {"background_centers": -1},
        {"slices_per_center": 0},
        {"min_area_mm2": -1.0},
        {"seed": -1},
    ],
)
def test_settings_outside_their_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SamplingSettings(**wrong)  # type: ignore[arg-type]
