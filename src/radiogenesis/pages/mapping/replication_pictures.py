"""The forest plot of a replication: a group of lines for each link, a line for each cohort. Tables in, figures out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from radiogenesis.mapping.replication.replication import REPLICATED, Replication
from radiogenesis.pages.mapping.pictures import shortened
from radiogenesis.reporting.figures import FONT, Theme, style_axes

MOST_LINKS, OF_ONE_METAGENE = 10, 2


def forest(found: Replication, names: Mapping[str, str], theme: Theme) -> Figure:
    """At most 10 links, 2 of one metagene, the strongest first: the first cohort, the others with their verdicts, and
    the mean of these where there are several."""
    links = shown_links(found)
    several = len(found.samples) > 2
    each = len(found.samples) + several  # the mean has a line of its own
    lines = len(links) * (each + 1)
    figure = Figure(figsize=(9.6, 0.2 * lines + 0.9), layout="constrained")
    axes = figure.add_subplot()
    ticks, labels = [], []
    for number, link in enumerate(links.to_dict("records")):
        top = -number * (each + 1)
        axes.text(-1.02, top + 0.95, f"{shortened(names[link['metagene']], 46)}  –  {shortened(link['feature'], 44)}",
                  fontsize=7.6, color=theme.ink, family=FONT, va="center", ha="left")  # fmt: skip
        rows = _rows(found, link, several)
        for at, row in enumerate(rows):
            y = top - at
            ticks.append(y)
            labels.append(row["label"])
            _line(axes, y, row, theme)
    axes.axvline(0, color=theme.mute, linewidth=0.9)
    axes.set_yticks(ticks, labels, family=FONT)
    axes.set_xlim(-1.02, 1.02)
    axes.set_ylim(-lines + 1.3, 1.6)
    axes.set_xlabel("correlation of ranks, 95 % interval", fontsize=8.5, family=FONT)
    style_axes(axes, theme, grid="x")
    axes.tick_params(axis="y", labelsize=7, labelcolor=theme.soft)
    return figure


def shown_links(found: Replication) -> pd.DataFrame:
    """The links that are drawn."""
    return found.links.groupby("metagene", sort=False).head(OF_ONE_METAGENE).head(MOST_LINKS)


def _rows(found: Replication, link: dict[Any, Any], several: bool) -> list[dict[str, Any]]:
    """What is drawn of one link, from top to bottom."""
    first, *others = found.samples
    rows = [
        {"label": first.name, "kind": "first", "note": "", **{k: link[k] for k in ("rho", "low", "high", "expected")}}
    ]
    mine = _of(found.tests, link).set_index("cohort")
    for one in others:
        test = mine.loc[one.name]
        kind = "sure" if test["verdict"] == REPLICATED else "other"
        rows.append({"label": one.name, "kind": kind, "note": test["verdict"], "rho": test["rho"], "low": test["low"],
                     "high": test["high"]})  # fmt: skip
    if several:
        pool = _of(found.pooled, link).iloc[0]
        few = pool["cohorts"] < 3  # the interval of a mean of two says nothing
        numbers = {"rho": pool["rho"], **{end: np.nan if few else pool[end] for end in ("low", "high")}}
        rows.append({"label": "random effects", "kind": "mean", "note": "", **numbers})
    return rows


def _of(table: pd.DataFrame, link: dict[Any, Any]) -> pd.DataFrame:
    return table[(table["metagene"] == link["metagene"]) & (table["feature"] == link["feature"])]


def _line(axes: Axes, y: float, row: dict[str, Any], theme: Theme) -> None:
    rho, low, high = (float(row[name]) for name in ("rho", "low", "high"))
    if np.isfinite(rho):
        color = theme.second if row["kind"] == "mean" else theme.accent
        axes.hlines(y, max(low, -1), min(high, 1), color=color if row["kind"] != "first" else theme.soft, linewidth=1.3)
        marker, face = ("D", color) if row["kind"] == "mean" else ("o", color if row["kind"] == "sure" else "none")
        axes.scatter([rho], [y], s=30, marker=marker, facecolors=face, edgecolors=color, linewidths=1.2, zorder=3)
        if row["kind"] == "first":
            axes.scatter([row["expected"]], [y], s=42, marker="|", color=theme.ink, linewidths=1.4, zorder=4)
    if row["note"]:
        side = -1 if rho > 0 else 1  # the empty half
        axes.text(0.98 * side if np.isfinite(rho) else 0.02, y, row["note"], fontsize=6.8, color=theme.soft,
                  family=FONT, va="center", ha="left" if side < 0 or not np.isfinite(rho) else "right")  # fmt: skip
