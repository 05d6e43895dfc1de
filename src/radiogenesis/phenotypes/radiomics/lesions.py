"""Lesions cut out of their images, side by side, with their grey levels: what every family is measured on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from radiogenesis.phenotypes.radiomics.settings import RadiomicsSettings

BATCH = 256  # lesions at a time: bounds memory


@dataclass(frozen=True)
class Lesions:
    """Lesions of similar size, each shifted to the upper left corner of the smallest frame that holds them all."""

    hu: Tensor  # (B, h, w) float64
    outline: Tensor  # (B, h, w) bool, the lesion as outlined: shape
    mask: Tensor  # (B, h, w) bool, without the pixels outside the HU range: intensity and texture
    levels: Tensor  # (B, h, w) int64, grey levels from 1; 0 outside the mask
    image: Tensor  # (B, P, P) float32 and
    whole: Tensor  # (B, P, P) bool, the outline, both in the whole image: margin
    pixel_mm: float

    @property
    def count(self) -> Tensor:
        """(B,) float64, pixels of each mask."""
        return self.mask.flatten(1).sum(1).double()

    @property
    def highest_level(self) -> int:
        return max(1, int(self.levels.max()))

    def halves(self) -> tuple[Lesions, Lesions]:
        half = len(self.hu) // 2
        return self._part(slice(half)), self._part(slice(half, None))

    def _part(self, part: slice) -> Lesions:
        return Lesions(
            hu=self.hu[part],
            outline=self.outline[part],
            mask=self.mask[part],
            levels=self.levels[part],
            image=self.image[part],
            whole=self.whole[part],
            pixel_mm=self.pixel_mm,
        )


def cut_out(
    hu: Tensor, outline: Tensor, pixel_mm: float, settings: RadiomicsSettings
) -> Iterator[tuple[Tensor, Lesions]]:
    """Batches of lesions of similar size, so that none is measured in a frame much larger than itself.

    Args:
        hu: (B, P, P).
        outline: (B, P, P) bool.
        pixel_mm: side of a pixel.
        settings: grey levels and range.

    Yields:
        the lesions' places in the input, (b,) int64, and the lesions.
    """
    if not len(hu):
        return
    top, height = _extent(outline.any(2))
    left, width = _extent(outline.any(1))
    order = torch.maximum(height, width).argsort(stable=True)
    for places in order.split(BATCH):
        h, w = (max(1, int(size[places].max())) for size in (height, width))
        rows, row_inside = _span(top[places], h, hu.shape[1])
        columns, column_inside = _span(left[places], w, hu.shape[2])
        index = places[:, None, None], rows[:, :, None], columns[:, None, :]
        inside = outline[index] & row_inside[:, :, None] & column_inside[:, None, :]
        values = hu[index].double()
        mask, levels = grey_levels(values, inside, settings)
        yield places, Lesions(values, inside, mask, levels, hu[places].float(), outline[places], pixel_mm)


def grey_levels(hu: Tensor, outline: Tensor, settings: RadiomicsSettings) -> tuple[Tensor, Tensor]:
    """The mask within the HU range and its grey levels (IBSI reference manual, section 2.7).

    Fixed bin size:    floor((x - origin) / width) + 1
    Fixed bin number:  floor(N (x - min) / (max - min)) + 1, and N for the maximum

    Args:
        hu: (B, h, w) float64.
        outline: (B, h, w) bool.
        settings: see RadiomicsSettings.

    Returns:
        (B, h, w) bool, and (B, h, w) int64, 0 outside the mask.
    """
    mask = outline & torch.isfinite(hu)
    if settings.range_hu is not None:
        mask = mask & (hu >= settings.range_hu[0]) & (hu <= settings.range_hu[1])
    lowest = torch.where(mask, hu, torch.inf).flatten(1).amin(1)[:, None, None]  # (B, 1, 1)
    highest = torch.where(mask, hu, -torch.inf).flatten(1).amax(1)[:, None, None]
    if settings.bins is not None:
        level = (settings.bins * (hu - lowest) / (highest - lowest)).floor().clamp_max(settings.bins - 1) + 1
        level = torch.where(highest > lowest, level, 1.0)
    else:
        width = settings.bin_width_hu
        origin = (lowest / width).floor() * width if settings.range_hu is None else settings.range_hu[0]
        level = ((hu - origin) / width).floor() + 1
    return mask, torch.where(mask, level, 0.0).long()


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """First occupied place of each row of (B, P), and the length from there to the last one; 0 where there is none."""
    place = torch.arange(occupied.shape[1], device=occupied.device)
    first = torch.where(occupied, place, occupied.shape[1]).amin(1)
    last = torch.where(occupied, place, -1).amax(1)
    return first, (last - first + 1).clamp_min(0)


def _span(start: Tensor, length: int, side: int) -> tuple[Tensor, Tensor]:
    """(B, length) places from each start on, and which of them lie inside an image of that side."""
    places = start[:, None] + torch.arange(length, device=start.device)
    return places.clamp_max(side - 1), places < side
