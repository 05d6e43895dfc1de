"""The pictures of a map: heat map, volcano, network of links. Tables in, figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage

from radiogenesis.reporting.figures import FONT, Theme, style_axes

MOST_LABELS = 60
MOST_FEATURES = 80
MOST_LINKS = 60


def heat_map(
    z: NDArray[Any],
    columns: Sequence[str],
    rows: Sequence[str],
    found: NDArray[np.bool_],
    confounded: NDArray[np.bool_],
    theme: Theme,
) -> Figure:
    """Features (rows) x metagenes (columns), both ordered by clustering, colored by z; at most 80 features, those
    with the largest |z|.

    Args:
        z: (K, F) standard deviations of the null; nan is left empty.
        columns, rows: names of metagenes and of features.
        found, confounded: (K, F) cells with a dot, and cells crossed out.
    """
    strongest = np.nan_to_num(np.abs(np.asarray(z, float))).max(axis=0, initial=0.0)
    kept = np.sort(np.argsort(-strongest, kind="stable")[:MOST_FEATURES])
    z, rows, found, confounded = z[:, kept], [rows[i] for i in kept], found[:, kept], confounded[:, kept]
    filled = np.nan_to_num(np.asarray(z, float))
    down, across = clustered_order(filled.T), clustered_order(filled)
    values = np.ma.masked_invalid(np.asarray(z, float).T[np.ix_(down, across)])
    shape = values.shape
    width = float(np.clip(0.16 * shape[1] + 3.2, 6.0, 12.0))
    named = shape[1] <= MOST_LABELS
    height = float(np.clip(0.19 * shape[0] + 1.4, 2.6, 16.0)) + 1.4 * named
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    limit = float(max(4.0, np.nanmax(np.abs(filled), initial=0.0)))
    image = axes.imshow(
        values, cmap=diverging_colors(theme), vmin=-limit, vmax=limit, aspect="auto", interpolation="none"
    )
    for marked, marker, color in ((found, "o", theme.ink), (confounded, "x", theme.ink)):
        y, x = np.nonzero(marked.T[np.ix_(down, across)])
        size = 9 if marker == "o" else 16
        axes.scatter(x, y, s=size, marker=marker, color=color, linewidths=0.9 if marker == "x" else 0)
    axes.set_yticks(range(shape[0]), [shortened(rows[i]) for i in down], family=FONT)
    if named:
        axes.set_xticks(range(shape[1]), [shortened(columns[i], 34) for i in across], rotation=90, family=FONT)
        axes.xaxis.tick_top()
    else:
        axes.set_xticks([])
        axes.set_xlabel(f"{shape[1]} metagenes, in the order of their clustering", fontsize=8, family=FONT)
    axes.tick_params(colors=theme.soft, labelsize=6.5, length=0)
    axes.xaxis.label.set_color(theme.soft)
    for side in axes.spines.values():
        side.set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 2.4 / height), aspect=14, pad=0.01)
    bar.set_label("z of the association", fontsize=7.5, color=theme.soft, family=FONT)
    bar.ax.tick_params(colors=theme.soft, labelsize=6.5, length=0)
    bar.outline.set_visible(False)
    return figure


def volcano(links: pd.DataFrame, theme: Theme, *, left: str = "metagene") -> Figure:
    """Effect against -log10 p of every test; found, confounded and other ones apart.

    Args:
        links: columns `left`, feature, effect, p, verdict ("found", "confounded", "incoherent", "scanner",
            "not found").
    """
    figure = Figure(figsize=(7.2, 4.0), layout="constrained")
    axes = figure.add_subplot()
    logp = -np.log10(np.maximum(links["p"].to_numpy(float), 1e-300))
    effect = links["effect"].to_numpy(float)
    looks = {"not found": (theme.mute, 8, "."), "confounded": (theme.second, 30, "X"), "found": (theme.accent, 26, "o")}
    looks = {"incoherent": (theme.soft, 20, "^"), "scanner": (theme.second, 20, "v"), **looks}
    for verdict, (color, size, marker) in looks.items():
        mine = (links["verdict"] == verdict).to_numpy() & np.isfinite(logp)
        if not mine.any():
            continue
        axes.scatter(
            effect[mine], logp[mine], s=size, marker=marker, color=color, linewidths=0,
            label=f"{verdict} ({int(mine.sum()):,})", rasterized=True,
        )  # fmt: skip
    named = links[links["verdict"] != "not found"].head(8)
    high = max(1.0, float(np.nanmax(logp, initial=0.0))) * 1.08
    below = {True: np.inf, False: np.inf}  # by the sign of the effect: where the last label stands, in points
    for _, link in named.sort_values("p").iterrows():
        x, y = float(link["effect"]), float(-np.log10(max(link["p"], 1e-300)))
        at = y / high * 215  # about the axes' height in points
        below[x > 0] = min(at, below[x > 0] - 9)  # labels do not lie on each other
        axes.annotate(
            f"{shortened(str(link[left]), 34)} – {shortened(str(link['feature']), 30)}", (x, y),
            xytext=(-9 if x > 0 else 9, below[x > 0] - at), va="center",
            textcoords="offset points", ha="right" if x > 0 else "left", fontsize=6.5, color=theme.ink, family=FONT,
        )  # fmt: skip
    axes.set_ylim(-0.02 * high, high)
    reach = max(0.3, float(np.nanmax(np.abs(effect), initial=0.0)) * 1.08)
    axes.set_xlim(-reach, reach)
    axes.set_xlabel("effect (ρ, or rank-biserial correlation)", fontsize=8.5, family=FONT)
    axes.set_ylabel("−log10 p", fontsize=8.5, family=FONT)
    style_axes(axes, theme)
    if np.isfinite(logp).any():
        figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=8, labelcolor=theme.soft)
    return figure


def network(links: pd.DataFrame, theme: Theme) -> Figure:
    """Metagenes on the left, features on the right, a line for each link; the width is the effect.

    Args:
        links: metagene, feature, effect, verdict of those that passed the tests, the strongest first; at most 60 count.
    """
    drawn = links.head(MOST_LINKS)
    features = list(dict.fromkeys(drawn["feature"]))
    place = {name: i for i, name in enumerate(features)}
    center = drawn.assign(at=drawn["feature"].map(place)).groupby("metagene")["at"].mean()
    metagenes = list(center.sort_values(kind="stable").index)
    tall = max(len(features), len(metagenes), 2)
    y_left = {name: -(i + 0.5) / len(metagenes) for i, name in enumerate(metagenes)}
    y_right = {name: -(i + 0.5) / len(features) for i, name in enumerate(features)}
    figure = Figure(figsize=(9.0, 0.24 * tall + 0.9), layout="constrained")
    axes = figure.add_subplot()
    for _, link in drawn.iloc[::-1].iterrows():
        trapped = link["verdict"] != "found"
        color = theme.mute if trapped else theme.accent if link["effect"] > 0 else theme.second
        y0, y1 = y_left[link["metagene"]], y_right[link["feature"]]
        t = np.linspace(0, 1, 40)
        axes.plot(
            t, y0 + (y1 - y0) * (3 * t**2 - 2 * t**3), color=color, alpha=0.85, solid_capstyle="round",
            linewidth=0.6 + 2.6 * abs(float(link["effect"])), linestyle=(0, (3, 2)) if trapped else "-",
        )  # fmt: skip
    for side, x, places in (("right", -0.02, y_left), ("left", 1.02, y_right)):
        for name, y in places.items():
            axes.text(x, y, shortened(name, 48), ha=side, va="center", fontsize=7.5, color=theme.ink, family=FONT)
    axes.set_xlim(-1.3, 2.1)
    axes.set_ylim(-1, 0)
    axes.set_axis_off()
    handles = [
        axes.plot([], [], color=theme.accent, linewidth=2, label="rises with the metagene")[0],
        axes.plot([], [], color=theme.second, linewidth=2, label="falls")[0],
        axes.plot([], [], color=theme.mute, linewidth=2, linestyle=(0, (3, 2)), label="not reported")[0],
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, frameon=False, fontsize=8, labelcolor=theme.soft)
    return figure


def link_scatter(panels: Sequence[Mapping[str, Any]], theme: Theme) -> Figure:
    """A panel for each link, a dot for each patient; a feature of two values is spread a little, to show every dot.

    Args:
        panels: x, y (n,) with their labels x_label and y_label, and a note for the panel's corner.
    """
    figure = Figure(figsize=(3.2 * len(panels), 3.0), layout="constrained")
    spread = np.random.default_rng(0)
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        x, y = (np.asarray(panel[name], float) for name in ("x", "y"))
        levels = np.unique(y[np.isfinite(y)])
        if len(levels) == 2:
            y = y + 0.12 * np.ptp(levels) * spread.uniform(-1, 1, len(y))
            axes.set_yticks(levels)
        axes.scatter(x, y, s=20, color=theme.accent, alpha=0.75, linewidths=0)
        axes.set_xlabel(shortened(str(panel["x_label"]), 40), fontsize=8, family=FONT)
        axes.set_ylabel(shortened(str(panel["y_label"]), 40), fontsize=8, family=FONT)
        axes.set_title(str(panel["note"]), fontsize=8, loc="right", family=FONT, color=theme.soft)
        style_axes(axes, theme)
    return figure


def clustered_order(values: NDArray[Any]) -> NDArray[np.intp]:
    """Rows in the order of their clustering by average linkage of Euclidean distances."""
    if len(values) < 3:
        return np.arange(len(values))
    return np.asarray(leaves_list(linkage(values, "average", optimal_ordering=len(values) <= 400)))


def diverging_colors(theme: Theme) -> Colormap:
    """Orange below, the page's own ground at 0, teal above."""
    middle = (*to_rgb(theme.line), 0.35)
    colors = LinearSegmentedColormap.from_list("effect", [to_rgb(theme.second), middle, to_rgb(theme.accent)])
    return colors.with_extremes(bad=(0, 0, 0, 0))


