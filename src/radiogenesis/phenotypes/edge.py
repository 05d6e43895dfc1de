"""The edge spread function of a lesion: HU against the distance to its boundary, and the width of its fall.

A step of height b seen through a Gaussian blur of sigma is

    I(s) = a + b * Phi(-(s - delta) / sigma),

s the signed distance to the outlined boundary (negative inside) and delta how far the outline lies from the true edge.
The blur says how sharp the margin is, whatever the lesion's HU: contrast is fitted apart from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from radiogenesis.phenotypes.morphology import blur, quantile, signed_distance

SIGMAS_MM = torch.logspace(-0.6, 0.9, 31)  # 0.25 to 7.9 mm
OFFSETS_MM = torch.linspace(-2.0, 2.0, 17)


@dataclass(frozen=True)
class EdgeFit:
    """What the fit found; all (B,), nan where the profile has too few points."""

    sigma_mm: Tensor
    offset_mm: Tensor
    outside_hu: Tensor
    contrast_hu: Tensor

    def at(self, depth: Tensor) -> Tensor:
        """The fitted rise over the outside at signed distances (B, P, P), HU."""
        sigma, offset, contrast = (v[:, None, None] for v in (self.sigma_mm, self.offset_mm, self.contrast_hu))
        return contrast * torch.special.ndtr(-(depth - offset) / sigma)


def first_fit(hu: Tensor, depth: Tensor, usable: Tensor, pixel_mm: float, *, darker: bool = False) -> EdgeFit:
    """The fit over 6 mm to either side of the outline, whatever lies there."""
    return _fit(hu, depth, usable, 6.0, pixel_mm, darker)


def fit_margin(
    hu: Tensor, lesion: Tensor, depth: Tensor, solid: Tensor, usable: Tensor, first: EdgeFit, pixel_mm: float, *,
    darker: bool = False,
) -> EdgeFit:  # fmt: skip
    """The fit over 4 mm to either side, kept clean of what is not the margin.

    Vessels and pleura that touch the lesion are left out (outside, and brighter than half-way to the lesion). Distance
    is taken to the outline smoothed over 2 mm: across the flanks of a spicule every edge is near, and would look sharp.

    Args:
        hu, depth: (B, P, P); depth is the signed distance to the outline in mm.
        lesion, solid, usable: (B, P, P) bool; solid is what the lesion's level is taken from.
        darker: see `fit_edge`.
    """
    inside, outside = quantile(hu, solid, 0.5), quantile(hu, (depth > 3) & (depth < 8), 0.3)
    contrast = (inside - outside)[:, None, None]
    if darker:  # the step is looked at upside down where it falls inwards
        contrast = torch.where(contrast < 0, contrast.clamp_max(-50.0), contrast.clamp_min(50.0))
    height = (hu - outside[:, None, None]) / (contrast if darker else contrast.clamp_min(50.0))
    beyond = depth > first.offset_mm.nan_to_num(0.0)[:, None, None] + 2.0
    foreign = beyond & (blur(height.nan_to_num(0.0), 0.65 / pixel_mm) > 0.5)
    smooth = signed_distance(blur(lesion, 2.0 / pixel_mm) > 0.5, round(8.0 / pixel_mm)) * pixel_mm
    return _fit(hu, smooth, usable & ~foreign & ((smooth - depth).abs() < 2.0), 4.0, pixel_mm, darker)


def _fit(hu: Tensor, depth: Tensor, usable: Tensor, reach_mm: float, step_mm: float, darker: bool) -> EdgeFit:
    edges = torch.arange(-reach_mm, reach_mm + 0.01, step_mm)
    profile, count = radial_profile(hu, depth, usable.float(), edges)
    return fit_edge(profile, count, (edges[1:] + edges[:-1]) / 2, darker=darker)


def radial_profile(image: Tensor, depth: Tensor, weight: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the image, and the weight, of the pixels in each bin of signed distance.

    Args:
        image, depth, weight: (B, P, P); depth in mm.
        edges: (K + 1,) ascending bin edges in mm.

    Returns:
        (B, K) mean HU (0 where a bin is empty) and (B, K) summed weight.
    """
    batch, bins = image.shape[0], len(edges) - 1
    index = torch.bucketize(depth.contiguous(), edges) - 1  # (B, P, P)
    within = weight * ((index >= 0) & (index < bins))
    index = index.clamp(0, bins - 1).flatten(1)
    total = torch.zeros(batch, bins).scatter_add_(1, index, within.flatten(1))
    summed = torch.zeros(batch, bins).scatter_add_(1, index, (within * image).flatten(1))
    return summed / total.clamp_min(1e-6), total


def fit_edge(profile: Tensor, count: Tensor, centers: Tensor, *, darker: bool = False) -> EdgeFit:
    """Least squares over a grid of (delta, sigma); a and b in closed form at every point of the grid.

    Sigma is the mean over the grid weighted by exp(-excess residual), so it moves smoothly between grid points.

    Args:
        profile: (B, K) mean HU per bin.
        count: (B, K) pixels per bin.
        centers: (K,) signed distance of the bins in mm.
        darker: whether a lesion may be darker than what is around it; one in the lung is denser, or it has no edge.
    """
    delta, sigma = torch.meshgrid(OFFSETS_MM, SIGMAS_MM, indexing="ij")
    delta, sigma = delta.flatten(), sigma.flatten()  # (G,)
    step = torch.special.ndtr(-(centers[None] - delta[:, None]) / sigma[:, None])  # (G, K)
    w = count / count.sum(1, keepdim=True).clamp_min(1e-6)  # (B, K)
    mean_y = (w * profile).sum(1, keepdim=True)  # (B, 1)
    centered = w * (profile - mean_y)  # (B, K)
    mean_x = w @ step.T  # (B, G)
    var_x = (w @ step.square().T - mean_x.square()).clamp_min(1e-6)
    cov = centered @ step.T
    slope = cov / var_x if darker else (cov / var_x).clamp_min(0.0)
    residual = (centered * (profile - mean_y)).sum(1, keepdim=True) - slope * (2 * cov - slope * var_x)  # (B, G)
    best = residual.min(1)
    scale = best.values.clamp_min(1.0)[:, None]
    posterior = torch.softmax(
        -0.5 * (residual - best.values[:, None]) / scale * count.gt(0).sum(1, keepdim=True), dim=1
    )
    log_sigma = posterior @ sigma.log()
    offset = posterior @ delta
    b = slope.gather(1, best.indices[:, None])[:, 0]
    a = mean_y[:, 0] - b * mean_x.gather(1, best.indices[:, None])[:, 0]
    usable = (count.gt(0).sum(1) >= 5) & ((b != 0) if darker else (b > 0))
    nan = torch.full_like(b, torch.nan)
    return EdgeFit(*(torch.where(usable, value, nan) for value in (log_sigma.exp(), offset, a, b)))
