"""Tumor regions of a batch of slices, on the device that trains (Li, Sui et al., section III.B).

The loose tumor region (LTR) is a square with the tumor in its middle and its surroundings around; the tight tumor
region (TTR) is the tumor's own box, stretched to a square. The middle of both is the middle of the tumor's box in
that slice; whether the outline was drawn by a person or found by the U-Net makes no difference. Values are interpolated
linearly, and averaged over a window where a pixel of the region is larger than one of the slice. Beyond the slice its
border goes on: air there would frame every region whose tumor is not in the middle of its slice, and a GAN would learn
to draw frames.
"""

from __future__ import annotations

import torch
from torch import Tensor


def tumor_regions(
    x: Tensor, m: Tensor, *, ltr_pixels: int, ttr_pixels: int, loose_side: float | None = None
) -> tuple[Tensor, Tensor]:
    """The loose and the tight region of every slice.

    Args:
        x: (B, 1, P, P) in [-1, 1].
        m: (B, 1, P, P) masks, hard or softened: tumor is above half of the mask's own maximum.
        ltr_pixels, ttr_pixels: sides of the regions.
        loose_side: side of what the loose region shows, in pixels of the slice; P where None.

    Returns:
        LTR (B, 1, ltr_pixels, ltr_pixels), TTR (B, 1, ttr_pixels, ttr_pixels) in [-1, 1].
    """
    side = x.shape[-1] if loose_side is None else loose_side
    first, last = tumor_boxes(m)  # (B, 2) rows and columns
    middle = (first + last - 1) / 2
    loose = resampled(x, middle, torch.full_like(middle, side), ltr_pixels)
    return loose, resampled(x, middle, last - first, ttr_pixels)


def loose_regions(x: Tensor, m: Tensor, pixels: int) -> tuple[Tensor, Tensor]:
    """The loose region of every slice and of its mask.

    x (B, 1, P, P) in [-1, 1] and m (B, 1, P, P) in [0, 1] -> the same at (B, 1, pixels, pixels).
    """
    first, last = tumor_boxes(m)
    middle = (first + last - 1) / 2
    image, mask = (resampled(v, middle, torch.full_like(middle, x.shape[-1]), pixels) for v in (x, m))
    return image, mask


def tumor_boxes(m: Tensor) -> tuple[Tensor, Tensor]:
    """First row and column, last row and column + 1 of the tumor: (B, 1, P, P) -> two (B, 2) float."""
    m = m[:, 0]
    inside = m > 0.5 * m.amax((1, 2), keepdim=True)
    first, last = [], []
    for line in (inside.any(2), inside.any(1)):  # (B, P) rows, columns
        length = line.shape[1]
        first.append(line.int().argmax(1))
        last.append(length - line.flip(1).int().argmax(1))
    return torch.stack(first, 1).float(), torch.stack(last, 1).float()


def resampled(x: Tensor, middle: Tensor, side: Tensor, pixels: int) -> Tensor:
    """The rectangle of `side` (B, 2) pixels around `middle` (B, 2), each rows and columns, as `pixels` x `pixels`.

    (B, 1, P, P) -> (B, 1, pixels, pixels).
    """
    rows, columns = (line_weights(middle[:, i], side[:, i] / pixels, pixels, x.shape[2 + i]) for i in range(2))
    with torch.autocast(x.device.type, enabled=False):
        return (rows @ x[:, 0].float() @ columns.transpose(1, 2)).unsqueeze(1)


def line_weights(middle: Tensor, step: Tensor, pixels: int, length: int) -> Tensor:
    """Weights of a line's `length` old pixels in its new ones: middle (B,), step (B,) -> (B, pixels, length).

    Where a new pixel is larger than an old one (step > 1), hat * window has the variance of the hat of one new pixel:
    1/6 + window^2/12 = step^2/6. What a new pixel has beyond the line's ends, the old pixel at that end has instead.
    """
    along = torch.arange(pixels, device=step.device) - (pixels - 1) / 2
    positions = middle[:, None] + along * step[:, None]  # (B, pixels)
    u = positions[:, :, None] - torch.arange(length, device=step.device)  # (B, pixels, length)
    window = (2 * (step.square() - 1).clamp_min(0)).sqrt()[:, None, None]
    averaged = (hat_integral(u + window / 2) - hat_integral(u - window / 2)) / window.clamp_min(1e-3)
    weights = torch.where(window < 1e-3, (1 - u.abs()).clamp_min(0), averaged)
    rest = (1 - weights.sum(2)).clamp_min(0)
    beyond_first = positions < (length - 1) / 2
    weights[:, :, 0] += rest * beyond_first
    weights[:, :, -1] += rest * ~beyond_first
    return weights


def hat_integral(t: Tensor) -> Tensor:
    """Integral of max(0, 1 - |u|) from minus infinity to t."""
    u = t.clamp(-1, 1)
    return 0.5 + u - u * u.abs() / 2
