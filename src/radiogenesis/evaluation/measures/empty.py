"""Drawings without a lesion: they drop out of every distance, so how many there are must be said."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from radiogenesis.evaluation.descriptions.lesions import complete
from radiogenesis.evaluation.measures.base import REALISM, Measure, Number, Result, Score, Work
from radiogenesis.stats.resampling import patient_means, resamples


class Empty(Measure):
    """The share of drawings without a lesion."""

    numbers: ClassVar = {
        "empty": Number(
            "No lesion", "lower", "%", "share of the drawings without one: they are in no distance", REALISM
        )
    }

    def measure(self, work: Work) -> Result:
        patients, lesions, settings = work.subject.split.test, work.drawn.lesions, work.settings
        empty = np.ones(len(lesions))
        empty[complete(lesions.embedding)] = 0.0
        each = patient_means(empty, lesions.patient, patients)
        draws = each[resamples(len(patients), settings.bootstrap, [settings.seed, 16])].mean(1)
        score = Score(float(each.mean()), draws, reference=0.0, images=len(lesions), patients=len(patients))
        return Result(scores={"empty": score})
