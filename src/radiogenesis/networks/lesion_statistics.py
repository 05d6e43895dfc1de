"""What a lesion looks like in numbers that need no training, and that a gradient can pass through.

At four scales: the mask's shape, and mean and deviation of the image and of its texture over lesion, rim and core.
Coarser scales are freer of the scanner's noise. The critics of the fusion GAN see drawn and real lesions in these.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SCALES = 4
KINDS = ("shape", "level", "texture")
SIZES = (3 * SCALES, 6 * SCALES, 24 * SCALES)
"""How many statistics `appearance` has of each kind, in the order of KINDS."""


def appearance(x: Tensor, m: Tensor) -> Tensor:
    """Image (B, 1, P, P) in [-1, 1] and soft mask (B, 1, P, P) -> (B, 132) float32, by kind, then by scale."""
    with torch.autocast(x.device.type, enabled=False):  # differences of like numbers: 8 bits would drown them
        x, m = x.float(), m.float()
        regions = lesion_regions(m)
        found: list[list[Tensor]] = []
        for scale in range(SCALES):
            if scale:
                x, regions = F.avg_pool2d(x, 2), F.avg_pool2d(regions, 2)
            found.append(
                [mask_shape(regions[:, :1]), masked_statistics(x, regions), masked_statistics(texture_maps(x), regions)]
            )
    return torch.cat([kinds[kind] for kind in range(len(KINDS)) for kinds in found], dim=1)


def masked_statistics(features: Tensor, regions: Tensor) -> Tensor:
    """Mean and standard deviation over each region.

    Both come from two matrix products, E f and E f^2: an order of magnitude less memory traffic than masking.

    Args:
        features: (B, C, H, W).
        regions: (B, R, H, W) weights, not negative; an empty region gives mean and deviation near zero.

    Returns:
        (B, 2RC) float32: the means of every region, then the deviations.
    """
    with torch.autocast(features.device.type, enabled=False):  # the difference of two moments needs 24 bits
        f = features.permute(0, 2, 3, 1).flatten(1, 2).float()  # (B, HW, C)
        w = regions.flatten(2).float()  # (B, R, HW)
        w = w / (w.sum(2, keepdim=True) + 1e-3)
        mean = w @ f  # (B, R, C)
        variance = (w @ f.square() - mean.square()).clamp_min(0)
    return torch.cat([mean.flatten(1), (variance + 1e-4).sqrt().flatten(1)], dim=1)


def lesion_regions(mask: Tensor, reach: int = 3) -> Tensor:
    """Lesion, rim and core (B, 3, P, P); see `rim` and `core`, whose erosion is done once here."""
    eroded = core(mask, reach)
    return torch.cat([mask, dilate(mask, 2 * reach + 1) - eroded, eroded], dim=1)


def rim(mask: Tensor, reach: int = 3) -> Tensor:
    """The band around the edge: dilated minus eroded mask, `reach` pixels to either side. (B, 1, P, P)."""
    return dilate(mask, 2 * reach + 1) + dilate(1 - mask, 2 * reach + 1) - 1


def core(mask: Tensor, reach: int = 3) -> Tensor:
    """The lesion without its rim, eroded by `reach` pixels: texture apart from the edge. (B, 1, P, P)."""
    return 1 - dilate(1 - mask, 2 * reach + 1)


def dilate(mask: Tensor, pixels: int) -> Tensor:
    """Grey dilation by a square of `pixels` (odd), along one axis after the other."""
    reach = pixels // 2
    rows = F.max_pool2d(mask, (pixels, 1), 1, (reach, 0))
    return F.max_pool2d(rows, (1, pixels), 1, (0, reach))


def texture_maps(x: Tensor) -> Tensor:
    """Local contrast and gradient of an image, each at two saturation levels: (B, 1, H, W) -> (B, 4, H, W).

    v / (v + t) with t of 22 and 75 HU: what is far above t counts once, however strong, so that a vessel through ground
    glass or the wall of a cavity does not outweigh the texture of the tissue.
    """
    smooth = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    contrast = (x - smooth).abs()
    dy, dx = F.pad(x.diff(dim=2), (0, 0, 0, 1)), F.pad(x.diff(dim=3), (0, 1, 0, 0))
    gradient = (dy.square() + dx.square() + 1e-8).sqrt()
    strengths = torch.cat([contrast, gradient], dim=1)
    return torch.cat([strengths / (strengths + 0.03), strengths / (strengths + 0.1)], dim=1)


def mask_shape(mask: Tensor) -> Tensor:
    """Square root of the area, perimeter, and perimeter over that of the circle of equal area: (B, 3) float32.

    The perimeter is the total variation of the (soft) mask; lengths are in units of the image's side.
    """
    mask = mask.float()
    side = mask.shape[-1]
    root_area = (mask.mean((1, 2, 3)) + 1e-6).sqrt()
    dy = F.pad(mask.diff(dim=2), (0, 0, 0, 1))
    dx = F.pad(mask.diff(dim=3), (0, 1, 0, 0))
    perimeter = (dy.square() + dx.square() + 1e-8).sqrt().sum((1, 2, 3)) / side
    return torch.stack([root_area * 4, perimeter, perimeter / (3.545 * root_area)], dim=1)  # 3.545 = 2 sqrt(pi)
