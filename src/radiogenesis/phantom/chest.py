"""Whole axial slices of a chest in 3-D, in HU: both lungs, the mediastinum between them, diaphragm, ribs and table.

The half chest of `phantom.thorax`, folded over the body's midline: the same walls on both sides, lungs, vessels and
heart of their own. Coordinates are (z, y, x) in mm; x runs from the right side of the body to the left. Anatomy is laid
out for a small adult and then scaled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from radiogenesis.phantom import thorax as half
from radiogenesis.phantom.thorax import Spacing, Thorax, Volume

MIDLINE_MM = 140.0  # where the half chest has its vertebra
ASIDE_MM, FRONT_MM, BEHIND_MM = 18.0, 14.0, 36.0  # air beside and before the half chest, and behind it with the table
LIVER_HU = 58.0


@dataclass(frozen=True)
class _Axes:
    """Sparse coordinates of a grid in anatomical mm: `aside` is the distance from the midline, left positive, and
    `x` the half chest's own coordinate."""

    z: Volume
    y: Volume
    aside: Volume

    @property
    def x(self) -> Volume:
        folded: Volume = np.float32(MIDLINE_MM) - np.abs(self.aside)
        return folded


def draw_chest(spacing_mm: Spacing, rng: np.random.Generator) -> Thorax:
    """A chest of random size and level: the slab may show the domes of the diaphragm, or lie above them.

    Returns:
        a Thorax whose `half` is the side, right or left by chance, that `hilum_mm` belongs to.
    """
    scale = rng.uniform(1.05, 1.3)
    stretch = np.array([1.0, rng.uniform(1.0, 1.3), 1.0]) * scale  # some chests are round, others flat
    step = (spacing_mm[0] / stretch[0], spacing_mm[1] / stretch[1], spacing_mm[2] / stretch[2])
    axes, shape = _grid(step)
    z, y, x = axes.z, axes.y, axes.x
    left = axes.aside > 0
    hilum = [
        np.array([half.HEIGHT_MM / 2 + rng.uniform(-12, 12), 88 + rng.uniform(-8, 8), 113 + rng.uniform(-5, 3)])
        for _ in range(2)
    ]
    wall = half.wall_distance(z, y, x, rng)
    medial = np.where(left, half.medial_distance(z, y, x, rng) - _heart(axes, rng), half.medial_distance(z, y, x, rng))
    dome = _dome_distance(axes, rng)
    wobble = half.random_field(shape, step, 9.0, rng)
    coarse = half.random_field(shape, step, 4.0, rng)
    inside = half.smooth_min(half.smooth_min(wall, medial, 6.0), dome, 5.0) + np.float32(0.9) * wobble

    hu = half.chest_wall(z, y, wall, coarse, rng)
    hu = _table(hu, axes, rng)
    hu = half.mix(hu, half.mediastinum(z, y, x, medial, wobble, coarse, rng), np.clip((wall - medial) / 3 + 0.5, 0, 1))
    hu = _great_vessels_and_sternum(hu, axes, wall, rng)
    below = np.clip((np.minimum(wall, medial) - dome) / 3 + 0.5, 0, 1) * np.clip(1 - dome / 3, 0, 1)  # the abdomen
    hu = half.mix(hu, np.float32(LIVER_HU) + 8 * coarse, below.astype(np.float32))
    lung = half.parenchyma(z, y, x, shape, step, rng)
    middle = shape[2] // 2
    for side, at in enumerate((np.s_[:, :, :middle], np.s_[:, :, : middle - 1 : -1])):  # from the outside inwards
        root = hilum[side] + [0, FRONT_MM, ASIDE_MM]  # in mm from the array's corner
        lung[at] = half.trees(np.ascontiguousarray(lung[at]), step, np.ascontiguousarray(inside[at]), root, rng)
    hu = half.mix(hu, lung, np.clip(inside / 0.8 + 0.5, 0, 1))
    hu = _airways(hu, axes, hilum[0][0], rng)

    ill = int(rng.random() < 0.5)
    root = hilum[ill] + [0, FRONT_MM, ASIDE_MM]
    if ill:  # the left, mirrored
        root[2] = (shape[2] - 1) * step[2] - root[2]
    columns = (middle, shape[2]) if ill else (0, middle)
    return Thorax(hu, inside * np.float32(scale), spacing_mm, root * stretch, columns)


def _grid(step: Spacing) -> tuple[_Axes, tuple[int, ...]]:
    """The slab's coordinates; an even number of columns, so that the midline falls between two."""
    size = (half.HEIGHT_MM, FRONT_MM + half.DEPTH_MM + BEHIND_MM, 2 * (MIDLINE_MM + ASIDE_MM))
    z, y, x = (round(length / s) for length, s in zip(size, step, strict=True))
    x -= x % 2
    along = (
        np.arange(z) * step[0],
        np.arange(y) * step[1] - FRONT_MM,
        (np.arange(x) - (x - 1) / 2) * step[2],
    )
    return _Axes(*np.meshgrid(*(a.astype(np.float32) for a in along), indexing="ij", sparse=True)), (z, y, x)


