"""Realism: are drawn lesions told apart from real lesions of patients whom nobody has seen?

Two distances between sets of lesions, both against the HELD-OUT real ones, both with patients as the unit:

- KID (Binkowski et al. 2018): squared maximum mean discrepancy under k(x, y) = (x . y / d + 1)^3 on the embedding of
  `embedding.py`, unbiased whatever the number of images. Inception's subsets bound memory; here the kernel of all
  images fits, so that all pairs are used, which is the mean over all subsets. Slices of one patient resemble each
  other: pairs of one patient are left out, where the usual estimator leaves out only an image's pair with itself.
- Frechet distance on radiomic features (IBSI; `lesions.ibsi_features`): |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), on
  at most a few principal axes of the training lesions, since a covariance needs more patients than axes; outliers are
  held back, since texture features have long tails. It is biased upwards in small samples; the bootstrap's estimate
  of the bias is taken off, and what is left is read beside ceiling and null.

Ceiling: real lesions of training patients against the held-out ones. Null: held-out lesions with shuffled pixels.
The Frechet distance of Inception features is not computed: its weights cannot be had offline, and below a few thousand
images it is mostly bias (EVIDENCE.md rule 7).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radiogenesis.evaluation.bootstrap import Floats, Indices, resamples
from radiogenesis.evaluation.lesions import SQUASH, Axes, Lesions, Space, complete
from radiogenesis.evaluation.settings import EvaluationSettings


@dataclass(frozen=True)
class Distance:
    """A distance between two sets of lesions, and its resamples over patients.

    Attributes:
        value: the distance; of a biased estimate with the bootstrap's estimate of its bias taken off.
        draws: (D,) resamples; of a biased estimate mirrored at it ("basic" bootstrap).
        images, patients: of the first set: what was measured.
        uncorrected: the distance as estimated.
    """

    value: float
    draws: Floats
    images: int
    patients: int
    uncorrected: float


def polynomial_kernel(x: Floats, y: Floats) -> Floats:
    """(N, d), (M, d) -> (N, M): (x . y / d + 1)^3, the kernel of KID."""
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def patient_kernel(x: Floats, of_x: NDArray[np.str_], y: Floats, of_y: NDArray[np.str_]) -> Floats:
    """(n, m) means of the kernel over the pairs of images of each pair of patients, patients sorted."""
    rows, columns = _averaging(of_x), _averaging(of_y)
    return np.asarray(rows @ polynomial_kernel(x, y) @ columns.T)


def _averaging(patient: NDArray[np.str_]) -> Floats:
    """(n, N): averages images within patients, patients sorted."""
    names, code = np.unique(patient, return_inverse=True)
    rows = np.zeros((len(names), len(patient)))
    rows[code, np.arange(len(patient))] = 1
    return np.asarray(rows / rows.sum(1, keepdims=True))


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
    terms = (
        (x, drawn.patient, x, drawn.patient, of_x, of_x, wx, wx),
        (y, real.patient, y, real.patient, of_y, of_y, wy, wy),
        (x, drawn.patient, y, real.patient, of_x, of_y, wx, wy),
    )
    within_x, within_y, between = (
        _mean_of_pairs(patient_kernel(a, pa, b, pb), names_a[:, None] != names_b[None], wa, wb)
        for a, pa, b, pb, names_a, names_b, wa, wb in terms
    )
    values = within_x + within_y - 2 * between
    return Distance(float(values[0]), values[1:], len(drawn), len(of_x), float(values[0]))


def _mean_of_pairs(kernel: Floats, others: NDArray[np.bool_], wa: Floats, wb: Floats) -> Floats:
    """(D,) weighted means over the pairs of different patients; nan where there is no such pair."""
    total = ((wa @ (kernel * others)) * wb).sum(1)
    count = ((wa @ others.astype(float)) * wb).sum(1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


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
    index: Indices = np.concatenate([np.arange(n)[None], resamples(n, draws, seed)])
    counts = np.zeros((len(index), n))
    np.add.at(counts, (np.arange(len(index))[:, None], index), 1)
    return counts


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
    values = frechet_distance(*_moments(axes(drawn.features), drawn.patient, wx),
                              *_moments(axes(real.features), real.patient, wy))  # fmt: skip
    # A resample holds fewer patients than the sample, and fewer patients are farther apart: by about as much as the
    # sample is farther than the truth. Mirrored, the bias is taken off instead of counted twice.
    mirrored = 2 * values[0] - values[1:]
    value = max(float(mirrored.mean()), 0.0)
    return Distance(value, np.maximum(mirrored, 0), len(drawn), len(of_x), float(values[0]))


def _moments(x: Floats, patient: NDArray[np.str_], weight: Floats) -> tuple[Floats, Floats]:
    """(D, d) means and (D, d, d) covariances of (N, d) values under (D, n) weights of the patients."""
    average = _averaging(patient)
    weight = weight / np.maximum(weight.sum(1, keepdims=True), 1)
    mean = weight @ (average @ x)
    second = np.einsum("dp,pij->dij", weight, np.einsum("pk,ki,kj->pij", average, x, x, optimize=True))
    return np.asarray(mean), np.asarray(second - mean[:, :, None] * mean[:, None, :])


@dataclass(frozen=True)
class Realism:
    """Both distances of what was drawn, beside those of the ceiling and the null."""

    drawn: dict[str, Distance]
    ceiling: dict[str, Distance]
    null: dict[str, Distance]


KID, FRECHET = "kid", "frechet"


def realism(drawn: Lesions, training: Lesions, held_out: Lesions, shuffled: Lesions,
            settings: EvaluationSettings) -> Realism:  # fmt: skip
    """Drawn lesions, real lesions of training patients, and shuffled ones, each against held-out real ones."""
    space = Space.fit(training)
    axes = Axes.fit(training.features, training.patient, settings.frechet_axes, squash=SQUASH)
    seed = (settings.seed, 7)

    def both(lesions: Lesions, paired: bool) -> dict[str, Distance]:
        return {
            KID: kid(lesions, held_out, space, draws=settings.bootstrap, seed=seed, paired=paired),
            FRECHET: frechet(lesions, held_out, axes, draws=settings.bootstrap, seed=seed, paired=paired),
        }

    return Realism(both(drawn, True), both(training, False), both(shuffled, True))
