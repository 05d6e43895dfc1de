"""What a scanner leaves in an image, measured outside the lesion: noise and grain.

These are features of the acquisition, not of the tumor. They are in the map as sentinels: a metagene that goes with
them goes with a scanner.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from radiogenesis.cohort.store import Cohort

UNITS = {"noise": "HU", "grain": ""}
_MEDIAN_OF_ABSOLUTE = 0.6744898  # of a standard normal
_KERNEL = np.array([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]])  # blind to planes and edges along axes
_FEWEST_PIXELS = 100


def noise_features(image: NDArray[Any], mask: NDArray[Any]) -> NDArray[np.float64]:
    """Noise and grain of slices, outside the lesion and 3 pixels around it.

    - noise: standard deviation in HU, from the median of |image * N|, N the difference of two Laplacians (Immerkaer
      1996); the median instead of his mean keeps vessels and the chest wall out.
    - grain: median |difference| of neighbors over that of pixels two apart; 1 for white noise, below 1 where a smooth
      kernel makes neighbors alike.

    Args:
        image: (B, P, P) HU.
        mask: (B, P, P) lesion where not 0.

    Returns:
        (B, 2); nan where less than 100 pixels are left.
    """
    outside = ~ndimage.binary_dilation(np.asarray(mask) > 0, np.ones((1, 7, 7)))
    values = np.asarray(image, np.float64)
    second = np.abs(ndimage.convolve(values, _KERNEL[None], mode="reflect"))[:, 1:-1, 1:-1]
    noise = np.full((len(values), 2), np.nan)
    for i, (hu, free) in enumerate(zip(values, outside, strict=True)):
        if free.sum() < _FEWEST_PIXELS:
            continue
        noise[i, 0] = np.median(second[i][free[1:-1, 1:-1]]) / 6 / _MEDIAN_OF_ABSOLUTE
        near, far = (_steps(hu, free, lag) for lag in (1, 2))
        noise[i, 1] = near / far if far > 0 else np.nan
    return noise


def patient_noise(cohort: Cohort, patients: Sequence[str]) -> pd.DataFrame:
    """Patients x (noise, grain): medians over each patient's slices with a lesion, noise in the cohort's unit."""
    own = cohort.lesions(patients)
    table = pd.DataFrame(noise_features(own.image, own.mask), columns=list(UNITS)).groupby(own.patient).median()
    table["noise"] = cohort.imaging.spread(table["noise"].to_numpy())
    return table.reindex(list(patients))


def _steps(hu: NDArray[np.float64], free: NDArray[np.bool_], lag: int) -> float:
    across = np.abs(hu[:, lag:] - hu[:, :-lag])[free[:, lag:] & free[:, :-lag]]
    down = np.abs(hu[lag:] - hu[:-lag])[free[lag:] & free[:-lag]]
    return float(np.median(np.concatenate([across, down])))
