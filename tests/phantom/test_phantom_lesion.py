"""Lesions against closed forms: volumes, edges, densities, on isotropic and anisotropic grids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, label
from scipy.special import ndtr

from radiogenesis.phantom.factors import LesionFactors
from radiogenesis.phantom.lesion import (
    CAVITY_HU,
    SOLID_EDGE_MM,
    SOLID_HEIGHT,
    SOLID_HU,
    SOLID_SHARE,
    TEN_TO_NINETY,
    Surface,
    draw_surface,
    plant_lesion,
)

LUNG_HU = -850.0
PLAIN = LesionFactors(
    size_mm=22.0, attenuation_hu=-100.0, spiculation=0.0, margin_mm=2.0, heterogeneity_hu=0.0, cavitation=0.0
)
GRIDS = [(1.0, 1.0, 1.0), (3.0, 0.75, 0.75)]


def plant(
    factors: LesionFactors, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0), seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    shape = tuple(round(64 / step) for step in spacing)
    lung = np.full(shape, LUNG_HU, np.float32)
    center = (np.array(shape) - 1) / 2
    return plant_lesion(lung, spacing, center, factors, np.random.default_rng(seed))


def test_a_surface_without_bumps_is_the_sphere() -> None:
    nothing = np.empty((0, 3), np.float32), np.empty(0, np.float32), np.empty(0, np.float32)
    directions = np.eye(3, dtype=np.float32)
    np.testing.assert_allclose(Surface(7.0, *nothing).radius(directions), 7.0)


@pytest.mark.parametrize("spiculation", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("spacing", GRIDS)
@pytest.mark.parametrize("size", [14.0, 22.0, 32.0])
def test_the_body_has_the_volume_of_the_sphere(
    size: float, spacing: tuple[float, float, float], spiculation: float
) -> None:
    _, mask = plant(replace(PLAIN, size_mm=size, spiculation=spiculation), spacing)
    assert mask.sum() * np.prod(spacing) == pytest.approx(np.pi / 6 * size**3, rel=0.05)


def test_the_body_is_one_piece() -> None:
    _, mask = plant(replace(PLAIN, spiculation=1.0), (0.5, 0.5, 0.5))
    labels, _ = label(mask, np.ones((3, 3, 3)))
    assert np.bincount(labels[labels > 0]).max() > 0.995 * mask.sum()


@pytest.mark.parametrize("hu", [-550.0, -300.0, 40.0])
@pytest.mark.parametrize("spacing", GRIDS)
def test_tissue_inside_has_the_attenuation(hu: float, spacing: tuple[float, float, float]) -> None:
    planted, mask = plant(replace(PLAIN, attenuation_hu=hu, heterogeneity_hu=15.0, margin_mm=1.5), spacing)
    core = binary_erosion(mask, iterations=2)
    assert planted[core].mean() == pytest.approx(hu, abs=12)


@pytest.mark.parametrize("margin", [1.5, 3.0, 6.0])
def test_the_edge_is_the_integral_of_a_gaussian_of_the_wanted_width(margin: float) -> None:
    factors = replace(PLAIN, margin_mm=margin)
    planted, _ = plant(factors)
    surface = draw_surface(factors.size_mm, 0.0, np.random.default_rng(0))
    z, y, x = np.indices(planted.shape) - (np.array(planted.shape).reshape(3, 1, 1, 1) - 1) / 2
    offset = np.stack([z, y, x], axis=-1).astype(np.float32)
    distance = np.linalg.norm(offset, axis=-1)
    near = np.abs(distance - factors.size_mm / 2) < 4
    depth = surface.radius(offset[near] / distance[near, None]) - distance[near]
    expected = LUNG_HU + ndtr(depth / (margin / TEN_TO_NINETY)) * (factors.attenuation_hu - LUNG_HU)
    np.testing.assert_allclose(planted[near], expected, atol=1.0)


def test_texture_has_the_wanted_deviation() -> None:
    for wanted in (20.0, 60.0, 140.0):
        planted, mask = plant(replace(PLAIN, heterogeneity_hu=wanted, attenuation_hu=0.0, size_mm=30.0, margin_mm=1.5))
        assert planted[binary_erosion(mask, iterations=3)].std() == pytest.approx(wanted, rel=0.15)


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_the_cavity_is_air_of_the_wanted_size_behind_a_wall(share: float) -> None:
    planted, mask = plant(replace(PLAIN, cavitation=share), (0.5, 0.5, 0.5))
    air = mask & (planted < (CAVITY_HU + PLAIN.attenuation_hu) / 2)
    wanted = np.pi / 6 * (share * PLAIN.size_mm) ** 3
    assert air.sum() * 0.5**3 == pytest.approx(wanted, rel=0.08)
    assert not (air & ~binary_erosion(mask, iterations=2)).any()


def test_spiculation_makes_the_boundary_longer() -> None:
    """Surface over volume, counted by faces between voxels, on the mean of several lesions."""

    def faces(spiculation: float) -> float:
        masks = [plant(replace(PLAIN, spiculation=spiculation), seed=seed)[1] for seed in range(4)]
        return float(
            np.mean([sum(np.diff(mask.astype(int), axis=a).__abs__().sum() for a in range(3)) for mask in masks])
        )

    grown = [faces(s) for s in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert (np.diff(grown) > 0).all()


def test_vessels_stay_visible_through_ground_glass() -> None:
    lung = np.full((40, 40, 40), LUNG_HU, np.float32)
    lung[:, 20, 20] = 40.0
    glass = replace(PLAIN, attenuation_hu=-550.0)
    planted, _ = plant_lesion(lung, (1.0, 1.0, 1.0), (19.5, 19.5, 19.5), glass, np.random.default_rng(0))
    assert planted[20, 20, 20] == pytest.approx(40, abs=5)
    assert planted[20, 24, 24] == pytest.approx(-550, abs=5)


def test_it_stays_in_the_lungs_and_leaves_the_rest_and_the_type_alone() -> None:
    hu = np.full((40, 60, 60), int(LUNG_HU), np.int16)
    hu[:, :, 40:] = 50
    lungs = hu < 0
    planted, mask = plant_lesion(
        hu, (1.5, 1.0, 1.0), (20, 30, 36), replace(PLAIN, spiculation=0.8), np.random.default_rng(1), lungs=lungs
    )
    assert planted.dtype == np.int16
    assert mask.any()
    assert not (mask & ~lungs).any()
    np.testing.assert_array_equal(planted[~lungs], hu[~lungs])
    np.testing.assert_array_equal(planted[:3], hu[:3])
    assert (hu == np.where(lungs, int(LUNG_HU), 50)).all(), "the volume given must not be changed"


def test_a_lesion_is_as_noisy_as_the_scan_it_is_planted_in() -> None:
    rng = np.random.default_rng(2)
    hu = (LUNG_HU + 40 * rng.standard_normal((40, 60, 60))).astype(np.float32)
    planted, mask = plant_lesion(hu, (1.0, 1.0, 1.0), (20, 30, 30), PLAIN, rng)
    core = binary_erosion(mask, iterations=3)
    assert 25 < planted[core].std() < 45


def test_the_same_stream_draws_the_same_lesion() -> None:
    factors = replace(PLAIN, spiculation=0.7, heterogeneity_hu=50.0, cavitation=0.3)
    first, again, other = plant(factors, seed=1), plant(factors, seed=1), plant(factors, seed=2)
    np.testing.assert_array_equal(first[0], again[0])
    assert (first[0] != other[0]).any()


def test_a_center_outside_is_refused() -> None:
    with pytest.raises(ValueError, match="not inside a volume of shape"):
        plant_lesion(np.zeros((4, 4, 4), np.float32), (1.0, 1.0, 1.0), (5, 1, 1), PLAIN, np.random.default_rng(0))


@pytest.mark.parametrize("spacing", GRIDS)
def test_the_denser_part_lies_as_far_off_as_the_factor_says(spacing: tuple[float, float, float]) -> None:
    """Its place alone changes: as many voxels are denser, by as much, and the lesion's outline is the same."""
    plain, body = plant(PLAIN, spacing)
    off, volume, radius = [], [], 11.0
    for offset in (0.0, 0.5, 1.0):
        planted, mask = plant(replace(PLAIN, solid_offset=offset), spacing)
        assert (mask == body).all()
        denser = np.clip((planted - plain) / SOLID_HU, 0, 1)
        place = np.argwhere(denser > 0.5) * spacing - (np.array(denser.shape) - 1) / 2 * spacing
        off.append(float(np.hypot(*place.mean(0)[1:])))
        volume.append(float(denser.sum() * np.prod(spacing)))
        assert abs(place.mean(0)[0]) < 0.5  # within the plane, so that it shows on every slice
    reach = radius * (1 - SOLID_SHARE) - SOLID_EDGE_MM
    assert off == pytest.approx([0, reach / 2, reach], abs=0.5)
    expected = 4 / 3 * np.pi * radius**3 * SOLID_SHARE**2 * SOLID_HEIGHT
    assert volume == pytest.approx([expected] * 3, rel=0.15)
