"""Map by synthesis: move genes, keep background and noise, draw, measure.

The effect of a gene set on a feature is what the feature changes by when the set goes up by one standard deviation,
in lesions drawn for held-out patients:

    effect = mean over patients and backgrounds of [f(g + h d) - f(g - h d)] / (2 h).

d moves every member by the standard deviation of the set's value (the mean of its members' z-scores, signs applied), so
that the value itself goes up by one such deviation, and no other gene moves. Noise belongs to a place (patient and
background), never to a move: both drawings of a difference share it.

What is shared. If the method's gene code is linear in the genes and of few dimensions (as with the canonical
alignment's), a move of whatever genes is a move of the code. Then the code's axes are moved one by one, and the effect
of any set, any single gene and any random set is a sum over the axes. It is exact to first order, and it says what
such a model can know: with K axes the table of genes by features has rank K, and genes are told apart by K numbers
each. A method with another code has each set drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from radiogenesis.imaging import LUNG_CT, Imaging
from radiogenesis.mapping.synthesis.measured import Measured
from radiogenesis.methods.canonical_alignment import CanonicalAlignment
from radiogenesis.methods.protocols import GeneEncoder, Synthesis, Synthesizer
from radiogenesis.stats.metagenes import Metagenes
from radiogenesis.stats.resampling import Floats, nanmean

Progress = Callable[[int, int], None]
"""Called with how many moves are drawn, and of how many."""

MOST_AXES = 32
"""A code of more dimensions is not moved axis by axis."""
_SAME_HU = 1.0
_AT_ONCE = 512  # genes encoded at a time


@dataclass(frozen=True, eq=False)
class GeneSets:
    """What it means to move each of S sets up by one standard deviation.

    Attributes:
        names: (S,).
        members: for each set, its genes' columns.
        signs: for each set, +1 or -1 for each member: which way it goes when the set goes up.
        deviation: (S,) standard deviation of the set's value over the training patients.
        coherence: (S,) mean correlation of two members, signs applied; nan for a set of one gene.
    """

    names: tuple[str, ...]
    members: tuple[NDArray[np.intp], ...]
    signs: tuple[Floats, ...]
    deviation: Floats
    coherence: Floats

    @classmethod
    def of(
        cls, names: Sequence[str], members: Sequence[NDArray[Any]], signs: Sequence[NDArray[Any]], genes: NDArray[Any]
    ) -> GeneSets:
        """Sets of columns of the training patients' scaled genes (t, G); those without a gene are left out."""
        kept = [s for s, mine in enumerate(members) if len(mine)]
        at = [np.asarray(members[s], np.intp) for s in kept]
        sign = [np.asarray(signs[s], np.float64) for s in kept]
        unit = unit_profiles(genes)
        values = [value_and_coherence(genes, unit, m, w) for m, w in zip(at, sign, strict=True)]
        return cls(
            tuple(str(names[s]) for s in kept), tuple(at), tuple(sign),
            np.array([deviation for deviation, _ in values]), np.array([coherence for _, coherence in values]),
        )  # fmt: skip

    @classmethod
    def of_metagenes(cls, metagenes: Metagenes, names: Sequence[str], genes: NDArray[Any]) -> GeneSets:
        """Metagenes, cut down to the genes `names` of the columns of `genes`."""
        column = {name: g for g, name in enumerate(names)}
        known = np.array([column.get(name, -1) for name in metagenes.names])
        mine = [np.flatnonzero((metagenes.label == k) & (known >= 0)) for k in range(len(metagenes))]
        return cls.of(metagenes.ids, [known[m] for m in mine], [metagenes.sign[m] for m in mine], genes)

    @classmethod
    def of_lists(cls, sets: Mapping[str, Sequence[str]], names: Sequence[str], genes: NDArray[Any]) -> GeneSets:
        """Named lists of genes, all of whose members go up."""
        column = {name: g for g, name in enumerate(names)}
        members = [np.array([column[g] for g in mine if g in column], np.intp) for mine in sets.values()]
        return cls.of(list(sets), members, [np.ones(len(m)) for m in members], genes)

    def __len__(self) -> int:
        return len(self.names)

    def shift(self, s: int, genes: int) -> NDArray[np.float32]:
        """(G,) change of the scaled genes when set s goes up by one standard deviation."""
        moved = np.zeros(genes, np.float32)
        moved[self.members[s]] = self.deviation[s] * self.signs[s]
        return moved

    def through(self, project: NDArray[Any]) -> Floats:
        """(S, K) change of a linear code (G, K) when each set goes up by one standard deviation."""
        pairs = zip(self.members, self.signs, self.deviation, strict=True)
        rows = [deviation * (signs @ project[members]) for members, signs, deviation in pairs]
        return np.array(rows).reshape(len(self), project.shape[1])


