"""Slices that show a lesion, as `Cohort.lesions` gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGER = 0.5
"""`least_area` of what is measured and trained on: half the area of the lesion's largest slice."""


@dataclass(frozen=True, eq=False)
class LesionSlices:
    """Slices of patients' lesions, in the order of the cohort.

    Attributes:
        image: (N, P, P) int16 HU.
        mask: (N, P, P) bool, the tumor.
        patient: (N,) whose slice it is.
        row: (N,) its place among the cohort's slices.
        lesion: (N,) which of the patient's lesions, 1 the largest.
    """

    image: NDArray[np.int16]
    mask: NDArray[np.bool_]
    patient: NDArray[np.str_]
    row: NDArray[np.int64]
    lesion: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.row)

    def place_among(self, patients: Sequence[str]) -> NDArray[np.int64]:
        """(N,) place of each slice's patient among `patients`."""
        place = {patient: k for k, patient in enumerate(patients)}
        return np.array([place[str(patient)] for patient in self.patient], np.int64)


def among_largest(area: NDArray[Any], patient: NDArray[Any], share: float) -> NDArray[np.bool_]:
    """(N,) which slices have at least `share` of the area of the largest slice of the same patient, or lesion.

    Towards its poles a lesion is cut obliquely: there a slice shows the thickness of the slice, not of the margin.

    Args:
        area: (N,) of the lesion in each slice.
        patient: (N,) whose slice it is.

    Examples:
        >>> among_largest(np.array([9, 4, 5]), np.array(["A", "A", "B"]), 0.5)
        array([ True, False,  True])
    """
    _, owner = np.unique(patient, return_inverse=True)
    largest = np.zeros(owner.max(initial=-1) + 1)
    np.maximum.at(largest, owner, area)
    return np.asarray(area >= share * largest[owner])
