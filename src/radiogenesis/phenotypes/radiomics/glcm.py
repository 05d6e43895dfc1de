"""Grey level co-occurrence: which grey levels lie side by side (IBSI family LFYI).

A symmetric matrix p(i, j) at distance 1 for each of the 4 directions in the plane. All its features but three depend on
p only through its margins, the distributions of i, of i + j and of |i - j|, which are counted directly.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from radiogenesis.phenotypes.radiomics.feature import Feature
from radiogenesis.phenotypes.radiomics.lesions import Lesions

_ROWS = (
    ("joint_maximum", "GYBY", "", "share of the commonest pair of levels"),
    ("joint_average", "60VM", "", "mean level of the pairs"),
    ("joint_variance", "UR99", "", "variance of the level of the pairs"),
    ("joint_entropy", "TU9B", "bit", "entropy of the pairs"),
    ("difference_average", "TF7R", "", "mean difference within a pair"),
    ("difference_variance", "D3YU", "", "variance of the difference within a pair"),
    ("difference_entropy", "NTRS", "bit", "entropy of the difference within a pair"),
    ("sum_average", "ZGXS", "", "mean sum of a pair: twice the joint average", "glcm_joint_average"),
    ("sum_variance", "OEEB", "", "variance of the sum of a pair"),
    ("sum_entropy", "P6QZ", "bit", "entropy of the sum of a pair"),
    ("angular_second_moment", "8ZQL", "", "sum of the squared shares of the pairs (PyRadiomics: joint energy)"),
    ("contrast", "ACUI", "", "mean squared difference within a pair"),
    ("dissimilarity", "8S9J", "", "the difference average by another name", "glcm_difference_average"),
    ("inverse_difference", "IB1Z", "", "mean of 1 / (1 + difference)"),
    ("normalised_inverse_difference", "NDRX", "", "the same, the difference as a share of the levels"),
    ("inverse_difference_moment", "WF0Z", "", "mean of 1 / (1 + squared difference)"),
    ("normalised_inverse_difference_moment", "1QCO", "", "the same, the difference as a share of the levels"),
    ("inverse_variance", "E8JP", "", "mean of 1 / squared difference, over the pairs that differ"),
    ("correlation", "NI2N", "", "correlation within a pair; 1 where all pairs are alike, as in PyRadiomics"),
    ("autocorrelation", "QWB0", "", "mean product of a pair"),
    ("cluster_tendency", "DG8W", "", "the sum variance by another name", "glcm_sum_variance"),
    ("cluster_shade", "7NFM", "", "third central moment of the sum of a pair"),
    ("cluster_prominence", "AE86", "", "fourth central moment of the sum of a pair"),
    ("information_correlation_1", "R8DG", "", "mutual information over entropy, negative; 0 where all pairs are alike"),
    ("information_correlation_2", "JN9H", "", "root of 1 - exp(-2 mutual information)"),
)  # fmt: skip
FEATURES = {f"glcm_{name}": Feature("glcm", *row) for name, *row in _ROWS}


def co_occurrence(lesions: Lesions, directions: Literal["average", "merge"]) -> dict[str, Tensor]:
    """The features of `FEATURES`, (B,) float64 each; nan where no two pixels of the mask are neighbors.

    A direction without pairs is left out of the average.
    """
    matrix, low, high = _pairs(lesions)
    batch, matrices = len(lesions.pixels), 4 * len(lesions.pixels)
    if directions == "merge":
        matrix, matrices = matrix // 4, batch
    levels = lesions.levels.view(batch, -1).amax(1).repeat_interleave(matrices // batch)  # (M,) Ng of each lesion
    values, usable = _features(matrix, low, high, matrices, lesions.highest_level, levels.double())
    return {
        f"glcm_{name}": mean_of_usable(value.view(batch, -1), usable.view(batch, -1)) for name, value in values.items()
    }


def _pairs(lesions: Lesions) -> tuple[Tensor, Tensor, Tensor]:
    """All neighbors within the lesions: (K,) matrix (4 b + direction), (K,) lower, (K,) higher level, from 0."""
    pairs = []
    for direction, ahead in enumerate(lesions.ahead):
        both = ahead.nonzero()[:, 0]
        level, level_ahead, owner = (x.index_select(0, both) for x in (lesions.level, ahead, lesions.owners))
        pairs.append(
            (4 * owner + direction, torch.minimum(level, level_ahead) - 1, torch.maximum(level, level_ahead) - 1)
        )
    matrix, low, high = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return matrix, low, high


def _features(
    matrix: Tensor, low: Tensor, high: Tensor, matrices: int, bins: int, levels: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """(M,) each, and (M,) bool: which matrices have pairs at all."""

    def share(place: Tensor, places: int) -> Tensor:  # (M, places)
        counts = torch.bincount(torch.add(place, matrix, alpha=places), minlength=matrices * places)
        return counts.view(matrices, places) / pairs

    n = torch.bincount(matrix, minlength=matrices)
    pairs = n.clamp_min(1).double()[:, None]
    p = share(torch.add(high, low, alpha=bins), bins * bins)  # (M, Ng Ng): i <= j, both orders together
    same = p[:, :: bins + 1]  # (M, Ng): the diagonal
    p_level = (share(low, bins) + share(high, bins)) / 2  # (M, Ng)
    p_difference = share(high - low, bins)  # (M, Ng)
    p_sum = share(low + high, 2 * bins - 1)  # (M, 2 Ng - 1)

    i = torch.arange(1, bins + 1, dtype=torch.float64, device=p.device)
    k = i - 1
    mean = p_level @ i
    variance = (p_level * (i - mean[:, None]).square()).sum(1)
    difference = p_difference @ k
    contrast = p_difference @ k.square()
    total = torch.arange(2, 2 * bins + 1, device=p.device) - 2 * mean[:, None]  # (M, 2 Ng - 1), centered
    tendency, shade, prominence = ((p_sum * total**power).sum(1) for power in (2, 3, 4))
    covariance = (tendency - contrast) / 4  # Var(i + j) = 2 var + 2 cov, E(i - j)^2 = 2 var - 2 cov
    relative = k / levels.clamp_min(1)[:, None]  # (M, Ng)

    entropy_level = _entropy(p_level)
    entropy_joint = _entropy(p) + 1 - p_difference[:, 0]  # a pair of unlike levels stands in two places, half in each
    information = (2 * entropy_level - entropy_joint).clamp_min(0.0)
    alike = variance == 0
    features = {
        "joint_maximum": torch.maximum(same.amax(1), p.amax(1) / 2),
        "joint_average": mean,
        "joint_variance": variance,
        "joint_entropy": entropy_joint,
        "difference_average": difference,
        "difference_variance": (p_difference * (k - difference[:, None]).square()).sum(1),
        "difference_entropy": _entropy(p_difference),
        "sum_average": 2 * mean,
        "sum_variance": tendency,
        "sum_entropy": _entropy(p_sum),
        "angular_second_moment": (p.square().sum(1) + same.square().sum(1)) / 2,
        "contrast": contrast,
        "dissimilarity": difference,
        "inverse_difference": p_difference @ (1 / (1 + k)),
        "normalised_inverse_difference": (p_difference / (1 + relative)).sum(1),
        "inverse_difference_moment": p_difference @ (1 / (1 + k.square())),
        "normalised_inverse_difference_moment": (p_difference / (1 + relative.square())).sum(1),
        "inverse_variance": p_difference[:, 1:] @ (1 / k[1:].square()),
        "correlation": torch.where(alike, 1.0, covariance / torch.where(alike, 1.0, variance)),
        "autocorrelation": covariance + mean.square(),
        "cluster_tendency": tendency,
        "cluster_shade": shade,
        "cluster_prominence": prominence,
        "information_correlation_1": torch.where(alike, 0.0, -information / torch.where(alike, 1.0, entropy_level)),
        "information_correlation_2": (1 - torch.exp(-2 * information)).sqrt(),
    }
    return features, n > 0


def _entropy(p: Tensor) -> Tensor:
    """(M, K) -> (M,), in bits."""
    return torch.special.entr(p).sum(1) / math.log(2)


def mean_of_usable(values: Tensor, usable: Tensor) -> Tensor:
    """(B, D) -> (B,) mean over the usable ones; nan where there is none."""
    return torch.where(usable, values, 0.0).sum(1) / usable.sum(1)
