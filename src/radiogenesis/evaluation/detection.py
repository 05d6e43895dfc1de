"""Does the U-Net find the tumor? On held-out patients and on other cohorts, beside a simple baseline and a null.

Stage 1 of Li, Sui et al. 2021, who give a Dice only. Here also: how well the box fits, how often the tumor is hit, and
how many pieces per scan are none; each with a bootstrap interval over patients. Everything is measured on the whole
slices that a cohort keeps, in which no outline has a part: the lungs were found without it. A tumor of which these
slices show nothing is a miss of whoever looks at them.

The baseline takes the largest compact dense piece inside the lungs, by threshold; both are compared by patient.
The null gives every patient what the U-Net found in another patient: what can be had from the place of tumors alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from radiogenesis.cohort.store import Cohort, WholeRows
from radiogenesis.errors import CohortError
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.tumor_unet import FindSettings, TumorUNet, separate
from radiogenesis.stats.resampling import bootstrap, derangements, nanmean

UNET, BASELINE, NULL = "U-Net", "densest piece in the lung", "another patient's finding"
PAIRED = "U-Net minus densest piece"
MEASURES = {
    "dice": "Dice of all that is found",
    "slice_dice": "Dice on slices with tumor",
    "box_iou": "IoU of the first tumor's box, 3-D",
    "slice_box_iou": "IoU of the boxes on slices with tumor",
    "hit": "share of scans whose tumor is touched",
    "false_positives": "pieces per scan that touch no tumor",
}
DENSE_HU = -400.0
"""The baseline's threshold: lung is below, tumor and vessels above."""
COMPACT = 0.25
"""The baseline's pieces fill at least this share of their box; vessels fill less."""

Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Stack:
    """The whole slices of one scan.

    Attributes:
        patient: whose.
        image: (Z, S, S) HU.
        tumor: (Z, S, S) outlined.
        lungs: (Z, S, S) found without the outline.
        spacing_mm: along (z, y, x).
    """

    patient: str
    image: NDArray[np.int16]
    tumor: NDArray[np.bool_]
    lungs: NDArray[np.bool_]
    spacing_mm: tuple[float, float, float]


def stack_of(whole: WholeRows, patient: str) -> Stack:
    """The whole slices of a patient. Raises ValueError for fewer than two: their distance is unknown."""
    rows = np.flatnonzero(whole.patient == patient)
    if len(rows) < 2:
        raise ValueError(f"patient {patient} has {len(rows)} whole slices")
    slices = whole.slices
    origins = slices.to_patient[rows, :, 2]
    dz = float(np.median(np.linalg.norm(np.diff(origins, axis=0), axis=1)))
    return Stack(
        patient, slices.image[rows], slices.tumor[rows], slices.lungs[rows], (dz, whole.pixel_mm, whole.pixel_mm)
    )


def densest_piece(stack: Stack, settings: FindSettings) -> Labels:
    """The baseline: of the dense pieces inside the lungs that are compact, the largest. (Z, S, S): 1 where it is.

    The lungs are closed and filled in every slice, since a lung mask leaves out what is as dense as the chest wall.
    """
    reach = max(1, round(12.0 / stack.spacing_mm[1]))
    disc = np.hypot(*np.ogrid[-reach : reach + 1, -reach : reach + 1]) <= reach
    closed = [ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(lungs, reach), disc)) for lungs in stack.lungs]
    inside = np.stack(closed)[:, reach:-reach, reach:-reach]
    dense = ndimage.binary_opening(inside & (stack.image > DENSE_HU), np.ones((1, 2, 2)))
    pieces, _ = ndimage.label(dense)
    best, size = 0, 0.0
    for piece, box in enumerate(ndimage.find_objects(pieces), start=1):
        mask = pieces[box] == piece
        ml = float(mask.sum() * np.prod(stack.spacing_mm) / 1000)
        if ml >= settings.smallest_ml and mask.mean() >= COMPACT and ml > size:
            best, size = piece, ml
    return ((pieces == best) & (best > 0)).astype(np.int32)


