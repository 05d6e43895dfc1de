"""Slices with the outlines of what was found on them, and of what is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from radiogenesis.output import whole_file

TRUE_COLOR, FOUND_COLOR = "#ff4d4d", "#ffe14d"


def overlay_grid(
    rows: Sequence[tuple[str, NDArray[np.generic], NDArray[np.bool_] | None, NDArray[np.bool_]]],
    path: Path,
    *,
    columns: int = 6,
) -> None:
    """A row of slices for each scan, spread over those that show something, else over all.

    Args:
        rows: (label, images (N, H, W) in HU, true masks (N, H, W) in red or None, found masks (N, H, W) in yellow).
        path: the PNG to write.
        columns: slices of each scan.
    """
    figure = Figure(figsize=(2 * columns, 2.15 * len(rows)), layout="constrained", facecolor="black")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes_row, (label, images, true, found) in zip(grid, rows, strict=True):
        shown = np.asarray(found.any(axis=(1, 2)))
        shown = shown if true is None else shown | np.asarray(true.any(axis=(1, 2)))
        chosen = np.flatnonzero(shown) if shown.any() else np.arange(len(images))
        chosen = chosen[np.unique(np.linspace(0, len(chosen) - 1, columns).round().astype(int))]
        for axes in axes_row:
            axes.set_axis_off()
        for axes, at in zip(axes_row, chosen, strict=False):
            axes.imshow(images[at], cmap="gray", vmin=-1000, vmax=500, interpolation="nearest")
            for mask, color in ((true, TRUE_COLOR), (found, FOUND_COLOR)):
                if mask is not None and mask[at].any() and not mask[at].all():
                    axes.contour(mask[at], levels=[0.5], colors=color, linewidths=0.9)
        axes_row[0].set_title(label, fontsize=7, color="white", loc="left")
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=110, format="png")
