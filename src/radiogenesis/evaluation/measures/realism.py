"""Realism: are drawn lesions told apart from real lesions of patients whom nobody has seen?

Two distances between sets of lesions, both against the HELD-OUT real ones, both with patients as the unit:

- KID (Binkowski et al. 2018): squared maximum mean discrepancy under k(x, y) = (x . y / d + 1)^3 on the embedding of
  `embedding.py`, unbiased whatever the number of images. Inception's subsets bound memory; here the kernel of all
  images fits, so that all pairs are used, which is the mean over all subsets. Slices of one patient resemble each
  other: pairs of one patient are left out, where the usual estimator leaves out only an image's pair with itself. All
  patients are drawn on the same few backgrounds with the same noise: pairs of drawings on one background are left out,
  too, else a method that ignores genes would be a sample of as many images as there are backgrounds.
- Frechet distance on radiomic features (IBSI; `lesions.ibsi_features`): |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), on
  at most a few principal axes of the training lesions, since a covariance needs more patients than axes; outliers are
  held back, since texture features have long tails. It is biased upwards in small samples; the bootstrap's estimate
  of the bias, for which the shared backgrounds are resampled too, is taken off, and what is left is read beside
  the three below.

Read beside: real lesions of training patients pasted onto the backgrounds of the drawings (`pasted`), which is what a
perfect method would reach; the same on their own backgrounds; and, as null, held-out lesions with shuffled pixels. What
surrounds a lesion counts in both distances, so that only the first has all that a drawing cannot help. How many times
its distance the drawings have, and whether they are farther, is asked in the same resamples of patients.
Where the user supplies Inception's weights, its Frechet distance (FID) stands beside them; see `inception.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radiogenesis.evaluation.descriptions.inception import bias, fid, of_size
from radiogenesis.evaluation.descriptions.lesions import SQUASH, Axes, Lesions, Space, complete
from radiogenesis.evaluation.measures.base import (
    IMAGES,
    REALISM,
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
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.imaging import Imaging
from radiogenesis.reporting.model import Column, Section, Table
from radiogenesis.reporting.wording import coverage
from radiogenesis.stats.resampling import Floats, counted, interval, mean_of_pairs, nanmean, resamples

if TYPE_CHECKING:
    from radiogenesis.evaluation.results import RunResults


@dataclass(frozen=True)
class Distance:
    """A distance between two sets of lesions, and its resamples over patients.

    Attributes:
        value: the distance; of a biased estimate with the bootstrap's estimate of its bias taken off.
        draws: (D,) resamples; of a biased estimate mirrored at it ("basic" bootstrap).
        images, patients: of the first set: what was measured.
        uncorrected: the distance as estimated.
        bias: how much of `value` is bias, where it is not taken off; else nan.
    """

    value: float
    draws: Floats
    images: int
    patients: int
    uncorrected: float
    bias: float = np.nan


def polynomial_kernel(x: Floats, y: Floats) -> Floats:
    """(N, d), (M, d) -> (N, M): (x . y / d + 1)^3, the kernel of KID."""
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def patient_kernel(x: Floats, y: Floats, of_x: Lesions, of_y: Lesions) -> Floats:
    """(n, m) means of the kernel over the pairs of images (N, d), (M, d) of each pair of patients, patients sorted.

    Pairs of drawings that share a place are left out; nan for a patient with itself, and where no pair is left.
    """
    rows, columns = _belonging(of_x.patient), _belonging(of_y.patient)
    kernel, pairs = polynomial_kernel(x, y), np.ones((len(x), len(y)))
    if of_x.place is not None and of_y.place is not None:
        pairs = (of_x.place[:, None] != of_y.place[None]).astype(float)
    total, count = rows @ (kernel * pairs) @ columns.T, rows @ pairs @ columns.T
    count[np.unique(of_x.patient)[:, None] == np.unique(of_y.patient)[None]] = 0
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _belonging(patient: NDArray[np.str_]) -> Floats:
    """(n, N): 1 where an image is the patient's, patients sorted."""
    return np.asarray(np.unique(patient)[:, None] == patient[None], float)


