"""The pictures of a map by synthesis: traversals of a lesion from low to high, both maps side by side, both curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from radiogenesis.mapping.synthesis.known_answers import FOUND
from radiogenesis.mapping.synthesis.measured import NAMES
from radiogenesis.mapping.synthesis.perturbation import EvaluationSet, GeneSets
from radiogenesis.mapping.synthesis.synthesis import SynthesisMap
from radiogenesis.pages.mapping.pictures import clustered_order, diverging_colors
from radiogenesis.reporting.figures import FONT, Theme, gray, slice_grid, style_axes
from radiogenesis.stats.resampling import Floats

LEVELS = (-3.0, -1.5, 0.0, 1.5, 3.0)
"""How far the set of a traversal is moved, in standard deviations of its value."""
MOST_TRAVERSALS = 60
"""Of the user's gene sets."""
_FIRST = 6  # patients among whom the lesion of the traversals is chosen
_REACH = 1.5  # deviations up and down by which it is asked how far a lesion answers
Chosen = tuple[str, str, bool, float]
"""Set, feature, whether the link is found, and its effect in standard deviations."""


@dataclass(frozen=True, eq=False)
class Traversal:
    """One lesion, drawn again and again while one set goes from low to high.

    Attributes:
        name: of the set.
        feature: the place in `SynthesisMap.features` of the one it moves most.
        patient: whose other genes stay as they are.
        images: (L, P, P) HU.
        values: (L,) the feature, measured on them.
        label, unit: of the feature.
        found: whether the map reports this link.
    """

    name: str
    feature: int
    patient: str
    images: NDArray[np.float32]
    values: Floats
    label: str
    unit: str
    found: bool


def traversals(moved: SynthesisMap, levels: Sequence[float] = LEVELS) -> list[Traversal]:
    """For each feature a traversal of the metagene that moves it most, among those found where any is.

    All traversals show the same place, see `_place`.
    """
    return _drawn(moved, moved.sets, _of_features(moved), levels)


def _of_features(moved: SynthesisMap) -> list[Chosen]:
    """For each feature the metagene that moves it most, among those found where any is."""
    rows = (moved.links[moved.links["feature"] == name] for name in moved.features)
    return [one for mine in rows for one in _strongest(mine, "metagene", 1)]


def set_traversals(
    moved: SynthesisMap, levels: Sequence[float] = LEVELS, most: int = MOST_TRAVERSALS
) -> list[Traversal]:
    """A traversal of each of the user's gene sets, with the feature that it moves most: those found first, then the
    strongest. The same place as in `traversals`."""
    if moved.lists is None:
        return []
    return _drawn(moved, moved.lists, _strongest(moved.gene_sets, "set", most), levels)


def _strongest(table: pd.DataFrame, left: str, most: int) -> list[Chosen]:
    """Of different sets: those found first, then the strongest effects."""
    known = table[table["effect_sd"].notna()]
    found = known["verdict"] == FOUND
    rows = pd.concat([known[found], known[~found]]).drop_duplicates(left).head(most)
    return [
        (str(row[left]), str(row["feature"]), row["verdict"] == FOUND, float(row["effect_sd"]))
        for _, row in rows.iterrows()
    ]


