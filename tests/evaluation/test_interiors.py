"""The inside of a lesion is the same on another background, in another place, turned and enlarged."""

from __future__ import annotations

import numpy as np
import pytest
from painted_lesions import PIXELS, lungs, slices
from scipy.ndimage import affine_transform, zoom

from radiogenesis.evaluation.descriptions.interiors import SIDE, agreement, interiors


def test_turned_and_moved_on_another_background_it_is_the_same() -> None:
    rng = np.random.default_rng(0)
    image, mask = slices(rng, 6, 1)
    other = np.where(mask, image, lungs(rng, 6))
    moved = [np.roll(np.rot90(part, 1, (1, 2))[:, :, ::-1], (3, -2), (1, 2)) for part in (other, mask)]
    found = agreement(interiors(image, mask), interiors(*moved))
    assert np.diag(found) == pytest.approx(1, abs=1e-4)
    assert found[~np.eye(6, dtype=bool)].max() < 0.95


def test_enlarged_by_a_tenth_it_is_nearly_the_same() -> None:
    image, mask = slices(np.random.default_rng(1), 6, 1)
    middle = (PIXELS - 1) / 2 * (1 - 1 / 1.1)
    larger = np.stack([affine_transform(one, [1 / 1.1] * 2, middle, order=1, mode="nearest") for one in image])
    lesion = np.stack([affine_transform(one.astype(float), [1 / 1.1] * 2, middle, order=1) >= 0.5 for one in mask])
    found = agreement(interiors(image, mask), interiors(larger, lesion))
    assert np.diag(found).mean() > 0.9
    assert np.diag(found).min() > 1.2 * found[~np.eye(6, dtype=bool)].max()


def test_it_is_the_correlation_of_the_pixels() -> None:
    """Discs of the size at which nothing is resampled."""
    rng = np.random.default_rng(2)
    rows, columns = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    disc = np.hypot(rows, columns) <= SIDE * 0.375
    first, second = rng.normal(0, 100, (2, SIDE, SIDE))
    big = [zoom(one, 4, order=0) for one in (first, second)]  # four pixels each: interpolation finds their values
    mask = zoom(disc.astype(np.uint8), 4, order=0) > 0
    x, y = (interiors(one[None], mask[None]) for one in big)
    inside = x[0] != 0
    turned = np.stack([np.rot90(second, k)[:, :: 1 if k < 4 else -1].ravel() for k in range(8)])
    expected = max(np.corrcoef(first.ravel()[inside], one[inside])[0, 1] for one in turned)
    assert agreement(x, y)[0, 0] == pytest.approx(expected, abs=0.05)


def test_too_small_or_without_structure_it_is_not_told() -> None:
    image, mask = slices(np.random.default_rng(3), 3, 1)
    image[1] = -100.0
    mask[2] = False
    mask[2, 20:25, 20:25] = True  # 9 pixels inside
    found = interiors(image, mask)
    assert np.isfinite(found).all(1).tolist() == [True, False, False]
    assert np.isnan(agreement(found, found)[1]).all()
    assert interiors(image[:0], mask[:0]).shape == (0, SIDE * SIDE)
