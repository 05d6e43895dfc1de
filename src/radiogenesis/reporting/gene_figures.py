"""Plots of gene prediction: tables in, figures out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from radiogenesis.reporting.figures import FONT, Theme, style_axes


def correlation_histogram(method: NDArray[Any], baselines: Mapping[str, NDArray[Any]], theme: Theme) -> Figure:
    """How many genes reach which correlation: filled for the method, a line for each baseline.

    Args:
        method: (G,) r of every gene; nan is left out.
        baselines: name -> (G,).
    """
    figure = Figure(figsize=(7.2, 3.0), layout="constrained")
    axes = figure.add_subplot()
    bins = list(np.linspace(-1, 1, 61))
    axes.hist(method[np.isfinite(method)], bins=bins, color=theme.accent, alpha=0.75, label="the method")
    looks = ((theme.second, "-"), (theme.ink, "--"), (theme.soft, ":"))
    for number, (name, r) in enumerate(baselines.items()):
        color, line = looks[number % len(looks)]
        axes.hist(r[np.isfinite(r)], bins=bins, histtype="step", linewidth=1.3, label=name, color=color, linestyle=line)
    axes.axvline(0, color=theme.mute, linewidth=0.9)
    axes.set_xlabel("Pearson's r over held-out patients", fontsize=8.5, family=FONT)
    axes.set_ylabel("genes", fontsize=8.5, family=FONT)
    style_axes(axes, theme, grid="y")
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=7.5, labelcolor=theme.soft)
    return figure