def kid(
    drawn: Lesions, real: Lesions, space: Space, *, draws: int, seed: tuple[int, ...], paired: bool = False
) -> Distance:
    """KID between two sets of lesions.

    Args:
        drawn: the set that is judged; from the genes of the patients it names.
        real: the set that it is judged by.
        space: fitted to training lesions.
        paired: both sets name the same patients, who are then resampled together.
    """
    drawn, real = drawn.usable(), real.usable()
    if not len(drawn) or not len(real):
        return Distance(np.nan, np.full(draws, np.nan), len(drawn), 0, np.nan)
    x, y = space(drawn), space(real)
    of_x, of_y = np.unique(drawn.patient), np.unique(real.patient)
    wx, wy = _weights(of_x, of_y, draws, seed, paired)
    within_x, within_y, between = (
        mean_of_pairs(patient_kernel(a, b, of_a, of_b), wa, wb)
        for a, b, of_a, of_b, wa, wb in (
            (x, x, drawn, drawn, wx, wx),
            (y, y, real, real, wy, wy),
            (x, y, drawn, real, wx, wy),
        )
    )
    values = within_x + within_y - 2 * between
    return Distance(float(values[0]), values[1:], len(drawn), len(of_x), float(values[0]))


def _weights(
    of_x: NDArray[np.str_], of_y: NDArray[np.str_], draws: int, seed: tuple[int, ...], paired: bool
) -> tuple[Floats, Floats]:
    """How often each patient is in the sample (the first line: once) and in each of its resamples."""
    if paired:
        everybody = np.union1d(of_x, of_y)
        counts = _counts(len(everybody), draws, seed)
        return counts[:, np.isin(everybody, of_x)], counts[:, np.isin(everybody, of_y)]
    return _counts(len(of_x), draws, (*seed, 1)), _counts(len(of_y), draws, (*seed, 2))


def _counts(n: int, draws: int, seed: tuple[int, ...]) -> Floats:
    return counted(np.concatenate([np.arange(n)[None], resamples(n, draws, seed)]), n)


def frechet_distance(m1: Floats, c1: Floats, m2: Floats, c2: Floats) -> Floats:
    """Between Gaussians: means (..., d), covariances (..., d, d) -> (...)."""
    # tr (C1 C2)^(1/2) is the sum of the roots of the eigenvalues of C1 C2, which are real and not negative.
    roots = np.sqrt(np.maximum(np.linalg.eigvals(c1 @ c2).real, 0)).sum(-1)
    traces = np.trace(c1, axis1=-2, axis2=-1) + np.trace(c2, axis1=-2, axis2=-1)
    return np.asarray(((m1 - m2) ** 2).sum(-1) + traces - 2 * roots)


def frechet(
    drawn: Lesions, real: Lesions, axes: Axes, *, draws: int, seed: tuple[int, ...], paired: bool = False
) -> Distance:
    """Frechet distance between the features of two sets of lesions; arguments as for `kid`.

    Lesions of which a feature cannot be measured are left out. Fewer than 2 patients in a set: nan.
    """
    drawn, real = (one[complete(one.features)] for one in (drawn, real))
    of_x, of_y = np.unique(drawn.patient), np.unique(real.patient)
    if min(len(of_x), len(of_y)) < 2:
        return Distance(np.nan, np.full(draws, np.nan), len(drawn), len(of_x), np.nan)
    wx, wy = _weights(of_x, of_y, draws, seed, paired)
    ux, uy = _image_weights(drawn, wx, draws, seed), _image_weights(real, wy, draws, seed)
    values = frechet_distance(*_moments(axes(drawn.features), ux), *_moments(axes(real.features), uy))
    values = np.where(ux.any(1) & uy.any(1), values, np.nan)
    # A resample holds fewer patients than the sample, and fewer patients are farther apart: by about as much as the
    # sample is farther than the truth. Mirrored, the bias is taken off instead of counted twice.
    mirrored = 2 * values[0] - values[1:]
    value = max(float(nanmean(mirrored, 0)), 0.0)
    return Distance(value, np.maximum(mirrored, 0), len(drawn), len(of_x), float(values[0]))


