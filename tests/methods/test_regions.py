"""Tumor regions against hand-made slices, against scipy's resampling, and slice by slice."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from radiogenesis.methods.images import soften
from radiogenesis.methods.regions import tumor_boxes, tumor_regions


def slice_with_box(top: int, left: int, bottom: int, right: int, size: int = 64) -> tuple[NDArray, NDArray]:
    mask = np.zeros((1, size, size), bool)
    mask[0, top:bottom, left:right] = True
    return np.where(mask, 40, -850).astype(np.int16), mask


def cut(
    image: NDArray, mask: NDArray, *, ltr_pixels: int = 128, ttr_pixels: int = 64, loose_side: float | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """LTR and TTR of slices (B, P, P); values pass through, whatever their unit."""
    x, m = (torch.from_numpy(np.ascontiguousarray(v, np.float32))[:, None] for v in (image, mask))
    found = tumor_regions(x, m, ltr_pixels=ltr_pixels, ttr_pixels=ttr_pixels, loose_side=loose_side)
    return found[0][:, 0].numpy(), found[1][:, 0].numpy()


def test_boxes_by_hand() -> None:
    mask = torch.zeros(2, 1, 8, 8)
    mask[0, 0, 2, 3] = mask[0, 0, 4, 6] = mask[1, 0, 0, 0] = 1
    first, last = tumor_boxes(mask)
    assert first.tolist() == [[2, 3], [0, 0]]
    assert last.tolist() == [[5, 7], [1, 1]]


def test_a_tight_region_is_the_box_and_a_loose_one_has_it_in_its_middle() -> None:
    image, mask = slice_with_box(10, 20, 18, 24)  # 8 rows x 4 columns, middle (13.5, 21.5)
    ltr, ttr = cut(image, mask)
    assert ltr.shape == (1, 128, 128)
    assert ttr.shape == (1, 64, 64)
    np.testing.assert_allclose(ttr[0, 8:-8, 16:-16], 40, atol=1e-3)  # one pixel of the slice away from the box's edge
    inside = np.argwhere(ltr[0] > -400)  # 16 x 8 pixels, the slice's being twice as large
    assert inside.min(axis=0).tolist() == [56, 60]
    assert inside.max(axis=0).tolist() == [71, 67]


def test_the_pixel_grid_is_copied_where_nothing_is_resampled() -> None:
    image = np.random.default_rng(0).integers(-1000, 500, (1, 40, 40))
    mask = np.zeros((1, 40, 40), bool)
    mask[0, 10:18, 6:14] = True
    ltr, ttr = cut(image, mask, ltr_pixels=16, ttr_pixels=8, loose_side=16)
    np.testing.assert_array_equal(ttr[0], image[0, 10:18, 6:14])
    np.testing.assert_array_equal(ltr[0], image[0, 6:22, 2:18])


def test_enlarging_agrees_with_scipy() -> None:
    image = np.random.default_rng(1).normal(-500, 200, (1, 32, 32))
    mask = np.zeros((1, 32, 32), bool)
    mask[0, 9:20, 13:18] = True
    _, ttr = cut(image, mask)
    rows, columns = (first + (np.arange(64) + 0.5) * n / 64 - 0.5 for first, n in ((9, 11), (13, 5)))
    expected = ndimage.map_coordinates(image[0], np.meshgrid(rows, columns, indexing="ij"), order=1)
    np.testing.assert_allclose(ttr[0], expected, atol=2e-2)


def test_beyond_the_slice_its_border_goes_on_and_a_ramp_stays_a_ramp_when_reduced() -> None:
    ramp = np.broadcast_to(np.arange(200.0), (1, 200, 200))
    mask = np.zeros((1, 200, 200), bool)
    mask[0, 0:3, 36:164] = True  # at the upper edge: the tight region is reduced twice along its columns
    ltr, ttr = cut(ramp, mask, loose_side=100)
    np.testing.assert_allclose(np.diff(ttr[0, 32]), 2.0, atol=1e-3)
    np.testing.assert_allclose(ltr[0], np.tile(ltr[0, 64], (128, 1)), atol=1e-3)  # every row alike, beyond it too
    np.testing.assert_allclose(ltr[0, 0, 64:], 99.5 + (np.arange(64) + 0.5) * 100 / 128, atol=1e-3)


def test_a_tumor_at_the_border_has_no_frame() -> None:
    image, mask = slice_with_box(0, 20, 10, 44)
    image[0, :, 50:] = 300  # a wall along the right border
    ltr, _ = cut(image, mask, ltr_pixels=64)
    np.testing.assert_allclose(ltr[0, :20, 24:40], 40, atol=1e-3)  # the tumor's own row goes on
    np.testing.assert_allclose(ltr[0, :, 54:], 300, atol=1e-3)


def test_every_slice_on_its_own_is_the_same_as_all_at_once() -> None:
    generator = np.random.default_rng(2)
    images = generator.normal(-500, 200, (3, 64, 64))
    masks = generator.random((3, 64, 64)) > 0.999
    masks[:, 30:34, 30:34] = True
    together = cut(images, masks)
    for at in range(3):
        for whole, one in zip(together, cut(images[at : at + 1], masks[at : at + 1]), strict=True):
            np.testing.assert_allclose(whole[at], one[0], atol=1e-3)


def test_a_softened_mask_has_the_same_box_along_straight_edges() -> None:
    mask = torch.zeros(2, 1, 32, 32)
    mask[0, 0, 5:12, 8:30] = mask[1, 0, 20:22, 3:5] = 1
    for given in (mask, soften(mask)):
        first, last = tumor_boxes(given)
        assert first.tolist() == [[5, 8], [20, 3]]
        assert last.tolist() == [[12, 30], [22, 5]]


def test_a_tumor_of_one_softened_pixel_still_has_a_box() -> None:
    mask = torch.zeros(1, 1, 16, 16)
    mask[0, 0, 4, 9] = 1
    first, last = tumor_boxes(soften(mask))
    assert first.tolist() == [[4, 9]]  # of the binomial filter's 1 2 1 / 2 4 2 / 1 2 1, the 4 alone is above half
    assert last.tolist() == [[5, 10]]
