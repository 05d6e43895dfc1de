"""What the map by synthesis measures on lesions: the properties, and the further axes of an alignment."""

from __future__ import annotations

import numpy as np
import torch

from radiogenesis.evaluation.descriptions.properties import measure
from radiogenesis.mapping.synthesis.measured import NAMES, Measured
from radiogenesis.methods.canonical_alignment import CanonicalAlignment, CanonicalAlignmentSettings
from radiogenesis.methods.images import images_from_hu, soften

SIDE = 32


def lesions() -> tuple[np.ndarray, np.ndarray]:
    distance = np.hypot(*(np.mgrid[:SIDE, :SIDE] - SIDE / 2))
    masks = np.stack([distance < radius for radius in (9, 6, 0)])  # the last is no lesion
    images = np.where(masks, -100, -850) + 20 * np.random.default_rng(0).standard_normal(masks.shape)
    return images.astype(np.float32), masks


def alignment(used: list[int]) -> CanonicalAlignment:
    made = CanonicalAlignment(CanonicalAlignmentSettings(directions=3), genes=4)
    made.deviation.fill_(1.0)
    made.in_sample_deviation[[0, 1, *used]] = 1.0
    made.lesion_weights.normal_(generator=torch.Generator().manual_seed(0))
    return made


def test_properties_alone_without_further_axes() -> None:
    image, mask = lesions()
    for one in (Measured(1.0), Measured(1.0, alignment([]))):
        assert one.names == NAMES
        np.testing.assert_array_equal(one.of(image, mask), measure(image, mask, 1.0))


def test_coordinates_along_the_axes_that_are_used() -> None:
    image, mask = lesions()
    made = alignment([6, 8])
    found = Measured(1.0, made)
    assert found.names == (*NAMES, "appearance 1", "appearance 3")
    assert found.units["appearance 1"] == "SD"
    assert found.units[NAMES[0]] == "mm"
    values = found.of(image, 0.8 * mask)  # a drawn mask: lesion where at least 0.5
    np.testing.assert_array_equal(values[:, :6], measure(image, mask, 1.0))
    soft = soften(torch.from_numpy(mask.astype(np.float32))[:, None])
    expected = made.coordinates(made.standardized(images_from_hu(image), soft)).numpy()[:, [6, 8]]
    np.testing.assert_allclose(values[:2, 6:], expected[:2], atol=1e-5)
    assert np.isnan(values[2]).all()
