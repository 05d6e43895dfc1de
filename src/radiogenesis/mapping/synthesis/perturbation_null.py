"""What the effects of moved genes must be read beside.

- Matched random sets: as many genes, as coherent as can be had, none of them going with the set itself. This asks
  whether the set does more than other sets do (a competitive null, Goeman and Buhlmann 2007). The genes of a cohort
  hold a few dozen distinct profiles, so a thousand random sets are not a thousand independent ones.
- Patients exchanged: the gene side of the model fitted again, in closed form, with every training patient given the
  lesions of another, the generator left as it is: the correlation inside genes and inside features stays. It is the
  permutation null, and gives family-wise p values by the largest statistic over sets and features. Directions of
  appearance are found anew in every exchange, as they were for the patients' own lesions. It needs a run whose gene
  code is a canonical alignment's.
- Shuffled genes: a run trained with the genes of other patients, asked the same questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from radiogenesis.cohort.store import Cohort
from radiogenesis.mapping.synthesis.perturbation import CodeAxes, GeneSets, unit_profiles, value_and_coherence
from radiogenesis.methods.canonical_alignment import CanonicalAlignment
from radiogenesis.methods.canonical_fit import LesionSide, refitted_targets, search_for
from radiogenesis.stats.association import permutation
from radiogenesis.stats.resampling import Floats

GOES_WITH = 0.3
"""Genes whose correlation with a set's value is larger are kept out of its random sets: three standard deviations of
the correlation of two independent genes in a hundred patients."""
_WIDENINGS, _CENTERS = 5, 4


@dataclass(frozen=True, eq=False)
class Matcher:
    """Draws a random set for each set: as many genes, from around a random gene, as coherent as the set or nearly.

    Attributes:
        sets: what is to be matched.
        genes: (t, G) scaled genes of the training patients.
        unit: (G, t) their profiles, of length 1.
        free: (S, G) genes that may be in the random sets of each set.
    """

    sets: GeneSets
    genes: NDArray[Any]
    unit: Floats
    free: NDArray[np.bool_]

    @classmethod
    def of(cls, sets: GeneSets, genes: NDArray[Any]) -> Matcher:
        """Keep the members of each set, and what goes with it, out of its random sets, where enough others are left."""
        unit = unit_profiles(genes)
        free = np.ones((len(sets), len(unit)), bool)
        for s, (members, signs) in enumerate(zip(sets.members, sets.signs, strict=True)):
            value = signs @ unit[members]
            unrelated = np.abs(unit @ value) <= GOES_WITH * float(np.linalg.norm(value))
            unrelated[members] = False
            others = np.ones(len(unit), bool)
            others[members] = False
            enough = [mask for mask in (unrelated, others) if mask.sum() >= len(members)]
            free[s] = enough[0] if enough else True
        return cls(sets, genes, unit, free)

    def draw(self, rng: np.random.Generator) -> GeneSets:
        """One random set for each set, each moved by one standard deviation of its own value."""
        centers = rng.integers(0, len(self.unit), _CENTERS)
        r = self.unit @ self.unit[centers].T  # (G, C)
        order = np.argsort(-np.abs(r), axis=0, kind="stable")
        members, signs = [], []
        for s in range(len(self.sets)):
            c = int(np.argmax(self.free[s, centers]))  # the first that may be in it
            pool = order[:, c][self.free[s, order[:, c]]]
            sign = np.where(r[pool, c] < 0, -1.0, 1.0)
            chosen = self._as_coherent(pool, sign, len(self.sets.members[s]), float(self.sets.coherence[s]), rng)
            members.append(pool[chosen])
            signs.append(sign[chosen])
        values = [value_and_coherence(self.genes, self.unit, m, w) for m, w in zip(members, signs, strict=True)]
        deviation, coherence = (np.array(column) for column in zip(*values, strict=True))
        return GeneSets(self.sets.names, tuple(members), tuple(signs), deviation, coherence)

    def _as_coherent(
        self, pool: NDArray[np.intp], sign: Floats, n: int, coherence: float, rng: np.random.Generator
    ) -> NDArray[np.intp]:
        """n places in a pool that is sorted by correlation with its center.

        Of the nearest genes, so many are looked at that a random choice among them has the mean correlation that is
        asked for; where even the nearest are less coherent, the nearest are taken.
        """
        chosen, width, low, high = np.arange(n), n, n, len(pool)
        for _ in range(_WIDENINGS if n > 1 else 0):
            length = float(np.linalg.norm(sign[chosen] @ self.unit[pool[chosen]]))
            if (length**2 - n) / (n * (n - 1)) > coherence:
                low = width
            else:
                high = width
            width = round(float(np.sqrt(low * high)))
            chosen = rng.choice(width, n, replace=False) if width > n else np.arange(n)
        return chosen


def random_effects(
    sets: GeneSets, genes: NDArray[Any], project: Floats, slopes: Floats, count: int, seed: int
) -> tuple[Floats, Floats]:
    """Effects (R, S, F) of matched random sets, to first order, patients averaged; and their coherence (R, S).

    Args:
        project, slopes: (G, K) and (K, F), whose product is what each feature answers to each gene.
    """
    matcher, rng = Matcher.of(sets, genes), np.random.default_rng([seed, 0x5E7])
    effects, coherence = [], []
    for _ in range(count):
        drawn = matcher.draw(rng)
        effects.append(drawn.through(project) @ slopes)
        coherence.append(drawn.coherence)
    return np.array(effects), np.array(coherence)


def exchanged_projections(
    alignment: CanonicalAlignment,
    cohort: Cohort,
    patients: Sequence[str],
    genes: NDArray[Any],
    axes: CodeAxes,
    count: int,
    seed: int,
    *,
    least_area: float,
    blocks: NDArray[Any] | None = None,
) -> Iterator[Floats] | None:
    """Projections (G, K) when the alignment's gene side is fitted to the lesions of other training patients.

    The training patients' lesions are given to other patients, directions of appearance are found again, the ridge
    regression from genes is solved again, and its weights, in the units of the alignment's own, take their place. How
    the generator draws each axis stays.

    Args:
        patients: training patients, the rows of `genes` (t, G), scaled.
        count: exchanges.
        least_area: of the slices that were trained on; see `TrainSettings`.
        blocks: (t,) batch of each patient: lesions are then exchanged within batches only, so that what a batch gives
            to both sides is in the null too.

    Returns:
        one projection for each exchange, in the axes' units; None where the regression, made without an exchange, does
        not give the alignment's own weights back.
    """
    used, further = alignment.used, alignment.further
    lesions = lesions_of(alignment, cohort, patients, least_area=least_area)
    side = alignment.gene_side(genes, seed)
    weights = alignment.gene_weights.double().numpy()[:, used]  # (G, K)
    again = side.weights(alignment.targets(lesions)[:, used])
    unit = np.linalg.norm(weights, axis=0) / np.maximum(np.linalg.norm(again, axis=0), 1e-300)
    if np.abs(again * unit - weights).max() > 0.05 * np.abs(weights).max():
        return None
    along = axes.lift.T @ weights  # (axes, K): what a deviation along each axis is in the alignment's own code
    back = np.linalg.pinv(along)  # (K, axes)
    named = used[: len(alignment.settings.named)]
    columns = np.concatenate([np.flatnonzero(named), len(named) + np.arange(further)])
    search = search_for(lesions, side, seed) if further else None
    rng = np.random.default_rng([seed, 0xE8C])
    orders = (
        rng.permutation(len(genes)) if blocks is None else permutation(len(genes), blocks, seed, number)
        for number in range(count)
    )
    return (
        side.weights(refitted_targets(lesions.given_to(order), side, search, further)[:, columns]) * unit @ back
        for order in orders
    )


@dataclass(frozen=True, eq=False)
class GeneNull:
    """Of single genes, patients exchanged: (G, F) observed effects in root mean squares of their null, and p values."""

    z: Floats
    p: Floats


def exchanged_effects(
    projections: Iterator[Floats], slopes: Floats, sets: Sequence[GeneSets], genes: Floats, training: NDArray[Any]
) -> tuple[list[Floats], GeneNull]:
    """Effects (R, S, F) of each group of sets, and the null of single genes, from the same exchanges.

    Args:
        slopes: (K, F) along the axes, what is tested.
        genes: (G, F) observed effects of single genes, each with what goes with it.
        training: (t, G) scaled genes of the training patients.
    """
    by_group: list[list[Floats]] = [[] for _ in sets]
    squares, reached, count = np.zeros(genes.shape), np.zeros(genes.shape), 0
    for project in projections:
        for group, effects in zip(sets, by_group, strict=True):
            effects.append(group.through(project) @ slopes)
        single = with_companions(training, project) @ slopes
        squares += single**2
        reached += np.abs(single) >= np.abs(genes) * (1 - 1e-9)
        count += 1
    z = genes / np.maximum(np.sqrt(squares / count), 1e-12)
    return [np.array(effects) for effects in by_group], GeneNull(z, (1 + reached) / (1 + count))


def with_companions(training: NDArray[Any], answers: Floats) -> Floats:
    """(G, K) what follows when a gene goes up by one and the others as they go with it over patients.

    The regression of `training @ answers` on each gene. A model that knows a module spreads the weight over its
    genes, so that a gene moved alone, its module held still, shows a patient who does not exist, and little of what
    the module does.

    Args:
        training: (t, G) scaled genes of the training patients.
        answers: (G, K) what each gene does alone.
    """
    centered = training - training.mean(axis=0)
    return np.asarray(centered.T @ (centered @ answers) / np.maximum((centered**2).sum(axis=0), 1e-12)[:, None])


def lesions_of(
    alignment: CanonicalAlignment, cohort: Cohort, patients: Sequence[str], *, least_area: float
) -> LesionSide:
    """The patients' lesions as the alignment was fitted to them: slices near a lesion's poles are left out."""
    own = cohort.lesions(patients, least_area=least_area)
    image, masks = (torch.from_numpy(of).unsqueeze(1) for of in (own.image, own.mask))
    darker = cohort.imaging.may_be_darker
    return alignment.lesion_side(image, masks, own.place_among(patients), pixel_mm=cohort.pixel_mm, darker=darker)


def in_deviations(observed: Floats, null: Floats) -> Floats:
    """(S, F) effects in root mean squares of the null's (R, S, F): comparable among features; 0 where nothing moves."""
    scale = np.sqrt((null**2).mean(axis=0))
    return np.asarray(np.divide(observed, scale, out=np.zeros_like(observed), where=scale > 0))


