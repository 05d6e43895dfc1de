"""ComBat: features of several scanners brought to one level and one spread (Johnson, Li and Rabinovic 2007).

x = level + scale * (shift of the batch + spread of the batch * rest): shift and spread are estimated feature by feature
and drawn towards their mean over all features of the batch (empirical Bayes), then taken out. Nothing but the features
and the batches is looked at. Values agree with neuroCombat 0.2.12 (Fortin et al. 2018) where none is missing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FEWEST = 3
"""Known values of a feature that each batch must have."""
_STEPS, _SMALL = 1000, 1e-4


def combat(values: NDArray[Any], batches: NDArray[Any]) -> tuple[Floats, NDArray[np.bool_]]:
    """Features without what batches make of their level and spread.

    Args:
        values: (n, F), NaN where missing; missing values stay missing.
        batches: (n,) labels.

    Returns:
        (n, F), and (F,) which features were harmonised: those that have 3 known values and vary in each batch. The
        others are as they were, and so are all where there is one batch.
    """
    x = np.asarray(values, np.float64)
    code, labels = pd.factorize(np.asarray(batches, object))
    parts = [code == b for b in range(len(labels))]
    known = np.isfinite(x)
    enough = np.all([known[part].sum(axis=0) >= FEWEST for part in parts], axis=0)
    usable = enough & np.all([_varies(x[part], known[part]) for part in parts], axis=0)
    usable &= len(parts) > 1
    made = x.copy()
    if usable.any():
        made[:, usable] = _harmonised(x[:, usable], parts)
    return made, usable


def _varies(x: Floats, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    low, high = np.where(known, x, np.inf).min(axis=0), np.where(known, x, -np.inf).max(axis=0)
    return np.asarray(high > low)


def _harmonised(x: Floats, parts: list[NDArray[np.bool_]]) -> Floats:
    shares = np.array([part.mean() for part in parts])
    means = np.stack([np.nanmean(x[part], axis=0) for part in parts])  # (B, F)
    level = shares @ means
    rest = x.copy()
    for part, mean in zip(parts, means, strict=True):
        rest[part] -= mean
    scale = np.sqrt(np.nanmean(rest**2, axis=0))
    z = (x - level) / scale
    for part in parts:
        shift, variance = _of_batch(z[part])
        z[part] = (z[part] - shift) / np.sqrt(variance)
    return np.asarray(z * scale + level)


def _of_batch(z: Floats) -> tuple[Floats, Floats]:
    """(F,) shift and variance of one batch, each drawn towards the batch's mean over the features."""
    n = np.isfinite(z).sum(axis=0)
    shift, variance = np.nanmean(z, axis=0), np.nanvar(z, axis=0, ddof=1)
    if z.shape[1] < 2:  # nothing to borrow from
        return shift, variance
    mean, spread = shift.mean(), shift.var(ddof=1)
    m, s2 = variance.mean(), variance.var(ddof=1)
    if not (spread > 0 and s2 > 0):
        return shift, variance
    a, b = (2 * s2 + m**2) / s2, (m * s2 + m**3) / s2  # of the inverse gamma prior
    new, wide = shift, variance
    for _ in range(_STEPS):
        moved = (spread * n * shift + wide * mean) / (spread * n + wide)
        widened = (0.5 * np.nansum((z - moved) ** 2, axis=0) + b) / (n / 2 + a - 1)
        change = max(_relative(moved, new), _relative(widened, wide))
        new, wide = moved, widened
        if change < _SMALL:
            break
    return new, wide


def _relative(new: Floats, old: Floats) -> float:
    return float(np.max(np.abs(new - old) / np.maximum(np.abs(old), 1e-12)))
