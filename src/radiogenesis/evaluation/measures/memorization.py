"""Memorization: are the drawings copies of training lesions?

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

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radiogenesis.evaluation.descriptions.interiors import FEWEST as FEWEST_INSIDE
from radiogenesis.evaluation.descriptions.interiors import agreement
from radiogenesis.evaluation.descriptions.lesions import Lesions
from radiogenesis.evaluation.measures.base import (
    IMAGES,
    REST,
    RUN,
    Measure,
    Number,
    Result,
    Score,
    Work,
    joined,
)
from radiogenesis.evaluation.measures.base import (
    PATIENTS as PATIENTS_COLUMN,
)
from radiogenesis.evaluation.measures.pasted import Pasted
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.nearest_lesion import NearestLesion
from radiogenesis.reporting.model import Column, Section, Table
from radiogenesis.reporting.wording import coverage, p_text, percent
from radiogenesis.stats.resampling import (
    ALPHA,
    Floats,
    Indices,
    interval,
    nanmean,
    patient_means,
    resamples,
    sign_flips,
)

if TYPE_CHECKING:
    from radiogenesis.evaluation.results import RunResults

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
class CopyTest:
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


def memorization(
    drawn: Lesions, training: Lesions, held_out: Lesions, pasted: Pasted, settings: EvaluationSettings
) -> CopyTest:
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
    likenesses = [
        Likeness(
            training=patient_means(a, part.patient, patients),
            unseen=patient_means(b, part.patient, patients),
            near=patient_means(each, part.patient, patients),
            images=int(np.isfinite(each).sum()),
        )
        for part, (a, b), each in zip(parts, alike, near, strict=True)
    ]
    own = likenesses[-1].near
    flips = sign_flips(n, settings.permutations, [settings.seed, 9])
    p = [float(copying(one.near[None], own[None], flips)[0]) for one in likenesses]
    drawings, copies, unseen = (one.reshape(n, -1) for one in near[:3])
    power, false_alarms = _power(drawings, copies, unseen, own, flips, settings)
    return CopyTest(
        patients=patients,
        drawn=likenesses[0],
        copies=likenesses[1],
        real=likenesses[2],
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
        agreements = agreement(lesions.interior, real.interior[usable]).astype(float)
        agreements[lesions.patient[:, None] == real.patient[usable][None]] = -1
        parts.append(agreements.max(1, initial=-1))
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


POWERFUL = 0.8  # share of resamples in which a test must see what is there, for its silence to say something
DRAWN = "drawn"
COPIES = "copies: training lesions, pasted"
UNSEEN = "never trained on: real lesions, pasted"


class Memorization(Measure):
    """Whether training lesions were copied, and what the test would have seen."""

    table = "memorization"
    numbers: ClassVar = {
        "copies": Number("Near copies", "", "%", "drawings nearer to a training lesion than 99 of 100 real lesions "
                         "never trained on; reference: such lesions; null: pasted training lesions", REST)
    }  # fmt: skip

    def measure(self, work: Work) -> Result:
        split, settings = work.subject.split, work.settings
        slices = work.real.slices
        result = memorization(work.drawn.lesions, slices.of(split.train), slices.of(split.test), work.pasted, settings)
        draws = result.draws(settings)
        each = {"drawn": result.drawn.near, "copies": result.copies.near, "real": result.real.near}
        tables = {
            self.table: memorization_table(result, settings),
            "memorization_patients": pd.DataFrame({"patient": result.patients, **each}),
        }
        score = Score(
            float(draws["drawn"][0]), draws["drawn"][1:], float(draws["real"][0]), float(draws["copies"][0]),
            result.drawn.images, int(np.isfinite(result.drawn.near).sum()),
        )  # fmt: skip
        return Result(tables, {"copies": score})

    def sections(self, runs: Sequence[RunResults], tables: Path, settings: EvaluationSettings) -> list[Section]:
        joined(runs, "memorization_patients", tables)
        return [_memorization_section(joined(runs, self.table, tables), settings)]

    def sentence(self, run: RunResults, confidence: float) -> str:
        pastes = isinstance(run.subject.method, NearestLesion)
        return memorization_conclusion(run.subject.name, run.tables[self.table], confidence, by_design=pastes)

    def must_be_said(self, run: RunResults) -> bool:
        """Copies are the one finding that must not be missed."""
        return isinstance(run.subject.method, NearestLesion) or copies_told(run.tables[self.table])


def memorization_table(result: CopyTest, settings: EvaluationSettings) -> pd.DataFrame:
    """The test in three rows: drawings, pasted training lesions, and pasted lesions never trained on."""
    draws = result.draws(settings)
    power = {f"seen_{100 * share:.0f}": often for share, often in result.power.items()}
    rows = []
    for of, key, part, p, told in (
        (DRAWN, "drawn", result.drawn, result.p, power),
        (COPIES, "copies", result.copies, result.p_copies, {}),
        (UNSEEN, "real", result.real, result.p_real, {"false_alarms": result.false_alarms}),
    ):
        low, high = interval(draws[key][1:], settings.confidence)
        rows.append(
            {
                "of": of, "training": float(nanmean(part.training, 0)), "unseen": float(nanmean(part.unseen, 0)),
                "near": float(draws[key][0]), "low": low, "high": high, "p": p, **told,
                "patients": int(np.isfinite(part.near).sum()), "images": part.images,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def copies_told(table: pd.DataFrame) -> bool:
    """Whether the test of `memorization` speaks for copies."""
    return bool(table["p"].iloc[0] < ALPHA)


def memorization_conclusion(label: str, table: pd.DataFrame, confidence: float, *, by_design: bool = False) -> str:
    """A sentence or two on copies of training lesions, with what the test would have seen.

    Args:
        by_design: the method pastes training lesions, whatever the test says.
    """
    drawn, pasted, real = table.to_dict("records")
    pasting = " This method pastes training lesions by design." if by_design else ""
    if pd.isna(drawn["p"]):
        return f"{label}: copies could not be tested for: the lesions have too few pixels inside.{pasting}"
    figures = (
        f"{percent(drawn['near'])} of the drawings ({coverage(confidence)} interval {percent(drawn['low'])} to "
        f"{percent(drawn['high'])}) are nearer to a training lesion than 99 of 100 real lesions never trained on "
        f"({p_text(drawn['p'])}); of such real lesions {percent(real['near'])}, of pasted training lesions "
        f"{percent(pasted['near'])}"
    )
    if copies_told(table):
        how = "drawn lesions are" if drawn["low"] > 0.5 else "some drawn lesions may be"
        return f"{label}: {how} copies of training lesions: {figures}.{pasting}"
    seen = {name: drawn[name] for name in drawn if str(name).startswith("seen_")}
    if not seen["seen_100"] >= POWERFUL:
        return (
            f"{label}: whether training lesions were copied cannot be said: had all drawings been copies, the test "
            f"would have seen it in {percent(seen['seen_100'])} of resamples only; {figures}.{pasting}"
        )
    first, *rest = ((str(name).removeprefix("seen_"), percent(often)) for name, often in seen.items())
    return (
        f"{label}: no sign that training lesions were copied: {figures}. Had {first[0]} % of the drawings been "
        f"copies, the test would have seen it in {first[1]} of resamples of patients"
        + "".join(f"; had {share} %, in {often}" for share, often in rest)
        + f". Among real lesions never trained on it finds copies in {percent(real['false_alarms'])}.{pasting}"
    )


def _memorization_section(file: str, settings: EvaluationSettings) -> Section:
    columns = (
        RUN,
        Column(label="Lesions", value="of"),
        Column(label="Like a training lesion", value="training", format=".2f", help="correlation of the insides with "
               "those of the training lesion most like it; mean"),
        Column(label="Like one never seen", value="unseen", format=".2f", help="the same with lesions of other "
               "held-out patients"),
        Column(label="Near copies", value="near", low="low", high="high", format="%"),
        Column(label="p", value="p", format="p", help="more near copies than real lesions never trained on have"),
        *(
            Column(label=f"Detected if {100 * share:.0f} % were copies", value=f"seen_{100 * share:.0f}", format="%",
                   help="how often, in resamples of patients, the test would see it")
            for share in SHARES
        ),
        Column(label="False alarms", value="false_alarms", format="%", help="how often the test finds copies among "
               "real lesions never trained on"),
        PATIENTS_COLUMN,
        IMAGES,
    )  # fmt: skip
    return Section(
        title="Are they copies?",
        text=(
            "The inside of each drawn lesion is compared, pixel by pixel and in all eight turns, with that of every "
            "real lesion of other patients: is it nearer to one of training than lesions are that nobody was trained "
            "on? Two controls are measured beside: copies, for which training lesions were pasted onto the same "
            "backgrounds; and real lesions of held-out patients, pasted likewise."
        ),
        blocks=(
            Table(
                file=file,
                caption=(
                    "Near copies: how much more alike a lesion is to the nearest training lesion than to the nearest "
                    "one never trained on exceeds what 99 of 100 real lesions never trained on reach. p: more near "
                    "copies among a patient's drawings than among the patient's own slices. Seen: had so many of the "
                    "drawings been copies, how often the test would have seen it; a test that sees little says little "
                    "by its silence. A copy here is a lesion with the same pixels, turned, moved, somewhat blurred or "
                    f"enlarged. {coverage(settings.confidence)} intervals over patients. Lesions with fewer than "
                    f"{FEWEST_INSIDE} pixels inside are left out."
                ),
                columns=columns,
                strong=("of", "drawn"),
            ),
        ),
    )
