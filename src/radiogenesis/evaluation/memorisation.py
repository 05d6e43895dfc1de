"""Memorisation: are the drawings copies of training lesions?

Two questions, both with patients as the unit and nobody compared with the own lesions:

- Distance: is a drawn lesion nearer to its nearest training lesion than held-out real lesions are to theirs? Wilcoxon's
  signed-rank test over held-out patients, one-sided (the idea of Meehan et al. 2020, "A non-parametric test to detect
  data-copying"). A generator that draws bland, average lesions answers yes too, without having copied anybody.
- Preference: of all other real patients, training and held out, whose lesion is nearest? A training patient's in
  t / (t + h - 1) of the cases if the generator knows no training patient better than a held-out one. Null: which of the
  real patients are called training patients is permuted. A bland generator passes, a copier does not. Distances are
  taken in a space that was fitted to both kinds of real patients alike. In one of the training patients alone the
  others lie farther out, and chance is another share (simulated: with 90 training and 26 held-out patients 13
  percentage points less), so that copies might pass.

Both must say so before memorisation is claimed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import wilcoxon

from radiogenesis.evaluation.bootstrap import Floats, Indices, nanmean, patient_means, permutation_p, resamples
from radiogenesis.evaluation.lesions import Lesions, Space
from radiogenesis.evaluation.settings import EvaluationSettings


@dataclass(frozen=True)
class Memorisation:
    """What was found.

    Attributes:
        drawn, real: (n,) mean distance to the nearest training lesion, by held-out patient.
        p_distance: drawings nearer than real lesions, one-sided Wilcoxon signed-rank.
        preference: (n,) share of a patient's drawings whose nearest real lesion is a training patient's.
        expected: that share by chance.
        null: (permutations,) mean share with permuted patients.
        p_preference: one-sided permutation p value.
        ratio: (1 + D,) drawn over real distance, means over patients, and its resamples.
        images: drawings that were compared.
    """

    drawn: Floats
    real: Floats
    p_distance: float
    preference: Floats
    expected: float
    null: Floats
    p_preference: float
    ratio: Floats
    images: int

    def preference_draws(self, settings: EvaluationSettings) -> Floats:
        """(1 + D,) mean preference over patients, and its resamples."""
        return nanmean(self.preference[_samples(len(self.preference), settings)], 1)


def memorisation(
    drawn: Lesions, training: Lesions, held_out: Lesions, space: Space, shared: Space, settings: EvaluationSettings
) -> Memorisation:
    """Compare drawings for held-out patients with real lesions of training and of held-out patients.

    Args:
        space: fitted to the training lesions: drawings and held-out lesions are alike strangers in it (distance).
        shared: fitted to training and held-out lesions together: these are alike at home in it (preference).
    """
    drawn, training, held_out = drawn.usable(), training.usable(), held_out.usable()
    test, train = np.unique(held_out.patient), np.unique(training.patient)
    names = [str(p) for p in test]
    near = patient_means(_nearest(drawn, training, space, train).min(1), drawn.patient, names)
    near_real = patient_means(_nearest(held_out, training, space, train).min(1), held_out.patient, names)
    own = drawn.patient[:, None] == test[None]
    # The own lesions are no other patient's: they must not be the nearest, whatever they are called.
    others_held_out = np.where(own, np.inf, _nearest(drawn, held_out, shared, test))
    nearest = np.concatenate([_nearest(drawn, training, shared, train), others_held_out], axis=1).argmin(1)
    preference = patient_means(nearest < len(train), drawn.patient, names)
    share = own / np.maximum(own.sum(0), 1)  # (N, n): averages drawings within patients
    share = share.sum(1) / max(int(own.any(0).sum()), 1)  # and then over patients
    rng = np.random.default_rng([settings.seed, 9])
    everybody = len(train) + len(test)
    null = np.empty(settings.permutations)
    for number in range(settings.permutations):
        place = rng.permutation(everybody)
        # The first t of all patients but the own are called training patients.
        others = place[nearest] - (place[len(train) + own.argmax(1)] < place[nearest])
        null[number] = share @ (others < len(train))
    both = np.isfinite(near) & np.isfinite(near_real)
    index = _samples(len(test), settings)
    return Memorisation(
        drawn=near,
        real=near_real,
        p_distance=_wilcoxon((near - near_real)[both]),
        preference=preference,
        expected=len(train) / (everybody - 1),
        null=null,
        p_preference=permutation_p(float(nanmean(preference, 0)), null),
        ratio=np.asarray(nanmean(near[index], 1) / nanmean(near_real[index], 1)),
        images=len(drawn),
    )


def _samples(n: int, settings: EvaluationSettings) -> Indices:
    """(1 + D, n): everybody, then the resamples."""
    return np.concatenate([np.arange(n)[None], resamples(n, settings.bootstrap, [settings.seed, 10])])


def _nearest(lesions: Lesions, real: Lesions, space: Space, patients: NDArray[np.str_]) -> Floats:
    """(N, n) distance of each lesion to the nearest of each patient's."""
    distance = cdist(space(lesions), space(real))
    return np.stack([distance[:, real.patient == p].min(1) for p in patients], axis=1)


def _wilcoxon(difference: Floats) -> float:
    """One-sided p value for "below 0"; 1 where nothing differs, nan without patients."""
    if not len(difference):
        return float("nan")
    return float(wilcoxon(difference, alternative="less").pvalue) if difference.any() else 1.0