def value_and_coherence(
    genes: NDArray[Any], unit: NDArray[Any], members: NDArray[np.intp], signs: Floats
) -> tuple[float, float]:
    """Standard deviation of a set's value over patients, and the mean correlation of two of its members."""
    n = len(members)
    deviation = float((genes[:, members] @ signs / n).std())
    length = float(np.linalg.norm(signs @ unit[members]))
    return deviation, (length**2 - n) / (n * (n - 1)) if n > 1 else float("nan")


def unit_profiles(genes: NDArray[Any]) -> Floats:
    """(t, G) -> (G, t) centered and of length 1: a product is a correlation; 0 where a gene does not vary."""
    centered = (genes - genes.mean(axis=0)).T.astype(np.float64)
    length = np.linalg.norm(centered, axis=1, keepdims=True)
    return np.asarray(centered / np.where(length > 1e-9, length, np.inf))


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """Held-out patients on shared backgrounds, with noise that stays as it is.

    Attributes:
        synthesizer: what draws.
        genes: (n, G) scaled genes of the patients.
        backgrounds: (B, P, P) HU.
        pixel_mm: side of a pixel.
        seed: of the noise.
        alignment: whose further axes are measured on the drawings too.
        imaging: what the backgrounds show.
    """

    synthesizer: Synthesizer
    genes: NDArray[np.float32]
    backgrounds: NDArray[np.float32]
    pixel_mm: float
    seed: int
    alignment: CanonicalAlignment | None = None
    imaging: Imaging = LUNG_CT

    @property
    def measured(self) -> Measured:
        """What is measured on the drawings."""
        return Measured(self.pixel_mm, self.alignment, self.imaging)

    def draw(self, shift: NDArray[Any] | float = 0.0) -> Synthesis:
        """n * B drawings, patient by patient, with the genes moved by (G,)."""
        genes = (self.genes + np.asarray(shift, np.float32)).astype(np.float32)
        places = len(self.backgrounds)
        return self.synthesizer.synthesize(
            np.tile(self.backgrounds, (len(genes), 1, 1)), np.repeat(genes, places, axis=0), seed=self.seed
        )

    def features(self, shift: NDArray[Any] | float = 0.0) -> Floats:
        """(n, B, F) lesion features of the drawings; nan where there is nothing to measure."""
        drawn = self.draw(shift)
        features = self.measured.of(drawn.image, drawn.mask)
        return features.reshape(len(self.genes), len(self.backgrounds), -1)

    def effect(self, shift: NDArray[Any], step: float) -> Floats:
        """(n, F) change per unit of `shift` from drawings at +-step: means over the backgrounds where both are known"""
        up, down = self.features(step * shift), self.features(-step * shift)
        return nanmean((up - down) / (2 * step), axis=1)


@dataclass(frozen=True, eq=False)
class CodeAxes:
    """A gene code that is linear in the genes, on its principal axes over the training patients.

    Attributes:
        project: (G, K): a change of genes moves the code by change @ project, in standard deviations along each axis.
        lift: (G, K): the smallest change of genes that moves the code by one deviation along axis k and along no other.
    """

    project: Floats
    lift: Floats

    def __len__(self) -> int:
        return self.project.shape[1]


def linear_code(method: GeneEncoder, training: NDArray[Any]) -> Floats | None:
    """(G, K): a change of scaled genes moves the method's code by change @ these; None where that does not give the
    codes of the training patients' scaled genes (t, G)."""
    genes = training.shape[1]
    zero = method.encode(np.zeros((1, genes), np.float32)).astype(np.float64)
    parts = [
        method.encode(np.eye(min(_AT_ONCE, genes - i), genes, i, np.float32)) - zero for i in range(0, genes, _AT_ONCE)
    ]
    weights: Floats = np.concatenate(parts).astype(np.float64)
    codes = method.encode(training.astype(np.float32)).astype(np.float64)
    off = np.abs(zero + training @ weights - codes).max()
    return weights if off <= 1e-3 * np.abs(codes - codes.mean(axis=0)).max() else None


