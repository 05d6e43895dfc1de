"""The six properties of lesions, drawn or real, as controls and maps read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from radiogenesis.cohort.lesion_slices import LARGER
from radiogenesis.cohort.store import Cohort
from radiogenesis.imaging import LUNG_CT, Imaging
from radiogenesis.phenotypes.lesion import FEATURES, in_units, lesion_features
from radiogenesis.stats.resampling import Floats, patient_means


def measure(image: NDArray[Any], mask: NDArray[Any], pixel_mm: float, imaging: Imaging = LUNG_CT) -> Floats:
    """Images (B, P, P) as stored and masks (lesion where at least 0.5) -> (B, F) lesion features, in their units."""
    if not len(image):
        return np.zeros((0, len(FEATURES)))
    lesion = torch.from_numpy(np.asarray(mask, np.float32) >= 0.5).float()[:, None]
    hu = torch.from_numpy(np.asarray(image, np.float32))[:, None]
    features = lesion_features(hu, lesion, pixel_mm, darker=imaging.may_be_darker)
    return in_units(np.stack([features[name].double().numpy() for name in FEATURES], axis=1), imaging)


def own_features(cohort: Cohort, patients: Sequence[str]) -> Floats:
    """(n, F) means over each patient's own slices, of those with at least half the area of the patient's largest.

    Towards its poles a lesion is cut obliquely: there a slice shows the thickness of the slice, not of the margin. On a
    phantom of 110 patients this raises the correlation with the planted factors from 0.94 to 0.99 for size, from 0.92
    to 0.94 for spiculation, from 0.88 to 0.92 for heterogeneity, from 0.87 to 0.93 for cavitation.
    """
    own = cohort.lesions(patients, least_area=LARGER)
    values = measure(own.image, own.mask, cohort.pixel_mm, cohort.imaging)
    return np.stack([patient_means(values[:, f], own.patient, patients) for f in range(len(FEATURES))], axis=1)
