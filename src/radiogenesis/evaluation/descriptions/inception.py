"""The Frechet distance of Inception features (FID; Heusel et al. 2017), where the user supplies the weights.

Of whole slices, since Inception knows no masks. Not a measure to claim by: the features are those of photographs, and
below a few thousand images the distance is mostly bias (EVIDENCE.md rule 7). So all sets are cut to one size, and the
bias that size brings is estimated: to first order it falls as 1 / N (Chong & Forsyth 2020), so half the images have
twice of it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from radiogenesis.networks.inception import LENGTH, InceptionFeatures, load_inception
from radiogenesis.stats.resampling import Floats
from radiogenesis.window import scaled

BATCH = 16

_network = cache(load_inception)


def inception_features(image: NDArray[Any], network: InceptionFeatures) -> Floats:
    """Slices (B, P, P) in HU -> (B, 2048)."""
    parts = [np.zeros((0, LENGTH))]
    with torch.inference_mode():
        for start in range(0, len(image), BATCH):
            x = torch.from_numpy(2 * scaled(image[start : start + BATCH]) - 1).float()[:, None]
            parts.append(network(x).double().numpy())
    return np.concatenate(parts)


def seen_by_inception(image: NDArray[Any], weights: str) -> Floats | None:
    """`inception_features` with a file's weights, which is read once; None where `weights` is empty."""
    return inception_features(image, _network(weights)) if weights else None


def fid(x: Floats, y: Floats) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of (N, d) and (M, d) features.

    With X and Y centered, C1 C2 has the eigenvalues of (X Y^T)(X Y^T)^T / ((N - 1) (M - 1)), so the trace of its root
    is the sum of the singular values of X Y^T: exact, and quick where there are fewer images than features.

    Raises:
        ValueError: a set of fewer than 2 images.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError(f"sets of {len(x)} and {len(y)} images have no covariance: at least 2 are needed")
    a, b = (z - z.mean(0) for z in (x, y))
    a, b = a / np.sqrt(len(x) - 1), b / np.sqrt(len(y) - 1)
    roots = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * roots)


def bias(x: Floats, y: Floats, seed: int) -> float:
    """How much of `fid` is there because the images are few: what it gains where half of each set is left out."""
    rng = np.random.default_rng([seed, 9])
    halves = [z[rng.permutation(len(z))[: len(z) // 2]] for z in (x, y)]
    return fid(halves[0], halves[1]) - fid(x, y)


def of_size(x: NDArray[Any], size: int, seed: int) -> NDArray[Any]:
    """`size` of the rows, drawn at random."""
    return x[np.sort(np.random.default_rng([seed, 10]).permutation(len(x))[:size])]