def _heart(axes: _Axes, rng: np.random.Generator) -> Volume:
    """How much further the heart reaches to the left than to the right, mm."""
    middle = rng.uniform(50, 62)
    reach: Volume = rng.uniform(5, 24) * np.exp(-(((axes.y - middle) / 24) ** 2)) * (1 - axes.z / (2 * half.HEIGHT_MM))
    return reach


def _dome_distance(axes: _Axes, rng: np.random.Generator) -> Volume:
    """Distance outside the two domes of the diaphragm, mm; the right one stands higher. Half of all slabs lie above."""
    top = rng.uniform(-60, 45)
    parts = []
    for side in (-1, 1):
        radius = rng.uniform(62, 85)
        z = axes.z - (top - (0 if side < 0 else rng.uniform(0, 18)) - radius)
        y, x = axes.y - rng.uniform(82, 98), axes.aside - side * rng.uniform(52, 64)
        parts.append(np.sqrt(z * z + 0.8 * y * y + x * x) - np.float32(radius))
    outside: Volume = np.minimum(*parts).astype(np.float32)
    return outside


def _great_vessels_and_sternum(hu: Volume, axes: _Axes, wall: Volume, rng: np.random.Generator) -> Volume:
    """The descending aorta with fat around it, and the breast bone."""
    blood, radius = np.float32(rng.uniform(35, 60)), rng.uniform(10, 13)
    y, aside = rng.uniform(112, 118), rng.uniform(17, 24)
    at = _around(axes, y=(y - 16, y + 16), aside=(aside - 16, aside + 16))
    aorta = np.hypot(axes.y[:, at[1]] - y, axes.aside[:, :, at[2]] - aside)
    between = wall[at] > 0  # inside the rib cage
    fat = half.mix(hu[at], np.float32(half.FAT_HU), np.clip(radius + 2.5 - aorta, 0, 1) * between)
    hu[at] = half.mix(fat, blood, np.clip(radius - aorta + 0.5, 0, 1) * between)
    at = _around(axes, y=(-np.inf, 60), aside=(-23, 23))
    depth = -wall[at]
    plate = np.maximum(np.abs(axes.aside[:, :, at[2]]) / rng.uniform(15, 20), np.abs(depth - 4.5) / 6.5)
    bone = np.where(plate > 0.8, np.float32(380), np.float32(140))
    hu[at] = half.mix(hu[at], bone, np.clip((1 - plate) * 5 + 0.5, 0, 1) * (axes.y[:, at[1]] < 60))
    return hu


def _airways(hu: Volume, axes: _Axes, carina: float, rng: np.random.Generator) -> Volume:
    """The trachea, which divides at the carina into two main bronchi."""
    radius, spread, y = rng.uniform(7.0, 9.0), rng.uniform(0.7, 1.0), rng.uniform(82, 92)
    at = _around(axes, y=(y - 12, y + 17), aside=(-41, 41))
    below = np.maximum(carina + 8 - axes.z, 0)
    share = np.exp(-((below / 26) ** 2))  # bronchi leave the mediastinum
    part = hu[at]
    for side in (-1, 1):
        away = np.hypot(axes.y[:, at[1]] - y - 0.15 * below, axes.aside[:, :, at[2]] - side * spread * below)
        lumen = (radius - 0.08 * below) * (share > 0.3) - away
        part = half.mix(part, np.float32(20), np.clip(lumen + 2.0, 0, 1) * (share > 0.3))
        part = half.mix(part, np.float32(half.AIR_HU + 20), np.clip(lumen + 0.5, 0, 1) * (share > 0.3))
    hu[at] = part
    return hu


def _around(axes: _Axes, *, y: tuple[float, float], aside: tuple[float, float]) -> tuple[slice, slice, slice]:
    """The part of the grid between these coordinates, all planes: what is small need not be drawn everywhere."""
    rows, columns = (
        np.flatnonzero((line.ravel() >= low) & (line.ravel() <= high))
        for line, (low, high) in ((axes.y, y), (axes.aside, aside))
    )
    return slice(None), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _table(hu: Volume, axes: _Axes, rng: np.random.Generator) -> Volume:
    """The scanner's table behind the back: a thin curved shell over foam."""
    top = half.DEPTH_MM + rng.uniform(6, 14) - rng.uniform(0.0003, 0.0012) * axes.aside**2
    depth = axes.y - top + 0 * axes.z
    air = hu < -600  # the body lies on it
    hu = half.mix(hu, np.float32(-850), np.clip(depth + 0.5, 0, 1) * air)
    return half.mix(hu, np.float32(-150), np.clip(1.2 - np.abs(depth - 1.2), 0, 1) * air)
