"""Figures: grids of CT slices, and plots in a light and a dark version. Arrays and tables in, PNG files out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from radiogenesis.window import WINDOW_HU

FONT = "DejaVu Sans"  # comes with matplotlib: the same picture everywhere


@dataclass(frozen=True)
class Theme:
    """Colors of a plot. Backgrounds stay transparent: the page shows through."""

    name: str
    ink: str
    soft: str
    line: str
    accent: str
    second: str
    mute: str


LIGHT = Theme("light", "#1d2733", "#5d6b7a", "#dfe4ea", "#0b7285", "#e8590c", "#b6c0cb")
DARK = Theme("dark", "#e8edf2", "#9aa8b6", "#33404d", "#3bc9db", "#ff922b", "#5b6977")
THEMES = (LIGHT, DARK)


CLUSTERS = ("#12a5b8", "#e8590c", "#8f6fd8", "#5a9e3d", "#d6457f", "#b98a12")
"""Colors of clusters, told apart on light and on dark paper; after the last they begin again."""


def save_both(draw: Any, folder: Path, name: str) -> tuple[str, str]:
    """Call draw(theme) -> Figure for both themes and save; returns the names of the light and the dark file."""
    files = []
    for theme in THEMES:
        file = f"{name}-{theme.name}.png"
        _save(draw(theme), folder / file, dpi=170)
        files.append(file)
    return files[0], files[1]


def _save(figure: Figure, path: Path, dpi: int) -> None:
    FigureCanvasAgg(figure)
    # No time and no version among the metadata: the same numbers give the same file.
    figure.savefig(path, dpi=dpi, transparent=True, metadata={"Software": None})


def style_axes(axes: Axes, theme: Theme, *, grid: str = "both") -> None:
    """The theme's colors, no frame above and to the right, a quiet grid ("both", "x", "y" or "")."""
    axes.set_facecolor("none")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(theme.mute)
    axes.tick_params(colors=theme.soft, labelsize=8, length=0)
    axes.xaxis.label.set_color(theme.soft)
    axes.yaxis.label.set_color(theme.soft)
    if grid in ("both", "x"):
        axes.grid(axis="x", color=theme.line, linewidth=0.7)
    if grid in ("both", "y"):
        axes.grid(axis="y", color=theme.line, linewidth=0.7)
    axes.set_axisbelow(True)


def gray(hu: NDArray[Any]) -> NDArray[np.float64]:
    """HU -> [0, 1] over the window [-1000, 500]."""
    low, high = WINDOW_HU
    return np.clip((np.asarray(hu, float) - low) / (high - low), 0, 1)


def slice_grid(
    rows: Sequence[tuple[str, Sequence[NDArray[Any]]]],
    path: Path,
    *,
    columns: Sequence[str] = (),
    contours: Mapping[int, Sequence[NDArray[Any]]] | None = None,
    colors: Sequence[str] = (),
    cell: float = 1.15,
) -> None:
    """A grid of pictures on black, as on a reading screen: labeled rows of images in [0, 1].

    Args:
        rows: label and its images (P, P) in [0, 1]; rows may be shorter than the longest.
        path: PNG file to write.
        columns: labels above the columns.
        contours: row -> masks outlined on that row's images.
        colors: of the rows' labels, in turn; gray if not given.
        cell: side of one picture in inches.
    """
    height, width = len(rows), max(len(images) for _, images in rows)
    longest = max((len(line) for label, _ in rows for line in label.splitlines()), default=0)
    left, top = max(0.92, 0.25 + 0.065 * longest) * bool(longest), 0.3 * bool(columns)  # in 8 points
    gap = 0.05
    size = (left + width * (cell + gap) + gap, top + height * (cell + gap) + gap)
    figure = Figure(figsize=size)
    figure.patch.set_facecolor("#0b0e12")
    for r, (label, images) in enumerate(rows):
        y = 1 - (top + gap + (r + 1) * cell + r * gap) / size[1]
        figure.text(
            (left - 0.1) / size[0], y + cell / 2 / size[1], label,
            ha="right", va="center", color=colors[r % len(colors)] if colors else "#c9d2dc", fontsize=8, family=FONT,
            linespacing=1.35,
        )  # fmt: skip
        for c, image in enumerate(images):
            axes = figure.add_axes(((left + gap + c * (cell + gap)) / size[0], y, cell / size[0], cell / size[1]))
            axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="bicubic")
            axes.set_axis_off()
            if contours and r in contours and np.any(contours[r][c]) and not np.all(contours[r][c]):
                axes.contour(np.asarray(contours[r][c], float), levels=[0.5], colors=["#3bc9db"], linewidths=0.8)
    for c, label in enumerate(columns):
        x = (left + gap + c * (cell + gap) + cell / 2) / size[0]
        figure.text(x, 1 - 0.19 / size[1], label, ha="center", va="center", color="#c9d2dc", fontsize=8, family=FONT)
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=128, facecolor=figure.get_facecolor(), metadata={"Software": None})


