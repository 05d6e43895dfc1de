"""From intensities as they were read to the whole numbers that a cohort stores; see `radiogenesis.imaging`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.scan import AIR_HU, Scan
from radiogenesis.errors import ScanError
from radiogenesis.imaging import Imaging

HIGHEST = 3071  # where 12-bit CT ends; of z-scores far beyond any window


def on_scale(scan: Scan, imaging: Imaging, organ: NDArray[np.bool_] | None) -> Scan:
    """The scan with the window of its intensities mapped onto -1000 to 500; CT of the lung in its own window as it is.

    Args:
        scan: as it was read.
        imaging: how.
        organ: (Z, Y, X) bool, inside which z-scores are taken; of HU it is not looked at.

    Raises:
        ScanError: the organ is of one intensity throughout.
    """
    if imaging.as_it_is:
        return scan
    level = scan.hu.astype(np.float64)
    if not imaging.in_hu:
        level = _z_scores(level, scan, organ)
    stored = np.rint(imaging.stored(level)).clip(AIR_HU, HIGHEST).astype(np.int16)
    return replace(scan, hu=stored)


def _z_scores(level: NDArray[np.float64], scan: Scan, organ: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    """Less the mean and over the standard deviation inside the organ, whatever is outlined left out."""
    inside = np.ones(level.shape, bool) if organ is None else organ
    healthy = level[inside & ~scan.outlined_mask]
    deviation = float(healthy.std()) if healthy.size else 0.0
    if not deviation > 0:
        raise ScanError(
            f"scan of {scan.patient}: all of the organ has one intensity, so there are no z-scores",
            remedy="check the image, and that its outline is not the whole organ",
        )
    scores: NDArray[np.float64] = (level - healthy.mean()) / deviation
    return scores
