"""Lesions cut out of their images, side by side, with their grey levels: what every family is measured on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from radiogenesis.phenotypes.radiomics.settings import RadiomicsSettings

BATCH = 128  # lesions at a time: what they need stays in the processor's cache
MOST_CELLS = 2**24  # of their matrices of pairs or of runs: 128 MiB in float64


@dataclass(frozen=True)
class Lesions:
    """Lesions of similar size, each shifted to the upper left corner of the smallest frame that holds them all.

    The frame's outermost pixels belong to no lesion, so that every pixel of a lesion has all its neighbors in it.
    Intensity and texture look at the lesions' pixels as one list, N long over all lesions; `levels` knows the
    neighbours: in a frame w wide, the pixel below the one at place k lies at k + w.
    """

    outline: Tensor  # (B, h, w) bool, the lesion as outlined: shape
    levels: Tensor  # (B h w,) int64, the frames' grey levels in one line, from 1; 0 outside
    places: Tensor  # (N,) int64, where the lesions' pixels lie in that line
    owners: Tensor  # (N,) int64, the lesion that each pixel belongs to
    level: Tensor  # (N,) int64, its grey level
    rows: Tensor  # (B, n) float64, HU of each lesion's pixels in a row, then zeros
    pixels: Tensor  # (B,) int64, how many they are; less than in the outline where pixels lie outside the HU range
    images: tuple[Tensor, Tensor]  # all images and outlines, (A, P, P) each, of which
    batch: Tensor  # (B,) int64, these are the lesions'
    pixel_mm: float

    @property
    def surroundings(self) -> tuple[Tensor, Tensor]:
        """(B, P, P) float32, the lesions' whole images in HU, and (B, P, P) bool, their outlines there."""
        hu, outline = self.images
        return hu[self.batch].float(), outline[self.batch]

    @cached_property
    def inside(self) -> Tensor:
        """(B, n) bool, which entries of the rows are pixels."""
        return torch.arange(self.rows.shape[1], device=self.rows.device) < self.pixels[:, None]

    @cached_property
    def highest_level(self) -> int:
        return max(1, int(self.levels.max()))

    @cached_property
    def steps(self) -> tuple[int, int, int, int]:
        """From a pixel's place to its neighbor's: right, down, down and right, down and left."""
        width = self.outline.shape[2]
        return 1, width, width + 1, width - 1

    @cached_property
    def ahead(self) -> tuple[Tensor, ...]:
        """4 x (N,) int64, the grey level of each pixel's neighbor in these directions; 0 where it lies outside."""
        return tuple(self.levels.index_select(0, self.places + step) for step in self.steps)


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
        the lesions' indices in the input, (b,) int64, and the lesions.
    """
    if not len(hu):
        return
    top, height = _extent(_any(outline, 2))
    left, width = _extent(_any(outline, 1))
    order = torch.maximum(height, width).argsort(stable=True)
    batches = list(order.split(BATCH))
    while batches:
        batch = batches.pop()
        lesions = _lesions((hu, outline), batch, (top, height), (left, width), pixel_mm, settings)
        level = lesions.highest_level
        if len(batch) > 1 and 4 * len(batch) * level * max(level, *lesions.outline.shape[1:]) > MOST_CELLS:
            batches += batch.tensor_split(2)
        else:
            yield batch, lesions


def _lesions(
    images: tuple[Tensor, Tensor],
    batch: Tensor,
    vertical: tuple[Tensor, Tensor],
    horizontal: tuple[Tensor, Tensor],
    pixel_mm: float,
    settings: RadiomicsSettings,
) -> Lesions:
    hu, outline = images
    (rows, rows_inside), (columns, columns_inside) = (
        _span(start[batch], int(length[batch].max()), side)
        for (start, length), side in zip((vertical, horizontal), hu.shape[1:], strict=True)
    )
    source = ((batch[:, None] * hu.shape[1] + rows) * hu.shape[2])[:, :, None] + columns[:, None]  # (b, h, w)
    frame = outline.flatten().index_select(0, source.flatten()).view(source.shape)
    frame = frame & rows_inside[:, :, None] & columns_inside[:, None]
    places = frame.flatten().nonzero()[:, 0]
    values = hu.flatten().index_select(0, source.flatten().index_select(0, places)).double()
    if settings.range_hu is not None or not bool(values.isfinite().all()):
        lowest, highest = settings.range_hu or (-torch.inf, torch.inf)
        usable = values.isfinite() & (values >= lowest) & (values <= highest)
        places, values = places[usable], values[usable]
    owners = torch.div(places, frame[0].numel(), rounding_mode="floor")
    pixels = torch.bincount(owners, minlength=len(batch))
    length = max(1, int(pixels.max()))
    first = pixels.cumsum(0) - pixels
    slots = owners * length + torch.arange(len(places), device=places.device) - first.index_select(0, owners)
    in_rows = values.new_zeros(len(batch) * length).scatter(0, slots, values).view(len(batch), length)
    level = grey_levels(in_rows, pixels, settings).flatten().index_select(0, slots)
    return Lesions(
        outline=frame,
        levels=places.new_zeros(frame.numel()).scatter(0, places, level),
        places=places,
        owners=owners,
        level=level,
        rows=in_rows,
        pixels=pixels,
        images=images,
        batch=batch,
        pixel_mm=pixel_mm,
    )


def grey_levels(hu: Tensor, pixels: Tensor, settings: RadiomicsSettings) -> Tensor:
    """Grey levels of the lesions' pixels (IBSI reference manual, section 2.7).

    Fixed bin size:    floor((x - origin) / width) + 1
    Fixed bin number:  floor(N (x - min) / (max - min)) + 1, and N for the maximum

    Args:
        hu: (B, n) float64, each lesion's pixels in a row, without meaning behind the last one.
        pixels: (B,) how many they are.
        settings: see RadiomicsSettings.

    Returns:
        (B, n) int64.
    """
    inside = torch.arange(hu.shape[1], device=hu.device) < pixels[:, None]
    lowest = torch.where(inside, hu, torch.inf).amin(1, keepdim=True)  # (B, 1)
    if settings.bins is not None:
        highest = torch.where(inside, hu, -torch.inf).amax(1, keepdim=True)
        level = (settings.bins * (hu - lowest) / (highest - lowest)).floor().clamp_max(settings.bins - 1) + 1
        level = torch.where(highest > lowest, level, 1.0)
    else:
        width = settings.bin_width_hu
        origin = (lowest / width).floor() * width if settings.range_hu is None else settings.range_hu[0]
        level = ((hu - origin) / width).floor() + 1
    return torch.where(inside, level, 0.0).long()


def _any(mask: Tensor, dim: int) -> Tensor:
    """mask.any(dim), several times as fast on a CPU."""
    return mask.view(torch.uint8).amax(dim).bool()


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """First occupied place of each row of (B, P), and the length from there to the last one; 0 where there is none."""
    place = torch.arange(occupied.shape[1], device=occupied.device)
    first = torch.where(occupied, place, occupied.shape[1]).amin(1)
    last = torch.where(occupied, place, -1).amax(1)
    return first, (last - first + 1).clamp_min(0)


def _span(start: Tensor, length: int, side: int) -> tuple[Tensor, Tensor]:
    """(B, length + 2) places from one before each start on, and which of them lie inside an image of that side."""
    places = start[:, None] + torch.arange(-1, length + 1, device=start.device)
    inside = (places >= 0) & (places < side)
    inside[:, [0, -1]] = False
    return places.clamp(0, side - 1), inside
