"""Real lesions on the backgrounds of the drawings: what the measures say of lesions that are as real as can be.

A lesion that was cut out is laid over a background as the fusion GAN lays its drawings: through the softened mask,
dilated and smoothed. It is turned by lot, as `train nearest-lesion` turns it.
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
from radiogenesis.evaluation.control import shared_backgrounds
from radiogenesis.evaluation.lesions import Lesions, measure_lesions
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.images import GrownMask, compose, images_from_hu, soften, to_hu, turned
from radiogenesis.phenotypes.lesion import lesion_features

DILATION, SMOOTHING = 7, 5
"""Of the mask before composing, in pixels: what the fusion GAN and the nearest lesions take."""
Measure = Callable[[NDArray[np.float32], NDArray[np.float32], Sequence[str]], Lesions]


@dataclass(frozen=True)
class Pasted:
    """n * K pasted lesions each, patient by patient, as many as drawings and on the same backgrounds.

    Attributes:
        training: lesions of training patients. In the place of each held-out patient stands one training patient, each
            another as long as there are enough, so that lesions of one patient are never taken for those of two. What
            a perfect method would reach; and copies, as far as memorisation is concerned.
        held_out: the held-out patients' own lesions. Described by `features` of `lesion_features` only.
        held_out_again: the same patients', chosen and turned by another lot.
    """

    training: Lesions
    held_out: Lesions
    held_out_again: Lesions


def pasted(cohort: Cohort, split: Split, settings: EvaluationSettings) -> Pasted:
    """Paste and measure; the same for all runs of a split."""
    index, _ = shared_backgrounds(cohort, split, settings.backgrounds_per_patient, settings.seed)
    backgrounds = cohort.background_image[index].astype(np.float32)
    rng = np.random.default_rng([settings.seed, 18])
    having = np.unique(cohort.slice_patient[np.isin(cohort.slice_patient, list(split.train))]).astype(str)
    givers = np.resize(rng.permutation(having), len(split.test)).tolist()
    plain = partial(measure_lesions, pixel_mm=cohort.pixel_mm, feature_set=lesion_features)
    full = partial(measure_lesions, pixel_mm=cohort.pixel_mm, inception_weights=settings.inception_weights)

    def lesions_of(patients: Sequence[str], measure: Measure) -> Lesions:
        parts = []
        for patient, giver in zip(split.test, patients, strict=True):
            rows = rng.choice(np.flatnonzero(cohort.slice_patient == giver), len(backgrounds))
            turns = rng.integers(0, 8, len(backgrounds))
            image, mask = paste(cohort.slice_image[rows], cohort.slice_mask[rows], turns, backgrounds)
            seen = measure(image, mask, [patient] * len(backgrounds))
            parts.append(replace(seen, place=np.arange(len(backgrounds), dtype=np.int64)))
        return Lesions.together(parts)

    return Pasted(lesions_of(givers, full), lesions_of(split.test, plain), lesions_of(split.test, plain))


def paste(
    image: NDArray[np.number[Any]], mask: NDArray[np.bool_], turns: NDArray[np.int64], backgrounds: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Slices (B, P, P) in HU, turned (B,) times, over backgrounds (B, P, P): images in HU, and soft masks."""
    over, hard = (
        torch.cat([turned(one[None], int(turn)) for one, turn in zip(part, turns, strict=True)])
        for part in (images_from_hu(image), torch.from_numpy(mask.astype(np.float32))[:, None])
    )
    soft = soften(hard)
    laid = to_hu(compose(over, images_from_hu(backgrounds), GrownMask(soft).composition(DILATION, SMOOTHING)))
    return laid[:, 0].numpy(), soft[:, 0].numpy()
