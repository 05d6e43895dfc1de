"""The statistics of a lesion, against scipy and against sums written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import distance_transform_cdt, gaussian_filter, grey_dilation

from radiogenesis.networks.lesion_statistics import (
    LAGS,
    ORDERS,
    RINGS,
    SIZES,
    air,
    appearance,
    core,
    dilate,
    gaussian,
    lagged_product,
    masked_statistics,
    neighbor_covariance,
    shells,
    zernike_moments,
    zernike_radial,
)


def disc(pixels: int, radius: float) -> torch.Tensor:
    y, x = np.mgrid[:pixels, :pixels] - (pixels - 1) / 2
    return torch.from_numpy((np.hypot(y, x) < radius).astype(np.float32))[None, None]


def test_gaussian_is_scipys() -> None:
    x = torch.randn(2, 1, 20, 24, generator=torch.Generator().manual_seed(0))
    expected = [gaussian_filter(image[0].double().numpy(), 1.5, mode="constant", radius=4) for image in x]
    assert_allclose(gaussian(x, 1.5)[:, 0], expected, atol=1e-5)


def test_lagged_product_is_the_sum_over_pairs() -> None:
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    v = x[0, 0].tolist()
    down = sum(v[i][j] * v[i + 2][j] for i in range(1) for j in range(4))
    right = sum(v[i][j] * v[i][j + 2] for i in range(3) for j in range(2))
    assert lagged_product(x, 2).tolist() == [down + right]


def test_neighbor_covariance_against_numpy() -> None:
    x = 0.1 * torch.randn(1, 1, 24, 24, generator=torch.Generator().manual_seed(1))
    region = disc(24, 8.5)
    image, w = x[0, 0].double().numpy(), region[0, 0].double().numpy()

    def smoothed(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, 2.0, mode="constant", radius=6)

    rest = image - smoothed(image * w) / (smoothed(w) + 1e-2)
    rest = w * rest / np.sqrt(1 + (rest / 0.3) ** 2)
    expected = []
    for lag in LAGS:
        product = (rest[lag:] * rest[:-lag]).sum() + (rest[:, lag:] * rest[:, :-lag]).sum()
        pairs = (w[lag:] * w[:-lag]).sum() + (w[:, lag:] * w[:, :-lag]).sum()
        covariance = product / (pairs + 8)
        expected.append(np.sign(covariance) * (np.sqrt(abs(covariance) + 1e-4) - 0.01))
    assert_allclose(neighbor_covariance(x, region, smoothing=2.0, limit=0.3)[0], expected, atol=1e-5)


def test_neighbors_share_grain_but_no_noise() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(20, 40, 40))
    grain = gaussian_filter(rng.normal(size=noise.shape), (0, 1.2, 1.2))
    grain *= noise.std() / grain.std()

    def of(images: np.ndarray) -> float:
        x = torch.from_numpy(images.astype(np.float32))[:, None]
        return float(neighbor_covariance(0.08 * x, disc(40, 14).expand(20, -1, -1, -1))[:, 0].mean())

    assert of(grain) > 0.03  # of a deviation of 0.08, of which the window takes away what is coarse
    assert abs(of(noise)) < 0.01


def test_a_region_of_few_pixels_is_drawn_to_the_lesion() -> None:
    features = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    regions = torch.zeros(1, 2, 4, 4)
    regions[:, 0, :2], regions[:, 1, 0, 0] = 1, 1  # a lesion of 8 pixels, a region of one
    f = features[0, 0].double().numpy()
    lesion = np.array([f[:2].mean(), (f[:2] ** 2).mean()])
    mean, square = (np.array([f[0, 0], f[0, 0] ** 2]) + 3 * lesion) / 4
    found = masked_statistics(features, regions, fewest=3.0, floor=0.01)[0]
    expected = [lesion[0], mean, np.sqrt(lesion[1] - lesion[0] ** 2 + 0.01), np.sqrt(square - mean**2 + 0.01)]
    assert_allclose(found, expected, rtol=2e-3)


def test_appearance_has_as_many_statistics_as_it_says_and_a_finite_gradient() -> None:
    x = (0.1 * torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(3))).requires_grad_()
    for mask in (disc(32, 9), torch.zeros(1, 1, 32, 32)):
        found = appearance(x, mask.expand(2, -1, -1, -1))
        assert found.shape == (2, sum(SIZES))
        assert found.isfinite().all()
        assert torch.autograd.grad(found.sum(), x)[0].isfinite().all()


@pytest.mark.parametrize("pixels", [1, 3, 5, 7, 11])
def test_dilation_is_scipys_with_and_without_a_gradient(pixels: int) -> None:
    mask = torch.rand(2, 1, 9, 14)
    expected = np.stack([grey_dilation(one, (1, pixels, pixels), mode="constant", cval=-1) for one in mask.numpy()])
    assert_array_equal(dilate(mask, pixels).numpy(), expected)
    grown = dilate(mask.requires_grad_(), pixels)
    assert_array_equal(grown.detach().numpy(), expected)
    grown.sum().backward()
    assert mask.grad is not None
    assert mask.grad.sum() == grown.numel()  # each pixel hands its gradient to the one that it was taken from


def test_shells_go_by_the_distance_to_the_outline() -> None:
    """Of a square, whose shells by repeated 3 x 3 dilation are squares too: chessboard distance, by scipy."""
    mask = torch.zeros(1, 1, 40, 40)
    mask[..., 12:28, 12:28] = 1
    m = mask[0, 0].numpy() > 0
    inside, outside = (distance_transform_cdt(side, metric="chessboard") for side in (m, ~m))
    inner, outer = (torch.cat(side, dim=1)[0].numpy() for side in shells(mask))
    assert_array_equal(inner > 0.5, [inside > k for k in range(1, RINGS + 1)])
    assert_array_equal(outer > 0.5, [outside <= k for k in range(1, RINGS + 1)])


def test_the_profile_is_the_mean_at_each_distance() -> None:
    mask = disc(48, 12)
    m = mask[0, 0].numpy() > 0
    depth = distance_transform_cdt(m, metric="chessboard") - distance_transform_cdt(~m, metric="chessboard")
    image = np.tanh(depth / 5.0)
    x = torch.from_numpy(image.astype(np.float32))[None, None]
    profile = appearance(x, mask)[0, sum(SIZES[:4]) : sum(SIZES[:5])].numpy()
    lesion = image[m].mean()
    for r, (k, side) in enumerate((k, side) for k in range(1, RINGS + 1) for side in (1, -1)):
        here = image[depth == side * k]
        assert_allclose(profile[r], (here.sum() + 4 * lesion) / (len(here) + 4), atol=1e-3)


def test_air_is_the_hole_and_its_wall_counts_as_little_as_the_hole() -> None:
    wall, hole = disc(48, 14), disc(48, 6)
    x = -0.9 + 1.0 * wall - 1.05 * hole  # lung -925 HU, wall -175 HU, air -962 HU
    found = air(x, wall, core(wall, 1))
    assert found[hole > 0].mean() > 0.9
    assert found[(wall - hole) > 0].mean() < 0.1
    ground_glass = -0.9 + 0.5 * wall  # -550 HU: dark, but no hole in it
    assert air(ground_glass, wall, core(wall, 1)).sum() < 0.02 * wall.sum()


def test_grain_is_that_of_the_wall_not_of_the_hole() -> None:
    def grain(x: torch.Tensor) -> torch.Tensor:
        start = sum(SIZES[:3])
        return appearance(x, disc(64, 20))[0, start : start + len(LAGS)]

    solid = -0.9 + disc(64, 20)
    hollow = solid - 1.05 * disc(64, 7)
    rough = solid + 0.1 * torch.from_numpy(
        gaussian_filter(np.random.default_rng(0).normal(size=(64, 64)), 1.2).astype(np.float32) * 4
    )
    assert (grain(hollow) - grain(solid)).abs().max() < 0.1 * (grain(rough) - grain(solid))[0]


def test_zernike_polynomials_are_those_of_the_books() -> None:
    rho = torch.linspace(0, 1, 11, dtype=torch.float64)
    for (n, m), expected in {
        (2, 0): 2 * rho**2 - 1, (3, 1): 3 * rho**3 - 2 * rho, (4, 2): 4 * rho**4 - 3 * rho**2, (5, 5): rho**5,
        (6, 0): 20 * rho**6 - 30 * rho**4 + 12 * rho**2 - 1,
    }.items():  # fmt: skip
        found = sum(c * rho ** (m + 2 * j) for j, c in enumerate(zernike_radial(n, m)))
        assert_allclose(found, expected, atol=1e-12)


def test_the_layout_of_a_lesion_is_the_sum_written_out_and_does_not_turn_with_it() -> None:
    mask = disc(48, 16)
    x = -0.6 + 0.1 * torch.randn(1, 1, 48, 48, generator=torch.Generator().manual_seed(4))
    x = x + 0.15 * torch.roll(disc(48, 5), (6, -4), (2, 3))
    found = zernike_moments(x, mask, mask)[0].numpy()
    m, image = mask[0, 0].double().numpy(), x[0, 0].double().numpy()
    v, u = (np.mgrid[:48, :48] - 23.5) / np.sqrt((m.sum() + 4) / np.pi)
    rest = image - (m * image).sum() / (m.sum() + 8)
    rest = m * rest / np.sqrt(1 + (rest / 0.2) ** 2) / (m.sum() + 8)
    z31 = (rest * (3 * np.hypot(v, u) ** 3 - 2 * np.hypot(v, u)) * np.exp(-1j * np.arctan2(v, u))).sum()
    assert found[ORDERS.index((3, 1))] == pytest.approx(4 * (np.sqrt(abs(z31) ** 2 + 1e-6) - 1e-3), abs=1e-4)
    z20 = (rest * (2 * (v**2 + u**2) - 1)).sum()
    assert found[ORDERS.index((2, 0))] == pytest.approx(3 * z20, abs=1e-4)
    turned = zernike_moments(torch.rot90(x, 1, (2, 3)).flip(3), mask, mask)[0].numpy()
    assert_allclose(turned, found, atol=1e-5)


def test_one_product_gives_every_moment_and_its_gradient_as_sums_one_by_one_do() -> None:
    """The sums as METHODS.md writes them, each with its own polynomial; pixels beyond the circle among them."""
    generator = torch.Generator().manual_seed(6)
    x, mask = torch.randn(3, 1, 32, 32, generator=generator) / 5, torch.sigmoid(8 * (disc(32, 9) - 0.5))
    region = mask * torch.rand(3, 1, 32, 32, generator=generator) + 0.2 * disc(32, 14)
    given = [one.double().expand(3, 1, 32, 32).clone().requires_grad_() for one in (x, region, mask)]

    def plainly(x: torch.Tensor, region: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
        place = torch.arange(32, dtype=torch.float64)
        area = m.sum((1, 2, 3)) + 4
        radius = (area / torch.pi).sqrt()[:, None]
        v, u = ((place - (m.sum(other)[:, 0] @ place + 4 * 15.5)[:, None] / area[:, None]) / radius for other in (3, 2))
        away = (v[:, :, None].square() + u[:, None, :].square() + 1e-8).sqrt()
        total = region.sum((2, 3), keepdim=True) + 8
        rest = x - (region * x).sum((2, 3), keepdim=True) / total
        rest = (region * rest / (1 + (rest / 0.2).square()).sqrt() / total)[:, 0]
        angle = torch.atan2(v[:, :, None].expand_as(away), u[:, None, :].expand_as(away))
        found = []
        for n, m_order in ORDERS:
            powers = enumerate(zernike_radial(n, m_order))
            radial = rest * sum(c * away.clamp(max=1.0) ** (m_order + 2 * j) for j, c in powers)
            parts = [(radial * turn(m_order * angle)).sum((1, 2)) for turn in (torch.cos, torch.sin)]
            size = (parts[0].square() + parts[1].square() + 1e-6).sqrt() - 1e-3
            found.append((n + 1) * (size if m_order else parts[0]))
        return torch.stack(found, dim=1)

    found, expected = zernike_moments(*given), plainly(*given)
    assert_allclose(found.detach(), expected.detach(), atol=1e-6)
    weight = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    gradients = [torch.autograd.grad((of * weight).sum(), given, retain_graph=True) for of in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        assert_allclose(one, other, atol=1e-6)


def test_a_dense_part_off_the_middle_shows_in_the_layout() -> None:
    mask, off = disc(64, 20), []
    for shift in (0, 4, 8, 12):
        x = -0.6 + 0.2 * mask + 0.3 * torch.roll(disc(64, 6), shift, 3)
        off.append(float(zernike_moments(x, mask, mask)[0, ORDERS.index((1, 1))]))
    assert np.all(np.diff(off) > 0)
    assert off[0] == pytest.approx(0, abs=1e-3)
