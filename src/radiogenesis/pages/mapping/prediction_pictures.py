"""Pictures of predictions on patients left out, and of shuffled voxels. Tables in, figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from radiogenesis.pages.mapping.pictures import shortened
from radiogenesis.reporting.figures import FONT, Theme, style_axes

MOST_ROWS = 24
_NOTHING = {"AUC": 0.5, "R2": 0.0}
_BASELINE_MARKS = ("|", "x", "^")


def forest(table: pd.DataFrame, score: str, baselines: Sequence[str], theme: Theme) -> Figure:
    """A row for each prediction: its score with the interval, its null as a band, its baselines as marks.

    Args:
        table: rows of one score of `prediction_table`, drawn from top to bottom, at most 24.
        score: "AUC" or "R2".
        baselines: columns with the baselines' scores.
    """
    rows = table.head(MOST_ROWS)
    figure = Figure(figsize=(8.6, 0.27 * len(rows) + 1.15), layout="constrained")
    axes = figure.add_subplot()
    y = np.arange(len(rows))[::-1]
    shown = {
        name: rows[name].to_numpy(float) for name in ("value", "low", "high", "null_mean", "null_high", *baselines)
    }
    least = _NOTHING[score] - 0.35 if score == "AUC" else -0.25
    held = {
        name: np.maximum(values, least) for name, values in shown.items()
    }  # one hopeless baseline must not set the scale
    axes.barh(y, held["null_high"] - held["null_mean"], left=held["null_mean"], height=0.8, color=theme.mute,
              alpha=0.35, linewidth=0)  # fmt: skip
    sure = rows["q"].to_numpy(float) < 0.05
    axes.hlines(y, held["low"], held["high"], color=theme.soft, linewidth=1.1)
    for mine, face in ((sure, theme.accent), (~sure, "none")):
        axes.scatter(
            held["value"][mine], y[mine], s=34, facecolors=face, edgecolors=theme.accent, linewidths=1.2, zorder=3
        )
    for name, mark in zip(baselines, _BASELINE_MARKS, strict=False):
        axes.scatter(held[name], y, s=34, marker=mark, color=theme.second, linewidths=1.3, zorder=2, label=name)
    axes.axvline(_NOTHING[score], color=theme.mute, linewidth=0.9)
    labels = [
        f"{shortened(str(t), 52)}  ← {s} ({n})"
        for t, s, n in zip(rows["target"], rows["source"], rows["n"], strict=True)
    ]
    axes.set_yticks(y, labels, family=FONT)
    axes.set_xlim(least - 0.02, 1.02)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlabel("AUC" if score == "AUC" else "R², against the training patients' mean", fontsize=8.5, family=FONT)
    style_axes(axes, theme)
    axes.tick_params(axis="y", labelsize=7.2, labelcolor=theme.ink)
    axes.scatter([], [], s=34, color=theme.accent, label="predicted, q < 0.05")
    axes.scatter([], [], s=34, facecolors="none", edgecolors=theme.accent, label="not shown to be")
    axes.barh([np.nan], [np.nan], color=theme.mute, alpha=0.35, label="null, mean to 95 %")
    figure.legend(loc="outside upper left", ncols=6, frameon=False, fontsize=7.5, labelcolor=theme.soft)
    return figure


def shuffle_scatter(links: pd.DataFrame, groups: Mapping[str, Sequence[str]], theme: Theme) -> Figure:
    """Effect of every pair with the lesions as they are against that with shuffled voxels, a panel for each group.

    Args:
        links: family, effect, effect_shuffled, found, survives.
        groups: title -> families.
    """
    figure = Figure(figsize=(2.75 * len(groups), 2.75), layout="constrained")
    for number, (title, families) in enumerate(groups.items()):
        axes = figure.add_subplot(1, len(groups), number + 1)
        mine = links[links["family"].isin(families)]
        for chosen, color, size in (
            (~mine["found"], theme.mute, 4), (mine["found"] & ~mine["survives"], theme.accent, 12),
            (mine["survives"], theme.second, 12),
        ):  # fmt: skip
            rows = mine[chosen]
            axes.scatter(rows["effect"], rows["effect_shuffled"], s=size, color=color, linewidths=0, rasterized=True)
        axes.plot([-1, 1], [-1, 1], color=theme.mute, linewidth=0.8, linestyle="--")
        axes.set_xlim(-1.05, 1.05)
        axes.set_ylim(-1.05, 1.05)
        axes.set_title(title, fontsize=9.5, loc="left", family=FONT, color=theme.ink)
        style_axes(axes, theme)
        axes.tick_params(labelsize=7)
    figure.supxlabel("ρ, the lesion as it is", fontsize=8.5, color=theme.soft, family=FONT)
    figure.supylabel("ρ, voxels shuffled", fontsize=8.5, color=theme.soft, family=FONT)
    return figure
