"""Pairs that only the genes make differ: which of two lesions has a property, or a pathway, high?

One held-out patient, one background, one noise; the patient's genes are moved down for one drawing and up for the
other. For a property they move by half the difference between the training patients with most of it (upper third, on
their own slices) and those with least; for a pathway all its genes move by `deviations` standard deviations of its
mean, as `radiogenesis map` moves them. The same pairs drawn by a run with shuffled genes are the control.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import SettingError
from radiogenesis.evaluation.descriptions.properties import measure, own_features
from radiogenesis.mapping.synthesis.perturbation import GeneSets
from radiogenesis.phenotypes.lesion import FEATURES
from radiogenesis.readers.material import Images, Rows, whole_units
from radiogenesis.readers.settings import StudySettings
from radiogenesis.stats.resampling import spearman
from radiogenesis.training.run import Run

FEWEST_MEASURED = 6
"""Training patients behind a property's direction: two on either side."""
QUESTIONS = {
    "size": "Which lesion is larger?",
    "attenuation": "Which lesion is denser (brighter) inside?",
    "spiculation": "Which lesion has the more irregular, spiculated outline?",
    "margin": "Which lesion has the less sharp margin?",
    "heterogeneity": "Which lesion is more uneven inside?",
    "cavitation": "Which lesion contains more air?",
}
_MORE = {
    "size": ("larger", "smaller"),
    "attenuation": ("denser", "less dense"),
    "spiculation": ("more spiculated", "smoother in outline"),
    "margin": ("less sharp at the margin", "sharper at the margin"),
    "heterogeneity": ("more uneven inside", "more even inside"),
    "cavitation": ("with more air inside", "with less air inside"),
}


@dataclass(frozen=True, eq=False)
class Move:
    """A direction in the genes, and what readers are asked.

    Attributes:
        name: the property or the pathway.
        question: what readers read.
        shift: (G,) from the middle up.
        looks: the property that is measured on the drawings, and which way (+1, -1) it goes when the name goes up.
    """

    name: str
    question: str
    shift: NDArray[np.float32]
    looks: tuple[str, int]


def moves(
    run: Run, cohort: Cohort, settings: StudySettings, gene_sets: Mapping[str, Sequence[str]] | None = None
) -> list[Move]:
    """What the settings ask for, learned from the training patients alone.

    Raises:
        SettingError: a property that too few training patients have, a pathway that is not among the gene sets, or one
            none of whose genes the run knows.
    """
    if not settings.property_pairs:
        return []
    genes = np.asarray(run.genes(cohort.expression, run.split.train))
    own = own_features(cohort, run.split.train)
    found = [_of_property(name, genes, own) for name in settings.properties]
    missing = [name for name in settings.pathways if name not in (gene_sets or {})]
    if missing:
        raise SettingError(f"there is no gene set {missing[0]!r}", remedy="give --gmt the file that holds it")
    names = [str(name) for name in run.scaler.genes]
    return found + [
        _of_pathway(name, (gene_sets or {})[name], names, genes, own, settings) for name in settings.pathways
    ]


def _of_property(name: str, genes: NDArray[Any], own: NDArray[Any]) -> Move:
    values = own[:, FEATURES.index(name)]
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < FEWEST_MEASURED:
        raise SettingError(
            f"{name} can be measured in {len(known)} training patients, and {FEWEST_MEASURED} are needed",
            remedy="leave it out of --properties",
        )
    order = known[np.argsort(values[known], kind="stable")]
    third = len(order) // 3
    shift = (genes[order[-third:]].mean(0) - genes[order[:third]].mean(0)) / 2
    return Move(name, QUESTIONS[name], shift.astype(np.float32), (name, 1))


def _of_pathway(
    name: str, members: Sequence[str], names: Sequence[str], genes: NDArray[Any], own: NDArray[Any],
    settings: StudySettings,
) -> Move:  # fmt: skip
    """The pathway's move, and the property that goes with it in the training patients: nobody sees a pathway."""
    sets = GeneSets.of_lists({name: members}, names, genes)
    if not len(sets):
        raise SettingError(f"none of the genes of {name!r} is among those of the run")
    value = genes[:, sets.members[0]].mean(1)
    rho = np.nan_to_num(spearman(value, own.T))
    looks = FEATURES[int(np.abs(rho).argmax())]
    strongest = float(rho[FEATURES.index(looks)])
    more = _MORE[looks][int(strongest < 0)]
    question = (
        f"In which of the two is {name} higher? In {len(genes)} training patients lesions with a high {name} tended to "
        f"be {more} (Spearman correlation {abs(strongest):.2f}, the largest of {len(FEATURES)} properties)."
    )
    shift = settings.deviations * sets.shift(0, genes.shape[1])
    return Move(name, question, shift, (looks, 1 if strongest >= 0 else -1))


@dataclass(frozen=True, eq=False)
class MovedPairs:
    """Pairs of drawings of one move: everything but the genes is the same.

    Attributes:
        low, high: the drawings with the genes moved down and up.
        right: (N,) whether the measured property is on the side where the genes say; nan where it cannot be measured.
    """

    low: Images
    high: Images
    right: NDArray[np.float64]


def moved_pairs(
    run: Run, cohort: Cohort, move: Move, patients: NDArray[np.str_], backgrounds: Rows, seed: int
) -> MovedPairs:
    """Draw N pairs: for each of `patients` (N,) on each of `backgrounds` (N,), with the same noise on both sides."""
    genes = np.asarray(run.genes(cohort.expression, patients.tolist()))
    under = cohort.background_image[backgrounds].astype(np.float32)
    sides, measured = [], []
    feature, way = FEATURES.index(move.looks[0]), move.looks[1]
    for sign in (-1, 1):
        made = run.synthesizer().synthesize(under, genes + sign * move.shift, seed=seed)
        none = np.full(len(patients), -1)
        sides.append(Images(whole_units(made.image), made.mask >= 0.5, patients, backgrounds, none))
        measured.append(measure(made.image, made.mask, cohort.pixel_mm)[:, feature])
    difference = way * (measured[1] - measured[0])
    right = np.where(np.isfinite(difference), (np.sign(difference) + 1) / 2, np.nan)
    return MovedPairs(sides[0], sides[1], right)