def _image_weights(lesions: Lesions, weight: Floats, draws: int, seed: tuple[int, ...]) -> Floats:
    """(1 + D, N) weights of the images, which add up to 1, under (1 + D, n) weights of the patients.

    Shared places are resampled as well (two-way bootstrap, Owen 2007): a few places are few images, however many
    patients are drawn on them, and the bias is that of few images.
    """
    theirs = _belonging(lesions.patient)
    times = np.ones((1, len(lesions)))
    if lesions.place is not None:
        places, code = np.unique(lesions.place, return_inverse=True)
        times = _counts(len(places), draws, (*seed, 3))[:, code]
    images = (times @ theirs.T) @ theirs  # of each image's patient
    weight = (weight @ theirs) * times / np.maximum(images, 1)
    total = weight.sum(1, keepdims=True)  # 0 where a resample holds nothing
    return np.asarray(weight / np.where(total > 0, total, 1.0))


def _moments(x: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """(D, d) means and (D, d, d) covariances of (N, d) values under (D, N) weights."""
    n, d = x.shape
    mean = weight @ x
    second = (weight @ (x[:, :, None] * x[:, None, :]).reshape(n, d * d)).reshape(-1, d, d)
    return np.asarray(mean), np.asarray(second - mean[:, :, None] * mean[:, None, :])


@dataclass(frozen=True)
class Distances:
    """The distances of what was drawn, and those that they are read beside.

    Attributes:
        drawn: by name of the distance.
        pasted: of real lesions of training patients, pasted onto the backgrounds of the drawings.
        own_backgrounds: of real lesions of training patients on their own backgrounds.
        null: of shuffled lesions.
    """

    drawn: dict[str, Distance]
    pasted: dict[str, Distance]
    own_backgrounds: dict[str, Distance]
    null: dict[str, Distance]

    def farther(self, name: str) -> Floats:
        """(1 + D,) distance of the drawings minus that of pasted lesions, paired by patient."""
        return _sample(self.drawn[name]) - _sample(self.pasted[name])

    def times(self, name: str, confidence: float) -> tuple[float, float, float]:
        """Distance of the drawings over that of pasted lesions, and its interval, paired by patient.

        A resample in which the latter is not above 0 counts as infinite; nan where the distance itself is not.
        """
        above, below = _sample(self.drawn[name]), _sample(self.pasted[name])
        if not below[0] > 0:
            return np.nan, np.nan, np.nan
        ratio = np.where(below > 0, above / np.where(below > 0, below, 1), np.inf)
        ends = [(1 - confidence) / 2, (1 + confidence) / 2]
        low, high = np.quantile(ratio[1:], ends, method="inverted_cdf")  # between infinities nothing is interpolated
        return float(ratio[0]), float(low), float(high)


def _sample(distance: Distance) -> Floats:
    """(1 + D,): the distance and its resamples."""
    return np.concatenate([[distance.value], distance.draws])


def inception_distance(lesions: Lesions, real: Lesions, size: int, *, draws: int, seed: int) -> Distance:
    """FID of `size` of the images to the real ones, as it is usually given: with its bias.

    Without an interval: resamples of a biased estimate are more biased than it is.
    """
    assert lesions.inception is not None
    assert real.inception is not None
    if min(size, len(real)) < 4:  # of half of them a covariance is needed, too
        return Distance(np.nan, np.full(draws, np.nan), size, 0, np.nan)
    x = of_size(lesions.inception, size, seed)
    value = fid(x, real.inception)
    patients = len(np.unique(of_size(lesions.patient, size, seed)))
    return Distance(value, np.full(draws, np.nan), size, patients, value, bias(x, real.inception, seed))


KID, FRECHET, INCEPTION = "kid", "frechet", "inception fid"


def realism(
    drawn: Lesions,
    pasted: Lesions,
    training: Lesions,
    held_out: Lesions,
    shuffled: Lesions,
    settings: EvaluationSettings,
) -> Distances:
    """Drawn lesions, pasted lesions of training patients, the same on their own backgrounds, and shuffled ones, each
    against held-out real ones."""
    space = Space.fit(training)
    axes = Axes.fit(training.features, training.patient, settings.frechet_axes, squash=SQUASH)
    seed = (settings.seed, 7)

    size = min(map(len, (drawn, pasted, training, shuffled)))

    def distances(lesions: Lesions, paired: bool) -> dict[str, Distance]:
        by_name = {
            KID: kid(lesions, held_out, space, draws=settings.bootstrap, seed=seed, paired=paired),
            FRECHET: frechet(lesions, held_out, axes, draws=settings.bootstrap, seed=seed, paired=paired),
        }
        if drawn.inception is not None:
            by_name[INCEPTION] = inception_distance(
                lesions, held_out, size, draws=settings.bootstrap, seed=settings.seed
            )
        return by_name

    return Distances(
        distances(drawn, True), distances(pasted, True), distances(training, False), distances(shuffled, True)
    )


DRAWN = "drawn"
ON_SAME = "real lesions of training patients, on the same backgrounds"
ON_OWN = "real lesions of training patients, on their own backgrounds"
SHUFFLED = "null: shuffled pixels"


class Realism(Measure):
    """KID and Fréchet distance to the held-out patients' real lesions."""

    table = "realism"
    numbers: ClassVar = {
        "kid": Number("KID", "lower", ".3f", "to held-out real lesions; reference: real lesions of training patients, "
                      "pasted onto the same backgrounds; null: shuffled pixels", REALISM, "realism (KID)",
                      beside="Real lesions of training patients on the same backgrounds {reference}, shuffled pixels "
                      "{null}."),
        "kid_times": Number("KID, times pasted", "", ".1f", "KID over that of real lesions of training patients, "
                            "pasted onto the same backgrounds; 1: what a perfect method would reach", REALISM),
        "frechet": Number("Fréchet", "lower", ".2f", "radiomic features; reference and null as for KID", REALISM,
                          "realism (radiomic features)", ".2f"),
    }  # fmt: skip

    def measure(self, work: Work) -> Result:
        split, settings = work.subject.split, work.settings
        slices, shuffled = work.real.slices, work.real.shuffled.of(split.test)
        training, held_out = slices.of(split.train), slices.of(split.test)
        distances = realism(work.drawn.lesions, work.pasted.training, training, held_out, shuffled, settings)
        parts = {
            DRAWN: distances.drawn,
            ON_SAME: distances.pasted,
            ON_OWN: distances.own_backgrounds,
            SHUFFLED: distances.null,
        }
        rows = [_row(name, of, part[name], settings) for name in distances.drawn for of, part in parts.items()]
        for row in rows:
            if row["of"] == DRAWN and row["distance"] in (KID, FRECHET):
                row |= _beside_pasted(distances, row["distance"], settings)
        scores = {}
        for name in (KID, FRECHET):
            distance, reference, null = distances.drawn[name], distances.pasted[name].value, distances.null[name].value
            scores[name] = Score(distance.value, distance.draws, reference, null, distance.images, distance.patients)
        times, distance = distances.times(KID, settings.confidence)[0], distances.drawn[KID]
        scores["kid_times"] = Score(times, reference=1.0, images=distance.images, patients=distance.patients)
        return Result({self.table: pd.DataFrame(rows)}, scores)

    def sections(self, runs: Sequence[RunResults], tables: Path, settings: EvaluationSettings) -> list[Section]:
        return [_realism_section(joined(runs, self.table, tables), settings, runs[0].imaging)]

    def sentence(self, run: RunResults, confidence: float) -> str:
        return realism_conclusion(run.subject.name, run.tables[self.table], confidence)


def _beside_pasted(distances: Distances, name: str, settings: EvaluationSettings) -> dict[str, float]:
    """How many times the distance of pasted real lesions the drawings have, and how much more."""
    times, low, high = distances.times(name, settings.confidence)
    more = distances.farther(name)
    more_low, more_high = interval(more[1:], settings.confidence)
    beside = {"times": times, "times_low": low, "times_high": high}
    return beside | {"more_low": more_low, "more_high": more_high, "more": float(more[0])}


def _row(name: str, of: str, distance: Distance, settings: EvaluationSettings) -> dict[str, Any]:
    low, high = interval(distance.draws, settings.confidence)
    row = {"distance": name, "of": of, "value": distance.value, "low": low, "high": high}
    return row | {"bias": distance.bias, "patients": distance.patients, "images": distance.images}


def realism_conclusion(label: str, table: pd.DataFrame, confidence: float) -> str:
    """One sentence on how real the drawn lesions look, from the table of `Realism`."""
    drawn, pasted, own, null = table[table["distance"] == "kid"].to_dict("records")
    of = coverage(confidence)
    times = ""
    if pd.notna(drawn["times"]):
        most = f" to {drawn['times_high']:.1f}" if math.isfinite(drawn["times_high"]) else " or more"
        times = f"{drawn['times']:.1f} times ({drawn['times_low']:.1f}{most}) "
    figures = (
        f"KID {drawn['value']:.3f} ({of} interval {drawn['low']:.3f} to {drawn['high']:.3f}), {times or 'beside '}"
        f"the {pasted['value']:.3f} ({pasted['low']:.3f} to {pasted['high']:.3f}) of real lesions of training patients "
        f"pasted onto the same backgrounds, which a perfect method would reach; on their own backgrounds these have "
        f"{own['value']:.3f} ({own['low']:.3f} to {own['high']:.3f}), lesions with shuffled pixels {null['value']:.3f}"
    ).replace("-", "−")
    if drawn["more_low"] > 0:
        return f"{label}: drawn lesions are told apart from real ones: {figures}."
    more = f"; difference {drawn['more']:z.3f}, {drawn['more_low']:z.3f} to {drawn['more_high']:z.3f}"
    return (
        f"{label}: that drawn lesions look less real than real ones on the same backgrounds is not shown: {figures}"
        + (more.replace("-", "−") + ".")
    )


_NOT_AT_THE_WALL = (
    "On the same backgrounds, lesions are pasted only where they do not reach the chest wall, so that smaller slices "
    "are among them more often; the frechet distance, which measures size and shape, is larger for it. "
)


def _realism_section(file: str, settings: EvaluationSettings, imaging: Imaging) -> Section:
    columns = (
        RUN,
        Column(label="Distance", value="distance"),
        Column(label="Of", value="of"),
        Column(label="To held-out real lesions", value="value", low="low", high="high", format=".3f"),
        Column(
            label="Times the same backgrounds",
            value="times",
            low="times_low",
            high="times_high",
            format=".1f",
            help="drawn over real lesions of training patients on the same backgrounds",
        ),
        Column(
            label="Minus the same backgrounds",
            value="more",
            low="more_low",
            high="more_high",
            format=".3f",
            help="drawn minus real lesions of training patients on the same backgrounds, paired by patient",
        ),
        *((Column(label="Of which bias", value="bias", format=".3f"),) if settings.inception_weights else ()),
        PATIENTS_COLUMN,
        IMAGES,
    )
    inception = (
        " inception fid: Frechet distance of Inception features of whole slices, sets cut to one size; of so few "
        "images it is biased upwards, by about as much as stands beside it (what halving the images adds), so read it "
        "beside the real lesions only."
    )
    return Section(
        title="Do drawn lesions look real?",
        text=(
            "Drawn lesions against real lesions of held-out patients. What counts is not the number but where it lies "
            "among others: real lesions of training patients pasted onto the same backgrounds, which is what a perfect "
            "method would reach; the same on their own backgrounds, which no drawing can reach, since what surrounds a "
            "lesion counts too; and real lesions with their pixels shuffled (the null)."
        ),
        blocks=(
            Table(
                file=file,
                caption=(
                    "kid: unbiased squared maximum mean discrepancy under the polynomial kernel, on a fixed network "
                    "with random weights that no method was trained with; around 0 for two sets of one kind, negative "
                    "by chance. "
                    f"frechet: distance on {settings.frechet_axes} principal axes of the radiomic features (IBSI), "
                    "the bootstrap's estimate of its bias in small samples taken off. "
                    + (_NOT_AT_THE_WALL if imaging.of_lungs else "")
                    + f"{coverage(settings.confidence)} intervals over patients."
                    + (inception if settings.inception_weights else "")
                ),
                columns=columns,
                strong=("of", "drawn"),
            ),
        ),
    )
