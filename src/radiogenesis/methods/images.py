"""The few image operations that every method shares: the HU window, soft masks, composition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from radiogenesis.networks.lesion_statistics import dilate, gaussian
from radiogenesis.window import WINDOW_HU


def to_unit(hu: Tensor) -> Tensor:
    """HU -> [-1, 1] through the window."""
    low, high = WINDOW_HU
    return ((hu.float() - low) * (2 / (high - low)) - 1).clamp_(-1, 1)


def to_hu(unit: Tensor) -> Tensor:
    """[-1, 1] -> HU, the inverse of `to_unit` inside the window."""
    low, high = WINDOW_HU
    return (unit.float() + 1) * ((high - low) / 2) + low


def images_from_hu(images: NDArray[np.number]) -> Tensor:
    """(B, P, P) HU -> (B, 1, P, P) float32 in [-1, 1]."""
    return to_unit(torch.from_numpy(np.ascontiguousarray(images, np.float32)).unsqueeze(1))


def with_scanner_noise(unit: Tensor, hu: float) -> Tensor:
    """Add noise of a random strength up to `hu`, white in one half of the images and smooth in the other.

    (B, 1, P, P) in [-1, 1] -> the same.
    """
    if not hu:
        return unit
    white = torch.randn_like(unit)
    smooth = F.avg_pool2d(white, 3, 1, 1) * 2  # most of the deviation that averaging nine takes away comes back
    each = (len(unit), 1, 1, 1)
    noise = torch.where(torch.rand(each, device=unit.device) < 0.5, white, smooth)
    low, high = WINDOW_HU
    strength = torch.rand(each, device=unit.device) * (hu * 2 / (high - low))
    return (unit + strength * noise).clamp(-1, 1)


def soften(mask: Tensor) -> Tensor:
    """A hard mask as soft as a drawn one, so that no critic tells them apart by their edge: 3 x 3 binomial filter.

    (B, 1, P, P) in [0, 1] -> the same. A straight edge keeps its place: the half level stays on it.
    """
    line = torch.tensor([0.25, 0.5, 0.25], dtype=mask.dtype, device=mask.device)
    kernel = torch.outer(line, line)[None, None]
    return F.conv2d(F.pad(mask, (1, 1, 1, 1), mode="replicate"), kernel)


def background_region(mask: Tensor, pixels: int = 7) -> Tensor:
    """B, the inverse of the mask, eroded (Xu et al. 2020, section 2.3): the same as the dilated mask, inverted."""
    return GrownMask(mask).background_region(pixels)


def composition_mask(mask: Tensor, *, dilation: int = 7, smoothing: int = 5) -> Tensor:
    """The softened mask through which the drawn image is laid over the background: dilated, then smoothed."""
    return GrownMask(mask).composition(dilation, smoothing)


@torch.no_grad()
def outside_lung(image: Tensor) -> Tensor:
    """Chest wall, mediastinum and diaphragm: tissue above -500 HU that a square fits into, a sixth of the image wide
    (10 mm of a slice of 60 mm).

    A morphological opening: vessels of the lung are thinner and do not count. Beyond the image's border its outermost
    pixels go on.

    Args:
        image: (B, 1, P, P) in [-1, 1].

    Returns:
        (B, 1, P, P), 1 or 0.
    """
    reach = round(int(image.shape[-1]) / 12)
    fits = 2 * reach + 1
    low, high = WINDOW_HU
    tissue = (image > (-500 - low) * (2 / (high - low)) - 1).to(image.dtype)
    eroded = -dilate(-F.pad(tissue, (reach,) * 4, mode="replicate"), fits)
    return dilate(eroded, fits)[..., reach:-reach, reach:-reach]


class GrownMask:
    """A mask (B, 1, P, P) and what its dilations give; each is computed once, however many terms ask for it.

    Args:
        mask: in [0, 1].
        barred: (B, 1, P, P), 1 where nothing may be composed, else 0; None for nowhere.
    """

    def __init__(self, mask: Tensor, barred: Tensor | None = None) -> None:
        self.mask, self.barred = mask, barred
        self._dilated: dict[int, Tensor] = {}
        self._softened: dict[tuple[int, int], Tensor] = {}

    def dilated(self, pixels: int) -> Tensor:
        """Gray dilation by a square of `pixels` (odd)."""
        if pixels not in self._dilated:
            self._dilated[pixels] = dilate(self.mask, pixels)
        return self._dilated[pixels]

    def background_region(self, pixels: int) -> Tensor:
        """1 outside the dilated mask, 0 inside."""
        return 1 - self.dilated(pixels)

    def binary(self) -> GrownMask:
        """Of the mask cut at one half, which has no gradient."""
        return GrownMask((self.mask.detach() >= 0.5).to(self.mask.dtype), self.barred)

    def composition(self, dilation: int, smoothing: int) -> Tensor:
        """See `composition_mask`."""
        if (dilation, smoothing) not in self._softened:
            pad = smoothing // 2
            padded = F.pad(self.dilated(dilation), (pad, pad, pad, pad), mode="replicate")
            softened = F.avg_pool2d(padded, smoothing, 1)
            self._softened[dilation, smoothing] = softened if self.barred is None else softened * (1 - self.barred)
        return self._softened[dilation, smoothing]


def turned(images: Tensor, turn: int) -> Tensor:
    """One of the eight symmetries of the square: quarter turns, and a mirror for 4 to 7."""
    images = torch.rot90(images, turn % 4, (2, 3)) if turn % 4 else images
    return images.flip(3) if turn >= 4 else images


def disc(pixels: int, radius: float) -> Tensor:
    """(1, 1, P, P): 1 within `radius` pixels of the image's center, else 0."""
    line = torch.arange(pixels) - (pixels - 1) / 2
    return (torch.hypot(line[:, None], line[None, :]) <= radius).float()[None, None]


