"""Whether the drawings are copies of training lesions: asked before a page with them is made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.descriptions.lesions import Lesions, measure_lesions, real_lesions
from radiogenesis.evaluation.measures.control import shared_backgrounds
from radiogenesis.evaluation.measures.memorization import POWERFUL, CopyTest, memorization
from radiogenesis.evaluation.measures.pasted import pasted
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.nearest_lesion import NearestLesion
from radiogenesis.phenotypes.lesion import lesion_features
from radiogenesis.reporting.wording import p_text, percent
from radiogenesis.stats.resampling import ALPHA, nanmean
from radiogenesis.training.run import Run

BACKGROUNDS = 8
"""Drawings of each held-out patient that are compared."""


@dataclass(frozen=True)
class Copies:
    """What the audit says.

    Attributes:
        found: whether the page is refused for it.
        sentence: what was found, with what would have been seen.
    """

    found: bool
    sentence: str


def copies(run: Run, cohort: Cohort, seed: int) -> Copies:
    """Compare drawings for the held-out patients with the lesions that the run was trained on."""
    if isinstance(run.method, NearestLesion):
        return Copies(True, "This method pastes training lesions by design.")
    settings = EvaluationSettings(backgrounds_per_patient=BACKGROUNDS, bootstrap=500, permutations=999, seed=seed)
    index, _ = shared_backgrounds(cohort, run.split, BACKGROUNDS, seed)
    under = cohort.background_image[index].astype(np.float32)
    plain = partial(measure_lesions, pixel_mm=cohort.pixel_mm, feature_set=lesion_features)
    parts = []
    for patient, genes in zip(run.split.test, run.genes(cohort.expression, run.split.test), strict=True):
        made = run.synthesizer().synthesize(under, np.repeat(genes[None], len(under), axis=0), seed=seed)
        seen = plain(made.image, made.mask, [patient] * len(under))
        parts.append(replace(seen, place=np.arange(len(under), dtype=np.int64)))
    everybody = (*run.split.train, *run.split.test)
    real = real_lesions(cohort, everybody, (), lesion_features).slices
    drawn = Lesions.together(parts)
    beside = pasted(cohort, run.split, settings, lesion_features)
    return _said(memorization(drawn, real.of(run.split.train), real.of(run.split.test), beside, settings))


def _said(found: CopyTest) -> Copies:
    if np.isnan(found.p):
        return Copies(False, "Copies could not be tested for: the lesions have too few pixels inside.")
    figures = (
        f"{percent(float(nanmean(found.drawn.near, 0)))} of the drawings are nearer to a training lesion than 99 of "
        f"100 real lesions never trained on ({p_text(found.p)}); of pasted training lesions "
        f"{percent(float(nanmean(found.copies.near, 0)))}"
    )
    if found.p < ALPHA:
        return Copies(True, f"Some drawings may be copies of training lesions: {figures}.")
    if not found.power[1.0] >= POWERFUL:
        return Copies(False, f"Whether training lesions were copied cannot be said with so few patients: {figures}.")
    seen = "; ".join(f"had {percent(share)}, in {percent(often)}" for share, often in found.power.items())
    return Copies(
        False,
        f"No sign that training lesions were copied: {figures}. How often copies among the drawings would have been "
        f"seen in resamples of the patients: {seen}.",
    )