def training_curves(metrics: pd.DataFrame, theme: Theme, *, x: str = "images_seen", columns: int = 4) -> Figure:
    """Every column of the metrics against the images seen, a small plot each."""
    names = [n for n in metrics.columns if n not in ("step", x) and metrics[n].notna().any()]
    columns = min(columns, max(len(names), 1))
    height = -(-len(names) // columns)
    figure = Figure(figsize=(2.15 * columns, 1.45 * height + 0.25), layout="constrained")
    for number, name in enumerate(names):
        axes = figure.add_subplot(height, columns, number + 1)
        known = metrics[[x, name]].dropna()
        axes.plot(
            known[x],
            known[name],
            color=theme.accent,
            linewidth=1.4,
            marker="o" if len(known) < 3 else None,
            markersize=3,
        )
        axes.set_title(
            name if "/" in name else name.replace("_", " "), fontsize=8, loc="left", family=FONT, color=theme.ink
        )
        style_axes(axes, theme, grid="y")
        axes.tick_params(labelsize=6.5)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}")
        axes.locator_params(nbins=4)
    figure.supxlabel("images seen", fontsize=8, color=theme.soft, family=FONT)
    return figure


def scatter_by_feature(
    table: pd.DataFrame,
    theme: Theme,
    *,
    x: str,
    y: str,
    x_label: str,
    y_label: str,
    units: Mapping[str, str],
    notes: Mapping[str, str],
) -> Figure:
    """One panel per feature, one dot per patient.

    Args:
        table: tidy, columns feature, x, y.
        units: feature -> unit of both axes, "" for none.
        notes: feature -> what stands over the panel's right corner.

    Where no feature has a dot, a line says so.
    """
    features = [f for f in units if table.loc[table["feature"] == f, [x, y]].dropna().shape[0]]
    columns = min(3, max(len(features), 1))
    height = max(-(-len(features) // columns), 1)
    figure = Figure(figsize=(2.75 * columns, 2.55 * height), layout="constrained")
    if not features:
        figure.text(0.5, 0.5, "nothing could be measured", ha="center", fontsize=9, color=theme.soft, family=FONT)
    for number, feature in enumerate(features):
        axes = figure.add_subplot(height, columns, number + 1)
        mine = table[table["feature"] == feature]
        axes.scatter(mine[x], mine[y], s=22, color=theme.accent, alpha=0.75, linewidths=0)
        title = f"{feature} ({units[feature]})" if units[feature] else feature
        axes.set_title(title, fontsize=9.5, loc="left", family=FONT, color=theme.ink)
        axes.set_title(notes.get(feature, ""), fontsize=8.5, loc="right", family=FONT, color=theme.soft)
        style_axes(axes, theme)
        axes.tick_params(labelsize=7)
        axes.locator_params(nbins=5)
    figure.supxlabel(x_label, fontsize=9, color=theme.soft, family=FONT)
    figure.supylabel(y_label, fontsize=9, color=theme.soft, family=FONT)
    return figure


def control_bars(table: pd.DataFrame, theme: Theme) -> Figure:
    """Rho of every feature with its interval, the regression as a mark, the null as a band.

    Args:
        table: columns feature, rho, low, high, regression, null_low, null_high; drawn from top to bottom.
    """
    figure = Figure(figsize=(7.2, 0.44 * len(table) + 0.95), layout="constrained")
    axes = figure.add_subplot()
    names = ("rho", "low", "high", "regression", "null_low", "null_high")
    rho, low, high, regression, null_low, null_high = (table[name].to_numpy(float) for name in names)
    y = np.arange(len(table))[::-1]
    axes.barh(y, null_high - null_low, left=null_low, height=0.78, color=theme.mute, alpha=0.35, linewidth=0)
    axes.barh(y, rho, height=0.42, color=theme.accent, linewidth=0)
    axes.hlines(y, low, high, color=theme.ink, linewidth=1.2)
    axes.plot(regression, y, marker="D", color=theme.second, markersize=6, linestyle="none")
    axes.axvline(0, color=theme.mute, linewidth=0.9)
    axes.set_yticks(range(len(table)), list(table["feature"])[::-1])
    axes.set_xlim(min(-0.5, float(table["low"].min()) - 0.05), 1.02)
    axes.set_xlabel("Spearman's rho over held-out patients", fontsize=8.5, family=FONT)
    style_axes(axes, theme, grid="x")
    axes.tick_params(axis="y", labelsize=9.5, labelcolor=theme.ink)
    handles = [
        axes.barh([np.nan], [np.nan], color=theme.accent, label="drawn from the patient's genes"),
        axes.plot(
            [], [], marker="D", color=theme.second, linestyle="none", label="ridge regression from the same genes"
        )[0],
        axes.barh([np.nan], [np.nan], color=theme.mute, alpha=0.35, label="another patient's genes"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, frameon=False, fontsize=8, labelcolor=theme.soft)
    return figure


def rank_histogram(ranks: NDArray[Any], patients: int, theme: Theme) -> Figure:
    """How many held-out patients have their own genes at each rank, beside the level of chance."""
    figure = Figure(figsize=(7.2, 2.5), layout="constrained")
    axes = figure.add_subplot()
    bins = np.arange(0.5, patients + 1.5, max(1, round(patients / 40)))
    axes.hist(ranks, bins=list(bins), color=theme.accent, rwidth=0.88)
    axes.axhline(
        len(ranks) * (bins[1] - bins[0]) / patients, color=theme.second, linewidth=1.2, linestyle="--", label="chance"
    )
    axes.axvline(float(np.mean(ranks)), color=theme.ink, linewidth=1.2, label=f"mean {np.mean(ranks):.1f}")
    axes.set_xlim(0.5, patients + 0.5)
    axes.set_xlabel(f"rank of the patient's own genes among {patients}", fontsize=8.5, family=FONT)
    axes.set_ylabel("patients", fontsize=8.5, family=FONT)
    style_axes(axes, theme, grid="y")
    axes.legend(frameon=False, fontsize=8, labelcolor=theme.soft)
    return figure


def code_panels(
    places: pd.DataFrame, theme: Theme, *, hollow: str, notes: Mapping[str, str], columns: int = 3
) -> Figure:
    """A panel per space, a dot per patient in the color of the patient's cluster.

    Args:
        places: tidy: space, part, x, y, cluster (0, 1, ...).
        hollow: the part whose patients are drawn as rings.
        notes: space -> what stands over the panel's right corner.
    """
    spaces = list(dict.fromkeys(places["space"]))
    columns = min(columns, len(spaces))
    height = -(-len(spaces) // columns)
    figure = Figure(figsize=(2.75 * columns, 2.75 * height), layout="constrained")
    for number, space in enumerate(spaces):
        axes = figure.add_subplot(height, columns, number + 1)
        mine = places[places["space"] == space]
        for cluster, members in mine.groupby("cluster"):
            color = CLUSTERS[int(cluster) % len(CLUSTERS)]
            rings = members["part"] == hollow
            axes.scatter(members["x"][~rings], members["y"][~rings], s=20, color=color, alpha=0.85, linewidths=0)
            axes.scatter(
                members["x"][rings], members["y"][rings], s=22, facecolors="none", edgecolors=color, linewidths=1.2
            )
        axes.set_title(space, fontsize=9.5, loc="left", family=FONT, color=theme.ink)
        axes.set_title(notes.get(space, ""), fontsize=8.5, loc="right", family=FONT, color=theme.soft)
        style_axes(axes, theme, grid="none")
        axes.set_xticks([])
        axes.set_yticks([])
    return figure