def scores(labels: Labels, tumor: NDArray[np.bool_]) -> dict[str, float]:
    """What one finding is worth; see MEASURES.

    Args:
        labels: (Z, S, S) 0 for nothing, 1 for the most likely tumor, 2 for the next.
        tumor: (Z, S, S) what is outlined; empty where the tumor lies off the slices: then it is missed.
    """
    positive = labels > 0
    shown = np.flatnonzero(tumor.any(axis=(1, 2)))
    pieces = range(1, int(labels.max()) + 1)
    if not len(shown):
        return dict.fromkeys(MEASURES, 0.0) | {"false_positives": float(len(pieces))}
    return {
        "dice": dice(positive, tumor),
        "slice_dice": float(np.mean([dice(positive[at], tumor[at]) for at in shown])),
        "box_iou": box_iou(labels == 1, tumor),
        "slice_box_iou": float(np.mean([box_iou(positive[at], tumor[at]) for at in shown])),
        "hit": float((positive & tumor).any()),
        "false_positives": float(sum(not tumor[labels == piece].any() for piece in pieces)),
    }


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """2 |a and b| / (|a| + |b|) of two masks that are not both empty."""
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def box_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Intersection over union of the bounding boxes of two masks of any dimension; 0 where one is empty."""
    if not a.any() or not b.any():
        return 0.0
    edges = [[(places.min(), places.max() + 1) for places in np.nonzero(mask)] for mask in (a, b)]
    sides = [[high - low for low, high in box] for box in edges]
    common = [min(h1, h2) - max(l1, l2) for (l1, h1), (l2, h2) in zip(*edges, strict=True)]
    both = float(np.prod(np.clip(common, 0, None)))
    return both / (float(np.prod(sides[0])) + float(np.prod(sides[1])) - both)


def found_in(method: TumorUNet, stack: Stack, settings: FindSettings) -> Labels:
    """What the U-Net finds, counted as `find-tumor` counts it: (Z, S, S), see `separate`."""
    return separate(method.probability(stack.image), stack.lungs, stack.spacing_mm, settings)


def findings(method: TumorUNet, stacks: Sequence[Stack], find: FindSettings, *, seed: int) -> dict[str, list[Labels]]:
    """What the U-Net, the baseline and the null find in each stack; the null only where there are two patients.

    Args:
        method: the trained U-Net.
        stacks: of patients whom it was not trained on; see `outlined_stacks`.
        find: how probabilities become tumors.
        seed: of who is given whose finding.
    """
    unet = [found_in(method, stack, find) for stack in stacks]
    by_finder = {UNET: unet, BASELINE: [densest_piece(stack, find) for stack in stacks]}
    if len(stacks) > 1:
        (other,) = derangements(len(stacks), 1, [seed, 0xDE7])
        by_finder[NULL] = [_stretched(unet[at], len(stack.image)) for at, stack in zip(other, stacks, strict=True)]
    return by_finder


def detection_table(
    stacks: Sequence[Stack], by_finder: Mapping[str, Sequence[Labels]], settings: EvaluationSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every measure for the U-Net, the baseline and the null, and for the difference of the first two.

    Args:
        stacks: what was looked at.
        by_finder: finder -> what it found in each of them; see `findings`.
        settings: resamples, confidence, seed.

    Returns:
        tidy: finder, measure, value, low, high, patients; and one row per finder and patient with every measure.
    """
    rows: list[dict[str, Any]] = [
        {"finder": finder, "patient": stack.patient, **scores(labels, stack.tumor)}
        for finder, theirs in by_finder.items()
        for stack, labels in zip(stacks, theirs, strict=True)
    ]
    each = pd.DataFrame(rows)
    return pd.concat([summarized(each, settings), differences(each, settings)], ignore_index=True), each


def summarized(each: pd.DataFrame, settings: EvaluationSettings) -> pd.DataFrame:
    """Means over patients with bootstrap intervals: finder, measure, value, low, high, patients."""
    rows = []
    for finder, group in each.groupby("finder", sort=False):
        for measure in MEASURES:
            estimate = bootstrap(
                _mean_of(group[measure].to_numpy(float)),
                len(group),
                draws=settings.bootstrap,
                seed=[settings.seed, 0xB07],
                confidence=settings.confidence,
            )
            rows.append(
                {"finder": finder, "measure": measure, **vars(estimate), "patients": len(group)},
            )
    return pd.DataFrame(rows)