def difference_mask(image: Tensor, background: Tensor, region: Tensor, *, contrast_hu: float) -> Tensor:
    """Where a drawing without a mask of its own left its background, softly: at least 0.5 where the two differ by
    `contrast_hu` or more, on the average of 3 x 3 pixels. A quarter of the contrast makes the odds e times as large.

    Args:
        image, background: (B, 1, P, P) in [-1, 1].
        region: (1, 1, P, P): outside it nothing counts.
        contrast_hu: above 0.

    Returns:
        (B, 1, P, P) in [0, 1], differentiable.
    """
    low, high = WINDOW_HU
    contrast = contrast_hu * 2 / (high - low)
    differs = F.avg_pool2d((image - background).abs(), 3, 1, 1, count_include_pad=False)
    return torch.sigmoid((differs - contrast) / (contrast / 4)) * region


def compose(image: Tensor, background: Tensor, through: Tensor) -> Tensor:
    """`image` where `through` is 1, `background` where it is 0, blended between."""
    return torch.lerp(background, image, through)


TISSUE_HU = 150.0
"""What air is filled up to: 99 % of the pixels inside real and planted lesions are less dense."""
AERATED_HU, SOLID_HU = -200.0, 0.0
"""Where all of the air is filled, and where there is none left to be filled."""
BLUR = 0.7 / 64
"""Deviation of the Gaussian that the share is smoothed by, as a share of the image's side: a scanner resolves no finer
tissue, and a generator that can draw finer pleases its critic by lattices."""
HOLLOW_FROM = 1 / 32
"""How far inside its mask a lesion may be darker than the background, as a share of the image's side: a cavity has a
wall, and no real lesion has a dark ring around it."""
GRAIN_HU = 50.0
"""How much of the background's own grain, its noise, goes on in what is filled."""


def filled(background: Tensor, share: Tensor, hollow: Tensor) -> Tensor:
    """The background with its air filled with tissue, or tissue emptied to air.

        b + f w (T + n - b)   where f > 0: T is 150 HU, w falls from 1 at -200 HU to 0 at 0 HU, n is the grain of b
        b + f h (b + 1)       where f < 0

    So pleura, bone and vessels stay as they are and a lesion merges with them, and nothing gets darker than its
    surroundings but the inside of a lesion.

    Args:
        background: b (B, 1, P, P) in [-1, 1].
        share: f (B, 1, P, P) in [-1, 1], how much of the air is filled; smoothed first, as a scanner would.
        hollow: h (B, 1, P, P) in [0, 1], where tissue may be emptied.

    Returns:
        (B, 1, P, P) in [-1, 1].
    """
    low, high = WINDOW_HU
    per_hu = 2 / (high - low)
    tissue, solid = ((hu - low) * per_hu - 1 for hu in (TISSUE_HU, SOLID_HU))
    air = ((solid - background) / ((SOLID_HU - AERATED_HU) * per_hu)).clamp(0, 1)
    share = smoothed(share, BLUR * int(share.shape[-1]))
    grain = background - smoothed(background, 1.0)
    grain = grain / (1 + (grain / (GRAIN_HU * per_hu)).square()).sqrt()
    more = share.clamp(min=0) * air * (tissue + grain - background)
    less = share.clamp(max=0) * hollow * (background + 1)
    return (background + more + less).clamp(-1, 1)


def shifted(images: Sequence[Tensor], reach: int) -> list[Tensor]:
    """Batches (B, C, P, P), the k-th image of each moved alike by up to `reach` pixels up, down, left and right; what
    comes in from outside repeats the edge."""
    count, side = len(images[0]), images[0].shape[-1]
    offset = torch.randint(-reach, reach + 1, (2, count, 1), device=images[0].device)
    down, right = (torch.arange(side, device=images[0].device) + offset).clamp(0, side - 1)  # (B, P) each
    at = torch.arange(count, device=images[0].device)[:, None, None, None], down[:, None, :, None], right[:, None, None]
    channels = (torch.arange(image.shape[1], device=image.device)[None, :, None, None] for image in images)
    return [image[at[0], channel, at[1], at[2]] for image, channel in zip(images, channels, strict=True)]


def smoothed(image: Tensor, deviation: float) -> Tensor:
    """(B, 1, P, P), the weighted mean over a Gaussian window of what of it lies inside the image."""
    return gaussian(image, deviation) / gaussian(torch.ones_like(image[:1]), deviation)
