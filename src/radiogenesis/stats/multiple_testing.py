"""Many tests at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats


def false_discovery_rate(p: NDArray[Any]) -> NDArray[np.float64]:
    """q values of Benjamini and Hochberg (1995) over all entries that are not nan."""
    q = np.full(np.shape(p), np.nan)
    tested = np.isfinite(p)
    if tested.any():
        q[tested] = stats.false_discovery_control(np.asarray(p)[tested])
    return q
