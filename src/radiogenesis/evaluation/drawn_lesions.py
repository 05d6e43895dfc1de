"""Everything that is asked of what a run drew: tables for the page, and scores for the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.comparison import Score
from radiogenesis.evaluation.descriptions.lesions import Lesions, RealLesions, Space, complete
from radiogenesis.evaluation.drawing import Drawn, measure
from radiogenesis.evaluation.measures.control import MEAN, Measured, control_draws, control_table
from radiogenesis.evaluation.measures.diversity import BACKGROUND, DISTANCE, NOISE, diversity_table, spreads
from radiogenesis.evaluation.measures.fidelity import (
    BAND,
    NEAR,
    OTHER,
    OUTSIDE,
    PASTED,
    WHOLE,
    fidelity_draws,
    fidelity_table,
    keeps_background,
)
from radiogenesis.evaluation.measures.memorisation import memorisation
from radiogenesis.evaluation.measures.pasted import Pasted
from radiogenesis.evaluation.measures.realism import FRECHET, KID, Distance, realism
from radiogenesis.evaluation.measures.usefulness import (
    Slices,
    Usefulness,
    dice_by_patient,
    drawn_for_training,
    usefulness,
)
from radiogenesis.evaluation.results import Found
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.protocols import Synthesizer
from radiogenesis.stats.resampling import Floats, interval, nanmean, patient_means, resamples

DRAWN = "drawn"
ON_SAME = "real lesions of training patients, on the same backgrounds"
ON_OWN = "real lesions of training patients, on their own backgrounds"
SHUFFLED = "null: shuffled pixels"
COPIES = "copies: training lesions, pasted"
UNSEEN = "never trained on: real lesions, pasted"


def appraise(
    found: Found,
    drawn: Drawn,
    patients: Measured,
    real: RealLesions,
    pasted: Pasted,
    cohort: Cohort,
    settings: EvaluationSettings,
) -> None:
    """Fill in the tables and scores of a run that draws.

    Args:
        pasted: of the run's split.
    """
    found.drawn, found.backgrounds_of = drawn, drawn.backgrounds_of
    if keeps_background(found.subject.method):
        _fidelity(found, drawn, settings)
    _control(found, patients, settings)
    split = found.subject.split
    space = Space.fit(real.slices.of(split.train))
    _empty(found, drawn.lesions, settings)
    _realism(found, drawn, real, pasted, settings)
    _diversity(found, drawn, real, space, cohort, settings)
    _memorisation(found, drawn, real, pasted, settings)


def _fidelity(found: Found, drawn: Drawn, settings: EvaluationSettings) -> None:
    owner = drawn.lesions.patient
    found.fidelity = fidelity_table(drawn.fidelity, owner, settings)
    values = {
        region: fidelity_draws(drawn.fidelity[region], owner, settings) for region in (WHOLE, OUTSIDE, BAND, NEAR)
    }
    null, pasted = (
        {name: float(v[0]) for name, v in fidelity_draws(drawn.fidelity[region], owner, settings).items()}
        for region in (OTHER, PASTED)
    )
    n, images = len(set(owner.tolist())), len(owner)
    asked = {name: (WHOLE, name) for name in ("mse", "ssim", "psnr")}
    asked |= {"psnr_outside": (OUTSIDE, "psnr"), "psnr_band": (BAND, "psnr"), "psnr_near": (NEAR, "psnr")}
    for score, (region, name) in asked.items():
        v = values[region][name]
        reference = pasted[name] if region == WHOLE else float("nan")
        found.scores[score] = Score(float(v[0]), v[1:], reference, null[name], images, n)


def _control(found: Found, patients: Measured, settings: EvaluationSettings) -> None:
    found.control = control_table(patients, settings)
    found.control_patients = patients.frame()
    found.ignores_genes = patients.ignores_genes
    first = next(iter(patients.references()))
    row = found.control[(found.control["reference"] == first) & (found.control["feature"] == MEAN)].iloc[0]
    draws = control_draws(patients, settings)
    n = len(patients.patients)
    rho, share = draws["rho"], draws["share"]
    found.scores["control"] = Score(
        float(rho[0]), rho[1:], float(row["regression"]), float(row["null_mean"]), patients.images, n
    )
    found.scores["share"] = Score(float(share[0]), share[1:], 1.0, 0.0, patients.images, n)


def _empty(found: Found, lesions: Lesions, settings: EvaluationSettings) -> None:
    """The share of drawings without a lesion, which drop out of every distance."""
    patients = found.subject.split.test
    empty = np.ones(len(lesions))
    empty[complete(lesions.embedding)] = 0.0
    each = patient_means(empty, lesions.patient, patients)
    draws = each[resamples(len(patients), settings.bootstrap, [settings.seed, 16])].mean(1)
    found.scores["empty"] = Score(float(each.mean()), draws, reference=0.0, images=len(lesions), patients=len(patients))


def _realism(found: Found, drawn: Drawn, real: RealLesions, pasted: Pasted, settings: EvaluationSettings) -> None:
    split = found.subject.split
    training, held_out, shuffled = (
        part.of(patients)
        for part, patients in ((real.slices, split.train), (real.slices, split.test), (real.shuffled, split.test))
    )
    result = realism(drawn.lesions, pasted.training, training, held_out, shuffled, settings)
    parts = {DRAWN: result.drawn, ON_SAME: result.pasted, ON_OWN: result.own_backgrounds, SHUFFLED: result.null}
    lines = [
        _distance_row(name, of, one, settings)
        for name in result.drawn
        for of, part in parts.items()
        for one in (part[name],)
    ]
    for line in lines:
        name = line["distance"]
        if line["of"] == DRAWN and name in (KID, FRECHET):
            more = result.farther(name)
            line |= dict(
                zip(("times", "times_low", "times_high"), result.times(name, settings.confidence), strict=True)
            )
            line |= dict(zip(("more_low", "more_high"), interval(more[1:], settings.confidence), strict=True))
            line["more"] = float(more[0])
    found.realism = pd.DataFrame(lines)
    for name in (KID, FRECHET):
        one = result.drawn[name]
        reference, null = result.pasted[name].value, result.null[name].value
        found.scores[name] = Score(one.value, one.draws, reference, null, one.images, one.patients)
    times, one = result.times(KID, settings.confidence)[0], result.drawn[KID]
    found.scores["kid_times"] = Score(times, reference=1.0, images=one.images, patients=one.patients)


def _distance_row(name: str, of: str, one: Distance, settings: EvaluationSettings) -> dict[str, Any]:
    low, high = interval(one.draws, settings.confidence)
    row = {"distance": name, "of": of, "value": one.value, "low": low, "high": high}
    return row | {"bias": one.bias, "patients": one.patients, "images": one.images}


def _diversity(
    found: Found, drawn: Drawn, real: RealLesions, space: Space, cohort: Cohort, settings: EvaluationSettings
) -> None:
    test = found.subject.split.test
    held_out = real.slices.of(test)
    index = real.index[np.isin(real.slices.patient, test)]
    own = measure(cohort.slice_image[index], cohort.slice_mask[index], cohort.pixel_mm)
    properties = {NOISE: drawn.noise_features, BACKGROUND: drawn.features}
    result = spreads(drawn.by_noise, drawn.lesions, held_out, space, test, properties, own)
    found.diversity = diversity_table(result, settings)
    ratio = result[BACKGROUND, DISTANCE].ratio(settings.bootstrap, [settings.seed, 8])
    found.scores["diversity"] = Score(
        float(ratio[0]), ratio[1:], reference=1.0, null=0.0, images=len(drawn.lesions), patients=len(test)
    )


def _memorisation(found: Found, drawn: Drawn, real: RealLesions, pasted: Pasted, settings: EvaluationSettings) -> None:
    split = found.subject.split
    result = memorisation(drawn.lesions, real.slices.of(split.train), real.slices.of(split.test), pasted, settings)
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
    found.memorisation = pd.DataFrame(rows)
    found.memorisation_patients = pd.DataFrame(
        {"patient": result.patients, "drawn": result.drawn.near, "copies": result.copies.near,
         "real": result.real.near}
    )  # fmt: skip
    found.scores["copies"] = Score(
        float(draws["drawn"][0]), draws["drawn"][1:], float(draws["real"][0]), float(draws["copies"][0]),
        result.drawn.images, int(np.isfinite(result.drawn.near).sum()),
    )  # fmt: skip


def appraise_usefulness(found: Sequence[Found], cohort: Cohort, settings: EvaluationSettings) -> None:
    """The same for segmentation with and without the drawings of every run that draws.

    Without drawings the network is trained once for all runs of a split: nothing of the runs has a part in it.
    """
    alone: dict[Split, Floats] = {}
    for one in found:
        split, method = one.subject.split, one.subject.method
        if not isinstance(method, Synthesizer):
            continue
        train, test = (cohort.lesions(part) for part in (split.train, split.test))
        real, asked = (Slices(part.image, part.mask) for part in (train, test))
        owner = test.patient
        if split not in alone:
            alone[split] = dice_by_patient([real], asked, owner, settings)
        genes = one.subject.genes(cohort.expression, split.train)
        drawn = drawn_for_training(method, cohort, split, genes, settings)
        result = usefulness(alone[split], real, drawn, asked, owner, settings)
        _usefulness(one, result, owner, settings)


def _usefulness(found: Found, result: Usefulness, owner: NDArray[np.str_], settings: EvaluationSettings) -> None:
    """The table, the patients behind it, and the score."""
    low, high = interval(result.difference[1:], settings.confidence)
    found.usefulness = pd.DataFrame(
        [
            {
                "without": float(nanmean(result.without, 0)), "with": float(nanmean(result.with_drawings, 0)),
                "difference": float(result.difference[0]), "low": low, "high": high, "p": result.p,
                "least": float(result.by_network.min()), "most": float(result.by_network.max()),
                "steps": settings.segmentation_steps, "networks": settings.segmentation_repeats,
                "drawings": result.added, "slices": result.slices, "patients": len(result.without),
                "images": result.images,
            }
        ]
    )  # fmt: skip
    found.usefulness_patients = pd.DataFrame(
        {"patient": sorted(set(map(str, owner))), "without": result.without,
         "with": result.with_drawings}
    )  # fmt: skip
    found.scores["usefulness"] = Score(
        float(result.difference[0]), result.difference[1:], null=0.0, images=result.images, patients=len(result.without)
    )
