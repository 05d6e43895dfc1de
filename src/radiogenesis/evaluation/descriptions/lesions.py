"""Lesions in numbers, real and drawn alike: what realism, diversity and memorization are computed from.

A patient is the unit: means are taken within a patient first, and nobody is compared with the own lesions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.descriptions.embedding import embed
from radiogenesis.evaluation.descriptions.inception import seen_by_inception
from radiogenesis.evaluation.descriptions.interiors import interiors
from radiogenesis.phenotypes.radiomics import FAMILIES, RadiomicsSettings, radiomic_features
from radiogenesis.stats.resampling import Floats

FeatureSet = Callable[[Tensor, Tensor, float], Mapping[str, Tensor]]
"""A set of radiomic features, such as `ibsi_features` or `lesion_features`: image (B, 1, P, P) in HU, mask
(B, 1, P, P), pixel_mm -> named features (B,), nan where there is none."""


def ibsi_features(image: Tensor, mask: Tensor, pixel_mm: float) -> dict[str, Tensor]:
    """Shape, intensity and texture; all but the margin, which a lesion without an edge does not have.

    Leaving the lesions without an edge out would flatter exactly the methods that draw them.
    """
    families = tuple(family for family in FAMILIES if family != "margin")
    return radiomic_features(image, mask, pixel_mm, RadiomicsSettings(families=families))


@dataclass(frozen=True)
class Lesions:
    """Measured lesions.

    Attributes:
        embedding: (N, E), see `embedding`; nan where there is no lesion.
        features: (N, F), see `FeatureSet`; nan where one cannot be measured.
        patient: (N,) whose lesion it is, or from whose genes it was drawn.
        place: (N,) which of the backgrounds, with its noise, it was drawn on, where all patients share them: such
            drawings are alike beyond what their genes say. None for lesions that share nothing.
        inception: (N, 2048) Inception features of the whole slices, where the user supplies the weights; else None.
        interior: (N, S) what is inside, see `interiors`; nan where there is too little. None where nobody asks.
    """

    embedding: Floats
    features: Floats
    patient: NDArray[np.str_]
    place: NDArray[np.int64] | None = None
    inception: Floats | None = None
    interior: NDArray[np.float32] | None = None

    def of(self, patients: Collection[str]) -> Lesions:
        """Those of some patients."""
        return self[np.isin(self.patient, list(patients))]

    def __getitem__(self, which: NDArray[Any]) -> Lesions:
        place, inception, interior = (
            None if part is None else part[which] for part in (self.place, self.inception, self.interior)
        )
        return Lesions(self.embedding[which], self.features[which], self.patient[which], place, inception, interior)

    def __len__(self) -> int:
        return len(self.patient)

    @classmethod
    def together(cls, parts: Sequence[Lesions]) -> Lesions:
        """All of them, one after the other; they share places if all parts have places."""
        places = [part.place for part in parts if part.place is not None]
        inception = [part.inception for part in parts if part.inception is not None]
        interior = [part.interior for part in parts if part.interior is not None]
        return cls(
            np.concatenate([part.embedding for part in parts]),
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.patient for part in parts]),
            np.concatenate(places) if len(places) == len(parts) else None,
            np.concatenate(inception) if len(inception) == len(parts) else None,
            np.concatenate(interior) if len(interior) == len(parts) else None,
        )

    def usable(self) -> Lesions:
        """Those with a lesion in them."""
        return self[complete(self.embedding)]


def measure_lesions(
    image: NDArray[Any],
    mask: NDArray[Any],
    patient: Sequence[str] | NDArray[np.str_],
    pixel_mm: float,
    feature_set: FeatureSet = ibsi_features,
    inception_weights: str = "",
) -> Lesions:
    """Slices (B, P, P) in HU with masks (lesion where at least 0.5), and whose they are."""
    lesion = torch.from_numpy(np.asarray(mask, np.float32) >= 0.5).float()[:, None]
    measured = feature_set(torch.from_numpy(np.asarray(image, np.float32))[:, None], lesion, pixel_mm)
    features = np.stack([values.double().numpy() for values in measured.values()], axis=1)
    seen = seen_by_inception(image, inception_weights)
    return Lesions(
        embed(image, mask, pixel_mm),
        features,
        np.asarray(patient, dtype=str),
        inception=seen,
        interior=interiors(image, mask),
    )


@dataclass(frozen=True)
class RealLesions:
    """The real lesions of a cohort, and what a lesion without structure looks like.

    Attributes:
        slices: every slice.
        shuffled: the same slices with the pixels of each lesion shuffled: the negative control (EVIDENCE.md rule 2).
        index: (N,) place of each among the cohort's slices.
    """

    slices: Lesions
    shuffled: Lesions
    index: NDArray[np.int64]


def real_lesions(
    cohort: Cohort,
    patients: Collection[str],
    shuffle: Collection[str],
    feature_set: FeatureSet = ibsi_features,
    inception_weights: str = "",
) -> RealLesions:
    """Measure the slices of `patients`, and those of `shuffle` with their pixels shuffled within the lesion."""
    own = cohort.lesions(patients)
    image, mask, owner = own.image, own.mask, own.patient
    chosen = np.isin(owner, list(shuffle))
    mixed = image[chosen].copy()
    rng = np.random.default_rng(0)
    for lesion, inside in zip(mixed, mask[chosen], strict=True):
        lesion[inside] = rng.permutation(lesion[inside])
    pixel_mm = cohort.pixel_mm
    return RealLesions(
        measure_lesions(image, mask, owner, pixel_mm, feature_set, inception_weights),
        measure_lesions(mixed, mask[chosen], owner[chosen], pixel_mm, feature_set, inception_weights),
        own.row,
    )


@dataclass(frozen=True)
class Axes:
    """Standardized principal axes of training lesions, every patient counting the same.

    Attributes:
        mean, deviation: (E,) of each number.
        squash: deviations beyond which a standardized number is held back; inf for none.
        axes: (E, d).
    """

    mean: Floats
    deviation: Floats
    squash: float
    axes: Floats

    @classmethod
    def fit(
        cls,
        values: Floats,
        patient: NDArray[np.str_],
        count: int,
        *,
        whiten: bool = False,
        squash: float = float("inf"),
    ) -> Axes:
        """At most `count` axes of (N, E) values, rows with nan left out; `whiten` gives every axis deviation 1."""
        kept = complete(values)
        values, weight = values[kept], patient_weights(patient[kept])
        mean = weight @ values
        deviation = np.sqrt(weight @ (values - mean) ** 2)
        deviation = np.where(deviation > 1e-9, deviation, 1.0)
        z = held_back((values - mean) / deviation, squash)
        variance, axes = (part[..., ::-1] for part in np.linalg.eigh((z * weight[:, None]).T @ z))
        kept = (variance > 1e-9 * variance[0])[:count].nonzero()[0]
        return cls(mean, deviation, squash, axes[:, kept] / (np.sqrt(variance[kept]) if whiten else 1.0))

    def __call__(self, values: Floats) -> Floats:
        """(N, E) -> (N, d)."""
        return held_back((values - self.mean) / self.deviation, self.squash) @ self.axes


AXES = 32  # hold 98 % of the embedding's variance on a phantom of 40 patients
SQUASH = 2.0


@dataclass(frozen=True)
class Space:
    """The space that lesions are compared in: the embedding's axes, each counting the same, no lesion counting for all.

    Whitened, since else brightness, which differs most between patients, drowns texture, which tells a drawing. Beyond
    2 deviations squashed, since a cubic kernel hands the result to the oddest patient. On a phantom this doubles the
    KID of lesions with shuffled pixels, and halves the width of the interval of training lesions.
    """

    axes: Axes

    @classmethod
    def fit(cls, training: Lesions) -> Space:
        """The space of training lesions."""
        return cls(Axes.fit(training.embedding, training.patient, AXES, whiten=True))

    def __call__(self, lesions: Lesions) -> Floats:
        """(N, d); nan without a lesion."""
        return held_back(self.axes(lesions.embedding), SQUASH)


def held_back(z: Floats, reach: float) -> Floats:
    """z / sqrt(1 + (z / reach)^2): z where it is small, never beyond +-reach."""
    return np.asarray(z / np.sqrt(1 + (z / reach) ** 2))


def complete(values: Floats) -> NDArray[np.int64]:
    """Places of the rows (N, d) without nan."""
    return np.flatnonzero(np.isfinite(values).all(axis=1))


def patient_weights(patient: NDArray[np.str_]) -> Floats:
    """(N,) weights that add up to 1, as much for every patient."""
    _, code, count = np.unique(patient, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (count[code] * len(count)))