def precision_recall(curves: Mapping[str, tuple[Mapping[str, pd.DataFrame], float]], theme: Theme) -> Figure:
    """A panel for each question: precision against recall of each map, and chance.

    Args:
        curves: question -> name of the map, the conventional one first -> columns precision, recall; and chance.
    """
    figure = Figure(figsize=(2.9 * max(len(curves), 2), 2.9), layout="constrained")
    looks = ((theme.second, 3.6), (theme.accent, 1.7))  # where both are the same, both are to be seen
    for number, (question, (maps, chance)) in enumerate(curves.items()):
        axes = figure.add_subplot(1, len(curves), number + 1)
        for (name, table), (color, width) in zip(maps.items(), looks, strict=False):
            axes.step(table["recall"], table["precision"], where="pre", color=color, linewidth=width, label=name)
        axes.axhline(chance, color=theme.mute, linewidth=1, linestyle="--", label="chance")
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.04)
        axes.set_title(question, fontsize=8.5, loc="left", family=FONT, color=theme.ink)
        axes.set_xlabel("recall", fontsize=8, family=FONT)
        axes.set_ylabel("precision", fontsize=8, family=FONT)
        style_axes(axes, theme)
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=3, frameon=False, fontsize=8, labelcolor=theme.soft)
    return figure


def shortened(name: str, most: int = 44) -> str:
    """The name cut to length; of "question = answer" the question gives way, since answers tell rows apart."""
    if len(name) <= most:
        return name
    question, is_answer, answer = name.partition(" = ")
    if is_answer and len(answer) < most - 12:
        return f"{question[: most - len(answer) - 4]}… = {answer}"
    return name[: most - 1] + "…"
