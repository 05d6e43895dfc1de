"""Tumour regions in torch are those of `cohort.regions`, slice by slice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from radiogenesis.cohort import regions as cohort_regions
from radiogenesis.methods.images import images_from_hu, soften, to_unit
from radiogenesis.methods.regions import tumour_boxes, tumour_regions


def slices(count: int = 5, pixels: int = 48, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Slices within the HU window, with ellipses of many sizes, one of them cut by the border."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:pixels, :pixels]
    image = rng.uniform(-1000, 500, (count, pixels, pixels)).astype(np.float32)
    radius, middle = rng.uniform(3, 20, (count, 2)), rng.uniform(14, 34, (count, 2))
    middle[0] = 2, 40
    mask = [np.hypot((y - m[0]) / r[0], (x - m[1]) / r[1]) < 1 for r, m in zip(radius, middle, strict=True)]
    return image, np.stack(mask)


@pytest.mark.parametrize(("ltr", "ttr"), [(128, 64), (48, 16), (24, 8)])
def test_they_agree_with_the_cohorts(ltr: int, ttr: int) -> None:
    image, mask = slices()
    found = tumour_regions(
        images_from_hu(image), torch.from_numpy(mask).float()[:, None], ltr_pixels=ltr, ttr_pixels=ttr
    )
    expected = cohort_regions.tumour_regions(image, mask, ltr_pixels=ltr, ttr_pixels=ttr)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours[:, 0], to_unit(torch.from_numpy(theirs)), atol=1e-4, rtol=0)


def test_a_softened_mask_has_the_same_box_along_straight_edges() -> None:
    mask = torch.zeros(2, 1, 32, 32)
    mask[0, 0, 5:12, 8:30] = mask[1, 0, 20:22, 3:5] = 1
    for given in (mask, soften(mask)):
        first, last = tumour_boxes(given)
        assert first.tolist() == [[5, 8], [20, 3]]
        assert last.tolist() == [[12, 30], [22, 5]]


def test_a_tumour_of_one_softened_pixel_still_has_a_box() -> None:
    mask = torch.zeros(1, 1, 16, 16)
    mask[0, 0, 4, 9] = 1
    first, last = tumour_boxes(soften(mask))
    assert first.tolist() == [[4, 9]]  # of the binomial filter's 1 2 1 / 2 4 2 / 1 2 1, the 4 alone is above half
    assert last.tolist() == [[5, 10]]