def _drawn(moved: SynthesisMap, sets: GeneSets, chosen: Sequence[Chosen], levels: Sequence[float]) -> list[Traversal]:
    """One place, drawn at each level of each of the sets."""
    at = _place(moved)
    if at is None:
        return []
    stage = _few(moved)  # their noise is what it is among all patients
    patient = moved.patients[at // len(stage.backgrounds)]
    traversals = []
    for name, feature, found, _ in chosen:
        shift, f = sets.shift(sets.names.index(name), stage.genes.shape[1]), moved.features.index(feature)
        drawn = [stage.draw(level * shift) for level in levels]
        images, masks = np.stack([d.image[at] for d in drawn]), np.stack([d.mask[at] for d in drawn])
        values, unit = stage.measured.of(images, masks)[:, f], stage.measured.units[feature]
        label = feature.removesuffix(f" ({unit})")
        traversals.append(Traversal(name, f, patient, images, values, label, unit, found))
    return traversals


def _few(moved: SynthesisMap) -> EvaluationSet:
    """The first patients, among whom the place of the traversals is chosen."""
    return replace(moved.stage, genes=moved.stage.genes[:_FIRST])


def _place(moved: SynthesisMap) -> int | None:
    """Patient and background of the traversals, as the row of a drawing; None where none can be measured.

    Of the first patients' drawings that in which the metagenes of the features do what they do on average: a lesion of
    faint glass shows nothing of what moves inside it, and one at the border of what is drawn hardly grows.
    """
    stage = _few(moved)
    own, usual = [], []
    for name, feature, _, effect in _of_features(moved):
        shift, f = moved.sets.shift(moved.sets.names.index(name), stage.genes.shape[1]), moved.features.index(feature)
        high, low = (stage.features(level * shift)[..., f].ravel() for level in (_REACH, -_REACH))
        own.append((high - low) / (2 * _REACH * moved.spread[f]))
        usual.append(effect)
    return most_usual(np.stack(own, axis=1), np.array(usual)) if own else None


def most_usual(effects: Floats, usual: Floats) -> int | None:
    """The row of effects (n, M), of so many moves, that is nearest to the usual ones (M,), each in units of its own
    size, at least a tenth; unknown ones count as none. None where nothing is known."""
    known = np.isfinite(effects)
    apart = ((np.where(known, effects, 0.0) - usual) / np.maximum(np.abs(usual), 0.1)) ** 2
    return int(np.argmin(np.where(known.any(axis=1), apart.sum(axis=1), np.inf))) if known.any() else None


def save_traversals(traversals: Sequence[Traversal], path: Path, levels: Sequence[float] = LEVELS) -> None:
    """A row for each traversal, from low to high."""
    rows = []
    for traversal in traversals:
        low, high = (_value(traversal.values[i], traversal.unit) for i in (0, -1))
        lines = (
            traversal.name,
            traversal.label,
            f"{low} → {high}",
            traversal.unit,
            "" if traversal.found else "not found",
        )
        rows.append(("\n".join(filter(None, lines)), [gray(image) for image in traversal.images]))
    columns = [f"{level:+g} SD".replace("-", "−") if level else "as is" for level in levels]
    slice_grid(rows, path, columns=columns)


def _value(value: float, unit: str) -> str:
    if not np.isfinite(value):
        return "?"
    digits = 0 if unit == "HU" else 1 if unit == "mm" else 2
    return f"{value:.{digits}f}".replace("-", "−")


def both_maps(
    features: Sequence[str], conventional: Floats, synthesis: Floats, found: Sequence[NDArray[np.bool_]], theme: Theme
) -> Figure:
    """Features x sets, the conventional map above and the map by synthesis below, in one order; dots where found.

    Args:
        features: names of the F.
        conventional: (S, F) rho.
        synthesis: (S, F) effect in standard deviations of the feature.
        found: (S, F) for either.
    """
    filled = np.nan_to_num(np.hstack([conventional, synthesis]))
    across = clustered_order(filled)
    figure = Figure(figsize=(float(np.clip(0.15 * len(across) + 3.0, 6.0, 12.0)), 3.9), layout="constrained")
    labels = ("rho over patients", "effect of a move, SD of the feature")
    titles = ("conventional", "by synthesis")
    for number, values in enumerate((conventional, synthesis)):
        axes = figure.add_subplot(2, 1, number + 1)
        shown = np.ma.masked_invalid(np.asarray(values, float)[across].T)
        limit = float(np.nan_to_num(np.abs(values)).max(initial=0.0)) or 1.0
        image = axes.imshow(
            shown, cmap=diverging_colors(theme), vmin=-limit, vmax=limit, aspect="auto", interpolation="none"
        )
        y, x = np.nonzero(found[number][across].T)
        axes.scatter(x, y, s=9, color=theme.ink, linewidths=0)
        axes.set_yticks(range(len(features)), list(features), family=FONT)
        axes.set_xticks([])
        axes.set_title(titles[number], fontsize=8.5, loc="left", family=FONT, color=theme.ink)
        axes.tick_params(colors=theme.soft, labelsize=7, length=0)
        for side in axes.spines.values():
            side.set_visible(False)
        bar = figure.colorbar(image, ax=axes, aspect=12, pad=0.01)
        bar.set_label(labels[number], fontsize=6.5, color=theme.soft, family=FONT)
        bar.ax.tick_params(colors=theme.soft, labelsize=6.5, length=0)
        bar.outline.set_visible(False)
    axes.set_xlabel(f"{len(across)} metagenes, in the same order", fontsize=8, family=FONT, color=theme.soft)
    return figure


def agreement(table: pd.DataFrame, theme: Theme, names: Sequence[str] = NAMES) -> Figure:
    """A panel for each feature, a dot for each metagene: rho over patients against the effect by synthesis."""
    figure = Figure(figsize=(8.2, 5.2), layout="constrained")
    for number, name in enumerate(names):  # what both maps measure
        axes = figure.add_subplot(2, 3, number + 1)
        mine = table[table["feature"] == name]
        looks = {"neither": (theme.mute, 10), "conventional only": (theme.second, 20)}
        looks |= {"by synthesis only": (theme.ink, 20), "both": (theme.accent, 26)}
        for maps, (color, size) in looks.items():
            some = mine[mine["maps"] == maps]
            axes.scatter(some["rho"], some["effect_sd"], s=size, color=color, linewidths=0, label=maps)
        axes.axhline(0, color=theme.mute, linewidth=0.8)
        axes.axvline(0, color=theme.mute, linewidth=0.8)
        axes.set_title(name, fontsize=9, loc="left", family=FONT, color=theme.ink)
        style_axes(axes, theme)
        axes.tick_params(labelsize=7)
    handles, names = axes.get_legend_handles_labels()
    figure.legend(
        handles, [f"found by {n}" if n == "both" else n for n in names], loc="outside upper left", ncols=4,
        frameon=False, fontsize=8, labelcolor=theme.soft,
    )  # fmt: skip
    figure.supxlabel("rho over patients (conventional map)", fontsize=8.5, color=theme.soft, family=FONT)
    figure.supylabel("effect of a move, SD of the feature", fontsize=8.5, color=theme.soft, family=FONT)
    return figure
