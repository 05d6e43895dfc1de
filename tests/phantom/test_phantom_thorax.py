"""The half chest, its vessels and the scanner, against closed forms and the lung mask that real scans get."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr

from radiogenesis.cohort.sampling.lungs import lung_mask
from radiogenesis.cohort.scan import Scan
from radiogenesis.phantom.scanner import KERNELS, SLICES, Scanner, acquire, average_slices, draw_scanner
from radiogenesis.phantom.thorax import Thorax, draw_thorax
from radiogenesis.phantom.vessels import MURRAY, grow_tree, sample_tubes, splat_thin, stamp_balls

SPACING = (2.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def thorax() -> Thorax:
    return draw_thorax(SPACING, np.random.default_rng(0))


def test_the_tissues_have_the_densities_of_a_chest(thorax: Thorax) -> None:
    assert thorax.hu.dtype == np.float32
    lung = thorax.hu[thorax.inside_mm > 3]
    assert -900 < np.median(lung) < -800
    assert 0.01 < (lung > -300).mean() < 0.15, "vessels"
    wall = thorax.hu[(thorax.inside_mm < -2) & (thorax.inside_mm > -10)]
    assert -20 < np.median(wall) < 80
    assert (wall > 300).mean() > 0.02, "ribs"
    assert np.median(thorax.hu[:, 0, 0]) == pytest.approx(-1000, abs=5)


def test_the_lung_mask_of_real_scans_finds_the_lung() -> None:
    for seed in range(3):
        thorax = draw_thorax(SPACING, np.random.default_rng(seed))
        scanner = Scanner("standard", 2.0, 1.0, 1.0)
        affine = np.diag([2.0, 1.0, 1.0, 1.0])[:, [2, 1, 0, 3]]
        hu = acquire(thorax.hu, scanner, np.random.default_rng(seed))
        found, true = lung_mask(Scan(patient="p", hu=hu, affine=affine)), thorax.inside_mm > 0
        assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.93


def test_left_and_right_lungs_are_drawn() -> None:
    sides = set()
    for seed in range(8):
        thorax = draw_thorax((6.0, 4.0, 4.0), np.random.default_rng(seed))
        sides.add(bool(thorax.hilum_mm[2] > thorax.hu.shape[2] * 4.0 / 2))
        z, y, x = np.round(thorax.hilum_mm / thorax.spacing_mm).astype(int)
        assert thorax.inside_mm[z, y, x] > -25, "the hilum lies where lung and mediastinum meet"
    assert sides == {False, True}


def test_a_tree_reaches_every_target_and_follows_murrays_law() -> None:
    rng = np.random.default_rng(1)
    targets = rng.uniform(0, 60, (80, 3))
    tree = grow_tree(np.array([30.0, 30.0, 0.0]), targets, rng)
    nearest = np.linalg.norm(tree.position[None] - targets[:, None], axis=-1).min(axis=1)
    assert nearest.max() < 1e-9
    assert (tree.parent[1:] < np.arange(1, len(tree.parent))).all()
    flow = tree.radius**MURRAY
    arriving = np.bincount(tree.parent[1:], flow[1:], minlength=len(flow))
    own = flow - arriving  # what a node feeds itself: nothing, or one last branch
    assert ((np.abs(own) < 1e-9) | (own > 0.17**MURRAY)).all()


def test_thin_tubes_keep_their_volume() -> None:
    length, radius = 20.0, 0.4
    position = np.stack([np.full(100, 7.3), np.full(100, 6.1), np.linspace(5, 25, 100)], axis=1)
    volume = np.zeros((16, 16, 40), np.float32)
    splat_thin(volume, SPACING, (position, np.full(100, radius), np.full(100, length / 100)))
    assert volume.sum() * np.prod(SPACING) == pytest.approx(np.pi * radius**2 * length, rel=1e-4)


def test_balls_have_their_volume() -> None:
    volume = np.zeros((40, 40, 40), np.float32)
    stamp_balls(volume, (0.5, 0.5, 0.5), np.array([[10.0, 9.8, 10.1]]), np.array([6.0]))
    assert volume.sum() * 0.5**3 == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.01)


def test_samples_along_tubes_add_up_to_their_length() -> None:
    rng = np.random.default_rng(2)
    tree = grow_tree(np.zeros(3), rng.uniform(5, 40, (20, 3)), rng)
    _, radius, length = sample_tubes(tree, 0.5, (0.0, np.inf))
    pieces = np.linalg.norm(tree.position[1:] - tree.position[tree.parent[1:]], axis=1)
    assert length.sum() == pytest.approx(pieces.sum())
    assert length.max() <= 0.5 + 1e-9
    assert set(np.round(radius, 9)) <= set(np.round(tree.radius, 9))


def flat(value: float, scanner: Scanner) -> NDArray[np.float32]:
    return np.full((40 * SLICES[scanner.slice_mm], 64, 64), value, np.float32)


@pytest.mark.parametrize("kernel", list(KERNELS))
@pytest.mark.parametrize("slice_mm", [1.25, 3.0])
def test_noise_has_the_kernels_deviation_and_no_bias(kernel: str, slice_mm: float) -> None:
    scanner = Scanner(kernel, slice_mm, 0.8, 1.1)
    hu = acquire(flat(-500, scanner), scanner, np.random.default_rng(3))
    assert hu.dtype == np.int16
    assert hu.shape == (40, 64, 64)
    assert hu.std() == pytest.approx(KERNELS[kernel].noise_hu * 1.1 * np.sqrt(2 / slice_mm), rel=0.03)
    assert hu.mean() == pytest.approx(-500, abs=0.5)


def test_the_smooth_kernel_blurs_an_edge_as_a_gaussian() -> None:
    scanner = Scanner("smooth", 2.0, 0.8, 0.0)
    edge = flat(-800, scanner)
    edge[:, :, 16:48] = 0
    profile = acquire(edge, scanner, np.random.default_rng(0))[5, 5, 8:32]
    sigma = KERNELS["smooth"].blur_mm / 0.8
    expected = -800 + 800 * ndtr((np.arange(8, 32) - 15.5) / sigma)
    np.testing.assert_allclose(profile, expected, atol=25)  # the periodic step itself rings a little


def test_a_sharp_kernel_shows_rims() -> None:
    scanner = Scanner("sharp", 2.0, 0.8, 0.0)
    edge = flat(-800, scanner)
    edge[:, :, 16:48] = 0
    profile = acquire(edge, scanner, np.random.default_rng(0))[5, 5]
    assert profile.max() > 30
    assert profile.min() < -830


def test_thick_slices_are_means_of_planes() -> None:
    fine = np.arange(7, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    np.testing.assert_array_equal(average_slices(fine, Scanner("smooth", 3.0, 0.8, 1.0))[:, 0, 0], [0.5, 2.5, 4.5])


def test_scanners_vary_and_say_what_they_are() -> None:
    scanners = [draw_scanner("sharp", np.random.default_rng(seed)) for seed in range(40)]
    assert {scanner.slice_mm for scanner in scanners} == set(SLICES)
    made = scanners[0].acquisition
    assert (made.kernel, made.slice_thickness_mm) == ("sharp", scanners[0].slice_mm)
