"""How far a lesion's outline departs from a smooth one."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from radiogenesis.phenotypes.morphology import count

DIRECTIONS = 72
HARMONICS = slice(3, 21)  # 1 is position, 2 an ellipse; above 20 is the pixel grid


def radial_signature(lesion: Tensor) -> Tensor:
    """(B, P, P) bool -> (B, 72) length of the lesion along rays from its centroid, in pixels."""
    side = lesion.shape[-1]
    weight = lesion.float()
    axis = torch.arange(float(side))
    total = count(lesion).clamp_min(1.0)
    cy = (weight.sum(2) * axis).sum(1) / total  # (B,)
    cx = (weight.sum(1) * axis).sum(1) / total
    angle = torch.arange(DIRECTIONS) * (2 * math.pi / DIRECTIONS)
    radius = torch.arange(0.25, side * 0.75, 0.5)
    y = cy[:, None, None] + angle.sin()[:, None] * radius  # (B, 72, R)
    x = cx[:, None, None] + angle.cos()[:, None] * radius
    grid = torch.stack([x, y], dim=-1) * (2 / (side - 1)) - 1
    return F.grid_sample(weight[:, None], grid, align_corners=True)[:, 0].sum(2) * 0.5


def spiculation(lesion: Tensor) -> Tensor:
    """(B,) standard deviation of the radius over directions as a share of its mean, from the third harmonic on.

    A circle or an ellipse has nearly 0, r = R (1 + a cos k phi) has a / sqrt 2, whatever its size.
    """
    radius = radial_signature(lesion)
    power = (torch.fft.rfft(radius, dim=1) / DIRECTIONS).abs().square() * 2
    return power[:, HARMONICS].sum(1).sqrt() / radius.mean(1)
