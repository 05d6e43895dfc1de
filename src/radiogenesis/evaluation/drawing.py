"""Drawing for held-out patients and measuring what was drawn, patient by patient, so that memory stays small."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radiogenesis.cohort.expression import ExpressionScaler
from radiogenesis.cohort.lesion_slices import LARGER
from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import RunError
from radiogenesis.evaluation.descriptions.lesions import Lesions, measure_lesions
from radiogenesis.evaluation.descriptions.properties import measure, own_features
from radiogenesis.evaluation.measures.control import Measured, ridge_prediction, shared_backgrounds
from radiogenesis.evaluation.measures.fidelity import MEASURES, PASTED, fidelity_values, pasted_values
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.protocols import Synthesis, Synthesizer
from radiogenesis.phenotypes.lesion import FEATURES, in_units, lesion_features, names
from radiogenesis.stats.resampling import Floats, nanmean

Progress = Callable[[int, int], None]
"""Called with how many held-out patients are done, and of how many."""


@dataclass(frozen=True)
class Drawn:
    """What was measured on everything that was drawn, and a few of the drawings.

    Attributes:
        features: (n, K, F) of K images for each of n held-out patients.
        lesions: the same n * K images, patient by patient, as they are compared with real lesions.
        by_noise: n * J images, J of each patient on the first background, which only noise makes differ.
        noise_features: (n, J, F) of those.
        fidelity: region -> measure -> (n * K,).
        examples: the first drawings of the patients to show.
        background_index: (K,) backgrounds in the cohort, the same for everybody.
        backgrounds_of: whose they are, in words.
    """

    features: Floats
    lesions: Lesions
    by_noise: Lesions
    noise_features: Floats
    fidelity: dict[str, dict[str, Floats]]
    examples: dict[str, Synthesis]
    background_index: NDArray[np.int64]
    backgrounds_of: str


def draw(
    synthesizer: Synthesizer,
    cohort: Cohort,
    split: Split,
    genes: NDArray[Any],
    settings: EvaluationSettings,
    show: Collection[str] = (),
    progress: Progress = lambda done, total: None,
) -> Drawn:
    """Draw every held-out patient on the same backgrounds with the same noise, and measure.

    Args:
        genes: (n, G) scaled genes of `split.test`, in its order.
        show: patients whose first drawings are kept for the pictures.
    """
    if not len(cohort.background_image):
        raise RunError("its cohort has no backgrounds to draw on", path=cohort.path, remedy="build it with backgrounds")
    index, whose = shared_backgrounds(cohort, split, settings.backgrounds_per_patient, settings.seed)
    backgrounds = cohort.background_image[index].astype(np.float32)
    features: list[Floats] = []
    lesions: list[Lesions] = []
    by_noise: list[Lesions] = []
    fidelity: dict[str, dict[str, list[Floats]]] = {}
    erased_radius = getattr(synthesizer, "erased_radius", None)
    examples: dict[str, Synthesis] = {}
    plain = partial(lesion_features, darker=cohort.imaging.may_be_darker)
    for number, (patient, g) in enumerate(zip(split.test, genes, strict=True)):
        drawn = _draw_patient(synthesizer, backgrounds, g, settings)
        features.append(measure(drawn.image, drawn.mask, cohort.pixel_mm, cohort.imaging))
        values = fidelity_values(
            drawn.image,
            drawn.mask,
            backgrounds,
            pixel_mm=cohort.pixel_mm,
            outside_mm=settings.outside_mm,
            band_mm=settings.band_mm,
            erased_radius=erased_radius,
        )
        own = cohort.lesions([patient], least_area=LARGER)
        values[PASTED] = pasted_values(own.image, own.mask, backgrounds)
        owner = [patient] * len(drawn.image)
        weights = settings.inception_weights
        seen = measure_lesions(drawn.image, drawn.mask, owner, cohort.pixel_mm, inception_weights=weights)
        lesions.append(replace(seen, place=np.arange(len(owner), dtype=np.int64)))
        again = _by_noise(synthesizer, backgrounds[0], g, settings)
        owner = [patient] * len(again.image)
        # Spread is taken of the plain features: the radiomic ones, which take far longer, nobody would look at.
        by_noise.append(measure_lesions(again.image, again.mask, owner, cohort.pixel_mm, plain))
        for region, measures in values.items():
            for name in MEASURES:
                fidelity.setdefault(region, {}).setdefault(name, []).append(measures[name])
        if patient in show:
            examples[patient] = _first(drawn, 8)
        progress(number + 1, len(split.test))
    joined = {region: {name: np.concatenate(v) for name, v in m.items()} for region, m in fidelity.items()}
    return Drawn(
        np.stack(features),
        Lesions.together(lesions),
        Lesions.together(by_noise),
        in_units(np.stack([one.features for one in by_noise]), cohort.imaging),
        joined,
        {patient: examples[patient] for patient in show},
        index,
        whose,
    )


def _by_noise(
    synthesizer: Synthesizer, background: NDArray[Any], genes: NDArray[Any], settings: EvaluationSettings
) -> Synthesis:
    """One patient on one background, again and again."""
    count = settings.noise_draws
    repeated = (np.repeat(np.asarray(one, np.float32)[None], count, axis=0) for one in (background, genes))
    return synthesizer.synthesize(*repeated, seed=settings.seed)


def _draw_patient(
    synthesizer: Synthesizer, backgrounds: NDArray[Any], genes: NDArray[Any], settings: EvaluationSettings
) -> Synthesis:
    """One patient on all backgrounds; the noise depends on the background's place, never on the patient."""
    repeated = np.repeat(np.asarray(genes, np.float32)[None], len(backgrounds), axis=0)
    return synthesizer.synthesize(backgrounds, repeated, seed=settings.seed)


def _first(drawn: Synthesis, count: int) -> Synthesis:
    """The first drawings, copied, so that the others can be forgotten."""
    image, mask, weight, background = (
        array[:count].copy() for array in (drawn.image, drawn.mask, drawn.weight, drawn.background)
    )
    return Synthesis(image, mask, weight, background, drawn.seed)


def measured(
    drawn: Drawn, cohort: Cohort, split: Split, scaler: ExpressionScaler, genes: NDArray[Any],
    own: Callable[[tuple[str, ...]], Floats] | None = None,
) -> Measured:  # fmt: skip
    """The drawings beside the patients' own slices, the planted truth and the regression, patient by patient.

    Args:
        own: patients -> `own_features` of the cohort, where somebody has measured them already.
    """
    own = own or partial(own_features, cohort)
    n, k = drawn.features.shape[:2]
    regression = ridge_prediction(scaler.transform(cohort.expression, split.train), own(split.train), genes)
    return Measured(
        patients=split.test,
        features=names(cohort.imaging),
        drawn=nanmean(drawn.features, axis=1),
        own=own(split.test),
        predicted=regression,
        truth=planted(cohort, split.test),
        images=n * k,
        unmeasured=float(np.isnan(drawn.features[:, :, 0]).mean()),
        imaging=cohort.imaging,
    )


def planted(cohort: Cohort, patients: Sequence[str]) -> Floats | None:
    """(n, F) planted factors, nan for a factor that was not planted; None where nothing was."""
    if cohort.truth is None:
        return None
    factors: pd.DataFrame = cohort.truth.factors.reindex(index=list(patients), columns=list(FEATURES))
    return factors.to_numpy(float)
