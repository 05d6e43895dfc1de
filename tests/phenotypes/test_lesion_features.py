"""Lesion measures against closed forms: discs, flowers, blurred edges, textures and cavities that we draw ourselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from radiogenesis.phenotypes import morphology as m
from radiogenesis.phenotypes.lesion import FEATURES, UNITS, lesion_features
from radiogenesis.phenotypes.shape import spiculation

PIXEL_MM = 60 / 64


def flower(
    *,
    side: int = 64,
    batch: int = 6,
    radius: float = 9.0,
    blur_mm: float = 0.8,
    hu: float = 20.0,
    noise: float = 20.0,
    petals: int = 0,
    height: float = 0.0,
    cavity: float = 0.0,
    texture: float = 0.0,
) -> tuple[Tensor, Tensor, float]:
    """Discs of r(phi) = radius (1 + height cos(petals phi)) mm off the grid's center, in lung of -850 HU."""
    pixel = 60 / side
    g = torch.Generator().manual_seed(3)
    grid = torch.arange(float(side)) * pixel
    center = 29 + 2 * torch.rand(batch, 2, generator=g)
    dy, dx = grid[None, :, None] - center[:, :1, None], grid[None, None, :] - center[:, 1:, None]
    r, edge = torch.hypot(dy, dx), radius * (1 + height * torch.cos(petals * torch.atan2(dy, dx)))
    share = torch.special.ndtr((edge - r) / blur_mm)
    inside = torch.full_like(r, hu)
    if texture:
        field = m.blur(torch.randn(batch, side, side, generator=g), 1.6 / pixel)
        inside = inside + texture * field / field.std()
    if cavity:
        inside = torch.where(r < cavity * radius, -980.0, inside)
    image = -850 + (inside + 850) * share + noise * torch.randn(batch, side, side, generator=g)
    return image[:, None], (r < edge).float()[:, None], pixel


def measured(**options: float) -> dict[str, float]:
    found = lesion_features(*flower(**options))  # type: ignore[arg-type]
    return {name: float(values.nanmean()) for name, values in found.items()}


@pytest.mark.parametrize("side", [64, 128])
@pytest.mark.parametrize("radius", [5.0, 9.0, 15.0])
def test_a_disc(side: int, radius: float) -> None:
    found = measured(side=side, radius=radius)
    assert found["size"] == pytest.approx(2 * radius, rel=0.02)
    assert found["attenuation"] == pytest.approx(20, abs=12)
    assert found["spiculation"] < 0.05
    assert found["margin"] == pytest.approx(2.563 * 0.8, rel=0.2)
    assert found["heterogeneity"] < 12
    assert found["cavitation"] == 0


@pytest.mark.parametrize("hu", [-550.0, -200.0, 40.0])
def test_the_margin_is_a_width_whatever_the_contrast(hu: float) -> None:
    widths = [measured(blur_mm=s, hu=hu, radius=12)["margin"] for s in (0.5, 0.8, 1.2, 2.0)]
    assert widths == pytest.approx([2.563 * s for s in (0.5, 0.8, 1.2, 2.0)], rel=0.25)
    assert widths == sorted(widths)


@pytest.mark.parametrize("radius", [9.0, 15.0])
def test_spiculation_is_the_amplitude_of_the_outline(radius: float) -> None:
    for height in (0.1, 0.2):
        _, mask, _ = flower(side=128, radius=radius, petals=7, height=height)
        found = spiculation(mask[:, 0] > 0.5)
        assert float(found.mean()) == pytest.approx(height / math.sqrt(2), rel=0.1)


def test_an_ellipse_is_not_spiculated() -> None:
    y, x = torch.meshgrid(torch.arange(64.0) - 31, torch.arange(64.0) - 31, indexing="ij")
    ellipse = ((y / 18) ** 2 + (x / 12) ** 2 < 1)[None]
    assert float(spiculation(ellipse)) < 0.05


def test_cavitation_is_the_share_of_the_area_and_leaves_attenuation_alone() -> None:
    for cavity in (0.3, 0.5):
        found = measured(cavity=cavity, radius=12, noise=10)
        assert found["cavitation"] == pytest.approx(cavity**2, rel=0.2)
        assert found["attenuation"] == pytest.approx(20, abs=10)


def test_heterogeneity_grows_with_texture_and_not_with_noise() -> None:
    found = [measured(texture=t, radius=13)["heterogeneity"] for t in (10, 30, 60, 100)]
    assert found == sorted(found)
    assert found[3] == pytest.approx(100, rel=0.35)
    assert measured(noise=60, radius=13)["heterogeneity"] < 15


def test_a_vessel_that_touches_hardly_moves_the_margin() -> None:
    image, mask, pixel = flower(radius=10)
    alone = lesion_features(image, mask, pixel)["margin"]
    touched = image.clone()
    touched[:, :, 29:32, 44:] = 30.0
    assert torch.allclose(lesion_features(touched, mask, pixel)["margin"], alone, rtol=0.2)


def test_empty_and_tiny_lesions_are_nan_and_do_not_disturb_the_others() -> None:
    image, mask, pixel = flower(batch=3)
    alone = lesion_features(image[2:], mask[2:], pixel)
    mask[0] = 0
    mask[1] = 0
    mask[1, 0, 30, 30:32] = 1
    found = lesion_features(image, mask, pixel)
    assert tuple(found) == FEATURES == tuple(UNITS)
    for name in FEATURES:
        assert torch.isnan(found[name][:2]).all()
        assert found[name][2] == pytest.approx(float(alone[name][0]), rel=1e-4, abs=1e-5)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"must both be \(B, 1, P, P\)"):
        lesion_features(torch.zeros(2, 64, 64), torch.zeros(2, 64, 64), 1.0)


def test_distance_is_scipys_within_reach() -> None:
    mask = torch.from_numpy(np.random.default_rng(0).random((4, 40, 40)) > 0.97)
    for one, found in zip(mask.numpy(), m.distance(mask, 9).numpy(), strict=True):
        assert np.allclose(found, np.minimum(ndimage.distance_transform_edt(~one), 9), atol=1e-5)


def test_holes_components_and_closing_are_scipys() -> None:
    rng = np.random.default_rng(1)
    soft = ndimage.gaussian_filter(rng.random((5, 48, 48)), (0, 1.5, 1.5))
    mask = soft > np.median(soft)
    filled = m.fill_holes(torch.from_numpy(mask)).numpy()
    main = m.main_component(torch.from_numpy(mask)).numpy()
    disc = np.hypot(*np.mgrid[-2:3, -2:3]) <= 2
    closed = m.closed(torch.from_numpy(mask), 2.0).numpy()
    for one, f, c, k in zip(mask, filled, main, closed, strict=True):
        assert (f == ndimage.binary_fill_holes(one)).all()
        labels, _ = ndimage.label(one, np.ones((3, 3)))
        assert (c == (labels == labels[c][0])).all()
        padded = np.pad(one, 4)
        assert (k == ndimage.binary_closing(padded, disc)[4:-4, 4:-4]).all()
