"""Real lesions on the backgrounds of the drawings: what the measures say of lesions that are as real as can be.

A lesion that was cut out is laid over a background as the fusion GAN lays its drawings: through the softened mask,
dilated and smoothed. Slices and turns are drawn by lot. Those by which realism is judged only among the ones that do
not reach the chest wall, seam included: the lung that comes with a lesion is a dark rim there, which no perfect method
would draw, and which alone makes most of the distance (on a phantom KID 0.25, and 0.05 where nothing lies on the wall).
Where none fits, nothing is laid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.descriptions.lesions import FeatureSet, Lesions, ibsi_features, measure_lesions
from radiogenesis.evaluation.measures.control import shared_backgrounds
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods import laying
from radiogenesis.methods.images import GrownMask, images_from_hu, outside_lung, to_hu, turned
from radiogenesis.phenotypes.lesion import lesion_features

DILATION, SMOOTHING = 7, 5
"""Of the mask before composing, in pixels: what the fusion GAN and the nearest lesions take."""
Measure = Callable[[NDArray[np.float32], NDArray[np.float32], Sequence[str]], Lesions]


@dataclass(frozen=True)
class Pasted:
    """n * K pasted lesions each, patient by patient, on the backgrounds of the drawings; nan where none fits.

    Attributes:
        training: lesions of training patients. In the place of each held-out patient stands one training patient, each
            another as long as there are enough, so that lesions of one patient are never taken for those of two. What
            a perfect method would reach.
        copies: the same training patients', wherever they lie. Described by `features` of `lesion_features` only.
        held_out: the held-out patients' own lesions, likewise.
    """

    training: Lesions
    copies: Lesions
    held_out: Lesions


def pasted(
    cohort: Cohort, split: Split, settings: EvaluationSettings, feature_set: FeatureSet = ibsi_features
) -> Pasted:
    """Paste and measure; the same for all runs of a split.

    Args:
        feature_set: what the training lesions are described by.
    """
    index, _ = shared_backgrounds(cohort, split, settings.backgrounds_per_patient, settings.seed)
    backgrounds = cohort.background_image[index].astype(np.float32)
    reach = GrownMask(outside_lung(images_from_hu(backgrounds))).dilated(DILATION + SMOOTHING - 1)
    wall = reach[:, 0].numpy() > 0
    rng = np.random.default_rng([settings.seed, 18])
    having = np.unique(cohort.slice_patient[np.isin(cohort.slice_patient, list(split.train))]).astype(str)
    givers = np.resize(rng.permutation(having), len(split.test)).tolist()
    plain = partial(measure_lesions, pixel_mm=cohort.pixel_mm, feature_set=lesion_features)
    full = partial(
        measure_lesions,
        pixel_mm=cohort.pixel_mm,
        feature_set=feature_set,
        inception_weights=settings.inception_weights,
    )

    def lesions_of(patients: Sequence[str], measure: Measure, barred: NDArray[np.bool_]) -> Lesions:
        parts = []
        for patient, giver in zip(split.test, patients, strict=True):
            theirs = np.flatnonzero(cohort.slice_patient == giver)
            chosen, turns, fits = _fitting(cohort.slice_mask[theirs], barred, rng)
            rows = theirs[chosen]
            image, mask = paste(cohort.slice_image[rows], cohort.slice_mask[rows], turns, backgrounds)
            image[~fits], mask[~fits] = backgrounds[~fits], 0
            seen = measure(image, mask, [patient] * len(backgrounds))
            parts.append(replace(seen, place=np.arange(len(backgrounds), dtype=np.int64)))
        return Lesions.together(parts)

    nowhere = np.zeros_like(wall)
    return Pasted(
        lesions_of(givers, full, wall), lesions_of(givers, plain, nowhere), lesions_of(split.test, plain, nowhere)
    )


def _fitting(
    mask: NDArray[np.bool_], wall: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Of slices (S, P, P), for each background one by lot, and how it is turned, so that no pixel of it lies on the
    wall (K, P, P); and (K,) whether there is one."""
    soft = torch.from_numpy(mask.astype(np.float32))[:, None]
    each = torch.stack([turned(soft, turn) for turn in range(8)], dim=1).flatten(2)  # (S, 8, P * P)
    apart = (each.flatten(0, 1) @ torch.from_numpy(wall.astype(np.float32)).flatten(1).T == 0).numpy()  # (S * 8, K)
    order = np.argsort(rng.random(apart.shape) - apart, axis=0)[0]  # what fits comes first, in random order
    return order // 8, order % 8, np.asarray(apart.any(0))


def paste(
    image: NDArray[np.number[Any]], mask: NDArray[np.bool_], turns: NDArray[np.int64], backgrounds: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Slices (B, P, P) in HU, turned (B,) times, over backgrounds (B, P, P): images in HU, and soft masks."""
    outline = torch.from_numpy(mask)[:, None]
    laid, soft, _ = laying.pasted(
        images_from_hu(image), outline, turns.tolist(), images_from_hu(backgrounds), dilation=DILATION,
        smoothing=SMOOTHING,
    )  # fmt: skip
    return to_hu(laid)[:, 0].numpy(), soft[:, 0].numpy()