def exceeding(observed: Floats, null: Floats) -> Floats:
    """(S, F) p values: how often the effects (R, S, F) of the null reach the observed ones; nan stays nan.

    Effects are taken in root mean squares of their own null, and the nulls of all sets are pooled feature by feature:
    with R draws alone no p would be small enough for a false discovery rate over hundreds of tests.
    """
    scale = np.sqrt((null**2).mean(axis=0))
    cells = np.divide(np.abs(null), scale, out=np.zeros_like(null), where=scale > 0)
    z = np.divide(np.abs(observed), scale, out=np.where(observed == 0, 0.0, np.inf), where=scale > 0)
    p = np.full(observed.shape, np.nan)
    for f in range(observed.shape[1]):
        drawn = np.sort(np.nan_to_num(cells[:, :, f]).ravel())
        reached = len(drawn) - np.searchsorted(drawn, z[:, f] * (1 - 1e-9), side="left")
        p[:, f] = (1 + reached) / (1 + len(drawn))
    return np.where(np.isfinite(observed), p, np.nan)


def exceeding_largest(observed: Floats, null: Floats) -> Floats:
    """(S, F) family-wise p values: how often the largest |effect| of a whole table (R, S, F) reaches the observed one.

    Effects are to be in units that make features comparable.
    """
    largest = np.sort(np.nan_to_num(np.abs(null)).max(axis=(1, 2)))
    at_least = len(largest) - np.searchsorted(largest, np.abs(observed) * (1 - 1e-9), side="left")
    return np.where(np.isfinite(observed), (1 + at_least) / (1 + len(largest)), np.nan)


def exceeding_table(observed: Floats, null: Floats) -> Floats:
    """(S, F) p values against the whole table of effects (S', F) of other models: how often any of their sets reaches
    this effect on any feature. Effects are to be in units that make features comparable."""
    cells = np.sort(np.abs(null[np.isfinite(null)]))
    reached = len(cells) - np.searchsorted(cells, np.abs(observed) * (1 - 1e-9), side="left")
    return np.where(np.isfinite(observed), (1 + reached) / (1 + len(cells)), np.nan)
