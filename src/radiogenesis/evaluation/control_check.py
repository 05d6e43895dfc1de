"""A check of the measure of control: a method that ignores the genes must come out at chance.

Drawn on the same backgrounds with the same noise it draws the same for everybody, and its rho is 0 whatever the measure
does, which checks nothing. So it is drawn once more, for each patient on backgrounds and with noise of the patient's
own, by lot. Now the drawings differ, by nothing that the patient has to do with, and rho must lie within its null.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.descriptions.properties import measure
from radiogenesis.evaluation.measures.control import Measured, control_table
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.protocols import Synthesizer
from radiogenesis.stats.resampling import Floats, nanmean


def check_of_control(
    synthesizer: Synthesizer,
    cohort: Cohort,
    backgrounds: NDArray[np.int64],
    genes: NDArray[Any],
    patients: Measured,
    settings: EvaluationSettings,
    lot: int = 0,
) -> pd.DataFrame | None:
    """`control_table` of drawings on other backgrounds for each patient; None where even these are all the same.

    Args:
        lot: seed of the random backgrounds; runs of several seeds have one of their own each, so that one unlucky
            choice does not count several times.
        backgrounds: (K,) places in the cohort to draw by lot from, as many for each patient, with replacement.
        genes: (n, G) scaled genes of `patients`, in their order.
    """
    rng = np.random.default_rng([settings.seed, 17, lot])
    drawn = np.stack([_drawn(synthesizer, cohort, rng.choice(backgrounds, len(backgrounds)), g, rng) for g in genes])
    again = replace(patients, drawn=drawn)
    return None if again.ignores_genes else control_table(again, settings)


def _drawn(
    synthesizer: Synthesizer,
    cohort: Cohort,
    backgrounds: NDArray[np.int64],
    genes: NDArray[Any],
    rng: np.random.Generator,
) -> Floats:
    """(F,) means of the lesion features over one patient's drawings."""
    repeated = np.repeat(np.asarray(genes, np.float32)[None], len(backgrounds), axis=0)
    hu = cohort.background_image[backgrounds].astype(np.float32)
    drawn = synthesizer.synthesize(hu, repeated, seed=int(rng.integers(2**31)))
    return nanmean(measure(drawn.image, drawn.mask, cohort.pixel_mm, cohort.imaging), 0)