def differences(each: pd.DataFrame, settings: EvaluationSettings) -> pd.DataFrame:
    """The U-Net minus the baseline, patient by patient: the columns of `summarized`.

    Args:
        each: one row per finder and patient with every measure; with a column `seed`, a patient's value is the mean
            over the seeds, for a patient is the unit whatever the number of trainings.
    """
    rows = []
    for measure in MEASURES:
        means = each.pivot_table(index="patient", columns="finder", values=measure)
        values = (means[UNET] - means[BASELINE]).to_numpy(float)
        estimate = bootstrap(
            _mean_of(values),
            len(values),
            draws=settings.bootstrap,
            seed=[settings.seed, 0xB07],
            confidence=settings.confidence,
        )
        rows.append({"finder": PAIRED, "measure": measure, **vars(estimate), "patients": len(values)})
    return pd.DataFrame(rows)


def side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `detection_table` to be read: a row per measure, the finders beside each other.

    Columns: what, patients, and for each finder its name, `NAME, low` and `NAME, high`.
    """
    rows = []
    for measure, words in MEASURES.items():
        row: dict[str, Any] = {"what": words}
        for finding in table[table["measure"] == measure].to_dict("records"):
            name = finding["finder"]
            row |= {name: finding["value"], f"{name}, low": finding["low"], f"{name}, high": finding["high"]}
            row["patients"] = finding["patients"]
        rows.append(row)
    return pd.DataFrame(rows)


def _mean_of(values: NDArray[np.float64]) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
    return lambda chosen: nanmean(values[chosen], 1)


def outlined_stacks(
    cohort: Cohort, patients: Sequence[str], pixels: int, pixel_mm: float
) -> tuple[list[Stack], dict[str, str]]:
    """The stacks of those of the patients whose tumor is outlined, and why the others have none.

    A patient who has slices of a lesion has an outline, whether or not the whole slices that were kept show any of it.

    Args:
        cohort: keeps whole slices; may be another one than the U-Net was trained on.
        patients: whom to look at.
        pixels, pixel_mm: of the slices that the U-Net was trained on.

    Returns:
        the stacks; patient -> why there is none.

    Raises:
        CohortError: the cohort keeps no whole slices, or others than the U-Net was trained on; or outlines no tumor of
            these patients.
    """
    whole = cohort.whole
    if whole is None:
        raise CohortError("keeps no whole slices", path=cohort.path, remedy="build it with --whole_pixels")
    if cohort.whole_pixels != pixels or abs(whole.pixel_mm - pixel_mm) > 1e-6:
        raise CohortError(
            f"keeps whole slices of {cohort.whole_pixels} pixels of {whole.pixel_mm:.4g} mm, and the U-Net was trained "
            f"on {pixels} pixels of {pixel_mm:.4g} mm",
            path=cohort.path,
            remedy=f"build it with --whole_pixels {pixels} --whole_field_mm {pixels * pixel_mm:g}",
        )
    with_lesion = set(cohort.patients.index[cohort.patients["n_slices"] > 0].astype(str))
    stacks, left_out = [], {}
    for patient in patients:
        if (whole.patient == patient).sum() < 2:
            left_out[patient] = "fewer than two whole slices"
            continue
        stack = stack_of(whole, patient)
        if stack.tumor.any() or patient in with_lesion:
            stacks.append(stack)
        else:
            left_out[patient] = "no outlined tumor"
    if not stacks:
        raise CohortError(f"shows no outlined tumor of the {len(patients)} patients", path=cohort.path)
    return stacks, left_out


def _stretched(labels: Labels, planes: int) -> Labels:
    """The finding on another number of planes, first on first and last on last."""
    return labels[np.linspace(0, len(labels) - 1, planes).round().astype(int)]
