"""A plain grid of drawings, written at each checkpoint: background, image, weight map and mask side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.image import imsave

from radiogenesis.methods.protocols import Synthesis
from radiogenesis.output import whole_file
from radiogenesis.window import WINDOW_HU


def save_drawing_grid(drawn: Synthesis, path: Path, *, scale: int = 2) -> None:
    """One row per drawing: background, image, weight map, mask (the columns of Xu et al. 2020, figure 2)."""
    low, high = WINDOW_HU
    images = [np.clip((hu - low) / (high - low), 0, 1) for hu in (drawn.background, drawn.image)]
    columns = (*images, drawn.weight, drawn.mask)
    grid = np.concatenate([np.concatenate(list(column), axis=0) for column in columns], axis=1)
    with whole_file(path) as partial:
        imsave(partial, np.kron(grid, np.ones((scale, scale))), cmap="gray", vmin=0, vmax=1, format="png")
