"""Lesions with a texture of their own, patient by patient, to be pasted and recognized."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from radiogenesis.evaluation.descriptions.interiors import interiors
from radiogenesis.evaluation.descriptions.lesions import Lesions

PIXELS = 48


def lungs(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    return rng.normal(-850, 30, (count, PIXELS, PIXELS)).astype(np.float32)


def slices(rng: np.random.Generator, patients: int, each: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Images in HU and masks (patients * each, P, P): lobed, denser in the middle, with a texture by patient."""
    image, mask = [], []
    rows, columns = np.indices((PIXELS, PIXELS)) - (PIXELS - 1) / 2
    angle, distance = np.arctan2(rows, columns), np.hypot(rows, columns)
    for _ in range(patients):
        texture = 120 * gaussian_filter(rng.normal(size=(PIXELS, PIXELS)), 2) / 0.14
        radius, lobes, phase = rng.uniform(9, 14), rng.integers(2, 5), rng.uniform(0, 6)
        for share in np.linspace(1, 0.8, each):
            edge = radius * share * (1 + 0.15 * np.sin(lobes * angle + phase))
            inside = distance <= edge
            solid = -50 - 150 * (distance / edge) ** 2 + texture + rng.normal(0, 20, inside.shape)
            image.append(np.where(inside, solid, lungs(rng, 1)[0]).astype(np.float32))
            mask.append(inside)
    return np.stack(image), np.stack(mask)


def lesions(image: NDArray[np.floating], mask: NDArray[np.generic], patient: NDArray[np.str_]) -> Lesions:
    """With an inside, and nothing else."""
    nothing = np.zeros((len(image), 1))
    return Lesions(nothing, nothing, patient, interior=interiors(image, mask))
