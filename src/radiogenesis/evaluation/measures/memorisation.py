"""Memorisation: are the drawings copies of training lesions?

The insides of lesions are compared (`interiors`), so that a copy is seen on another background and turned, too. For
each drawing: how well does it agree with the lesion of a training patient that is most like it, and how well with that
of a held-out patient, whom no training has seen? Its excess is atanh(first) - atanh(second). A copy's is large. That of
bland or of common lesions is not, though they agree with many: they agree with those never seen as well.

How large the excess of a lesion is that is no copy, the real slices of held-out patients say: of 100 of these one
exceeds the threshold. A drawing beyond it counts as a near copy. The test: are there more near copies among a patient's
drawings than among the patient's own slices? The difference of the two shares, the mean over patients, against itself
with random signs; one-sided. The own lesions of the patient that a drawing is for are left out of the comparison, for
drawings and real lesions alike.

Two controls say whether the answer can be believed. Copies: lesions of training patients, turned, on the same
backgrounds. A share of the drawings is replaced by copies and patients are resampled: how often does the test see it?
Lesions never seen: the held-out patients' own, pasted likewise, and both sides resampled by themselves: how often does
the test find copies where there are none?

A copy here is a lesion with the same pixels, within a little blur, noise and scaling. A lesion that has a training
lesion's outline and another texture is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radiogenesis.evaluation.descriptions.interiors import agreement
from radiogenesis.evaluation.descriptions.lesions import Lesions
from radiogenesis.evaluation.measures.pasted import Pasted
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.stats.resampling import (
    ALPHA,
    Floats,
    Indices,
    nanmean,
    patient_means,
    resamples,
    sign_flips,
)

BEYOND = 0.99
"""Share of the lesions never seen that are below the threshold."""
SHARES = (0.05, 0.1, 0.25, 1.0)
"""Of copies among the drawings, for which the power is told."""
ONE = 0.999  # above, two insides are the same


@dataclass(frozen=True)
class Likeness:
    """How like a set of lesions is to real ones, patient by patient (n,).

    Attributes:
        training, unseen: mean agreement with the most alike training lesion, and with that never trained on.
        near: share of near copies; nan where no lesion is large enough.
        images: lesions that were large enough.
    """

    training: Floats
    unseen: Floats
    near: Floats
    images: int


@dataclass(frozen=True)
class Memorisation:
    """What was found.

    Attributes:
        patients: (n,) held-out patients, the order of everything else.
        drawn, copies, real: of the drawings, of pasted training lesions, and of pasted lesions never seen.
        p, p_copies, p_real: of the test, for each of them.
        power: share of copies among the drawings -> how often the test sees it.
        false_alarms: how often it finds copies among lesions never seen.
    """

    patients: tuple[str, ...]
    drawn: Likeness
    copies: Likeness
    real: Likeness
    p: float
    p_copies: float
    p_real: float
    power: dict[float, float]
    false_alarms: float

    def draws(self, settings: EvaluationSettings) -> dict[str, Floats]:
        """(1 + D,) share of near copies, and its resamples over patients, of "drawn", "copies" and "real"."""
        n = len(self.patients)
        index = np.concatenate([np.arange(n)[None], resamples(n, settings.bootstrap, [settings.seed, 10])])
        parts = {"drawn": self.drawn, "copies": self.copies, "real": self.real}
        return {name: nanmean(part.near[index], 1) for name, part in parts.items()}


def memorisation(
    drawn: Lesions, training: Lesions, held_out: Lesions, pasted: Pasted, settings: EvaluationSettings
) -> Memorisation:
    """Compare drawings for held-out patients with real lesions of training and of held-out patients.

    Args:
        drawn: as many for each patient, patient by patient, in the order of `pasted`.
        pasted: the controls.
    """
    patients = tuple(str(p) for p in dict.fromkeys(drawn.patient.tolist()))
    n = len(patients)
    parts = (drawn, pasted.copies, pasted.held_out, held_out)
    alike = [_alike(lesions, training, held_out) for lesions in parts]
    excess = [np.arctanh(np.minimum(a, ONE)) - np.arctanh(np.minimum(b, ONE)) for a, b in alike]
    known = excess[-1][np.isfinite(excess[-1])]
    threshold = float(np.quantile(known, BEYOND)) if len(known) else np.nan
    near = [np.where(np.isfinite(one) & np.isfinite(threshold), one > threshold, np.nan) for one in excess]
    found = [
        Likeness(
            training=patient_means(a, part.patient, patients),
            unseen=patient_means(b, part.patient, patients),
            near=patient_means(each, part.patient, patients),
            images=int(np.isfinite(each).sum()),
        )
        for part, (a, b), each in zip(parts, alike, near, strict=True)
    ]
    own = found[-1].near
    flips = sign_flips(n, settings.permutations, [settings.seed, 9])
    p = [float(copying(one.near[None], own[None], flips)[0]) for one in found]
    drawings, copies, unseen = (one.reshape(n, -1) for one in near[:3])
    power, false_alarms = _power(drawings, copies, unseen, own, flips, settings)
    return Memorisation(
        patients=patients,
        drawn=found[0],
        copies=found[1],
        real=found[2],
        p=p[0],
        p_copies=p[1],
        p_real=p[2],
        power=power,
        false_alarms=false_alarms,
    )


def _alike(lesions: Lesions, training: Lesions, held_out: Lesions) -> tuple[Floats, Floats]:
    """(N,) agreement with the most alike training lesion, and with that of a held-out patient but the own."""
    parts = []
    for real in (training, held_out):
        assert lesions.interior is not None
        assert real.interior is not None
        usable = np.isfinite(real.interior[:, 0])
        found = agreement(lesions.interior, real.interior[usable]).astype(float)
        found[lesions.patient[:, None] == real.patient[usable][None]] = -1
        parts.append(found.max(1, initial=-1))
    both = np.isfinite(parts[0]) & (np.minimum(*parts) > -1)
    return np.where(both, parts[0], np.nan), np.where(both, parts[1], np.nan)


def copying(near: Floats, own: Floats, flips: Floats) -> Floats:
    """p values (R,) of R samples of n patients.

    Args:
        near, own: (R, n) shares of near copies among a patient's drawings, and among the patient's own lesions;
            patients with nan are left out.
        flips: (D, n) random signs.
    """
    difference = near - own
    known = np.isfinite(difference)
    difference = np.where(known, difference, 0.0)
    null = difference @ flips.T
    reached = (null >= difference.sum(1, keepdims=True) - 1e-12).sum(1)
    return np.where(known.any(1), (1 + reached) / (1 + len(flips)), np.nan)


def _power(
    drawn: Floats, copies: Floats, unseen: Floats, own: Floats, flips: Floats, settings: EvaluationSettings
) -> tuple[dict[float, float], float]:
    """How often the test sees copies among (n, K) drawings, and how often it does among lesions never seen."""
    n = len(own)
    rng = np.random.default_rng([settings.seed, 19])
    index = resamples(n, settings.bootstrap, [settings.seed, 20])
    if not np.isfinite(drawn).any():
        return dict.fromkeys(SHARES, np.nan), np.nan
    power = {}
    for share in SHARES:
        near = np.stack([_mixed(drawn[i], copies[i], share, rng) for i in index])
        power[share] = _called(near, own[index], flips)
    others: Indices = resamples(n, settings.bootstrap, [settings.seed, 21])
    return power, _called(nanmean(unseen, 1)[others], own[index], flips)


def _mixed(drawn: Floats, copies: Floats, share: float, rng: np.random.Generator) -> Floats:
    return nanmean(np.where(rng.random(drawn.shape) < share, copies, drawn), 1)


def _called(near: Floats, own: Floats, flips: Floats) -> float:
    p: NDArray[np.float64] = copying(near, own, flips)
    return float((p < ALPHA).mean())