def code_axes(stage: EvaluationSet, training: NDArray[Any]) -> CodeAxes | None:
    """The axes of the method's gene code, or None where it has no linear code of few dimensions.

    Three things are tried, none is taken on trust: that the method encodes genes, that encoding is linear, and that two
    gene vectors with the same code are drawn alike, so that genes act through the code alone.

    Args:
        training: (t, G) scaled genes of the training patients.
    """
    method = stage.synthesizer
    if not isinstance(method, GeneEncoder):
        return None
    weights = linear_code(method, training)
    if weights is None:
        return None
    codes = method.encode(training.astype(np.float32)).astype(np.float64)
    if not np.ptp(codes, axis=0).any():
        return None
    _, size, axes = np.linalg.svd(codes - codes.mean(axis=0), full_matrices=False)
    kept = size > 1e-4 * size[0]
    if kept.sum() > MOST_AXES:
        return None
    project = weights @ (axes[kept].T / (size[kept] / np.sqrt(len(codes))))
    code = CodeAxes(project, np.linalg.pinv(project).T)
    return code if _drawn_alike(stage, code, training.mean(axis=0)) else None


def _drawn_alike(stage: EvaluationSet, axes: CodeAxes, mean: NDArray[Any]) -> bool:
    """Whether a few patients look the same when all of their genes that the code does not see are set to the mean."""
    few = stage.genes[:3]
    seen = (mean + (few - mean) @ axes.project @ axes.lift.T).astype(np.float32)
    background = np.repeat(stage.backgrounds[:1], len(few), axis=0)
    as_is, reduced = (stage.synthesizer.synthesize(background, g, seed=stage.seed) for g in (few, seen))
    return bool(np.abs(as_is.image - reduced.image).max() < _SAME_HU)


class Response(Protocol):
    """How the features of drawn lesions answer to moved genes."""

    @property
    def how(self) -> str:
        """In words, for tables and pages."""
        ...

    def effects(self, sets: GeneSets) -> Floats:
        """(n, S, F) change of each feature in each patient when each set goes up by one standard deviation."""
        ...


@dataclass(frozen=True, eq=False)
class AxesResponse:
    """Answers to the axes of a linear code: every set is a sum over them.

    Attributes:
        axes: of the code.
        slopes: (n, K, F) change of each feature per standard deviation along each axis.
    """

    axes: CodeAxes
    slopes: Floats

    @classmethod
    def draw(
        cls, stage: EvaluationSet, axes: CodeAxes, step: float, progress: Progress = lambda done, total: None
    ) -> AxesResponse:
        """Move the code along each axis and measure."""
        responses = []
        for k in range(len(axes)):
            responses.append(stage.effect(axes.lift[:, k], step))
            progress(k + 1, len(axes))
        return cls(axes, np.stack(responses, axis=1))

    @property
    def how(self) -> str:
        return f"sum over {len(self.axes)} axes of the gene code"

    def effects(self, sets: GeneSets) -> Floats:
        return np.asarray(np.einsum("sk,nkf->nsf", sets.through(self.axes.project), self.slopes))

    def gene_effects(self) -> Floats:
        """(G, F) mean over patients of the change when one gene alone goes up by one in its scaled expression."""
        return np.asarray(self.axes.project @ nanmean(self.slopes, axis=0))


@dataclass(frozen=True, eq=False)
class DrawnResponse:
    """Every set is moved and drawn."""

    stage: EvaluationSet
    step: float
    progress: Progress = lambda done, total: None

    @property
    def how(self) -> str:
        return "each set drawn"

    def effects(self, sets: GeneSets) -> Floats:
        effects = []
        for s in range(len(sets)):
            effects.append(self.stage.effect(sets.shift(s, self.stage.genes.shape[1]), self.step))
            self.progress(s + 1, len(sets))
        n = len(self.stage.genes)
        return np.stack(effects, axis=1) if effects else np.zeros((n, 0, 0))


def mean_and_interval(effects: Floats, index: NDArray[np.int64], confidence: float = 0.95) -> tuple[Floats, ...]:
    """Mean over patients of (n, S, F), and its percentile interval over resamples (D, n) of patients: three (S, F)."""
    known = np.isfinite(effects)
    filled = np.where(known, effects, 0.0)
    counts = np.zeros((len(index), len(effects)))
    np.add.at(counts, (np.arange(len(index))[:, None], index), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = np.tensordot(counts, filled, axes=1) / np.tensordot(counts, known.astype(float), axes=1)
    tails = np.full((2, *draws.shape[1:]), np.nan)
    some = np.isfinite(draws).any(axis=0)
    tails[:, some] = np.nanquantile(draws[:, some], [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return nanmean(effects, axis=0), tails[0], tails[1]
