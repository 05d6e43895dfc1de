"""The window of Hounsfield units that everything draws, compares and shows in (Xu et al. 2020 do not give theirs)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW_HU = (-1000.0, 500.0)
"""Air to dense bone; what lies outside is clipped."""


def scaled(hu: NDArray[Any]) -> NDArray[np.float64]:
    """HU -> [0, 1] over the window, clipped."""
    low, high = WINDOW_HU
    return np.clip((np.asarray(hu, float) - low) / (high - low), 0.0, 1.0)
