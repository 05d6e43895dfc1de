"""Patients exchanged: the gene side of an alignment is found again from the slices that it was fitted to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from radiogenesis.cohort.store import Cohort
from radiogenesis.imaging import LUNG_CT
from radiogenesis.mapping.synthesis import perturbation_null as null
from radiogenesis.mapping.synthesis.own_axes import own_axes
from radiogenesis.mapping.synthesis.perturbation import CodeAxes
from radiogenesis.methods.canonical_alignment import CanonicalAlignment, CanonicalAlignmentSettings
from radiogenesis.methods.images import images_from_hu

PATIENTS, GENES, SIDE = 40, 20, 32
NAMES = [f"P{i:02d}" for i in range(PATIENTS)]


class Slices:
    """Three slices each: the middle of the lesion, one nearly as large, and a pole that looks like anything."""

    lesions = Cohort.lesions

    def __init__(self, size: np.ndarray, level: np.ndarray) -> None:
        rng = np.random.default_rng(1)
        self.pixel_mm = 1.0
        self.imaging = LUNG_CT
        self.slice_patient = np.repeat(NAMES, 3)
        self.slice_lesion = np.zeros(3 * PATIENTS, np.int32)
        radius = (9 + np.clip(size, -2, 2))[:, None] * np.array([1.0, 0.9, 0.35])
        distance = np.hypot(*(np.mgrid[:SIDE, :SIDE] - SIDE / 2))
        self.slice_mask = distance < radius.reshape(-1, 1, 1)
        hu = np.column_stack([-200 + 120 * level] * 2 + [rng.uniform(-700, 100, PATIENTS)]).reshape(-1, 1, 1)
        noise = 30 * rng.standard_normal(self.slice_mask.shape)
        self.slice_image = np.where(self.slice_mask, hu + noise, -850).astype(np.int16)


def test_slices_that_the_alignment_left_out_are_left_out_of_its_null() -> None:
    rng = np.random.default_rng(0)
    size, level = rng.standard_normal((2, PATIENTS))
    genes = 0.5 * rng.standard_normal((PATIENTS, GENES))
    genes[:, :8] += size[:, None]
    genes[:, 8:16] += level[:, None]
    cohort: Any = Slices(size, level)
    alignment = CanonicalAlignment(CanonicalAlignmentSettings(directions=3, permutations=20), genes=GENES)
    outlined = torch.from_numpy(cohort.slice_mask).unsqueeze(1)
    large = np.arange(3 * PATIENTS) % 3 < 2
    owner = np.repeat(np.arange(PATIENTS), 2)
    alignment.fit(images_from_hu(cohort.slice_image[large]), outlined[large], owner, genes, 0, pixel_mm=1.0)

    used = alignment.used
    assert used[:2].all()
    z = alignment.targets(null.lesions_of(alignment, cohort, NAMES, least_area=0.5))[:, used]
    assert z.mean(axis=0) == pytest.approx(np.zeros(used.sum()), abs=1e-4)
    assert z.std(axis=0) == pytest.approx(np.ones(used.sum()), abs=1e-4)
    weights = alignment.gene_weights.double().numpy()[:, used]
    axes = CodeAxes(weights, np.linalg.pinv(weights).T)
    projections = null.exchanged_projections(alignment, cohort, NAMES, genes, axes, 3, 0, least_area=0.5)
    assert projections is not None
    assert [one.shape for one in projections] == [(GENES, int(used.sum()))] * 3
    alone = null.exchanged_projections(
        alignment, cohort, NAMES, genes, axes, 2, 0, least_area=0.5, blocks=np.arange(PATIENTS)
    )
    assert alone is not None
    identity = axes.project  # nobody to be exchanged with: the alignment's own weights
    for one in alone:
        np.testing.assert_allclose(one, identity, atol=1e-3)
    free = null.exchanged_projections(
        alignment, cohort, NAMES, genes, axes, 1, 0, least_area=0.5, blocks=np.zeros(PATIENTS)
    )
    assert free is not None
    assert np.abs(next(free) - identity).max() > 0.05


def test_each_feature_is_tested_along_its_own_axis_whatever_the_axes_of_the_code() -> None:
    rng = np.random.default_rng(0)
    alignment = CanonicalAlignment(CanonicalAlignmentSettings(directions=2), genes=GENES)
    used = [0, 1, 3, 7]  # size, attenuation, margin and the second direction of appearance
    alignment.gene_weights[:, used] = torch.from_numpy(rng.standard_normal((GENES, 4))).float()
    alignment.in_sample_deviation[used] = 1.0
    weights = alignment.gene_weights.double().numpy()
    turned = weights[:, used] @ rng.standard_normal((4, 4))
    axes = CodeAxes(turned, np.linalg.pinv(turned).T)
    expected = weights[:, [0, 1, 2, 3, 4, 5, 7]]  # the further axis that is not used is no feature
    assert axes.project @ own_axes(axes, alignment, np.ones((4, 7))) == pytest.approx(expected, abs=1e-9)
    without = CanonicalAlignment(CanonicalAlignmentSettings(properties=False), genes=GENES)
    slopes = rng.standard_normal((4, 7))
    assert own_axes(axes, without, slopes) is slopes
